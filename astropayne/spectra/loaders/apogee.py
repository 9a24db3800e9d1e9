# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Loaders for spectra of APOGEE with their masks.

References
----------
SDSS data model, https://data.sdss.org/datamodel/files/APOGEE_REDUX/APRED_VERS (apVisit, apStar,
aspcapStar): flux, standard deviation and mask are in the extensions 1 to 3, wavelengths in vacuum.
"""

from typing import Any

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.nddata import StdDevUncertainty
from specutils import Spectrum, SpectrumList
from specutils.io.parsing_utils import read_fileobj_or_hdulist
from specutils.io.registers import data_loader

__all__ = ["apogee_star_loader", "apogee_visit_loader"]

_UNIT = u.Unit("1e-17 erg / (Angstrom cm2 s)")
_CHIPS = 3


def _is_apogee(hdus: fits.HDUList) -> bool:
    """Return whether flux, errors and masks of APOGEE are in the first extensions."""
    if len(hdus) < 4 or not all(hdu.is_image and hdu.size for hdu in hdus[1:3]):
        return False
    header = hdus[0].header
    history = str(header.get("HISTORY", ""))
    of_survey = "apogee" in str(header.get("SURVEY", "")).lower() or "APRED" in header
    of_pipeline = "APOGEE" in history or "ASPCAP" in history
    return (of_survey or of_pipeline) and hdus[1].shape == hdus[2].shape


def _identify_star(origin: str, *args: Any, **kwargs: Any) -> bool:
    with read_fileobj_or_hdulist(*args, **kwargs) as hdus:
        return _is_apogee(hdus) and "CRVAL1" in hdus[1].header and hdus[1].shape[-1] > 8000


def _identify_visit(origin: str, *args: Any, **kwargs: Any) -> bool:
    with read_fileobj_or_hdulist(*args, **kwargs) as hdus:
        return (
            _is_apogee(hdus)
            and len(hdus) > 4
            and hdus[1].shape == hdus[4].shape
            and hdus[1].shape[:-1] == (_CHIPS,)
        )


@data_loader(
    "APOGEE star", identifier=_identify_star, dtype=Spectrum, extensions=["fits"], priority=11
)
def apogee_star_loader(file_obj: object, **kwargs: Any) -> Spectrum:
    """Load the combined spectrum of an apStar or aspcapStar file.

    Parameters
    ----------
    file_obj : str, file-like or `~astropy.io.fits.HDUList`

    Returns
    -------
    `~specutils.Spectrum`
        In vacuum and at rest. Spectra of single visits, from which it was combined, are left out.
    """
    with read_fileobj_or_hdulist(file_obj, **kwargs) as hdus:
        flux, sigma, mask = (_first_row(hdus[i]) for i in (1, 2, 3))
        cards = hdus[1].header
        header = hdus[0].header.copy()
    pixels = np.arange(len(flux)) + 1 - cards.get("CRPIX1", 1)
    wavelength = 10 ** (cards["CRVAL1"] + pixels * cards["CDELT1"])
    return _spectrum(wavelength, flux, sigma, mask, {"header": header, "medium": "vacuum"})


def _first_row(hdu: fits.hdu.base._BaseHDU) -> np.ndarray | None:
    """Return the first row of an image; of several, it is the combination of the others."""
    if not hdu.is_image or not hdu.size:
        return None
    data = np.asarray(hdu.data)
    return data.reshape(-1, data.shape[-1])[0]


@data_loader(
    "APOGEE visit", identifier=_identify_visit, dtype=SpectrumList, extensions=["fits"], priority=11
)
def apogee_visit_loader(file_obj: object, **kwargs: Any) -> SpectrumList:
    """Load the three chips of an apVisit file.

    Parameters
    ----------
    file_obj : str, file-like or `~astropy.io.fits.HDUList`

    Returns
    -------
    `~specutils.SpectrumList`
        An item per chip, in vacuum.
    """
    with read_fileobj_or_hdulist(file_obj, **kwargs) as hdus:
        header = hdus[0].header.copy()
        arrays = [np.asarray(hdus[i].data) for i in (4, 1, 2, 3)]
        return SpectrumList(
            _spectrum(*rows, {"header": header, "arm": f"chip {i + 1}", "medium": "vacuum"})
            for i, rows in enumerate(zip(*arrays, strict=True))
        )


def _spectrum(
    wavelength: np.ndarray,
    flux: np.ndarray,
    sigma: np.ndarray,
    mask: np.ndarray | None,
    meta: dict[str, Any],
) -> Spectrum:
    return Spectrum(
        spectral_axis=wavelength.astype(float) * u.AA,
        flux=flux.astype(float) * _UNIT,
        uncertainty=StdDevUncertainty(sigma.astype(float)),
        mask=None if mask is None else mask != 0,
        meta=meta,
    )
