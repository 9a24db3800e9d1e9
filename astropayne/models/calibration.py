# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""`Calibration`: corrections of a model's lines, learnt from well-known stars."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

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
