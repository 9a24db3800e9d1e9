#!/usr/bin/env bash
# The negative of a specutils spectrum cannot be taken.
#
# Expected: `-spectrum` is `-1 * spectrum` and `0 - spectrum`: turning an absorption line over for
# a tool that wants emission is daily work, and the arithmetic of `Spectrum` is documented.
#
# Seen: `-spectrum` raises a ValueError about an argument called psf, which no spectrum
# has. The other two spellings work. The operator comes from ndcube, whose copy passes all of its
# own fields to a class that does not know them.
#
# Versions: specutils 2.4.0, ndcube 2.4.2, astropy 8.0.2, numpy 2.4.6 (Python 3.11).
# Seen: 2026-11-30.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 astropy==8.0.2 ndcube==2.4.2 specutils==2.4.0

cat > check.py <<'PYTHON'
import astropy.units as u
import numpy as np
from specutils import Spectrum

spectrum = Spectrum(spectral_axis=np.arange(5000.0, 5003.0) * u.AA, flux=np.array([1.0, 0.5, 1.0]) * u.one)
print((-1 * spectrum).flux.value)
print((0 - spectrum).flux.value)
try:
    print((-spectrum).flux.value)
except ValueError as error:
    print(f"ValueError: {error}")
PYTHON

cat > expected.txt <<'TEXT'
[-1.  -0.5 -1. ]
[-1.  -0.5 -1. ]
ValueError: Initializer contains unknown arguments(s): psf.
TEXT

env/bin/python check.py > seen.txt
if diff expected.txt seen.txt; then
    echo "as seen on 2026-11-30"
else
    echo "the behavior has changed: < is what was seen on 2026-11-30, > is what is seen now" >&2
    exit 1
fi
