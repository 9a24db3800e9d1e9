#!/usr/bin/env bash
# HDF5's scale-offset filter turns NaN pixels into the lowest flux of their chunk.
#
# Expected: the filter rounds a flux to so many decimals (a common saving for spectra), and a NaN,
# the usual mark of a bad pixel, either stays NaN or is refused; the filter does see that an
# infinite value does not fit, and stores such a chunk without rounding.
#
# Seen: the file reopens with a finite, plausible flux where NaN was written: the lowest flux of
# that chunk. Nothing warns, and reading before the file is closed still shows NaN (and all
# decimals), so a check right after writing passes.
#
# Versions: h5py 3.16.0 with the HDF5 library it brings, numpy 2.4.6 (Python 3.11).
# Seen: 2026-11-30.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 h5py==3.16.0

cat > check.py <<'PYTHON'
import h5py
import numpy as np

flux = np.random.default_rng(0).normal(1.0, 0.01, 1000)
for kind in ("f8", "f4"):
    for bad in (np.nan, np.inf):
        data = flux.astype(kind)
        data[510] = bad
        with h5py.File("grid.h5", "w") as file:
            dataset = file.create_dataset("flux", data=data, scaleoffset=4, chunks=(250,))
            before = dataset[510]
        with h5py.File("grid.h5", "r") as file:
            back = file["flux"][:]
        error = np.abs(np.delete(back, 510) - np.delete(data, 510)).max()
        lowest = np.delete(back, 510)[500:749].min()
        print(
            f"{kind} {bad}: before closing {before}, reopened {back[510]:.4f}, lowest other flux of its chunk {lowest:.4f}, "
            f"others within 1e-4: {error < 1e-4}"
        )
PYTHON

cat > expected.txt <<'TEXT'
f8 nan: before closing nan, reopened 0.9748, lowest other flux of its chunk 0.9748, others within 1e-4: True
f8 inf: before closing inf, reopened inf, lowest other flux of its chunk 0.9748, others within 1e-4: True
f4 nan: before closing nan, reopened 0.9748, lowest other flux of its chunk 0.9748, others within 1e-4: True
f4 inf: before closing inf, reopened inf, lowest other flux of its chunk 0.9748, others within 1e-4: True
TEXT

env/bin/python check.py > seen.txt
if diff expected.txt seen.txt; then
    echo "as seen on 2026-11-30"
else
    echo "the behavior has changed: < is what was seen on 2026-11-30, > is what is seen now" >&2
    exit 1
fi
