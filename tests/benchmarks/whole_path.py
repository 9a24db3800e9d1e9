# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The whole path on a full grid: train, predict what was held out, fit what was held out.

    python tests/benchmarks/whole_path.py FOLDER [--minutes 10] [--stars 100] [--model FILE]

A fifth of the spectra is held out and looked at only here; a tenth of the rest chooses the
checkpoint. The held-out spectra are moved by 7.3 km/s, broadened by vsini = 6 km/s, and fitted
without noise from the default start.
"""

import argparse
import time

import astropy.units as u
import numpy as np

from astropayne import PayneModel, SpectralGrid, broaden_spectrum, fit_spectra

RV, VSINI = 7.3, 6.0


def accuracy(model, held_out):
    """Root mean square of predicted minus true flux, and its percentiles over spectra."""
    residual = model.predict(held_out.labels).flux.value - held_out.flux
    each = np.sqrt(np.mean(residual**2, axis=1))
    print(
        f"rms flux error on {len(held_out)} held-out spectra: {np.sqrt(np.mean(residual**2)):.5f}"
    )
    print("  per spectrum, 5, 50, 95, 100 %:", np.percentile(each, [5, 50, 95, 100]).round(5))


def recovery(model, held_out):
    """Fit the held-out spectra without noise, and say how far off labels and velocities are."""
    stars = [broaden_spectrum(held_out[i], rv=RV, vsini=VSINI) for i in range(len(held_out))]
    start = time.perf_counter()
    table = fit_spectra(stars, model)
    seconds = time.perf_counter() - start
    print(f"{len(stars)} noise-free fits, {seconds / len(stars):.2f} s each")
    truth = held_out.labels.copy()
    truth["rv"], truth["vsini"] = RV * u.km / u.s, VSINI * u.km / u.s
    for name in truth.colnames:
        off = np.abs(u.Quantity(table[name] - truth[name]).value)
        median, most, worst = np.percentile(off, [50, 90, 100])
        print(f"  {name:6s} |fitted - true|: median {median:.4g}, 90 % {most:.4g}, max {worst:.4g}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--stars", type=int, default=100)
    parser.add_argument("--model", help="a model trained on the same split, instead of training")
    options = parser.parse_args()
    grid = SpectralGrid.read(options.folder).transform_labels("A_Li")
    train, held_out = grid.split(train_fraction=0.8, seed=42)
    if options.model:
        model = PayneModel.read(options.model)
    else:
        model = PayneModel()
        model.train(train, max_time=options.minutes * u.min, max_epochs=10**6)
    print(model)
    accuracy(model, held_out)
    recovery(model, held_out[: options.stars])


if __name__ == "__main__":
    main()
