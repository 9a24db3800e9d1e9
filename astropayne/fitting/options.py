# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""`FitOptions`: the options of a fit, checked once and passed on as one value."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import Any, TypeVar

import astropy.units as u
import numpy as np

from astropayne.forward.transfer import Broadening
from astropayne.utils.quantities import one_value, strip_unit
from astropayne.utils.suggestions import suggests_options, unknown_option_message
from astropayne.wavelengths.media import require_medium
from astropayne.wavelengths.regions import checked_region

__all__ = ["FitOptions", "takes_fit_options"]

_HIGHEST_DEGREE = 50  # higher ones follow lines, and take memory by their square
_AUTOMATIC = "auto"
_LOSSES = ("linear", "huber")
_NAMES = ("free", "report")  # options that are sequences of names
_BY_NAME = ("fixed", "start", "tied", "bounds", "priors")  # options that are mappings
_REGIONS = ("regions", "exclude", "exclude_at_rest")

_Function = TypeVar("_Function", bound=Callable[..., Any])


@suggests_options
@dataclass(frozen=True, eq=False, kw_only=True)
class FitOptions:
    """The options of a fit.

    Each field is the keyword of `~astropayne.fit_spectrum` with the same name. Functions that fit
    spectra also accept an instance as ``options``. Instances are immutable; `dataclasses.replace`
    returns one with other values.

    Raises
    ------
    TypeError
        If an option has the wrong kind of value.
    ValueError
        If an option has a value that no fit can use.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from astropayne.fitting import FitOptions
    >>> options = FitOptions(resolution=18000, continuum=2, fixed={"vmic": 1.0})
    >>> replace(options, continuum=3).continuum
    3
    >>> FitOptions(loss="cauchy")
    Traceback (most recent call last):
    ...
    ValueError: loss='cauchy' is not one of linear, huber
    """

    resolution: Any = None
    resolution_error: Any = 0.05
    fixed: Mapping[str, Any] | None = None
    free: Sequence[str] | str = ()
    start: Mapping[str, Any] | None = None
    tied: Mapping[str, Callable] | None = None
    bounds: Mapping[str, tuple] | None = None
    priors: Mapping[str, tuple] | None = None
    continuum: Any = "auto"
    inadequacy: Any = "auto"
    regions: Any = None
    exclude: Any = None
    exclude_at_rest: Any = "auto"
    medium: str | None = None
    noise_floor: Any = 0.0
    loss: str = "linear"
    report: Sequence[str] | str = ()
    systematic: Mapping[str, Any] | None = None
    limb_darkening: float = 0.6
    macroturbulence: str = "joint"
    device: Any = "cpu"

    def __post_init__(self) -> None:
        for name in _NAMES:
            value = getattr(self, name)
            self._set(name, (value,) if isinstance(value, str) else tuple(value))
        for name in _BY_NAME:
            value = getattr(self, name)
            self._set(name, _read_only({} if value is None else value, name))
        for name, function in (self.tied or {}).items():
            _require_function(function, name)
        if self.systematic is not None:
            self._set("systematic", _read_only(self.systematic, "systematic"))
        for name in _REGIONS:
            if not (getattr(self, name) is None or _is_automatic(getattr(self, name))):
                checked_region(getattr(self, name), name)
        if self.medium:
            require_medium(self.medium)
        _check_continuum(self.continuum)
        self._set("inadequacy", _amplitude(self.inadequacy))
        self._set("noise_floor", _fraction(self.noise_floor, "noise_floor", "the flux"))
        error = _fraction(self.resolution_error, "resolution_error", "the resolution")
        self._set("resolution_error", error)
        if self.loss not in _LOSSES:
            raise ValueError(f"loss={self.loss!r} is not one of {', '.join(_LOSSES)}")
        self._set("limb_darkening", self.broadening.limb_darkening)

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)  # the only way in a frozen dataclass

    @property
    def broadening(self) -> Broadening:
        """Limb darkening and definition of the macroturbulence."""
        return Broadening(self.limb_darkening, self.macroturbulence)

    @property
    def degree(self) -> int | str | None:
        """Degree of the continuum polynomials: "auto" if the fit selects it, `None` without any."""
        if _is_automatic(self.continuum):
            return _AUTOMATIC
        return int(self.continuum) if _is_degree(self.continuum) else None

    def region_left_out(self, model: Any) -> Any:
        """Return the region in the frame of the star that is excluded; `None` if there is none.

        Parameters
        ----------
        model : `~astropayne.PayneModel`
        """
        excluded = self.exclude_at_rest
        return model.untrusted if _is_automatic(excluded) else excluded

    @classmethod
    def from_call(
        cls,
        function: Callable,
        options: "FitOptions | None",
        keywords: Mapping[str, Any],
        also: Iterable[str] = (),
    ) -> "FitOptions":
        """Return the options of a call of a public function.

        Parameters
        ----------
        function : callable
            The public function, which errors name.
        options : FitOptions or None
            The argument ``options`` of the call.
        keywords : mapping of str to value
            Other keywords of the call, which take precedence.
        also : iterable of str
            Further keywords that the function accepts.

        Raises
        ------
        TypeError
            If the function has no such option; the error names the nearest one.
        """
        if options is not None and not isinstance(options, FitOptions):
            raise TypeError(
                f"{function.__name__}(): options must be FitOptions, got {options!r}. A "
                "dictionary is given as keywords: **options"
            )
        names = [field.name for field in fields(cls)]
        if unknown := [name for name in keywords if name not in names]:
            parameters = inspect.signature(function).parameters.values()
            own = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
            accepted = dict.fromkeys([*own, *also, *names])
            raise TypeError(unknown_option_message(function.__name__, unknown[0], accepted))
        return replace(options or cls(), **keywords)

    def __reduce__(self) -> tuple:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return _unpickled, ({n: dict(v) if _is_proxy(v) else v for n, v in values.items()},)


def takes_fit_options(function: _Function) -> _Function:
    """Add the fields of `FitOptions` to the signature of a function that takes them as keywords.

    The parameters of the function end with ``options=None, **keywords``. ``help`` and
    completion then list every option.
    """
    signature = inspect.signature(function)
    kinds = inspect.Parameter
    own = [p for p in signature.parameters.values() if p.kind is not kinds.VAR_KEYWORD]
    names = {p.name for p in own}
    more = [
        kinds(field.name, kinds.KEYWORD_ONLY, default=field.default, annotation=field.type)
        for field in fields(FitOptions)
        if field.name not in names
    ]
    described: Any = function
    described.__signature__ = signature.replace(parameters=[*own, *more])
    return function


def _unpickled(values: dict[str, Any]) -> FitOptions:
    return FitOptions(**values)


def _is_proxy(value: Any) -> bool:
    return isinstance(value, MappingProxyType)


def _read_only(value: Any, what: str) -> MappingProxyType:
    if not isinstance(value, Mapping):
        raise TypeError(f"{what} has to be a mapping of names to values, got {value!r}")
    return MappingProxyType(dict(value))


def _require_function(value: Any, name: str) -> None:
    if not callable(value):
        raise TypeError(
            f"tied: {name} has to be a function of a mapping of names to arrays, such as "
            f'lambda star: star["Mg_Fe"]; got {value!r}'
        )


def _is_automatic(value: Any) -> bool:
    return isinstance(value, str) and value == _AUTOMATIC


def _amplitude(value: Any) -> float | str:
    """Return the amplitude of the model's inadequacy, or "auto"."""
    if _is_automatic(value):
        return _AUTOMATIC
    if value is None:
        return 0.0
    amplitude = one_value(strip_unit(value, "inadequacy", u.dimensionless_unscaled), "inadequacy")
    if not 0 <= amplitude <= 1:
        raise ValueError(
            f"inadequacy={value!r} must be 'auto', None, or a part of the depth of lines (0 to 1)"
        )
    return amplitude


def _is_degree(continuum: Any) -> bool:
    """Whether a continuum is given as the degree of a polynomial."""
    itself = isinstance(continuum, list | tuple) or callable(continuum) or np.ndim(continuum)
    return continuum is not None and not itself


def _check_continuum(continuum: Any) -> None:
    if _is_automatic(continuum) or not _is_degree(continuum):
        return
    if isinstance(continuum, bool | str) or continuum != int(continuum) or continuum < 0:
        raise ValueError(
            f"continuum={continuum!r} must be 'auto', a degree (0, 1, 2…), a value a pixel, a "
            "function that returns one for a spectrum, or None"
        )
    if continuum > _HIGHEST_DEGREE:
        raise ValueError(
            f"continuum={continuum!r} is the degree of a polynomial in each window, and lines "
            f"leave {_HIGHEST_DEGREE} at most to be told from them: a few are enough for most "
            "spectra. For another shape give the continuum itself, a value a pixel"
        )


def _fraction(value: Any, name: str, whole: str) -> float:
    fraction = one_value(strip_unit(value, name, u.dimensionless_unscaled), name)
    if not 0 <= fraction < np.inf:
        raise ValueError(f"{name}={value!r} has to be zero or positive")
    if fraction > 1:
        raise ValueError(f"{name}={value!r} is a part of {whole}: 2 % are 0.02")
    return fraction
