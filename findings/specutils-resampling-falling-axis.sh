#!/usr/bin/env bash
# specutils resamples a spectrum whose axis falls (frequencies of an optical spectrum) to NaN.
#
# Expected: `Spectrum` accepts a falling spectral axis, and an optical spectrum converted to
# frequency has one; a resampler then gives the same flux as for the reversed arrays.
#
# Seen: FluxConservingResampler and LinearInterpolatedResampler return NaN in every pixel and
# warn of nothing; SplineInterpolatedResampler raises. The fluxes of the reversed arrays are
# right. A falling *new* axis is worse: the linear and the spline resampler are right, while the
# flux-conserving one returns the same wrong number in every pixel.
#
# Versions: specutils 2.4.0, astropy 8.0.2, scipy 1.17.1, numpy 2.4.6 (Python 3.11).
# Seen: 2026-11-30.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 scipy==1.17.1 astropy==8.0.2 specutils==2.4.0

cat > check.py <<'PYTHON'
import warnings

import astropy.units as u
import numpy as np
from specutils import Spectrum
from specutils.manipulation import (
    FluxConservingResampler,
    LinearInterpolatedResampler,
    SplineInterpolatedResampler,
)

wavelength = np.linspace(5000, 5100, 201) * u.AA
flux = np.linspace(1, 2, 201) * u.one
rising = Spectrum(spectral_axis=wavelength, flux=flux)
falling = Spectrum(spectral_axis=wavelength[::-1], flux=flux[::-1])
frequency = Spectrum(spectral_axis=wavelength.to(u.THz, u.spectral()), flux=flux)
new = np.array([5020.0, 5040.0, 5060.0, 5080.0]) * u.AA


def show(name, resampler, spectrum, axis):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = np.round(resampler()(spectrum, axis).flux.value, 2)
        except ValueError as error:
            result = type(error).__name__
    print(f"{name:9s} {resampler.__name__:27s} {result} warnings: {len(caught)}")


for resampler in (FluxConservingResampler, LinearInterpolatedResampler, SplineInterpolatedResampler):
    show("rising", resampler, rising, new)
    show("falling", resampler, falling, new)
    show("frequency", resampler, frequency, new.to(u.THz, u.spectral()))
    show("new falls", resampler, rising, new[::-1])
PYTHON

cat > expected.txt <<'TEXT'
rising    FluxConservingResampler     [1.2 1.4 1.6 1.8] warnings: 0
falling   FluxConservingResampler     [nan nan nan nan] warnings: 0
frequency FluxConservingResampler     [nan nan nan nan] warnings: 0
new falls FluxConservingResampler     [1.9 1.9 1.9 1.9] warnings: 0
rising    LinearInterpolatedResampler [1.2 1.4 1.6 1.8] warnings: 0
falling   LinearInterpolatedResampler [nan nan nan nan] warnings: 0
frequency LinearInterpolatedResampler [nan nan nan nan] warnings: 0
new falls LinearInterpolatedResampler [1.8 1.6 1.4 1.2] warnings: 0
rising    SplineInterpolatedResampler [1.2 1.4 1.6 1.8] warnings: 0
falling   SplineInterpolatedResampler ValueError warnings: 0
frequency SplineInterpolatedResampler ValueError warnings: 0
new falls SplineInterpolatedResampler [1.8 1.6 1.4 1.2] warnings: 0
TEXT

env/bin/python check.py > seen.txt
if diff expected.txt seen.txt; then
    echo "as seen on 2026-11-30"
else
    echo "the behavior has changed: < is what was seen on 2026-11-30, > is what is seen now" >&2
    exit 1
fi
