#!/usr/bin/env bash
# A tabulated filter of synphot transmits outside its table unless the table ends in zeros.
#
# Expected: a filter given from 5000 to 6000 Angstrom transmits nothing elsewhere, or at least an
# `Observation` integrates over the filter's table only; and the mean flux density of a source with
# constant flux density is that constant in any filter.
#
# Seen: the first and the last transmission go on to all wavelengths, as far as the source
# reaches, so a filter with transmission 1 lets the whole source through. The mean flux density
# of a constant 1e-15 is 4.36e-15 (1.6 mag too bright), while the equivalent width of the filter
# still is 1000 Angstrom and `countrate` is nearly right. No warning is recorded. With one zero
# at each end all is as expected. synphot's documentation of Empirical1D does describe the
# extrapolation; that `Observation` integrates over it is the surprise.
#
# Versions: synphot 1.8.0, astropy 8.0.2, scipy 1.17.1, numpy 2.4.6 (Python 3.11).
# Seen: 2026-11-30.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 scipy==1.17.1 astropy==8.0.2 synphot==1.8.0

cat > check.py <<'PYTHON'
import warnings

import astropy.units as u
import numpy as np
from synphot import Observation, SourceSpectrum, SpectralElement
from synphot.models import Empirical1D

flam = u.erg / (u.s * u.cm**2 * u.AA)
source = SourceSpectrum(Empirical1D, points=np.arange(4000.0, 8001.0, 100.0), lookup_table=np.full(41, 1e-15) * flam)
inside = np.arange(5000.0, 6001.0, 10.0)
tables = {
    "open": (inside, np.ones(101)),
    "zeros at ends": (np.r_[4999.9, inside, 6000.1], np.r_[0.0, np.ones(101), 0.0]),
}
for name, (points, transmission) in tables.items():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        band = SpectralElement(Empirical1D, points=points, lookup_table=transmission)
        seen = Observation(source, band)
        mean = seen.effstim("flam").value
        magnitude = seen.effstim(u.ABmag).value
        rate = seen.countrate(1 * u.cm**2).value
    print(
        f"{name}: transmission at 1000 and 20000 {band([1000, 20000]).value}, width {band.equivwidth().value:.1f}, "
        f"mean {mean:.2e}, AB {magnitude:.3f}, counts {rate:.4f}, warnings: {len(caught) + len(seen.warnings)}"
    )
PYTHON

cat > expected.txt <<'TEXT'
open: transmission at 1000 and 20000 [1. 1.], width 1000.0, mean 4.36e-15, AB 14.794, counts 0.2796, warnings: 0
zeros at ends: transmission at 1000 and 20000 [0. 0.], width 1000.1, mean 1.00e-15, AB 16.393, counts 0.2769, warnings: 0
TEXT

env/bin/python check.py > seen.txt
if diff expected.txt seen.txt; then
    echo "as seen on 2026-11-30"
else
    echo "the behavior has changed: < is what was seen on 2026-11-30, > is what is seen now" >&2
    exit 1
fi
