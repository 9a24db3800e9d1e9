# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Conversion of a model's labels to abundances in a convention and on a solar scale."""

from collections.abc import Sequence
from functools import reduce

import numpy as np

from astropayne.abundances.options import AbundanceOptions
from astropayne.labels.conversion import LabelConversion
from astropayne.labels.solar import solar_scale
from astropayne.models.model import PayneModel

__all__ = ["Conversion"]


class Conversion:
    """Conversion of arrays of a model's labels to the abundances of elements.

    Parameters
    ----------
    model : `~astropayne.PayneModel`
    elements : sequence of str
    options : AbundanceOptions
        Of which the convention and the solar scale are used.

    Attributes
    ----------
    names : tuple of str
        Names of the abundances, such as ``Mg_Fe``.
    """

    def __init__(
        self, model: PayneModel, elements: Sequence[str], options: AbundanceOptions
    ) -> None:
        self.names = tuple(options.convention.replace("X", element) for element in elements)
        labels, own = model.labels.names, solar_scale(model.solar_scale)
        if options.solar_scale is None:
            self._chain = [LabelConversion(labels, self.names, own)]
        else:  # through absolute abundances, which do not depend on the solar scale
            absolute = (*(f"A_{element}" for element in elements if element != "Fe"), "A_Fe")
            self._chain = [
                LabelConversion(labels, absolute, own),
                LabelConversion(absolute, self.names, solar_scale(options.solar_scale)),
            ]

    def __call__(self, labels: np.ndarray) -> np.ndarray:
        """Return abundances (n, n_elements) for labels (n, n_labels)."""
        return reduce(lambda values, step: step(values), self._chain, labels)

    def covariance(self, labels: np.ndarray, covariance: np.ndarray) -> np.ndarray:
        """Return covariances of abundances, (n, n_elements, n_elements), from those of labels."""
        for step in self._chain:
            covariance = step.covariance(labels, covariance)
            labels = step(labels)
        return covariance
