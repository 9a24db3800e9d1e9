# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""`EmulatorError`: the errors of a network's flux, and their measurement on spectra."""

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from astropayne.models.network_blocks import jacobian_blocks, member_spread, residual_blocks
from astropayne.models.residuals import (
    label_shifts,
    leading_components,
    scale_at_labels,
    scale_at_spread,
    scale_by_labels,
    scale_by_spread,
    shift_covariance,
    white_rest,
)
from astropayne.networks.network import SpectralNetwork

__all__ = ["EmulatorError", "measure_emulator_error", "spread_rows"]

_COMPONENTS = 32
_RESIDUAL_PIXELS = 1 << 24  # pixels of the residuals that components are computed from


@dataclass(frozen=True, eq=False)
class EmulatorError:
    """The errors of an emulator, measured on spectra of known flux.

    The arrays are copied and cannot be changed in place.

    Parameters
    ----------
    wavelength : array_like, shape (n_pixels,)
        Wavelengths of the model's pixels in vacuum, Å.
    rms : array_like, shape (n_pixels,)
        Root mean square of predicted minus true flux.
    bias : array_like, shape (n_pixels,), optional
        Mean of predicted minus true flux.
    components : array_like, shape (n_components, n_pixels), optional
        Errors that pixels share: the leading part of the covariance of the errors about ``bias``,
        each spectrum's divided by its scale, is ``components.T @ components``.
    rest : array_like, shape (n_pixels,), optional
        Standard deviation of the errors without components, as white noise with the same effect
        on lines (`~astropayne.models.residuals.white_rest`).
    scale : array_like, shape (2,) or (3 + 2 · n_labels,), optional
        Coefficients of the size of the errors: a power law of the members' spread
        (`~astropayne.models.residuals.scale_by_spread`), or a regression on labels
        (`~astropayne.models.residuals.scale_by_labels`).
    shift : array_like, shape (n_labels, n_labels), optional
        Covariance of the changes of scaled labels that are equivalent to errors, divided by the
        square of the scale. Components and rest describe the remaining errors.

    Raises
    ------
    ValueError
        If the shapes do not agree.

    Examples
    --------
    >>> from astropayne.models import EmulatorError
    >>> error = EmulatorError(wavelength=[5000.0, 5001.0], rms=[0.001, 0.003])
    >>> error.at([5000.5]).round(4).tolist()
    [0.002]
    """

    wavelength: np.ndarray
    rms: np.ndarray
    bias: np.ndarray | None = None
    components: np.ndarray | None = None
    rest: np.ndarray | None = None
    scale: np.ndarray | None = None
    shift: np.ndarray | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None:
                value = np.array(value)
                value.flags.writeable = False
                object.__setattr__(self, field.name, value)
        n_pixels = np.size(self.wavelength)
        for name in ("wavelength", "rms", "bias", "components", "rest"):
            self._require_last(name, n_pixels)
        if self.shift is not None:
            self._require_last("shift", len(self.shift))

    def _require_last(self, name: str, *sizes: int) -> None:
        value = getattr(self, name)
        if value is not None and (value.ndim < 1 or value.shape[-1] not in sizes):
            raise ValueError(
                f"{name} of the emulator error has shape {value.shape}; the last size must be "
                f"{' or '.join(map(str, sizes))}"
            )

    def __reduce__(self) -> tuple:
        return type(self), tuple(getattr(self, field.name) for field in fields(self))

    def require_labels(self, n_labels: int) -> None:
        """Raise `ValueError` unless the error belongs to a model with ``n_labels`` labels."""
        self._require_last("scale", 2, 3 + 2 * n_labels)
        self._require_last("shift", n_labels)

    def at(self, wavelength: npt.ArrayLike) -> np.ndarray:
        """Return the rms error, interpolated linearly.

        Parameters
        ----------
        wavelength : array_like
            Wavelengths in the star's frame in vacuum, Å.

        Returns
        -------
        numpy.ndarray
        """
        return np.interp(wavelength, self.wavelength, self.rms)

    def scale_at(self, x: np.ndarray, network: SpectralNetwork) -> np.ndarray:
        """Return the size of the errors at labels, relative to the rms over all spectra.

        Parameters
        ----------
        x : numpy.ndarray, shape (n, n_labels)
            Scaled labels.
        network : `~astropayne.networks.network.SpectralNetwork`
            The network that has these errors.

        Returns
        -------
        numpy.ndarray, shape (n,)
            One if ``scale`` is `None`.
        """
        if self.scale is None:
            return np.ones(len(x))
        return _scale_at(self.scale, x, network)

    def shift_at(
        self, x: np.ndarray, network: SpectralNetwork, width: npt.ArrayLike = 1.0
    ) -> np.ndarray:
        """Return the covariance of the changes of labels that errors look like.

        Parameters
        ----------
        x : numpy.ndarray, shape (n, n_labels)
            Scaled labels.
        network : `~astropayne.networks.network.SpectralNetwork`
            The network that has these errors.
        width : array_like, shape (n_labels,), optional
            Widths of the labels' ranges, for a covariance in the labels' units; without them it
            is that of scaled labels.

        Returns
        -------
        numpy.ndarray, shape (n, n_labels, n_labels)
            Zero if ``shift`` is `None`.
        """
        n_labels = x.shape[1]
        if self.shift is None:
            return np.zeros((len(x), n_labels, n_labels))
        in_units = self.shift * np.outer(*[np.broadcast_to(width, n_labels)] * 2)
        return self.scale_at(x, network)[:, None, None] ** 2 * in_units


def measure_emulator_error(
    network: SpectralNetwork, wavelength: np.ndarray, x: np.ndarray, flux: np.ndarray
) -> EmulatorError:
    """Measure the errors of a network on spectra.

    Parameters
    ----------
    network : `~astropayne.networks.network.SpectralNetwork`
    wavelength : numpy.ndarray, shape (n_pixels,)
        Vacuum, Å.
    x : numpy.ndarray, shape (n, n_labels)
        Scaled labels of the spectra.
    flux : array_like, shape (n, n_pixels)
        Their flux; it may be a ``astropayne.grids.flux_file.FluxFile``.

    Returns
    -------
    EmulatorError
    """
    rms, bias, size = _moments(network, x, flux)
    if network.members > 1:
        law = scale_by_spread(member_spread(network, x), size)
    else:
        law = scale_by_labels(x, size)
    chosen = spread_rows(np.arange(len(x)), 1 + _RESIDUAL_PIXELS // flux.shape[1])
    residual = np.concatenate(list(residual_blocks(network, x, flux, chosen)))
    scale = _scale_at(law, x, network).astype(np.float32)[chosen, None]
    x = x[chosen]
    components, rest = _shared_and_rest(residual, scale, wavelength)
    # Part of the errors looks like changes of labels: `shift` describes it, and the components
    # and the rest are those of what it leaves.
    changes = _label_changes(network, x, residual / scale, np.vstack([components, bias]), rest)
    shift, expected = shift_covariance(*changes)
    change = scale * expected.astype(np.float32)
    for rows, jacobian in jacobian_blocks(network, x):
        residual[rows] -= np.einsum("ni,nip->np", change[rows], jacobian)
    components, rest = _shared_and_rest(residual, scale, wavelength)
    return EmulatorError(wavelength, rms, bias, components, rest, law, shift)


def spread_rows(rows: np.ndarray, n: int) -> np.ndarray:
    """Return at most ``n`` of the rows, spread evenly over all of them."""
    if len(rows) <= n:
        return rows
    return rows[np.linspace(0, len(rows) - 1, n).astype(int)]


def _scale_at(law: np.ndarray, x: np.ndarray, network: SpectralNetwork) -> np.ndarray:
    if len(law) == 2:
        return scale_at_spread(law, member_spread(network, x))
    return scale_at_labels(law, x)


def _moments(
    network: SpectralNetwork, x: np.ndarray, flux: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rms and mean of the residuals of each pixel, and the rms of each spectrum."""
    n_pixels = flux.shape[1]
    squares, total, size = np.zeros(n_pixels), np.zeros(n_pixels), []
    for residual in residual_blocks(network, x, flux, np.arange(len(x))):
        squares += np.sum(residual.astype(float) ** 2, axis=0)
        total += np.sum(residual, axis=0, dtype=float)
        size.append(np.sqrt(np.mean(residual.astype(float) ** 2, axis=1)))
    size = np.maximum(np.concatenate(size), 1e-12)
    return np.sqrt(squares / len(x)), total / len(x), size


def _shared_and_rest(
    residual: np.ndarray, scale: np.ndarray, wavelength: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the errors that pixels share, and the white noise that these leave."""
    about = (residual - residual.mean(axis=0)) / scale
    return leading_components(about, _COMPONENTS), white_rest(about, _COMPONENTS, wavelength)


def _label_changes(
    network: SpectralNetwork,
    x: np.ndarray,
    residual: np.ndarray,
    components: np.ndarray,
    rest: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the `~astropayne.models.residuals.label_shifts` of residuals over their scale."""
    parts = [
        label_shifts(residual[rows], jacobian, components, rest)
        for rows, jacobian in jacobian_blocks(network, x)
    ]
    shift, uncertainty = zip(*parts, strict=True)
    return np.concatenate(shift), np.concatenate(uncertainty)
