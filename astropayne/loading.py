# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Loading spectra through a reader, a block at a time, and saying what is wrong with each.

Blocks are loaded by this process and by helpers, which import this module: nothing but numpy may
be needed to start it.
"""

import contextlib
import os
import pickle
import queue
import subprocess
import sys
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

__all__ = ["Helpers", "Limits", "Loader", "load_blocks", "reason", "serve"]


@dataclass(frozen=True)
class Limits:
    """What a sound spectrum may be like.

    Attributes
    ----------
    minimum_flux : float
        Lower flux is a fault; zero by default.
    maximum_flux : float or None
        Higher flux is a fault, such as emission; `None` for no limit.
    wavelength_tolerance : float
        How far wavelengths may differ from the others', relative.
    """

    minimum_flux: float = 0.0
    maximum_flux: float | None = None
    wavelength_tolerance: float = 1e-7

    def fault(self, axis, flux, wavelength):
        """Return what is wrong with a spectrum, or an empty string."""
        if self._is_sound(axis, flux, wavelength):
            return ""
        if axis.ndim != 1 or flux.ndim != 1:
            return f"has wavelengths and flux of shape {axis.shape} and {flux.shape}, not one axis"
        if not len(axis) == len(flux) == len(wavelength):
            return f"has {len(flux)} pixels, the others {len(wavelength)}"
        if not np.isfinite(axis).all():
            return "has wavelengths that are not finite"
        if (np.diff(axis) <= 0).any():
            return "has wavelengths that do not increase"
        if not np.allclose(axis, wavelength, rtol=self.wavelength_tolerance, atol=0):
            return "has other wavelengths than most"
        if np.isnan(flux).any():
            return "has flux that is NaN"
        if not np.isfinite(flux).all():
            return "has flux that is infinite"
        if (flux < self.minimum_flux).any():
            below = "negative flux" if self.minimum_flux == 0 else f"flux below {self.minimum_flux}"
            return f"has {below}"
        if self.maximum_flux is not None and (flux > self.maximum_flux).any():
            return f"has flux above {self.maximum_flux}"
        return ""

    def _is_sound(self, axis, flux, wavelength):
        """Say, in few operations, whether a spectrum is as nearly all are."""
        if not (flux.size and flux.shape == axis.shape == wavelength.shape):
            return False
        highest = np.inf if self.maximum_flux is None else self.maximum_flux
        return bool(
            np.array_equal(axis, wavelength)
            and (axis[1:] > axis[:-1]).all()
            and flux.min() >= self.minimum_flux  # False for NaN
            and flux.max() <= highest
            and np.isfinite(flux.max())
        )


@dataclass
class Loader:
    """A reader's ``load``, whatever it returns made plain arrays and checked.

    Attributes
    ----------
    load, load_block : callable
        As in `~astropayne.plugins.GridSource`; the second may be `None`.
    flux_unit : str
        Unit of the flux, for readers that return quantities.
    wavelength : numpy.ndarray
        What all spectra should have, Å.
    limits : Limits
    """

    load: object
    load_block: object = None
    flux_unit: str = ""
    wavelength: np.ndarray | None = None
    limits: Limits = Limits()

    def spectrum(self, i):
        """Load one spectrum: wavelength in Å, and flux, NaN where it is masked."""
        return self._arrays(self.load(i))

    def _arrays(self, loaded):
        try:
            axis, flux = loaded
        except (TypeError, ValueError):
            raise ValueError(
                f"was loaded as {type(loaded).__name__}: load has to return wavelength and flux"
            ) from None
        axis = _plain(axis, "wavelengths", "Angstrom")
        return axis, _plain(flux, "flux", self.flux_unit, axis)

    def _together(self, indices):
        """Load some spectra at once; none if that cannot be done."""
        if self.load_block is None:
            return None
        try:
            axis, flux = self._arrays(self.load_block(indices))
        except Exception:  # loaded one by one, each will say what is wrong
            return None
        fits = flux.ndim == 2 and len(flux) == len(indices)
        return [(axis, values) for values in flux] if fits else None

    def block(self, indices):
        """Load and check some spectra.

        Returns
        -------
        flux : numpy.ndarray of float32, shape (n, n_pixels)
            NaN where it is not sound.
        reasons : list of str
            One for each, empty if it is sound.
        """
        flux = np.full((len(indices), len(self.wavelength)), np.nan, dtype=np.float32)
        reasons, together = [], self._together(indices)
        for k, (row, i) in enumerate(zip(flux, indices, strict=True)):
            try:
                axis, values = together[k] if together else self.spectrum(i)
                fault = self.limits.fault(axis, values, self.wavelength)
                if not fault:
                    row[:] = values
            except Exception as error:  # a reader may raise what it likes: it costs one spectrum
                fault = reason(error)
            reasons.append(fault)
        return flux, reasons


def _plain(values, what, unit, wavelength=None):
    """Return an array of native floats in a unit, NaN where it is masked."""
    mask = getattr(values, "mask", False)
    given = getattr(values, "unit", None)
    # numpy's masked arrays and astropy's masked quantities show what is under the mask
    array = np.asarray(np.ma.getdata(getattr(values, "unmasked", values)))
    if array.dtype.kind not in "biuf":
        raise ValueError(f"has {what} of type {array.dtype}, not numbers")
    array = array.astype(float, copy=False)
    if given is not None:
        array = _converted(array, what, given, unit, wavelength)
    return np.where(mask, np.nan, array) if np.any(mask) else array


def _converted(array, what, given, unit, wavelength):
    import astropy.units as u

    ways = u.spectral() if wavelength is None else u.spectral_density(wavelength * u.AA)
    try:
        return u.Quantity(array, given).to_value(unit, ways)
    except u.UnitConversionError:
        wanted = str(unit) or "no unit (which flux_unit in the source's meta would say)"
        raise ValueError(f"has {what} in {given}, which does not convert to {wanted}") from None


def reason(error):
    """Say what went wrong in a reader: its own words, or what kind of error it was."""
    if isinstance(error, ValueError | OSError):
        return str(error)
    return f"the reader failed: {type(error).__name__}: {error}"


class Helpers:
    """Processes that load blocks, each driven by a thread, in a ``with`` block that ends them.

    They are started as programs, not by `multiprocessing`: a script needs no ``__main__`` guard,
    what it imports is not imported again, and nothing is forked that has threads.

    Parameters
    ----------
    number : int
        How many; they start at once, and wait for what `prepare` is given.
    """

    def __init__(self, number):
        if number < 0:
            raise ValueError(f"workers={number + 1}: it takes one process at least")
        self.processes, self.idle = [], queue.SimpleQueue()
        self.threads = ThreadPoolExecutor(max(number, 1))
        path = os.pathsep.join(part or os.getcwd() for part in sys.path)
        for _ in range(number):
            process = subprocess.Popen(
                [sys.executable, "-c", "from astropayne.loading import serve; serve()"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": path},
                start_new_session=True,  # an interrupt is for this process
            )
            self.processes.append(process)

    def __len__(self):
        return len(self.processes)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for process in self.processes:
            process.kill()  # nobody waits for what it does
            process.wait()
        self.threads.shutdown(cancel_futures=True)
        for process in self.processes:
            process.stdout.close()
            with contextlib.suppress(OSError):  # what it was not sent any more
                process.stdin.close()

    def prepare(self, loader):
        """Say what loads."""
        content = _pickled(loader)
        for process in self.processes:
            self.idle.put((process, content))

    def load(self, block):
        """Return the future of a block."""
        return self.threads.submit(self._load, block)

    def _load(self, block):
        process, content = self.idle.get()
        try:
            process.stdin.write(content + pickle.dumps(block))
            process.stdin.flush()
            return pickle.load(process.stdout)
        except (EOFError, OSError):
            raise RuntimeError(
                f"a process that was loading spectra has ended (exit code {process.wait()}): read "
                "with workers=1 to see why"
            ) from None
        finally:
            self.idle.put((process, b""))


def _pickled(loader):
    advice = "cannot work in other processes ({}): read with workers=1"
    try:
        content = pickle.dumps(loader)
    except Exception as error:
        raise ValueError(f"this reader {advice.format(error)}") from None
    if b"__main__" in content:
        where = "it is defined in a notebook or script, not in a module"
        raise ValueError(f"this reader {advice.format(where)}")
    return content


def serve():
    """Load blocks for another process: orders come in by stdin, blocks go out by stdout.

    Objects are pickled on these pipes, as `multiprocessing` does it: they lead from the process
    that reads the grid to those it has started itself. Nothing from a file is ever unpickled.
    """
    orders, out = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a reader prints must not come between
    loader = pickle.load(orders)
    while True:
        try:
            block = pickle.load(orders)
        except EOFError:
            return
        pickle.dump(loader.block(block), out, protocol=pickle.HIGHEST_PROTOCOL)
        out.flush()


def load_blocks(loader, blocks, helpers=()):
    """Load blocks of spectra, in order, by this process and helpers.

    Parameters
    ----------
    loader : Loader
    blocks : iterable of list of int
        Indices of spectra.
    helpers : Helpers
        This process loads too, and begins while they start.

    Yields
    ------
    flux, reasons
        As `Loader.block` returns them.

    Raises
    ------
    ValueError
        If the reader cannot work in other processes.
    RuntimeError
        If one of them ends.
    """
    if not helpers:
        yield from map(loader.block, blocks)
        return
    helpers.prepare(loader)
    blocks, ahead = iter(blocks), deque()
    while True:
        ordered = sum(not future.done() for future in ahead)
        full = len(ahead) > 16 * len(helpers)
        block = None if full or (ahead and ahead[0].done()) else next(blocks, None)
        if block is None:
            if not ahead:
                return
            yield ahead.popleft().result()
        elif ordered < 2 * len(helpers):  # one that is loaded, one that waits, for each
            ahead.append(helpers.load(block))
        else:
            ahead.append(Future())
            ahead[-1].set_result(loader.block(block))
