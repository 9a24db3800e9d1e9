# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""`Calibration`: corrections of a model's lines, learnt from well-known stars."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import astropy.units as u
import numpy as np
import torch
from astropy.table import QTable, Table

from astropayne.networks.network import SpectralNetwork

__all__ = ["Calibration"]


@dataclass(frozen=True, eq=False)
class Calibration:
    """Corrections of a model's spectra, learnt from real stars.

    A corrected spectrum is ``flux - strength * (1 - flux) - missing``: lines are deeper by a part
    of their depth, and lines that the model lacks are added. That is linear in the flux, so that a
    corrected network is a network again.

    Attributes
    ----------
    strength : numpy.ndarray, shape (n_pixels,)
        Relative change of the depth of lines.
    missing : numpy.ndarray, shape (n_pixels,)
        Depth of lines that the model lacks.
    covariance : numpy.ndarray, shape (n_labels, n_labels)
        Errors of the labels of stars that had no part in the calibration, scaled labels.
    stars : tuple of mapping
        Name, labels and resolution of the stars.
    """

    strength: np.ndarray
    missing: np.ndarray
    covariance: np.ndarray
    stars: tuple[Mapping, ...] = ()

    def __post_init__(self) -> None:
        for name in ("strength", "missing", "covariance"):
            values = np.array(getattr(self, name), dtype=float)
            values.flags.writeable = False
            object.__setattr__(self, name, values)

    @classmethod
    def from_table(cls, table: Table) -> Self:
        """Return the calibration that `to_table` wrote into a table."""
        return cls(
            np.asarray(table["strength"]),
            np.asarray(table["missing"]),
            np.array(table.meta["covariance"]),
            tuple(table.meta["stars"]),
        )

    def to_table(self, wavelength: u.Quantity) -> QTable:
        """Return the calibration as a table with a row for each pixel."""
        stars = [{**star, "labels": dict(star["labels"])} for star in self.stars]
        columns = {"wavelength": wavelength, "strength": self.strength, "missing": self.missing}
        meta = {"covariance": self.covariance.tolist(), "stars": stars}
        return QTable(columns, meta=meta)

    def require_sizes(self, n_labels: int, n_pixels: int) -> None:
        """Raise a `ValueError` if the numbers of labels or pixels differ from the calibration."""
        expected = {
            "strength": (n_pixels,), "missing": (n_pixels,), "covariance": (n_labels, n_labels)
        }  # fmt: skip
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise ValueError(
                    f"{name} of the calibration has shape {getattr(self, name).shape}, but the "
                    f"model needs {shape}"
                )

    def applied_to(self, network: SpectralNetwork) -> SpectralNetwork:
        """Return the network of corrected spectra.

        Parameters
        ----------
        network : `~astropayne.networks.network.SpectralNetwork`
            With a linear output.

        Raises
        ------
        ValueError
            If the output of the network is not linear.
        """
        if network.output != "linear":
            raise ValueError(
                f"a network with output={network.output!r} cannot be calibrated: train one with "
                "output='linear'"
            )
        weights = {name: value.clone() for name, value in network.state_dict().items()}
        factor = torch.as_tensor(1 + self.strength, dtype=torch.float32)
        offset = torch.as_tensor(self.strength + self.missing, dtype=torch.float32)
        weights["pixels.weight"] = weights["pixels.weight"] * factor[:, None]
        weights["pixels.bias"] = weights["pixels.bias"] * factor - offset
        return SpectralNetwork.with_weights(weights, **network.architecture).eval()
