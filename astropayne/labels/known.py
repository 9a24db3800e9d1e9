# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Fixed labels and priors, expressed in a model's own labels."""

from dataclasses import dataclass

import numpy as np

from astropayne.labels.conversion import LabelConversion, convert_labels, forbid_same, same_label
from astropayne.labels.graph import label_graph

__all__ = ["KnownLabels", "LabelTie"]


@dataclass(frozen=True)
class LabelTie:
    """A label that follows from what is known, in another convention, and from other labels.

    Attributes
    ----------
    conversion : LabelConversion
        To that label alone.
    known : dict of str to float
    """

    conversion: LabelConversion
    known: dict

    @property
    def needs(self):
        """Labels that it follows from and that are not known, a set."""
        return self.conversion.used - self.known.keys()

    def __call__(self, labels):
        """Compute it from a mapping of the others' names to arrays."""
        columns = [self.known.get(name, labels.get(name, 0.0)) for name in self.conversion.given]
        return self.conversion(np.stack(np.broadcast_arrays(*columns), axis=-1))[..., 0]


class KnownLabels:
    """What is known of a star's labels, in any convention, said by a model's own.

    Parameters
    ----------
    names : sequence of str
        The model's labels.
    known : mapping of str to float
        Values in the labels' own units, by names as `~astropayne.labels.parse_label` returns
        them; each says the same as one of the model's (`same_label`), here and in what follows.
    solar : str, `~astropayne.labels.solar.SolarScale` or mapping, optional
        The solar scale.

    Attributes
    ----------
    values : dict of str to float
        The model's labels that have one value then.
    ties : dict of str to LabelTie
        Those that follow from others which are not known: where [Mg/H] is, [Mg/Fe] goes with
        [Fe/H].

    Raises
    ------
    ValueError
        If two labels that are known say the same.

    Examples
    --------
    >>> from astropayne.labels.known import KnownLabels
    >>> known = KnownLabels(["teff", "feh", "Mg_Fe"], {"Mg_H": -0.5})
    >>> known.ties["Mg_Fe"]({"feh": -1.0}).item()
    0.5
    >>> KnownLabels(["teff", "feh", "Mg_Fe"], {"Mg_H": -0.5, "feh": -1.0}).values
    {'feh': -1.0, 'Mg_Fe': 0.5}
    """

    def __init__(self, names, known, solar=None):
        if known:
            forbid_same(known, label_graph())
        self.names, self.solar = tuple(names), solar
        self.values = {name: value for name, value in known.items() if name in self.names}
        self.ties = {}
        others = {name: value for name, value in known.items() if name not in self.names}
        replaced = [same_label(self.names, name) for name in others]
        given = [*others, *(name for name in self.names if name not in replaced)]
        ties = {n: LabelTie(LabelConversion(given, [n], solar), dict(known)) for n in replaced}
        for name, tie in ties.items():
            if tie.needs:
                self.ties[name] = tie
            else:
                self.values[name] = float(tie({}))

    def say(self, labels):
        """Say values of labels, by name, in the model's own."""
        if not labels:
            return {}
        forbid_same(labels, label_graph())
        found = {name: value for name, value in labels.items() if name in self.names}
        others = [same_label(self.names, name) for name in labels if name not in self.names]
        return found | convert_labels({**self.values, **labels}, others, self.solar)[0]

    def say_range(self, name, pair):
        """Say a range of a label in the model's own: that label, and lower and upper end."""
        own, (low, high) = self._line(name, pair)
        return own, (min(low, high), max(low, high))

    def say_gaussian(self, name, pair):
        """Say mean and standard deviation of a label in the model's own: that label, and both."""
        mean, sigma = pair
        own, (below, middle, above) = self._line(name, [mean - sigma, mean, mean + sigma])
        if not np.isclose(above - middle, middle - below, rtol=1e-6):
            raise ValueError(f"what is a Gaussian in {name!r} is none in {own!r}: say it in that")
        return own, (float(middle), float(abs(above - below) / 2))

    def _line(self, name, values):
        """Convert values of one label, where what it takes beside it is known."""
        if name in self.names:
            return name, values
        own = same_label(self.names, name)
        known = {n: value for n, value in self.values.items() if n != own}
        try:
            found = convert_labels(
                {name: np.asarray(values, dtype=float), **known}, [own], self.solar
            )
        except ValueError as error:
            raise ValueError(
                f"{name!r} is one label of the model only together with others: fix those, or say "
                f"it in {own!r} ({error})"
            ) from None
        return own, found[0][own].tolist()
