# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Choosing spectra of a grid: at random, or by their labels."""

import numpy as np
import numpy.typing as npt

__all__ = ["rows_of_split", "rows_of_subsample", "rows_where"]


def rows_of_split(n: int, train_fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Divide rows at random.

    Parameters
    ----------
    n : int
        Number of rows.
    train_fraction : float
        Fraction of the rows in the first part, between 0 and 1.
    seed : int
        Seed of the random numbers.

    Returns
    -------
    first, second : numpy.ndarray of int
        Rows of each part, in increasing order.

    Raises
    ------
    ValueError
        If the fraction is not a finite number, or a part would be empty.
    """
    is_number = isinstance(train_fraction, int | float | np.number)
    if not (is_number and np.isfinite(train_fraction)):
        raise ValueError(
            f"train_fraction={train_fraction!r} is not the fraction of the spectra in the first "
            "grid: it must be a number between 0 and 1"
        )
    n_train = round(train_fraction * n)
    if not 0 < n_train < n:
        raise ValueError(
            f"train_fraction={train_fraction} of {n} spectra leaves {n_train} and {n - n_train}; "
            "neither part may be empty"
        )
    order = np.random.default_rng(seed).permutation(n)
    return np.sort(order[:n_train]), np.sort(order[n_train:])


def rows_where(n: int, where: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Divide rows by a condition.

    Parameters
    ----------
    n : int
        Number of rows.
    where : array_like of bool, shape (n,)
        Whether a row belongs to the first part.

    Returns
    -------
    first, second : numpy.ndarray of int

    Raises
    ------
    ValueError
        If the shape or type differs, or a part would be empty.
    """
    chosen = np.asarray(where)
    if chosen.dtype != bool or chosen.shape != (n,):
        raise ValueError(
            f"where= has shape {chosen.shape} and type {chosen.dtype}: it must be true or false "
            f"for each of the {n} spectra"
        )
    if chosen.all() or not chosen.any():
        raise ValueError(f"where= is {chosen[0]} for all spectra: neither part may be empty")
    return np.flatnonzero(chosen), np.flatnonzero(~chosen)


def rows_of_subsample(n: int, n_chosen: int, seed: int) -> np.ndarray:
    """Choose rows at random.

    Parameters
    ----------
    n, n_chosen : int
        Number of rows, and how many of them to choose.
    seed : int
        Seed of the random numbers.

    Returns
    -------
    numpy.ndarray of int
        In increasing order.

    Raises
    ------
    ValueError
        If ``n_chosen`` is not a whole number from 1 to ``n``.
    """
    if not (isinstance(n_chosen, int | np.integer) and 0 < n_chosen <= n):
        raise ValueError(
            f"n={n_chosen!r} spectra cannot be chosen: n must be a whole number from 1 to {n}"
        )
    return np.sort(np.random.default_rng(seed).permutation(n)[:n_chosen])
