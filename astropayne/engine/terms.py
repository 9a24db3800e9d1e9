# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Terms of the likelihood that each star needs in its own size: continuum and inadequacy.

Both are found by the fit itself. The degree of the continuum is the one with the highest evidence;
the amplitude of the inadequacy is that of maximum likelihood.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from astropayne.engine.continuum import HELD, NORMALIZED, SPREAD, continuum_evidence
from astropayne.engine.inadequacy import Inadequacy, estimate_inadequacy

__all__ = [
    "HIGHEST",
    "Terms",
    "chosen_degrees",
    "first_terms",
    "joined_terms",
    "revised_terms",
    "terms_differ",
]

#: Highest degree of a continuum that is chosen by the evidence.
HIGHEST = 6
_FIRST_AMPLITUDE, _FIRST_FLOOR = 0.05, 0.005  # about what real stars of types F, G and K show
_SAME = 0.1, 2e-3  # changes of amplitudes, relative and absolute, that do not matter


@dataclass(frozen=True)
class Terms:
    """Terms of a batch of stars.

    Attributes
    ----------
    highest : int or None
        Degree of the polynomials in the design matrix; `None` if the continuum is exactly one.
    degree : numpy.ndarray of int, shape (n,)
        Degree that each star uses, at most ``highest``; `NORMALIZED` for a continuum of one.
    one : numpy.ndarray, shape (n,)
        Continuum of a normalized spectrum in the units of each star's flux.
    inadequacy : Inadequacy
    """

    highest: int | None
    degree: np.ndarray
    one: np.ndarray
    inadequacy: Inadequacy

    def __getitem__(self, rows: slice | np.ndarray) -> "Terms":
        """Return the terms of some of the stars."""
        inadequacy = Inadequacy(*(part[rows] for part in vars(self.inadequacy).values()))
        return Terms(self.highest, self.degree[rows], self.one[rows], inadequacy)

    def continuum_prior(self) -> tuple[np.ndarray, np.ndarray]:
        """Return inverse variances and means of the coefficients: (n, highest + 1) each."""
        order = np.arange((self.highest or 0) + 1)
        precision = np.where(order > self.degree[:, None], HELD, SPREAD**-2 * (order > 0))
        mean = np.where(order == 0, self.one[:, None], 0.0) * (self.degree == NORMALIZED)[:, None]
        return precision, mean

    def compact(self) -> "Terms":
        """Return the same with a design matrix of no more columns than are used."""
        if self.highest is None:
            return self
        return replace(self, highest=max(0, int(self.degree.max())))


def first_terms(
    n: int,
    continuum: int | str | None,
    one: npt.ArrayLike,
    element: npt.ArrayLike,
    inadequacy: float | str,
) -> Terms:
    """Return the terms that the fits of ``n`` stars begin with.

    Parameters
    ----------
    n : int
    continuum : int, None or "auto"
        Degree of the polynomials.
    one : array_like, shape (n,)
    element : array_like, shape (n,)
        Widths of resolution elements in ln λ.
    inadequacy : float or "auto"
        Amplitude.

    Returns
    -------
    Terms
    """
    highest = HIGHEST if isinstance(continuum, str) else continuum
    degree = np.full(n, NORMALIZED if highest is None else highest)
    amplitude = np.full(n, _FIRST_AMPLITUDE if inadequacy == "auto" else inadequacy)
    floor = np.full(n, _FIRST_FLOOR if inadequacy == "auto" else 0.0)
    errors = Inadequacy(amplitude, floor, np.asarray(element, dtype=float), np.ones(n))
    return Terms(highest, degree, np.asarray(one, dtype=float), errors)


def joined_terms(several: Iterable[Terms | None]) -> Terms | None:
    """Return the terms of several stars, each of one, as those of a batch; `None` without any."""
    every = list(several)
    batch = [terms for terms in every if terms is not None]
    if len(batch) < len(every):
        return None
    highest = [terms.highest for terms in batch if terms.highest is not None]
    inadequacy = Inadequacy(
        *(
            np.concatenate([getattr(terms.inadequacy, name) for terms in batch])
            for name in ("amplitude", "floor", "element", "noise")
        )
    )
    return Terms(
        max(highest) if len(highest) == len(batch) else None,
        np.concatenate([terms.degree for terms in batch]),
        np.concatenate([terms.one for terms in batch]),
        inadequacy,
    )


def revised_terms(
    terms: Terms, likelihood: Any, theta: np.ndarray, noise_known: Sequence[bool]
) -> Terms:
    """Return the terms with the amplitudes of maximum likelihood at the fit's parameters.

    Parameters
    ----------
    terms : Terms
        With which the fit was made.
    likelihood : `~astropayne.engine.likelihood.Likelihood`
    theta : numpy.ndarray, shape (n, n_names)
    noise_known : sequence of bool

    Returns
    -------
    Terms
    """
    flux, level = likelihood.at(theta)
    wavelength = np.concatenate([pixels.wavelength for pixels in likelihood.pixels], axis=1)
    observed, used = likelihood.flux.cpu().numpy(), likelihood.weight.cpu().numpy() > 0
    found, n_continuum = [], likelihood.n_continuum()
    for i, good in enumerate(used):
        one = np.abs(level[i, good])
        residual = (observed[i, good] - flux[i, good] * level[i, good]) / one
        sigma, depth = likelihood.photon[i, good] / one, 1 - flux[i, good]
        n_parameters = len(likelihood.parameters.free) + int(n_continuum[i])
        element = terms.inadequacy.element[i]
        found.append(
            estimate_inadequacy(
                wavelength[i, good], residual, sigma, depth, element, n_parameters, noise_known[i]
            )
        )
    amplitude, floor, noise = np.transpose(found)
    return replace(
        terms, inadequacy=replace(terms.inadequacy, amplitude=amplitude, floor=floor, noise=noise)
    )


def chosen_degrees(terms: Terms, likelihood: Any, theta: np.ndarray) -> Terms:
    """Return the terms with the degrees of the continuum that have the highest evidence.

    ``likelihood`` is that of ``terms``, in which all stars have the highest degree.
    """
    rows = torch.arange(len(theta))
    free = torch.as_tensor(theta[:, likelihood.parameters.index])
    degree = []
    for some in rows.split(likelihood.at_once):
        products, k, _, coefficients = likelihood.products(free[some], some)
        for i, row in enumerate(some.tolist()):
            evidence = continuum_evidence(
                products[i].numpy(), k, coefficients[i].numpy(), terms.highest or 0, terms.one[row]
            )
            degree.append(NORMALIZED + int(evidence.argmax()))
    return replace(terms, degree=np.array(degree))


def terms_differ(terms: Terms, others: Terms) -> np.ndarray:
    """Return which stars must be fitted again because their amplitudes differ: (n,)."""
    relative, absolute = _SAME
    one, other = terms.inadequacy, others.inadequacy
    change = np.abs(one.amplitude - other.amplitude)
    far = change > absolute + relative * np.maximum(one.amplitude, other.amplitude)
    return far | (np.abs(np.log(one.noise / other.noise)) > relative)
