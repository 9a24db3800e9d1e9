# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Coverage of labels by the training spectra."""

import itertools

import numpy as np
from scipy.spatial import cKDTree

from astropayne.models.emulator_error import spread_rows

__all__ = ["TrainingCoverage"]

_MOST_NEIGHBORS = 5_000  # training spectra that labels are compared with


class TrainingCoverage:
    """Distances from labels to the nearest training spectrum.

    With many labels all spectra are far from each other, and a hole in the plane of two of them,
    such as that of hot giants, hardly shows in a distance by all. So distances are measured in the
    plane of every two labels, and the largest counts.

    Parameters
    ----------
    x : numpy.ndarray, shape (n_spectra, n_labels)
        Scaled labels of the training spectra.

    Examples
    --------
    >>> import numpy as np
    >>> from astropayne.models.coverage import TrainingCoverage
    >>> grid = np.stack(np.meshgrid([-0.5, 0.0, 0.5], [-0.5, 0.0, 0.5]), axis=-1).reshape(-1, 2)
    >>> TrainingCoverage(grid).distance(np.array([[0.0, 0.0], [0.5, 1.5]])).tolist()
    [0.0, 2.0]
    """

    def __init__(self, x: np.ndarray) -> None:
        points = spread_rows(x, _MOST_NEIGHBORS)
        n_labels = x.shape[1]
        self._planes = []
        for plane in itertools.combinations(range(n_labels), min(2, n_labels)):
            nodes = np.unique(points[:, plane], axis=0)  # grids have many spectra in one place
            tree = cKDTree(nodes)
            self._planes.append((plane, tree, np.median(tree.query(nodes, k=2)[0][:, 1])))

    def distance(self, x: np.ndarray) -> np.ndarray:
        """Return the largest distance over all planes of two labels that are not NaN.

        Parameters
        ----------
        x : numpy.ndarray, shape (n, n_labels)
            Scaled labels.

        Returns
        -------
        numpy.ndarray, shape (n,)
            Relative to the median distance between neighboring training spectra in that plane.
        """
        finite, x = np.isfinite(x), np.nan_to_num(x)
        distances = [
            tree.query(x[:, plane])[0] / spacing * finite[:, plane].all(axis=1)
            for plane, tree, spacing in self._planes
        ]
        return np.max(distances, axis=0)
