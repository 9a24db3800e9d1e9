# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Spectra as loaders of specutils return them, completed by what headers state."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from specutils import Spectrum, SpectrumList

from astropayne.spectra.conventions.axes import require_plausible
from astropayne.spectra.conventions.headers import medium_of_headers, resolution_of_headers
from astropayne.spectra.identity import Identity
from astropayne.spectra.info import SpectrumInfo
from astropayne.spectra.options import ReadOptions
from astropayne.spectra.tables import describes_noise
from astropayne.spectra.targets import choose_target

__all__ = ["complete", "first_line", "read_by_specutils"]

_METERS = 1e-3  # wavelengths without a unit below this are in meters, as the FITS standard has it
_LONGEST_LOGARITHM = 10  # Å; wavelengths below this can only be logarithms


def read_by_specutils(path: Path, options: ReadOptions) -> Spectrum | SpectrumList:
    """Return the spectrum that a loader of specutils reads.

    Raises
    ------
    ValueError
        If no loader reads the file.
    """
    try:
        spectrum = Spectrum.read(path, format=options.format)
    except Exception as error:  # loaders raise any error
        try:
            spectra = SpectrumList.read(path, format=options.format)
        except Exception:  # the first error says more
            raise ValueError(first_line(error)) from None
        spectrum = choose_target(spectra, path, options.target)
    if isinstance(spectrum, SpectrumList):
        return SpectrumList(complete(s, path, _headers(s), options) for s in spectrum)
    return complete(spectrum, path, _headers(spectrum), options)


def first_line(error: Exception) -> str:
    """Return the first line of an error, or its type if it has no text."""
    text = str(error).strip().partition("\n")[0]
    if isinstance(error, KeyError):
        return f"it has no {text}"
    if text.startswith("Format could not be identified"):
        return "its format is not known; format= names one of specutils"
    return text or type(error).__name__


def _headers(spectrum: Spectrum) -> tuple[Mapping[str, Any], ...]:
    header = spectrum.meta.get("header")
    return (header,) if isinstance(header, Mapping) or hasattr(header, "get") else ()


def complete(
    spectrum: Spectrum,
    path: Path,
    headers: Sequence[Mapping[str, Any]],
    options: ReadOptions,
) -> Spectrum:
    """Return a spectrum of a loader with the axis, medium and resolution that headers state.

    Parameters
    ----------
    spectrum : `~specutils.Spectrum`
    path : `~pathlib.Path`
        Name of the file.
    headers : sequence of mapping
        Headers of the file.
    options : ReadOptions

    Returns
    -------
    `~specutils.Spectrum`

    Raises
    ------
    ValueError
        If the spectral axis counts pixels.
    """
    if spectrum.flux.ndim > 1 and spectrum.flux.size == spectrum.flux.shape[-1]:
        spectrum = _flat(spectrum)
    axis = spectrum.spectral_axis
    if np.array_equal(axis.value, 1 + np.arange(len(axis))):  # what an image without axis has
        raise ValueError(
            f"{path} counts its pixels where wavelengths should be: its header needs CRVAL1 and "
            "CDELT1; or write it as text with columns of wavelength and flux"
        )
    spectrum = _on_stated_axis(spectrum, options)
    require_plausible(spectrum.spectral_axis, path)
    own = SpectrumInfo.of(spectrum.meta)
    info = SpectrumInfo(
        medium=own.medium or medium_of_headers(headers, path),
        resolution=resolution_of_headers(headers) if own.resolution is None else own.resolution,
    )
    identity = Identity.of_headers(headers).as_meta() | Identity.of(spectrum.meta).as_meta()
    spectrum.meta.update(identity | info.as_meta() | options.meta_of(path))
    noise = spectrum.uncertainty
    if options.columns == 2 or (noise is not None and not describes_noise(noise.array)):
        spectrum.uncertainty = None
    return spectrum


def _on_stated_axis(spectrum: Spectrum, options: ReadOptions) -> Spectrum:
    """Return a spectrum with the axis that cards of its image state."""
    header, axis = spectrum.meta.get("header", {}), spectrum.spectral_axis
    if header.get("DC-FLAG") == 1 and axis.to_value(u.AA, u.spectral()).max() < _LONGEST_LOGARITHM:
        return _replace_axis(spectrum, 10**axis.value * u.AA)
    without_unit = (
        header.get("NAXIS") == 1
        and "CRVAL1" in header
        and not str(header.get("CUNIT1", "")).strip()
    )
    if without_unit and axis.unit in (u.m, u.AA) and axis.value.max() > _METERS:
        return _replace_axis(spectrum, axis.value * (options.unit or u.AA))
    return spectrum


def _replace_axis(spectrum: Spectrum, axis: u.Quantity) -> Spectrum:
    return Spectrum(
        spectral_axis=axis,
        flux=spectrum.flux,
        uncertainty=spectrum.uncertainty,
        mask=spectrum.mask,
        meta=spectrum.meta,
    )


def _flat(spectrum: Spectrum) -> Spectrum:
    """Return the only spectrum in an array of more than one dimension."""
    noise, mask = spectrum.uncertainty, spectrum.mask
    return Spectrum(
        spectral_axis=spectrum.spectral_axis.ravel(),
        flux=spectrum.flux.ravel(),
        uncertainty=None if noise is None else type(noise)(np.ravel(noise.array), unit=noise.unit),
        mask=None if mask is None else np.ravel(mask),
        meta=spectrum.meta,
    )
