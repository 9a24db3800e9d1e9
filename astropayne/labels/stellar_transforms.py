# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Transforms and relations of the labels that are no abundances: logarithms, microturbulence.

There is none between kelvin and kilokelvin, because that is a unit and not another label: what is
in kK is converted when it is read, as a quantity, a column with a unit or by a reader's ``units=``.
"""

import warnings
from functools import cache

import numpy as np

from astropayne.labels.names import parse_label
from astropayne.labels.space import LabelRangeWarning
from astropayne.plugins.hookspecs import hookimpl
from astropayne.plugins.interfaces import LabelRelation, LabelTransform

__all__ = ["LogTransform", "MicroturbulenceRelation", "stellar_transforms"]


@hookimpl
def astropayne_label_transforms():
    """Return the logarithms of labels, and the relations for vmic."""
    return list(stellar_transforms())


class LogTransform(LabelTransform):
    """A label replaced by its decimal logarithm, ``log_`` and its name.

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

    def __init__(self, source):
        self.source = parse_label(source)
        self.target = f"log_{self.source}"

    def forward(self, values, solar):
        """Compute the logarithm, NaN where the label is not positive."""
        value = np.asarray(values[self.source], dtype=float)
        return np.log10(value, out=np.full(value.shape, np.nan), where=value > 0)[()]

    def inverse(self, values, solar):
        """Compute the label from its logarithm."""
        return 10.0 ** np.asarray(values[self.target], dtype=float)


class MicroturbulenceRelation(LabelRelation):
    """Microturbulence from effective temperature, surface gravity and iron, for want of better.

    Parameters
    ----------
    name, citation : str
    formula : callable
        vmic in km/s from the labels needed, in their order: arrays of one shape.
    needs : tuple of str
        The labels needed: of ``teff``, ``logg`` and ``feh``.
    **ranges : tuple of float
        Ranges of labels that it was found in, where they are known; a
        `~astropayne.labels.space.LabelRangeWarning` says if it is used beyond.

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

    def __init__(self, name, citation, formula, needs, **ranges):
        self.name, self.citation, self.formula = name, citation, formula
        self.needs, self.ranges = needs, ranges

    def estimate(self, values):
        """Compute vmic, as `~astropayne.labels.LabelRelation.estimate` describes."""
        columns = np.broadcast_arrays(*(np.asarray(values[n], dtype=float) for n in self.needs))
        for name, (low, high) in self.ranges.items():
            if np.any((values[name] < low) | (values[name] > high)):
                warnings.warn(
                    f"the relation {self.name!r} for vmic ({self.citation}) was found for {name} "
                    f"from {low:g} to {high:g}, and is used beyond",
                    LabelRangeWarning,
                    stacklevel=2,
                )
        return self.formula(*columns)


def _bruntt2010(teff, logg):
    t = teff - 5700.0
    return 1.01 + 4.56e-4 * t + 2.75e-7 * t**2


def _tsantaki2013(teff, logg):
    return 6.932e-4 * teff - 0.348 * logg - 1.437


def _gaiaeso(teff, logg, feh):
    dwarf = logg >= 3.5
    t = np.where(dwarf, np.maximum(teff, 5000.0), teff) - 5500.0
    g = logg - 4.0
    by_teff = np.where(
        dwarf, 1.05 + 2.51e-4 * t + 1.5e-7 * t**2, 1.25 + 4.01e-4 * t + 3.1e-7 * t**2
    )
    return by_teff - 0.14 * g - 0.005 * g**2 + 0.05 * feh + 0.01 * feh**2


@cache
def stellar_transforms():
    """Return the logarithms of ``teff`` and ``vmic``, and the relations for ``vmic``.

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
        1.05 + 2.51·10⁻⁴ t + 1.5·10⁻⁷ t² for log g ≥ 3.5, with T not below 5000, and
        1.25 + 4.01·10⁻⁴ t + 3.1·10⁻⁷ t² for log g < 3.5: not continuous there.
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
