# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Fits: this package's batches against one star at a time with finite differences.

    python tests/benchmarks/fitting.py [--stars 256] [--compared 16] [--many 4096]

The other way is how it is usually done: `scipy.optimize.least_squares` estimates derivatives by
finite differences over a network in numpy (`einsum`), three FFT convolutions one after another
(instrument, rotation, macroturbulence) and linear interpolation (`interp1d`). It is given the
velocity to within 1 km/s; this package looks for it. Both have the same network, stars, pixels,
noise and macroturbulence, one thread each, and run in turns. Times are of the
processor, which other work on the machine disturbs less. ``--many`` fits so many stars, made one
after another while they are fitted, and gives time and memory beside those of the batch.
"""

import argparse
import os
import resource
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import astropy.units as u
import numpy as np
import torch
from astropy.nddata import StdDevUncertainty
from scipy.interpolate import interp1d
from scipy.optimize import least_squares
from scipy.special import erf
from specutils import Spectrum

from astropayne import PayneModel, fit_spectra
from astropayne.wavelengths.axis import find_windows
from astropayne.wavelengths.velocity import C_KMS

RESOLUTION, SNR, VMAC = 16000, 100, 3.0


#: Operations that the work should consist of: matrix products, transforms and sampling.
WORK = (
    "aten::mm",
    "aten::bmm",
    "aten::addmm",
    "aten::baddbmm",
    "aten::_fft",
    "aten::_embedding_bag",
    "aten::linalg",
)


def share_of_work(fit):
    """Return the share of the processor's time that is spent in `WORK`.

    The profiler says how long that takes, a run without it how long everything does.
    """
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        fit()
    start = time.process_time()
    fit()
    total = time.process_time() - start
    spent = (e.self_cpu_time_total for e in profile.key_averages() if e.key.startswith(WORK))
    return 1e-6 * sum(spent) / total


def repeated(stars, n):
    """Yield so many spectra, each a new one, of the same stars."""
    for i in range(n):
        star = stars[i % len(stars)]
        yield Spectrum(
            spectral_axis=star.spectral_axis, flux=star.flux.copy(), mask=star.mask.copy(),
            uncertainty=StdDevUncertainty(star.uncertainty.array.copy()),
        )  # fmt: skip


def memory():
    """Return the most memory that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def make_stars(model, n, rng):
    """Return spectra with noise, and all parameters of each."""
    space = model.labels
    values = space.minimum + rng.uniform(0.15, 0.85, (n, len(space))) * space.width
    rv, vsini = rng.uniform(-200, 200, n), rng.uniform(2, 25, n)
    exact = model.predict(values, rv=rv, vsini=vsini, vmac=VMAC, resolution=RESOLUTION)
    stars = []
    for flux in exact.flux.value:
        noise = rng.normal(0, 1 / SNR, flux.size)
        stars.append(
            Spectrum(
                spectral_axis=model.wavelength,
                flux=(flux + noise) * u.one,
                uncertainty=StdDevUncertainty(np.full(flux.size, 1 / SNR)),
                mask=~np.isfinite(flux),
            )
        )
    return stars, np.column_stack([values, rv, vsini])


def gelu(x):
    """Return x Φ(x)."""
    return 0.5 * x * (1 + erf(x / np.sqrt(2)))


class OneByOne:
    """The usual way, for one star at a time."""

    def __init__(self, model):
        network = model.network
        layers = [*network.hidden, network.coefficients]
        # finite differences need double precision; what is one network is one of one member
        self.layers = [
            (np.atleast_3d(w.T).T if w.ndim == 2 else w, b.reshape(-1, w.shape[-2]))
            for w, b in (
                (layer.weight.detach().numpy().astype(float), layer.bias.detach().numpy())
                for layer in layers
            )
        ]
        self.basis, self.mean = (
            p.detach().numpy().astype(float) for p in network.pixels.parameters()
        )
        self.members, self.assembly = network.members, network.assembly
        if self.assembly is not None:
            self.assembly = self.assembly.weight.detach().numpy().astype(float)
        self.activation = {"silu": lambda x: x / (1 + np.exp(-x)), "gelu": gelu}[network.activation]
        self.sigmoid = network.output == "sigmoid"
        self.model, self.wavelength = model, model.vacuum_wavelength
        self.calls = 0

    def network(self, scaled):
        *hidden, coefficients = self.layers
        x = np.broadcast_to(scaled, (len(coefficients[0]), len(scaled)))
        for weight, bias in hidden:
            x = self.activation(np.einsum("mij,mj->mi", weight, x) + bias)
        x = np.einsum("mij,mj->mi", coefficients[0], x) + coefficients[1]
        x = x.reshape(self.members, -1).mean(axis=0)
        if self.assembly is not None:
            x = np.einsum("ij,j->i", self.assembly, x)
        flux = np.einsum("ij,j->i", self.basis, x) + self.mean
        return 1 / (1 + np.exp(-flux)) if self.sigmoid else flux

    def spectrum(self, theta):
        """Return the flux on the observed axis: convolve for resolution, rotation; shift."""
        self.calls += 1
        flux = self.network(self.model.labels.scale(theta[:-2]))
        out = np.ones_like(flux)
        for w in find_windows(self.wavelength):
            log = np.linspace(*np.log(self.wavelength[w][[0, -1]]), w.stop - w.start)
            row = interp1d(np.log(self.wavelength[w]), flux[w])(log)
            step = C_KMS * (log[1] - log[0])
            s = np.fft.rfftfreq(2 * len(row), step)
            rotation = self.rotation(s, theta[-1])
            for transfer in (self.gaussian(s), rotation, self.macroturbulence(s)):
                padded = np.fft.rfft(1 - row, 2 * len(row)) * transfer
                row = 1 - np.fft.irfft(padded, 2 * len(row))[: len(row)]
            shifted = np.exp(log) * (1 + theta[-2] / C_KMS)
            ends = {"bounds_error": False, "fill_value": (row[0], row[-1])}
            out[w] = interp1d(shifted, row, **ends)(self.wavelength[w])
        return out

    def gaussian(self, s):
        fwhm = C_KMS * np.sqrt(RESOLUTION**-2 - self.model.resolution**-2)
        return np.exp(-2 * (np.pi * s * fwhm / 2.3548) ** 2)

    @staticmethod
    def rotation(s, vsini, epsilon=0.6):
        from scipy.special import j1

        x = np.maximum(2 * np.pi * s * max(vsini, 0.01), 1e-3)
        disc = 2 * (1 - epsilon) * j1(x) / x
        dark = 2 * epsilon * (np.sin(x) - x * np.cos(x)) / x**3
        return (disc + dark) / (1 - epsilon / 3)

    @staticmethod
    def macroturbulence(s):
        """Return that of radial and tangential streams (Gray 2005), apart from rotation."""
        x = np.maximum((np.pi * s * VMAC) ** 2, 1e-12)
        return -np.expm1(-x) / x

    def fit(self, star, used, rv):
        """Return the least χ² over the pixels used."""
        space = self.model.labels
        flux = star.flux.value[used]
        start = [*(0.5 * (space.minimum + space.maximum)), rv, 10.0]
        bounds = ([*space.minimum, rv - 5, 0.0], [*space.maximum, rv + 5, 100.0])
        found = least_squares(
            lambda theta: (self.spectrum(theta)[used] - flux) * SNR, start,
            bounds=bounds, x_scale=np.array(bounds[1]) - bounds[0],
        )  # fmt: skip
        return 2 * found.cost


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stars", type=int, default=256)
    parser.add_argument("--compared", type=int, default=16)
    parser.add_argument("--many", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = PayneModel.sample().replace(error=None)
    stars, truth = make_stars(model, options.stars, np.random.default_rng(1))
    known = {"resolution": RESOLUTION, "fixed": {"vmac": VMAC}}
    fit_spectra(stars[:2], model, **known)  # what is made once
    other, seconds, chi2 = OneByOne(model), 0.0, []
    alone, single = 0.0, []
    for star, theta in zip(stars[: options.compared], truth, strict=False):
        start = time.process_time()
        table = fit_spectra([star], model, **known, models=True)
        alone += time.process_time() - start
        single.append(table["chi2"][0])
        used = np.isfinite(table["best_fit"][0]) & ~star.mask
        start = time.process_time()
        chi2.append(other.fit(star, used, theta[-2] + np.random.default_rng(2).uniform(-1, 1)))
        seconds += time.process_time() - start
    batch = np.inf
    for _ in range(3):  # the one that other work disturbed least
        start = time.process_time()
        fit_spectra(stars, model, **known)
        batch = min(batch, (time.process_time() - start) / len(stars))
    n = options.compared
    print(f"finite differences: {seconds / n:.2f} s a star, {other.calls / n:.0f} model calls")
    print(f"one star:  {1e3 * alone / n:.0f} ms, {seconds / alone:.0f} times as fast")
    print(f"a batch of {len(stars)}: {1e3 * batch:.1f} ms a star, {seconds / n / batch:.0f} times")
    share = share_of_work(lambda: fit_spectra(stars, model, **known))
    print(f"in matrix products, transforms and sampling: {share:.0%}")
    if options.many:
        before, start = memory(), time.process_time()
        fit_spectra(repeated(stars, options.many), model, **known)
        each = (time.process_time() - start) / options.many
        print(f"{options.many} stars: {1e3 * each:.1f} ms a star, making them included;", end=" ")
        print(f"memory {before:.0f} MB before, {memory():.0f} MB at most")
    print(f"chi2, ours minus theirs: {np.median(np.subtract(single, chi2)):.1f} (median)")


if __name__ == "__main__":
    main()
