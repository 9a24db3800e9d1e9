# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Options of a fit that have a value for each star."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.utils.exceptions import AstropyUserWarning

from astropayne.engine.outcome import Outcome
from astropayne.fitting.options import FitOptions
from astropayne.fitting.setup import FitSetup
from astropayne.models.model import PayneModel

if TYPE_CHECKING:
    from specutils import Spectrum, SpectrumList

__all__ = ["PerStar"]

_VALUES = ("fixed", "start")  # options with one value for each name
_PAIRS = ("bounds", "priors")  # options with two values for each name


@dataclass
class PerStar:
    """Fits of stars with options that have a value for each star.

    Stars with equal values are fitted together.

    Parameters
    ----------
    model : `~astropayne.PayneModel`
    options : FitOptions
        In ``fixed``, ``start``, ``bounds`` and ``priors``, values may be arrays or columns of
        tables with one value for each star.
    setup : FitSetup
        Setup with the values of the first star, for the table.
    n_stars : int
        Number of values.
    done : int
        Number of stars that were fitted.
    """

    model: PayneModel
    options: FitOptions
    setup: FitSetup
    n_stars: int
    done: int = 0

    @classmethod
    def of(cls, model: PayneModel, options: FitOptions) -> "PerStar | None":
        """Return the fits of options with a value for each star; `None` if they have none.

        Raises
        ------
        ValueError
            If the numbers of values differ, or the values of the first star are invalid.
        """
        sizes = {what: len(values) for what, values in _columns(options).items()}
        if not sizes:
            return None
        if len(set(sizes.values())) > 1:
            lengths = ", ".join(f"{what} has {n}" for what, n in sizes.items())
            raise ValueError(f"options must have one value, or one for each star: {lengths}")
        n_stars = next(iter(sizes.values()))
        if not n_stars:
            raise ValueError(f"{next(iter(sizes))} has no value")
        return cls(model, options, FitSetup.of(model, _of_star(options, 0)), n_stars)

    def fit(
        self, spectra: "Sequence[Spectrum | SpectrumList]", *, best_fits: bool = False
    ) -> list[Outcome]:
        """Fit the next stars; the outcome of one without values contains the reason."""
        groups: dict[tuple, list[int]] = {}
        outcomes: list[Any] = [None] * len(spectra)
        for i in range(len(spectra)):
            star = self.done + i
            if star < self.n_stars:
                groups.setdefault(_key(self.options, star), []).append(i)
            else:
                outcomes[i] = self.setup.problem.rejected(
                    f"the options have values for {self.n_stars} stars only"
                )
        for rows in groups.values():
            for i, outcome in zip(rows, self._fit(spectra, rows, best_fits), strict=True):
                outcomes[i] = outcome
        self.done += len(spectra)
        return outcomes

    def _fit(
        self, spectra: "Sequence[Spectrum | SpectrumList]", rows: list[int], best_fits: bool
    ) -> list[Outcome]:
        """Fit stars with equal values."""
        try:
            setup = FitSetup.of(self.model, _of_star(self.options, self.done + rows[0]))
        except (TypeError, ValueError) as error:  # such as a value that is NaN
            return [self.setup.problem.rejected(str(error))] * len(rows)
        return setup.fit([spectra[i] for i in rows], best_fits=best_fits)

    def warn_of_rest(self) -> None:
        """Warn if there were fewer stars than values.

        Warns
        -----
        astropy.utils.exceptions.AstropyUserWarning
            If values are left.
        """
        if self.done < self.n_stars:
            warnings.warn(
                f"options have values for {self.n_stars} stars, and there were {self.done}",
                AstropyUserWarning,
                stacklevel=3,
            )


def _columns(options: FitOptions) -> dict[str, Any]:
    """Return the values that are given for each star, by what they are."""
    found = {}
    for option in _VALUES:
        for name, value in getattr(options, option).items():
            if np.ndim(value) == 1:
                found[f"{option}: {name}"] = value
    for option in _PAIRS:
        for name, pair in getattr(options, option).items():
            ends = pair if np.iterable(pair) else ()  # what is no pair is refused later
            for end, value in zip(("first", "second"), ends, strict=False):
                if np.ndim(value) == 1:
                    found[f"{option}: {name} ({end})"] = value
    return found


def _of_star(options: FitOptions, star: int) -> FitOptions:
    """Return the options of one star."""

    def one(value: Any) -> Any:
        return value[star] if np.ndim(value) == 1 else value

    changes: dict[str, Any] = {
        option: {name: one(value) for name, value in getattr(options, option).items()}
        for option in _VALUES
    }
    for option in _PAIRS:
        pairs = getattr(options, option)
        changes[option] = {name: tuple(one(v) for v in pair) for name, pair in pairs.items()}
    return replace(options, **changes)


def _key(options: FitOptions, star: int) -> tuple:
    """Return the values of a star, which are equal for stars that are fitted together."""
    return tuple(str(value[star]) for value in _columns(options).values())
