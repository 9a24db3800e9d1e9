#!/usr/bin/env bash
# Smoothing a spectrum with specutils makes its uncertainties larger.
#
# Expected: a weighted mean of N independent pixels is less noisy than one pixel, so
# `gaussian_smooth` and `box_smooth` lower the uncertainty by sqrt(sum(kernel**2)); the scatter
# of smoothed noise confirms that factor.
#
# Seen: the uncertainty is divided by that factor. A nine-pixel box triples it, so that the
# stated error is nine times the real scatter. The factor is the same for all three types of
# uncertainty: the convolution by the squared kernel is applied to the inverse variance, not
# to the variance.
#
# Versions: specutils 2.4.0, astropy 8.0.2, numpy 2.4.6 (Python 3.11). Seen: 2026-11-30.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 astropy==8.0.2 specutils==2.4.0

cat > check.py <<'PYTHON'
import warnings

import astropy.units as u
import numpy as np
from astropy.nddata import InverseVariance, StdDevUncertainty, VarianceUncertainty
from specutils import Spectrum
from specutils.manipulation import box_smooth, gaussian_smooth

warnings.simplefilter("ignore")
sigma = 0.01
wavelength = 5000 * u.AA + np.arange(4000) * 0.1 * u.AA
noise = np.random.default_rng(1).normal(0.0, sigma, wavelength.size)
inner = slice(100, -100)

for smooth, width in ((gaussian_smooth, 3), (box_smooth, 9)):
    for kind, value in (
        (StdDevUncertainty, sigma),
        (VarianceUncertainty, sigma**2),
        (InverseVariance, sigma**-2),
    ):
        spectrum = Spectrum(
            spectral_axis=wavelength,
            flux=(1 + noise) * u.one,
            uncertainty=kind(np.full(wavelength.size, value)),
        )
        smoothed = smooth(spectrum, width)
        stated = smoothed.uncertainty.represent_as(StdDevUncertainty).array[inner].mean()
        scatter = smoothed.flux.value[inner].std()
        print(f"{smooth.__name__} {kind.__name__}: before {sigma}, stated {stated:.4f}, scatter {scatter:.3f}")
PYTHON

cat > expected.txt <<'TEXT'
gaussian_smooth StdDevUncertainty: before 0.01, stated 0.0326, scatter 0.003
gaussian_smooth VarianceUncertainty: before 0.01, stated 0.0326, scatter 0.003
gaussian_smooth InverseVariance: before 0.01, stated 0.0326, scatter 0.003
box_smooth StdDevUncertainty: before 0.01, stated 0.0300, scatter 0.003
box_smooth VarianceUncertainty: before 0.01, stated 0.0300, scatter 0.003
box_smooth InverseVariance: before 0.01, stated 0.0300, scatter 0.003
TEXT

env/bin/python check.py > seen.txt
if diff expected.txt seen.txt; then
    echo "as seen on 2026-11-30"
else
    echo "the behavior has changed: < is what was seen on 2026-11-30, > is what is seen now" >&2
    exit 1
fi
