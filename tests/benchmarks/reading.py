# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Reading grids: workers, the plain loop beside it, memory, and a file larger than memory.

    python tests/benchmarks/reading.py FOLDER [--files 20000] [--gigabytes 6]

FOLDER holds a grid in TSFitPy's format; everything else is made in a temporary folder.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from astropayne import SpectralGrid
from astropayne.grids.data import make_grid_data, no_flux
from astropayne.grids.files import GridWriter
from astropayne.grids.readers.files import match_files


def seconds(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def read(folder, workers=1):
    return SpectralGrid.read(folder, format="tsfitpy", workers=workers, progress=False)


def plain_loop(folder, n=None):
    """Read as one does without thinking: loadtxt, and the label table scanned for every file."""
    table = pd.read_csv(folder / "spectra_parameters.csv")
    flux, labels = [], []
    for name in table["specname"][:n]:
        flux.append(np.loadtxt(folder / name, usecols=(0, 1))[:, 1])
        row = table.loc[table["specname"] == name].index[0]
        labels.append(table[table["specname"] == name].iloc[0, 2:].to_numpy(float))
        assert row >= 0
    return np.array(flux), np.array(labels)


def make_files(folder, n_files, n_pixels):
    """Write many short files in TSFitPy's format."""
    rng = np.random.default_rng(0)
    names = [f"{i:06d}.spec" for i in range(n_files)]
    wavelength = 5000 + 0.05 * np.arange(n_pixels)
    left = [f"{w:.6f}  " for w in wavelength]
    for name in names:
        flux = rng.uniform(0.2, 1, n_pixels)
        rows = (f"{a}{f:.6f}  {1e6 * f:.6g}\n" for a, f in zip(left, flux, strict=True))
        (folder / name).write_text("#resolution: 20000.0\n" + "".join(rows))
    labels = {"specname": names, "rv": 0.0}
    labels |= {label: rng.uniform(0, 1, n_files) for label in ("teff", "logg", "feh", "Mg_Fe")}
    labels["teff"] = 4000 + 3000 * labels["teff"]
    pd.DataFrame(labels).to_csv(folder / "spectra_parameters.csv", index=False)


def spin():
    """Do nothing but count: what two processors can do at best is seen with this."""
    x = 0
    for i in range(4_000_000):
        x += i


class TwoProcesses:
    """Two processes that spin at the same time."""

    def __enter__(self):
        code = "import sys; sys.path.insert(0, sys.argv[1]); from reading import spin\n"
        code += "for _ in sys.stdin:\n spin()\n print(flush=True)"
        command = [sys.executable, "-c", code, str(Path(__file__).parent)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.other = subprocess.Popen(command, **pipes)
        self()  # until it has started
        return self

    def __exit__(self, *error):
        self.other.communicate()

    def __call__(self):
        print(file=self.other.stdin, flush=True)
        spin()
        self.other.stdout.readline()


def compare(folder, title, n_plain, repeats):
    """Print ratios of shortest times, of one worker, two workers and the plain loop, in turn."""
    n = len(pd.read_csv(folder / "spectra_parameters.csv"))
    with TwoProcesses() as two_spin:
        calls = {
            "one": lambda: read(folder),
            "two": lambda: read(folder, workers=2),
            "plain": lambda: plain_loop(folder, n_plain),
            "one spins": spin,
            "two spin": two_spin,
        }
        times = {name: [] for name in calls}
        for _ in range(repeats):
            for name, call in calls.items():
                times[name].append(seconds(call))
    best = {name: min(values) for name, values in times.items()}
    plain, one, two = best["plain"] * n / n_plain, best["one"], best["two"]
    print(f"{title}: {1e3 * one / n:.2f} ms a file; two workers {one / two:.2f} x ", end="")
    print(f"(counting: {2 * best['one spins'] / best['two spin']:.2f} x); ", end="")
    print(f"the plain loop takes {plain / one:.1f} x as long", flush=True)


def match_labels(n_rows):
    """Print how long it takes to find the file of each row of a table of labels."""
    rng = np.random.default_rng(0)
    times = []
    for n in (n_rows // 2, n_rows):
        files = [f"{i:06d}.spec" for i in rng.permutation(n)]
        rows = [f"{i:06d}" for i in rng.permutation(n)]
        start = time.perf_counter()
        kept, found, rejected = match_files(rows, files)
        times.append(time.perf_counter() - start)
        assert len(kept) == n
        assert not rejected
        assert all(a == b[:6] for a, b in zip(rows, found, strict=True))
    print(f"matching {n_rows} rows of labels: {times[1]:.2f} s, ", end="")
    print(f"{times[1] / times[0]:.1f} times as long as half as many")


# Linux' own count: that of getrusage begins with the memory of the process that started this one.
HIGHEST = """
from pathlib import Path
def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
"""

PEAK = (
    HIGHEST
    + """
import sys
from astropayne import SpectralGrid
SpectralGrid.read(sys.argv[1], format="tsfitpy", output=sys.argv[2], overwrite=True)
print(peak())
"""
)

LARGE = (
    HIGHEST
    + """
import sys, time
from astropayne import SpectralGrid
start = time.perf_counter()
grid = SpectralGrid.read(sys.argv[1], verify=False)
opened = time.perf_counter() - start
SpectralGrid.read(sys.argv[1], verify=True)
verified = time.perf_counter() - start - opened
train, valid = grid.split(0.8, seed=1)
total = sum(float(part.flux.sum()) for part in train.blocks())
iterated = time.perf_counter() - start - opened - verified
print(f"opened in {opened:.2f} s, verified in {verified:.0f} s, its training part iterated in "
      f"{iterated:.0f} s, peak memory {peak():.0f} MB")
"""
)


def peak_memory(folder, n_files, scratch):
    """Peak memory in MB of a process that reads the first files into a grid file."""
    part = scratch / f"part{n_files}"
    part.mkdir()
    table = pd.read_csv(folder / "spectra_parameters.csv", dtype={"specname": str})[:n_files]
    table.to_csv(part / "spectra_parameters.csv", index=False)
    for name in table["specname"]:
        (part / name).symlink_to(folder / name)
    command = [sys.executable, "-c", PEAK, str(part), str(scratch / "part.asdf")]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def make_large(path, grid, gigabytes):
    """Write a grid file of that size: spectra repeated, with noise and labels of their own."""
    rng = np.random.default_rng(0)
    n = int(gigabytes * 1e9 / (4 * len(grid.wavelength)))
    rows = np.arange(n) % len(grid)
    with GridWriter(path, len(grid.wavelength), overwrite=True) as writer:
        for first in range(0, n, 2000):
            flux = grid.flux[rows[first : first + 2000]]
            writer.append(flux + rng.normal(0, 1e-3, flux.shape).astype(np.float32))
        labels = grid.labels[rows]
        for name in labels.colnames:
            labels[name] += rng.normal(0, 1e-3, n) * (labels[name].unit or 1)
        no_data = no_flux(n, len(grid.wavelength), np.float32)
        writer.finish(make_grid_data(grid.wavelength, no_data, labels, info=grid.info))
    os.sync()  # opening it is not to wait for the writing


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--files", type=int, default=20000)
    parser.add_argument("--gigabytes", type=float, default=6)
    parser.add_argument("--repeats", type=int, default=6)
    options = parser.parse_args()
    folder = options.folder.resolve()
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        match_labels(200_000)
        compare(folder, "full grid", 300, options.repeats)
        short = scratch / "short"
        short.mkdir()
        make_files(short, options.files, 400)
        compare(short, f"{options.files} files of 400 pixels", 500, options.repeats)
        few, many = (peak_memory(folder, n, scratch) for n in (300, 1500))
        print(f"peak memory reading into a file: {few:.0f} MB for 300, {many:.0f} MB for 1500")
        large = scratch / "large.asdf"
        make_large(large, read(folder), options.gigabytes)
        print(f"a file of {large.stat().st_size / 1e9:.1f} GB: ", end="", flush=True)
        subprocess.run([sys.executable, "-c", LARGE, str(large)], check=True)


if __name__ == "__main__":
    main()
