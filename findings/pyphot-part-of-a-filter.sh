#!/usr/bin/env bash
# pyphot gives a flux for a filter that the spectrum covers in part, and zero for one it misses.
#
# Expected: synthetic photometry of a spectrum that ends inside the filter raises, warns or gives
# NaN, as nothing is known of the rest (synphot, for one, raises PartialOverlap).
#
# Seen: `Filter.get_flux` returns the mean over the part that is covered, silently. For a rising
# spectrum that ends at 5500 Angstrom, Johnson V comes out 0.24 mag too faint; one that begins at
# 7000 Angstrom, in the far red wing of V, gives 1.1 mag too bright. A spectrum that does not reach
# the filter has flux 0.0, which is a measurement, not a missing value.
# (pyphot 2.1.1 also needs `requests` to be imported but does not ask for it; hence the pin.)
#
# Versions: pyphot 2.1.1, astropy 8.0.2, numpy 2.4.6 (Python 3.11). Seen: 2026-11-30.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 scipy==1.17.1 pandas==3.1.1 astropy==8.0.2 requests==2.34.2 h5py==3.16.0 pyphot==2.1.1

cat > check.py <<'PYTHON'
import warnings

import astropy.units as u
import numpy as np
import pyphot

flam = u.erg / (u.s * u.cm**2 * u.AA)
band = pyphot.get_library()["GROUND_JOHNSON_V"]
wavelength = np.arange(3000.0, 10000.0)
flux = 1e-15 * (wavelength / 5500) ** 4
print(f"filter {band.wavelength.min().value:.0f}-{band.wavelength.max().value:.0f}")
full = band.get_flux(wavelength * u.AA, flux * flam).value
for low, high in ((3000, 10000), (3000, 5500), (5500, 10000), (7000, 10000), (8000, 10000)):
    part = (wavelength >= low) & (wavelength <= high)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        value = band.get_flux(wavelength[part] * u.AA, flux[part] * flam).value
    error = f"{-2.5 * np.log10(value / full) + 0.0:.2f} mag" if value else "no magnitude"
    print(f"spectrum {low}-{high}: flux {value:.3e}, error {error}, warnings: {len(caught)}")
PYTHON

cat > expected.txt <<'TEXT'
filter 4750-7400
spectrum 3000-10000: flux 1.031e-15, error 0.00 mag, warnings: 0
spectrum 3000-5500: flux 8.275e-16, error 0.24 mag, warnings: 0
spectrum 5500-10000: flux 1.282e-15, error -0.24 mag, warnings: 0
spectrum 7000-10000: flux 2.833e-15, error -1.10 mag, warnings: 0
spectrum 8000-10000: flux 0.000e+00, error no magnitude, warnings: 0
TEXT

env/bin/python check.py > seen.txt
if diff expected.txt seen.txt; then
    echo "as seen on 2026-11-30"
else
    echo "the behavior has changed: < is what was seen on 2026-11-30, > is what is seen now" >&2
    exit 1
fi
