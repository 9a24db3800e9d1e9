# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Text of pictures: labels with units, numbers and statistics."""

from collections.abc import Mapping

import astropy.units as u
import numpy as np

from astropayne.labels.names import Label
from astropayne.utils.statistics import median_and_scatter
from astropayne.wavelengths.velocity import VELOCITIES

__all__ = [
    "bias_and_scatter_text",
    "label_text",
    "number_text",
    "spectral_axis_text",
    "with_unit",
]

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_SPECTRAL_AXES = {
    u.m: "wavelength",
    u.Hz: "frequency",
    u.J: "energy",
    u.m**-1: "wave number",
}


def with_unit(text: str, unit: u.UnitBase | None) -> str:
    """Return a text followed by its unit, as in "Teff / K"."""
    return text if unit in (None, u.one) else f"{text} / {u.Unit(unit).to_string('unicode')}"


def label_text(name: str, unit: u.UnitBase | None) -> str:
    """Return the text of a label or velocity, such as "[Mg/Fe]" or "Teff / K"."""
    return with_unit(name if name in VELOCITIES else Label(name).text, unit)


def spectral_axis_text(unit: u.UnitBase, meta: Mapping) -> str:
    """Return the text of a spectral axis; that of wavelengths contains their medium."""
    kinds = (kind for other, kind in _SPECTRAL_AXES.items() if unit.is_equivalent(other))
    text = with_unit(next(kinds, "spectral axis"), unit)
    medium = meta.get("medium") if unit.is_equivalent(u.m) else None
    return f"{text} ({medium})" if medium else text


def number_text(value: float, spec: str) -> str:
    """Return a number with a minus sign instead of a hyphen, and a power of ten instead of "e".

    Parameters
    ----------
    value : float
    spec : str
        Format specification, as in `format`.

    Returns
    -------
    str

    Examples
    --------
    >>> from astropayne.plotting.text import number_text
    >>> number_text(-8.3e-5, ".2g")
    '−8.3 × 10⁻⁵'
    """
    text = f"{value:{spec}}"
    if spec.endswith("g"):
        text = f"{float(text):g}"
    digits, _, power = text.partition("e")
    digits = digits.replace("-", "−")
    return f"{digits} × 10{str(int(power)).translate(_SUPERSCRIPT)}" if power else digits


def bias_and_scatter_text(difference: np.ndarray, n: int) -> str:
    """Return the median and scatter of differences as lines of text.

    ``n`` is the number of stars, including those that were not measured.
    """
    if not len(difference):
        return "not measured"
    bias, scatter = median_and_scatter(difference)
    lines = [f"bias {number_text(bias, '.2g')}"]
    if np.isfinite(scatter):
        lines.append(f"scatter {number_text(scatter, '.2g')}")
    if len(difference) < n:
        lines.append(f"{n - len(difference)} not measured")
    return "\n".join(lines)
