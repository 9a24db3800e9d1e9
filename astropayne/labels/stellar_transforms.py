# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Transforms and relations of stellar parameters: logarithms and microturbulence.

Kilokelvin is a unit, not another label, so it needs no transform: effective temperatures in kK are
converted when they are read, as a quantity, a column with a unit or by a reader's ``units=``.
"""

import warnings
from collections.abc import Callable, Mapping
from functools import cache

import numpy as np

from astropayne.labels.names import parse_label
from astropayne.labels.space import LabelRangeWarning
from astropayne.plugins.hookspecs import hookimpl
from astropayne.plugins.interfaces import LabelRelation, LabelTransform

__all__ = ["LogTransform", "MicroturbulenceRelation", "stellar_transforms"]


@hookimpl
def astropayne_label_transforms() -> list[LabelTransform | LabelRelation]:
    """Return the logarithms of labels and the relations for vmic."""
    return list(stellar_transforms())


class LogTransform(LabelTransform):
    """Replaces a label by its decimal logarithm, with ``log_`` before its name.

    Parameters
    ----------
    source : str
        The label, in any spelling.

    Examples
    --------
    >>> from astropayne.labels.stellar_transforms import LogTransform
    >>> transform = LogTransform("vturb")
    >>> transform
    <LogTransform: vmic -> log_vmic>
    >>> float(transform.inverse({"log_vmic": 0.0}, None))
    1.0
    """

    def __init__(self, source: str) -> None:
        self.source = parse_label(source)
        self.target = f"log_{self.source}"

    def forward(self, values: Mapping[str, np.ndarray], solar: Mapping[str, float]) -> np.ndarray:
        """Compute the logarithm; NaN where the label is not positive."""
        value = np.asarray(values[self.source], dtype=float)
        return np.log10(value, out=np.full(value.shape, np.nan), where=value > 0)[()]

    def inverse(self, values: Mapping[str, np.ndarray], solar: Mapping[str, float]) -> np.ndarray:
        """Compute the label from its logarithm."""
        return 10.0 ** np.asarray(values[self.target], dtype=float)


class MicroturbulenceRelation(LabelRelation):
    """Microturbulence estimated from effective temperature, surface gravity and [Fe/H].

    Parameters
    ----------
    name, citation : str
    formula : callable
        Returns vmic in km/s from the values of ``needs``, arrays of one shape.
    needs : tuple of str
        Some of ``teff``, ``logg`` and ``feh``, in the order of the formula's arguments.
    **ranges : tuple of float
        Ranges of labels in which the relation was calibrated, if they are published. Outside of
        them, `estimate` warns with `~astropayne.labels.LabelRangeWarning`.

    Examples
    --------
    >>> from astropayne.labels.stellar_transforms import stellar_transforms
    >>> relation = stellar_transforms()[-1]
    >>> relation
    <MicroturbulenceRelation 'gaiaeso': teff, logg, feh -> vmic>
    >>> print(f"{relation.estimate({'teff': 5777.0, 'logg': 4.44, 'feh': 0.0}):.3f}")
    1.068
    """

    target = "vmic"

    def __init__(
        self,
        name: str,
        citation: str,
        formula: Callable[..., np.ndarray],
        needs: tuple[str, ...],
        **ranges: tuple[float, float],
    ) -> None:
        self.name, self.citation, self.formula = name, citation, formula
        self.needs, self.ranges = needs, ranges

    def estimate(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """Compute vmic, as `~astropayne.labels.LabelRelation.estimate` describes."""
        columns = np.broadcast_arrays(*(np.asarray(values[n], dtype=float) for n in self.needs))
        for name, (low, high) in self.ranges.items():
            if np.any((values[name] < low) | (values[name] > high)):
                warnings.warn(
                    f"the relation {self.name!r} for vmic ({self.citation}) was calibrated for "
                    f"{name} from {low:g} to {high:g}; some values lie outside",
                    LabelRangeWarning,
                    stacklevel=2,
                )
        return self.formula(*columns)


def _bruntt2010(teff: np.ndarray, logg: np.ndarray) -> np.ndarray:
    t = teff - 5700.0
    return 1.01 + 4.56e-4 * t + 2.75e-7 * t**2


def _tsantaki2013(teff: np.ndarray, logg: np.ndarray) -> np.ndarray:
    return 6.932e-4 * teff - 0.348 * logg - 1.437


def _gaiaeso(teff: np.ndarray, logg: np.ndarray, feh: np.ndarray) -> np.ndarray:
    dwarf = logg >= 3.5
    t = np.where(dwarf, np.maximum(teff, 5000.0), teff) - 5500.0
    g = logg - 4.0
    by_teff = np.where(
        dwarf, 1.05 + 2.51e-4 * t + 1.5e-7 * t**2, 1.25 + 4.01e-4 * t + 3.1e-7 * t**2
    )
    return by_teff - 0.14 * g - 0.005 * g**2 + 0.05 * feh + 0.01 * feh**2


@cache
def stellar_transforms() -> tuple[LabelTransform | LabelRelation, ...]:
    """Return the logarithms of ``teff`` and ``vmic`` and the relations for ``vmic``.

    Returns
    -------
    tuple of `~astropayne.labels.LabelTransform` and `~astropayne.labels.LabelRelation`

    Notes
    -----
    The relations, with T for teff in K and vmic in km/s:

    ``bruntt2010``, for dwarfs, t = T − 5700:
        1.01 + 4.56·10⁻⁴ t + 2.75·10⁻⁷ t²
    ``tsantaki2013``, for dwarfs:
        6.932·10⁻⁴ T − 0.348 log g − 1.437
    ``gaiaeso``, for dwarfs and giants, t = T − 5500, g = log g − 4:
        f(t) − 0.14 g − 0.005 g² + 0.05 [Fe/H] + 0.01 [Fe/H]², where f(t) is
        1.05 + 2.51·10⁻⁴ t + 1.5·10⁻⁷ t² for log g ≥ 3.5, with T at least 5000, and
        1.25 + 4.01·10⁻⁴ t + 3.1·10⁻⁷ t² for log g < 3.5; f is discontinuous at log g = 3.5.
    """
    return (
        LogTransform("teff"),
        LogTransform("vmic"),
        MicroturbulenceRelation(
            "bruntt2010",
            "Bruntt et al. 2010, MNRAS 405, 1907, doi:10.1111/j.1365-2966.2010.16575.x",
            _bruntt2010,
            ("teff", "logg"),
            teff=(5000, 6500),
            logg=(4.0, 5.0),
        ),
        MicroturbulenceRelation(
            "tsantaki2013",
            "Tsantaki et al. 2013, A&A 555, A150",
            _tsantaki2013,
            ("teff", "logg"),
            teff=(4500, 6500),
            logg=(3.95, 5.0),
        ),
        MicroturbulenceRelation(
            "gaiaeso",
            "Gaia-ESO Survey, as in Blanco-Cuaresma et al. 2014, A&A 569, A111, "
            "doi:10.1051/0004-6361/201423945",
            _gaiaeso,
            ("teff", "logg", "feh"),
        ),
    )
