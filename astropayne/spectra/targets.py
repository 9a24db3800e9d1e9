# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""One star of files that hold many, as specutils reads them: an item per arm, a row per target."""

from typing import Any

import astropy.units as u
import numpy as np
from specutils import Spectrum, SpectrumList

from astropayne.spectra.identity import Identity
from astropayne.spectra.options import SeveralTargetsError
from astropayne.wavelengths.resolution import FWHM, ResolutionCurve

__all__ = ["choose_arm", "choose_target", "spectrum_of_row"]

_ID = "TARGETID"


def choose_target(
    spectra: SpectrumList, path: object, target: int | None
) -> Spectrum | SpectrumList:
    """Return the spectra of one target.

    Parameters
    ----------
    spectra : `~specutils.SpectrumList`
        Arms, each with a row per target, or spectra of several stars.
    path : path-like
        Name of the file, for errors.
    target : int, optional
        Row, counted from zero, or identifier of the target.

    Returns
    -------
    `~specutils.Spectrum` or `~specutils.SpectrumList`
        A list if the target has several arms.

    Raises
    ------
    ValueError
        If there are several targets and none is chosen, or there is no such target.
    """
    many = [s for s in spectra if s.flux.ndim == 2]
    if not many:
        return _one_of_list(spectra, path, target)
    n_targets = {s.flux.shape[0] for s in many}
    if len(n_targets) > 1:
        raise ValueError(f"{path} has arms of {sorted(n_targets)} targets: they must be the same")
    row = _row(many, n_targets.pop(), path, target)
    arms = SpectrumList(_arm(s, row) for s in many)
    identity = _identity_of_row(many, row)
    for arm in arms:
        arm.meta.update(identity)
    return arms if len(arms) > 1 else arms[0]


def spectrum_of_row(spectrum: Spectrum, row: int) -> Spectrum:
    """Return a row of a spectrum whose flux has two dimensions.

    Parameters
    ----------
    spectrum : `~specutils.Spectrum`
    row : int

    Returns
    -------
    `~specutils.Spectrum`
    """
    noise, mask = spectrum.uncertainty, spectrum.mask
    return Spectrum(
        spectral_axis=u.Quantity(spectrum.spectral_axis, subok=False),
        flux=spectrum.flux[row],
        uncertainty=None if noise is None else type(noise)(noise.array[row], unit=noise.unit),
        mask=None if mask is None else np.asarray(mask)[row],
        meta=dict(spectrum.meta),
    )


def choose_arm(found: Spectrum | SpectrumList, path: object, arm: int | str) -> Spectrum:
    """Return one of the arms of a star.

    Parameters
    ----------
    found : `~specutils.Spectrum` or `~specutils.SpectrumList`
    path : path-like
        Name of the file, for errors.
    arm : int or str
        Number, counted from zero, or name.

    Returns
    -------
    `~specutils.Spectrum`

    Raises
    ------
    ValueError
        If there is no such arm.
    """
    arms = found if isinstance(found, SpectrumList) else SpectrumList([found])
    names = [str(s.meta.get("arm") or s.meta.get("band") or i) for i, s in enumerate(arms)]
    if isinstance(arm, int) and 0 <= arm < len(arms):
        return arms[arm]
    chosen = [s for s, name in zip(arms, names, strict=True) if name.lower() == str(arm).lower()]
    if len(chosen) != 1:
        raise ValueError(
            f"{path} has no arm={arm!r}: give 0 to {len(arms) - 1}, or one of {', '.join(names)}"
        )
    return chosen[0]


def _one_of_list(
    spectra: SpectrumList, path: object, target: int | None
) -> Spectrum | SpectrumList:
    """Return one of a list of spectra, or all if they are the arms of one star."""
    if not len(spectra):
        raise ValueError(f"{path} has no spectrum")
    if target is not None:
        if not 0 <= target < len(spectra):
            raise ValueError(f"{path} has no target={target}: give 0 to {len(spectra) - 1}")
        return spectra[target]
    if len(spectra) == 1:
        return spectra[0]
    if all("arm" in s.meta or "band" in s.meta for s in spectra):
        return spectra
    raise SeveralTargetsError(
        f"{path} has {len(spectra)} spectra: give target=0 to target={len(spectra) - 1}, or read "
        "all with read_spectra",
        len(spectra),
    )


def _row(arms: list[Spectrum], n: int, path: object, target: int | None) -> int:
    """Return the row of a target."""
    identifiers = _identifiers(arms, n)
    if target is None:
        if n == 1:
            return 0
        named = (
            f", or their identifier, such as target={identifiers[0]}" if len(identifiers) else ""
        )
        raise SeveralTargetsError(
            f"{path} has {n} targets: give target=0 to target={n - 1}{named}, or read all with "
            "read_spectra",
            n,
        )
    if 0 <= target < n:
        return int(target)
    rows = np.flatnonzero(identifiers == target)
    if len(rows) != 1:
        raise ValueError(
            f"{path} has {len(rows) or 'no'} rows of target={target}: give 0 to {n - 1}"
        )
    return int(rows[0])


def _identity_of_row(arms: list[Spectrum], row: int) -> dict[str, Any]:
    """Return what the table of targets states of one of them."""
    for arm in arms:
        table = arm.meta.get("fibermap")
        if table is not None and _ID in table.colnames and row < len(table):
            columns = dict(zip(table.colnames, table[row], strict=True))
            return Identity.of_headers([columns]).as_meta()
    return {}


def _identifiers(arms: list[Spectrum], n: int) -> np.ndarray:
    """Return the identifiers of the targets, empty if the file has none."""
    for arm in arms:
        table = arm.meta.get("fibermap")
        if table is not None and _ID in table.colnames and len(table) == n:
            return np.asarray(table[_ID])
    return np.array([], dtype=int)


def _arm(spectrum: Spectrum, row: int) -> Spectrum:
    """Return a row of an arm, with its resolution per pixel."""
    one = spectrum_of_row(spectrum, row)
    meta = {key: spectrum.meta[key] for key in ("band", "header") if key in spectrum.meta}
    if (matrix := spectrum.meta.get("resolution_data")) is not None:
        axis = spectrum.spectral_axis.to_value(u.AA)
        values = _resolution_of_matrix(matrix[row], axis)
        meta["resolution"] = None if values is None else ResolutionCurve(axis, values)
        meta["medium"] = "vacuum"  # DESI data model
    one.meta = meta
    return one


def _resolution_of_matrix(matrix: np.ndarray, wavelength: np.ndarray) -> np.ndarray:
    """Return λ/FWHM per pixel of a resolution matrix, from the second moment of its rows.

    Parameters
    ----------
    matrix : numpy.ndarray, shape (n_diagonals, n_pixels)
        Diagonals as `scipy.sparse.dia_matrix` has them, the highest offset first (Guy et al. 2023,
        AJ 165, 144).
    wavelength : numpy.ndarray, shape (n_pixels,)

    Returns
    -------
    numpy.ndarray, shape (n_pixels,)
    """
    n = len(matrix)
    offsets = np.arange(n // 2, n // 2 - n, -1)[:, None]
    weights = np.clip(np.asarray(matrix, dtype=float), 0, None)
    total = weights.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        center = (weights * offsets).sum(axis=0) / total
        variance = (weights * (offsets - center) ** 2).sum(axis=0) / total
        resolution = wavelength / (FWHM * np.sqrt(variance) * np.gradient(wavelength))
    good = np.isfinite(resolution) & (resolution > 0)
    return np.where(good, resolution, np.median(resolution[good])) if good.any() else None
