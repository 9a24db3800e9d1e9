#!/usr/bin/env bash
# astropy's biweight statistics differ between its own `Masked` arrays and numpy's masked arrays.
#
# Expected: `biweight_location` and `biweight_scale` leave the masked pixels out, as `mad_std`
# and `sigma_clipped_stats` do, and give the number of the good pixels alone. For
# `numpy.ma.MaskedArray` they do.
#
# Seen: for `astropy.utils.masked.Masked`, with one masked pixel in 1000, the location comes
# back as a masked value, so no number at all, and the scale as another number than that
# of the good pixels: the masked pixels go on counting. With a fifth of the pixels masked the
# scale is 12 percent too large. There is no warning. `SigmaClip` (the class) raises TypeError for
# a masked quantity that `sigma_clipped_stats` handles.
#
# Versions: astropy 8.0.2, numpy 2.4.6 (Python 3.11). Seen: 2026-11-30.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 astropy==8.0.2

cat > check.py <<'PYTHON'
import astropy.units as u
import numpy as np
from astropy.stats import SigmaClip, biweight_location, biweight_scale, mad_std, sigma_clipped_stats
from astropy.utils.masked import Masked

flux = np.random.default_rng(1).normal(10.0, 1.0, 1000)
flux[:200] = 1000.0

for n_bad in (1, 200):
    data = flux[200 - n_bad :]
    mask = np.arange(data.size) < n_bad
    for statistic in (mad_std, biweight_scale, biweight_location):
        good = statistic(data[~mask])
        numpy_masked = statistic(np.ma.array(data, mask=mask))
        masked = statistic(Masked(data, mask=mask))
        shown = "masked" if masked.mask else f"{masked.unmasked:.4f}"
        print(f"{n_bad} masked, {statistic.__name__}: good pixels {good:.4f}, numpy.ma {numpy_masked:.4f}, Masked {shown}")

quantity = Masked(data * u.ct, mask=mask)
print(f"sigma_clipped_stats: {sigma_clipped_stats(quantity)[1].unmasked:.3f}")
try:
    SigmaClip()(quantity)
    print("SigmaClip: returned")
except TypeError as error:
    print(f"SigmaClip: TypeError: {error}")
PYTHON

cat > expected.txt <<'TEXT'
1 masked, mad_std: good pixels 1.0218, numpy.ma 1.0218, Masked 1.0218
1 masked, biweight_scale: good pixels 1.0070, numpy.ma 1.0070, Masked 1.0076
1 masked, biweight_location: good pixels 9.9521, numpy.ma 9.9521, Masked masked
200 masked, mad_std: good pixels 1.0218, numpy.ma 1.0218, Masked 1.0218
200 masked, biweight_scale: good pixels 1.0070, numpy.ma 1.0070, Masked 1.1258
200 masked, biweight_location: good pixels 9.9521, numpy.ma 9.9521, Masked masked
sigma_clipped_stats: 9.961 ct
SigmaClip: TypeError: cannot write to unmasked output
TEXT

env/bin/python check.py > seen.txt
if diff expected.txt seen.txt; then
    echo "as seen on 2026-11-30"
else
    echo "the behavior has changed: < is what was seen on 2026-11-30, > is what is seen now" >&2
    exit 1
fi
