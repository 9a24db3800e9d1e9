# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Loaders for spectra of LAMOST, low and medium resolution.

References
----------
LAMOST data release notes, https://www.lamost.org/dr8/v1.1/doc/lr-data-production-description (LRS)
and mr-data-production-description (MRS).
"""

from typing import Any

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.nddata import InverseVariance
from specutils import Spectrum, SpectrumList
from specutils.io.parsing_utils import read_fileobj_or_hdulist
from specutils.io.registers import data_loader

__all__ = ["lamost_image_loader", "lamost_mrs_loader"]

_ROWS = 5  # flux, inverse variance, wavelength, and-mask, or-mask
_ARMS = ("COADD_B", "COADD_R")


def _identify_image(origin: str, *args: Any, **kwargs: Any) -> bool:
    """Return whether a file has the image of five rows of LAMOST DR1 to DR7."""
    with read_fileobj_or_hdulist(*args, **kwargs) as hdus:
        header = hdus[0].header
        return header.get("TELESCOP") == "LAMOST" and hdus[0].shape[:-1] == (_ROWS,)


@data_loader(
    "LAMOST LRS image", identifier=_identify_image, dtype=Spectrum, extensions=["fits"], priority=10
)
def lamost_image_loader(file_obj: object, **kwargs: Any) -> Spectrum:
    """Load a low-resolution spectrum of LAMOST DR1 to DR7.

    Parameters
    ----------
    file_obj : str, file-like or `~astropy.io.fits.HDUList`

    Returns
    -------
    `~specutils.Spectrum`
        In vacuum; the mask is that of pixels that are bad in all exposures.
    """
    with read_fileobj_or_hdulist(file_obj, **kwargs) as hdus:
        flux, ivar, wavelength, and_mask, _ = np.asarray(hdus[0].data, dtype=float)
        meta = {"header": hdus[0].header.copy(), "medium": "vacuum"}
    return Spectrum(
        spectral_axis=wavelength * u.AA,
        flux=flux * u.one,
        uncertainty=InverseVariance(ivar),
        mask=and_mask != 0,
        meta=meta,
    )


def _identify_mrs(origin: str, *args: Any, **kwargs: Any) -> bool:
    """Return whether a file has the coadded arms of the medium-resolution survey."""
    with read_fileobj_or_hdulist(*args, **kwargs) as hdus:
        return hdus[0].header.get("TELESCOP") == "LAMOST" and any(arm in hdus for arm in _ARMS)


@data_loader(
    "LAMOST MRS", identifier=_identify_mrs, dtype=SpectrumList, extensions=["fits"], priority=10
)
def lamost_mrs_loader(file_obj: object, **kwargs: Any) -> SpectrumList:
    """Load the coadded blue and red arm of a medium-resolution spectrum of LAMOST.

    Parameters
    ----------
    file_obj : str, file-like or `~astropy.io.fits.HDUList`

    Returns
    -------
    `~specutils.SpectrumList`
        An item per arm, in vacuum, with its name in ``meta["arm"]``.
    """
    with read_fileobj_or_hdulist(file_obj, **kwargs) as hdus:
        header = hdus[0].header.copy()
        return SpectrumList(
            _arm(hdus[arm], {"header": header, "arm": arm, "medium": "vacuum"})
            for arm in _ARMS
            if arm in hdus
        )


def _arm(hdu: fits.BinTableHDU, meta: dict) -> Spectrum:
    """Return the spectrum of an arm: a row per pixel, or one row of arrays."""
    columns = {name.upper(): np.ravel(hdu.data[name]) for name in hdu.columns.names}
    if "WAVELENGTH" in columns:
        wavelength = columns["WAVELENGTH"].astype(float)
    else:
        wavelength = 10 ** columns["LOGLAM"].astype(float)
    mask = next((columns[n] for n in ("ANDMASK", "PIXMASK", "ORMASK") if n in columns), None)
    return Spectrum(
        spectral_axis=wavelength * u.AA,
        flux=columns["FLUX"].astype(float) * u.one,
        uncertainty=InverseVariance(columns["IVAR"].astype(float)) if "IVAR" in columns else None,
        mask=None if mask is None else mask != 0,
        meta=meta,
    )
