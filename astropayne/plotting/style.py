# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Colors of all pictures: the palette of Okabe and Ito, made for all kinds of color vision."""

__all__ = ["COLORMAP", "ERROR", "MODEL", "OBSERVED", "series_colors"]

MODEL, OBSERVED, ERROR = "#D55E00", "#222222", "#0072B2"
COLORMAP = "viridis"  # monotonic in lightness, so also readable for the color-blind and in gray
_SERIES = (ERROR, MODEL, "#009E73", "#CC79A7", "#56B4E9", "#E69F00")


def series_colors(n: int) -> list[str]:
    """Return the colors of n series of data; they repeat after six."""
    return [_SERIES[i % len(_SERIES)] for i in range(n)]
