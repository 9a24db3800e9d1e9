# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The labels of a model: conversion to its own and from them, and coverage."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.table import QTable

from astropayne.grids.grid import SpectralGrid
from astropayne.labels.conversion import LabelConversion
from astropayne.models.attributes import ModelAttributes
from astropayne.models.labels import grid_labels, label_array, require_finite
from astropayne.utils.suggestions import suggests_options

__all__ = ["ModelLabels"]


@suggests_options
class ModelLabels(ModelAttributes):
    """Base of `~astropayne.PayneModel` with its methods for labels."""

    def label_array(self, labels: Any) -> np.ndarray:
        """Return labels, in any convention, as an array of the model's labels.

        Parameters
        ----------
        labels : `~astropy.table.Table`, `pandas.DataFrame`, mapping, or array_like
            A table, row, structured array or mapping goes by its names, in any spelling, order and
            convention that the registered transforms reach: A(Mg) or [Mg/H] do for a model of
            [Mg/Fe]. The name of a relation stands for its estimate (``{"vmic": "gaiaeso"}``);
            [α/Fe] is that of the α elements that are left out; other abundances that are left out
            are solar-scaled, to the [Fe/H] of all training spectra if that is not a label. A plain
            array has a column for each label, in the order of ``model.labels``.

        Returns
        -------
        numpy.ndarray, shape (n, n_labels)

        Raises
        ------
        ValueError
            If a label is unknown or missing, two labels are equivalent, or a transform needs
            another label or a solar scale that is not known.

        Examples
        --------
        >>> from astropayne import PayneModel
        >>> model = PayneModel.sample()
        >>> star = {"teff": 5777, "logg": 4.44, "feh": -0.5, "vmic": "bruntt2010", "[Mg/H]": -0.1}
        >>> dict(zip(model.labels.names, model.label_array(star)[0].round(3).tolist()))["Mg_Fe"]
        0.4
        """
        own = self._trained
        return label_array(own.labels, labels, own.solar_scale, own.constant_labels)

    def grid_labels(self, grid: SpectralGrid) -> np.ndarray:
        """Return the labels of a grid's spectra as an array of the model's labels.

        Parameters
        ----------
        grid : `~astropayne.SpectralGrid`
            Its labels are converted as in `label_array`; labels with one value in all its spectra
            are included.

        Returns
        -------
        numpy.ndarray, shape (n_spectra, n_labels)

        Raises
        ------
        ValueError
            If labels are missing or not finite, or abundances are relative to another solar scale.

        Examples
        --------
        >>> from astropayne import PayneModel, SpectralGrid
        >>> PayneModel.sample().grid_labels(SpectralGrid.sample()[:2]).shape
        (2, 12)
        """
        own = self._trained
        return grid_labels(own.labels, grid, own.solar_scale, own.constant_labels)

    def conversion(self, wanted: Sequence[str]) -> LabelConversion:
        """Return the conversion from the model's labels to others, for values and covariances.

        Parameters
        ----------
        wanted : sequence of str
            Labels, in any spelling, that the registered transforms reach.

        Returns
        -------
        `~astropayne.labels.conversion.LabelConversion`

        Raises
        ------
        ValueError
            If no transforms lead to a label.

        Examples
        --------
        >>> from astropayne import PayneModel
        >>> model = PayneModel.sample()
        >>> conversion = model.conversion(["[Li/H]", "A(Mg)"])
        >>> prediction = model(teff=5777, logg=4.44, feh=0, vmic=1, A_Li=2.05)
        >>> found = conversion.table(prediction.meta["labels"])
        >>> float(found["Li_H"][0].round(6)), float(found["A_Mg"][0].round(6))
        (1.0, 7.55)
        """
        return LabelConversion(self._trained.labels.names, wanted, self.solar_scale)

    def coverage(self, labels: Any) -> QTable:
        """Return how well labels are covered by the training spectra.

        Parameters
        ----------
        labels : `~astropy.table.Table`, `pandas.DataFrame`, mapping, or array_like
            As for `label_array`.

        Returns
        -------
        `~astropy.table.QTable`
            A row for each spectrum: ``inside``, whether all labels lie in the training spectra's
            ranges; ``distance``, as `distance_to_training` returns it.

        Raises
        ------
        ValueError
            If labels are missing or unknown, or the model does not know its training spectra.

        Examples
        --------
        >>> from astropayne import PayneModel
        >>> model = PayneModel.sample()
        >>> model.coverage({"teff": [5777, 9000], "logg": 4.4, "feh": 0, "vmic": 1})["inside"]
        <Column name='inside' dtype='bool' length=2>
         True
        False
        """
        values = require_finite(self.label_array(labels), self.labels.names)
        distance = self.distance_to_training(values)
        return QTable({"inside": ~self.labels.outside(values).any(axis=1), "distance": distance})

    def distance_to_training(self, values: npt.ArrayLike) -> np.ndarray:
        """Return the distance to the nearest training spectrum, of the labels that are not NaN.

        It is measured in the plane of the two labels where it is largest, in scaled labels,
        relative to the typical one between neighbors there. In random grids it is 2 to 5; beyond 8
        there is a hole in the grid.

        Parameters
        ----------
        values : array_like, shape (n, n_labels)
            In the model's own labels and units.

        Returns
        -------
        numpy.ndarray, shape (n,)
        """
        return self._trained.coverage.distance(self.labels.scale(values))
