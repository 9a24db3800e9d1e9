# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""What FITS headers state of a spectrum: its resolution and its linear axis."""

import re
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

from astropayne.spectra.conventions import first_value

__all__ = ["resolution_of_headers", "words_of_wat"]

# Cards of λ/FWHM: of ESO's Science Data Products, of `write_spectrum`, and of other products.
_RESOLUTION = ("SPEC_RES", "RESOLUT", "RESOLUTION", "RES_POW", "RESPOWER", "SPECRES", "SPECRP")
_LEAST = 50  # smaller numbers are widths, not resolutions


def resolution_of_headers(headers: Sequence[Mapping[str, Any]]) -> float | None:
    """Return λ/FWHM that headers state.

    Parameters
    ----------
    headers : sequence of mapping
        FITS headers; the first that has a card counts.

    Returns
    -------
    float or None

    Examples
    --------
    >>> from astropayne.spectra.headers import resolution_of_headers
    >>> resolution_of_headers([{"SPEC_RES": 115000}])
    115000.0
    """
    for card in _RESOLUTION:
        for header in headers:
            value = header.get(card)
            if isinstance(value, Real) and value >= _LEAST:
                return float(value)
    return None


def words_of_wat(headers: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the words of IRAF's card of the first axis, such as ``units=angstroms``."""
    text = first_value(headers, "WAT1_001")
    return dict(re.findall(r"(\w+)\s*=\s*\"?([\w.\-]+)", text.lower()))
