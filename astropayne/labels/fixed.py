# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Fixed labels, bounds and priors, converted from any convention to a model's own labels."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from astropayne.labels.conversion import LabelConversion, convert_labels, forbid_same, same_label
from astropayne.labels.names import unknown_label_message
from astropayne.labels.solar import SolarLike

__all__ = ["FixedLabels", "LabelTie"]


@dataclass(frozen=True)
class LabelTie:
    """A label of the model that follows from a fixed label and from other labels of the model.

    Attributes
    ----------
    conversion : LabelConversion
        With that label as its only output.
    fixed : dict of str to float
        The fixed labels.
    """

    conversion: LabelConversion
    fixed: dict[str, float]

    @property
    def needs(self) -> set[str]:
        """Labels from which it follows and that are not fixed."""
        return self.conversion.used - self.fixed.keys()

    def __call__(self, labels: Mapping[str, Any]) -> np.ndarray:
        """Compute the label from the values of the others, by name."""
        columns = [self.fixed.get(name, labels.get(name, 0.0)) for name in self.conversion.inputs]
        return self.conversion(np.stack(np.broadcast_arrays(*columns), axis=-1))[..., 0]


class FixedLabels:
    """Fixed labels in any convention, expressed in a model's own labels.

    Parameters
    ----------
    names : sequence of str
        The model's labels.
    fixed : mapping of str to float
        Fixed values in the labels' own units, by names as `~astropayne.labels.parse_label` returns
        them. Each name must have an equivalent among the model's labels; see
        `~astropayne.labels.same_label`. The same holds for the names in the methods.
    solar : str, `~astropayne.labels.SolarScale` or mapping, optional
        The solar scale.

    Attributes
    ----------
    values : dict of str to float
        The model's labels that are fixed.
    ties : dict of str to LabelTie
        The model's labels that follow from others: if [Mg/H] is fixed, [Mg/Fe] follows from
        [Fe/H].

    Raises
    ------
    ValueError
        If two fixed labels express the same quantity.

    Examples
    --------
    >>> from astropayne.labels.fixed import FixedLabels
    >>> labels = FixedLabels(["teff", "feh", "Mg_Fe"], {"Mg_H": -0.5})
    >>> labels.ties["Mg_Fe"]({"feh": -1.0}).item()
    0.5
    >>> FixedLabels(["teff", "feh", "Mg_Fe"], {"Mg_H": -0.5, "feh": -1.0}).values
    {'feh': -1.0, 'Mg_Fe': 0.5}
    """

    def __init__(
        self, names: Iterable[str], fixed: Mapping[str, float], solar: SolarLike = None
    ) -> None:
        if fixed:
            forbid_same(fixed)
        self.names, self.solar = tuple(names), solar
        self.values = {name: value for name, value in fixed.items() if name in self.names}
        self.ties: dict[str, LabelTie] = {}
        others = [name for name in fixed if name not in self.names]
        replaced = [self._own(name) for name in others]
        inputs = [*others, *(name for name in self.names if name not in replaced)]
        ties = {n: LabelTie(LabelConversion(inputs, [n], solar), dict(fixed)) for n in replaced}
        for name, tie in ties.items():
            if tie.needs:
                self.ties[name] = tie
            else:
                self.values[name] = float(tie({}))

    def convert(self, labels: Mapping[str, float]) -> dict[str, Any]:
        """Return values of labels, by name, converted to the model's own labels."""
        if not labels:
            return {}
        forbid_same(labels)
        own = {name: value for name, value in labels.items() if name in self.names}
        others = [self._own(name) for name in labels if name not in self.names]
        return own | convert_labels({**self.values, **labels}, others, self.solar)[0]

    def convert_range(self, name: str, pair: Sequence[float]) -> tuple[str, tuple[float, float]]:
        """Return the model's label for a range, and the range's lower and upper end in it."""
        own, (low, high) = self._convert(name, pair)
        return own, (min(low, high), max(low, high))

    def convert_gaussian(self, name: str, pair: Sequence[float]) -> tuple[str, tuple[float, float]]:
        """Return the model's label for a Gaussian prior, and its mean and standard deviation.

        Raises
        ------
        ValueError
            If the distribution of the model's label is not Gaussian.
        """
        mean, sigma = pair
        own, (below, middle, above) = self._convert(name, [mean - sigma, mean, mean + sigma])
        if not np.isclose(above - middle, middle - below, rtol=1e-6):
            raise ValueError(
                f"a distribution that is Gaussian in {name!r} is not Gaussian in {own!r}: give the "
                f"prior of {own!r}"
            )
        return own, (float(middle), float(abs(above - below) / 2))

    def _own(self, name: str) -> str:
        """Return the model's label that expresses the same quantity as another label."""
        own = same_label(self.names, name)
        if own is None:
            raise ValueError(unknown_label_message(name, self.names))
        return own

    def _convert(self, name: str, values: Sequence[float]) -> tuple[str, Sequence[float]]:
        """Convert values of one label; other labels in the conversion take their fixed values."""
        if name in self.names:
            return name, values
        own = self._own(name)
        fixed = {n: value for n, value in self.values.items() if n != own}
        try:
            converted = convert_labels(
                {name: np.asarray(values, dtype=float), **fixed}, [own], self.solar
            )
        except ValueError as error:
            raise ValueError(
                f"{name!r} determines {own!r} only together with other labels: fix those, or give "
                f"{own!r} instead ({error})"
            ) from None
        return own, converted[0][own].tolist()
