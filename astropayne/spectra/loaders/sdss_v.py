# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Loader for spectra of the Milky Way Mapper of SDSS-V: mwmStar, mwmVisit, astraStar, astraVisit.

References
----------
SDSS DR19 data model, https://data.sdss.org/datamodel/files/MWM_ASTRA: a table for each spectrograph
and observatory, a row for each visit; wavelengths in vacuum, in the frame of the star.
"""

from typing import Any

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.nddata import InverseVariance
from specutils import Spectrum, SpectrumList
from specutils.io.parsing_utils import read_fileobj_or_hdulist
from specutils.io.registers import data_loader

__all__ = ["mwm_loader"]

_UNIT = u.Unit("1e-17 erg / (Angstrom cm2 s)")


def _tables(hdus: fits.HDUList) -> list[fits.BinTableHDU]:
    """Return the tables that have spectra."""
    tables = [hdu for hdu in hdus[1:] if getattr(hdu, "columns", None) and hdu.header["NAXIS2"]]
    return [hdu for hdu in tables if {"flux", "ivar"} <= {n.lower() for n in hdu.columns.names}]


def _identify(origin: str, *args: Any, **kwargs: Any) -> bool:
    with read_fileobj_or_hdulist(*args, **kwargs) as hdus:
        return "V_ASTRA" in hdus[0].header and bool(_tables(hdus))


@data_loader(
    "SDSS-V mwm visits", identifier=_identify, dtype=SpectrumList, extensions=["fits"], priority=21
)
def mwm_loader(file_obj: object, **kwargs: Any) -> SpectrumList:
    """Load all spectrographs and visits of a star.

    Parameters
    ----------
    file_obj : str, file-like or `~astropy.io.fits.HDUList`

    Returns
    -------
    `~specutils.SpectrumList`
        In vacuum, with the spectrograph, and the number of the visit, in ``meta["arm"]``. The flux
        is the observed one, also where the file has models of a pipeline.
    """
    with read_fileobj_or_hdulist(file_obj, **kwargs) as hdus:
        header = hdus[0].header.copy()
        return SpectrumList(
            _spectrum(hdu, row, header) for hdu in _tables(hdus) for row in range(len(hdu.data))
        )


def _spectrum(hdu: fits.BinTableHDU, row: int, header: fits.Header) -> Spectrum:
    columns = {name.lower(): name for name in reversed(hdu.columns.names)}
    flux, ivar = (np.asarray(hdu.data[columns[n]][row], dtype=float) for n in ("flux", "ivar"))
    if "wavelength" in columns:
        wavelength = np.asarray(hdu.data[columns["wavelength"]][row], dtype=float)
    else:
        cards = {**hdu.header, **{k: v for k, v in header.items() if k not in hdu.header}}
        start, step = (float(cards.get(c, cards.get(f"{c}1"))) for c in ("CRVAL", "CDELT"))
        wavelength = 10 ** (start + step * np.arange(len(flux)))
    flags = hdu.data[columns["pixel_flags"]][row] if "pixel_flags" in columns else None
    arm = hdu.name if len(hdu.data) == 1 else f"{hdu.name} {row}"
    return Spectrum(
        spectral_axis=wavelength * u.AA,
        flux=flux * _UNIT,
        uncertainty=InverseVariance(ivar),
        mask=None if flags is None else np.asarray(flags) != 0,
        meta={"header": header, "arm": arm, "medium": "vacuum"},
    )
