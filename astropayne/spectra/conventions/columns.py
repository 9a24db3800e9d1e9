# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Identification of columns of wavelength, flux, uncertainty and mask by their names."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from astropayne.spectra.conventions.headers import exact_names, plain_name, role_patterns
from astropayne.spectra.conventions.masks import mask_candidates
from astropayne.utils.suggestions import require_choice

__all__ = [
    "NOISE_POWERS",
    "ROLES",
    "choose_roles",
    "flux_candidates",
    "matching_noise",
    "medium_of_names",
]

#: Powers that turn what a column of each role holds into a standard deviation.
NOISE_POWERS = {"uncertainty": 1, "variance": 0.5, "inverse_variance": -0.5}
#: Roles of columns; a column ``good`` is a mask in which good pixels are not zero.
ROLES = (
    "wavelength", "log_wavelength", "flux", *NOISE_POWERS, "relative_uncertainty",
    "signal_to_noise", "mask", "good", "resolution",
)  # fmt: skip
_MEDIUM_IN_NAME = re.compile(
    r"(?:^|[_ (\[]|^w(?:ave?|l|avelengths?)?|^lam(?:bda)?)(?:in_)?(air|vac)(?!mass)|^(a)wav$"
)
_FLUX = re.compile(r"flux|intensity")
# What is removed from a name to find the quantity that an uncertainty belongs to.
_FLUX_WORDS = re.compile(
    r"flux(es)?|intensity|values?|spec(trum|tra)?(?![a-z])|counts(?![a-z])|data(?![a-z])"
)
_NOISE_WORDS = re.compile(
    r"inv(erse)?_?var(iance)?|ivar|var(iance)?|uncert(ainty|ainties)?|unc(?![a-z])|err(or)?s?"
    r"|sigma|sig(?![a-z])|std_?dev|stdev|std|noise|^e_|^e(?=flux|spec|f$)|^e$|^d_?(?=flux|f$)"
)
_RELATIVE = ("relative_uncertainty", "signal_to_noise")
_NORMALIZED = re.compile(r"normali[sz]ed|normed|norm")


def _stem(name: str) -> str:
    """Return a name without its words for flux and uncertainty."""
    text = _NORMALIZED.sub("norm", plain_name(name))
    return re.sub(r"[\W_]+", "", _FLUX_WORDS.sub("", _NOISE_WORDS.sub("", text)))


def _is_noise(plain: str) -> bool:
    return any(role_patterns(role).search(plain) for role in NOISE_POWERS)


def _first_exact(names: Mapping[str, str], role: str) -> str | None:
    """Return the column of a role that comes first in the order of preference."""
    return next((names[plain] for plain in exact_names(role) if plain in names), None)


def flux_candidates(columns: Sequence[str]) -> list[str]:
    """Return the columns that may be the flux: the preferred one, or all that suggest it.

    A normalized flux is preferred if it has an uncertainty of its own.
    Models, sky and background are no candidates, nor are uncertainties and masks.
    """
    names = {plain_name(name): name for name in reversed(columns)}
    if (exact := _first_exact(names, "flux")) is not None:
        return [_normalized(names, columns) or exact]
    other = ("not_flux", "mask_like")
    return [
        name
        for plain, name in reversed(names.items())
        if _FLUX.search(plain)
        and not _is_noise(plain)
        and not any(role_patterns(role).search(plain) for role in other)
    ]


def _normalized(names: Mapping[str, str], columns: Sequence[str]) -> str | None:
    """Return a normalized flux that has an uncertainty of its own, which fits need."""
    stems = {_stem(name) for name in columns if _noise_role(name)}
    for plain in exact_names("flux"):
        if plain in names and "norm" in plain and _stem(plain) in stems:
            return names[plain]
    return None


def _wavelength(names: Mapping[str, str]) -> tuple[str, str] | None:
    """Return the role and the name of the wavelength, or of another axis that can be converted."""
    for role in ("wavelength", "log_wavelength"):
        for plain, name in reversed(names.items()):
            if plain in exact_names(role):
                return role, name
        found = {
            plain: name
            for plain, name in reversed(names.items())
            if role_patterns(role).search(plain)
            and not _is_noise(plain)
            and not _is_excluded(plain, role)
        }
        kinds = {_without_medium(plain) for plain in found}
        if len(kinds) > 1:
            raise ValueError(
                f"columns {', '.join(found.values())} may each be the wavelength: name one of "
                f"them, columns={{{role!r}: {next(iter(found.values()))!r}}}"
            )
        if found:
            return role, next(iter(found.values()))
    axes = [name for plain, name in names.items() if role_patterns("spectral_axis").search(plain)]
    return ("wavelength", axes[0]) if len(axes) == 1 else None


def _is_excluded(plain: str, role: str) -> bool:
    axis = role == "wavelength" and role_patterns("not_wavelength").search(plain)
    unlike = ("mask_like", "not_flux")
    return bool(axis or any(role_patterns(kind).search(plain) for kind in unlike))


def _without_medium(plain: str) -> str:
    return re.sub(r"[_ ]?(in_)?(air|vac(uum)?)[_ ]?", "", plain)


def matching_noise(columns: Iterable[str], flux: str) -> dict[str, str]:
    """Return the columns of uncertainty that belong to a flux, by role.

    Parameters
    ----------
    columns : iterable of str
        Names of all columns.
    flux : str
        Name of the flux.

    Returns
    -------
    dict of str to str
        From roles of `NOISE_POWERS` to names.

    Raises
    ------
    ValueError
        If several columns of one role may belong to the flux.

    Examples
    --------
    >>> from astropayne.spectra.conventions.columns import matching_noise
    >>> matching_noise(["WAVE", "FLUX_NORM", "FLUX", "ERR", "ERR_NORM"], "FLUX")
    {'uncertainty': 'ERR'}
    """
    columns = list(columns)
    roles = {name: role for name in columns if name != flux and (role := _noise_role(name))}
    others = {_stem(name) for name in columns if name not in roles and name != flux}
    own = _stem(flux)
    listed = {n for n, role in roles.items() if plain_name(n) in exact_names(role)}
    stems = {name: own if name in listed else _stem(name) for name in roles}
    free = {n: s for n, s in stems.items() if s == own or not (s and _belongs(s, others))}
    best = [n for n, s in free.items() if s == own]
    if not best:
        has_plain_flux = any(
            _FLUX.search(plain_name(n)) and not _stem(n) for n in columns if n not in roles
        )
        best = [n for n, s in free.items() if s or not has_plain_flux]
    found: dict[str, list[str]] = {}
    for name in best:
        found.setdefault(roles[name], []).append(name)
    for role, names in found.items():
        if len(names) > 1:
            raise ValueError(
                f"columns {', '.join(names)} may each be the {role.replace('_', ' ')} of "
                f"{flux!r}: name one of them, columns={{{role!r}: {names[0]!r}}}"
            )
    return {role: found[role][0] for role in NOISE_POWERS if role in found}


def _belongs(stem: str, others: set[str]) -> bool:
    """Return whether a stem is that of another column, or a part of it."""
    return any(stem == o or (len(o) > 2 and (stem in o or o in stem)) for o in others if o)


def _noise_role(name: str) -> str | None:
    """Return the role of a column of uncertainty; `None` for other columns."""
    plain = plain_name(name)
    if any(plain in exact_names(role) for role in ("guessed_noise", *_RELATIVE)):
        return None
    if _is_width(plain):
        return None
    if role_patterns("mask_like").search(plain):
        return None
    for role in ("inverse_variance", "variance", "uncertainty"):
        if plain in exact_names(role) or role_patterns(role).search(plain):
            return role
    return None


def _is_width(plain: str) -> bool:
    return any(plain in exact_names(role) for role in ("dispersion", "dispersion_loglam", "fwhm"))


def choose_roles(columns: Sequence[str], chosen: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return which column has which role, by the names of the columns.

    Parameters
    ----------
    columns : sequence of str
        Names of the columns.
    chosen : mapping of str to str, optional
        Roles that the caller assigned, such as ``{"flux": "FLUX_NORM"}``; see `ROLES`.

    Returns
    -------
    dict of str to str
        From roles to names; without ``wavelength`` or ``flux`` if no name suggests it.

    Raises
    ------
    ValueError
        If several columns may be the flux, or a role or column does not exist.

    Examples
    --------
    >>> from astropayne.spectra.conventions.columns import choose_roles
    >>> choose_roles(["WAVE", "FLUX", "SKY", "IVAR"])
    {'wavelength': 'WAVE', 'flux': 'FLUX', 'inverse_variance': 'IVAR'}
    """
    return dict(_choose_roles(tuple(columns), tuple((chosen or {}).items())))


def _relative_noise(names: Mapping[str, str]) -> dict[str, str]:
    """Return a column of noise in units of the flux, by its role; at most one."""
    found = {role: name for role in _RELATIVE if (name := _first_exact(names, role))}
    return dict(list(found.items())[:1])


@lru_cache(maxsize=64)
def _choose_roles(columns: tuple[str, ...], pairs: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """Return the roles of columns; files of one survey share their names."""
    chosen = dict(pairs)
    for role, name in pairs:
        require_choice(role, ROLES, "role of a column")
        require_choice(name, columns, "column")
    names = {plain_name(name): name for name in reversed(columns)}
    roles = {}
    if not chosen.keys() & {"wavelength", "log_wavelength"} and (axis := _wavelength(names)):
        roles[axis[0]] = axis[1]
    if "flux" in chosen:
        roles["flux"] = chosen["flux"]
    elif len(candidates := flux_candidates(columns)) > 1:
        raise ValueError(
            f"columns {', '.join(candidates)} may each be the flux: name one of them, "
            f"columns={{'flux': {candidates[0]!r}}}"
        )
    elif candidates:
        roles["flux"] = candidates[0]
    if "flux" in roles and not chosen.keys() & {*NOISE_POWERS, *_RELATIVE}:
        roles |= matching_noise(columns, roles["flux"]) or _relative_noise(names)
    if not chosen.keys() & {"mask", "good"}:
        roles |= mask_candidates(columns)[0]
    for role in ("resolution", "dispersion", "dispersion_loglam", "fwhm", "correlation"):
        if (name := _first_exact(names, role)) is not None:
            roles[role] = name
    if (name := _first_exact(names, "guessed_noise")) is not None:
        roles["guessed_noise"] = name
    return {**roles, **chosen}


def medium_of_names(wavelength: str, columns: Iterable[str]) -> str | None:
    """Return the medium that the name of the wavelength states, or that of another one.

    Parameters
    ----------
    wavelength : str
        Name of the column that is used.
    columns : iterable of str
        Names of all columns: next to ``wavelength_air``, ``wavelength`` is in vacuum.

    Returns
    -------
    {"air", "vacuum"} or None

    Examples
    --------
    >>> from astropayne.spectra.conventions.columns import medium_of_names
    >>> medium_of_names("wave_air", []), medium_of_names("wave", ["wave", "wave_air"])
    ('air', 'vacuum')
    """
    if medium := _medium_in(wavelength):
        return medium
    related = [n for n in columns if n.lower().startswith(f"{wavelength.lower()}_")]
    others = {medium for name in related if (medium := _medium_in(name))}
    return {frozenset({"air"}): "vacuum", frozenset({"vacuum"}): "air"}.get(frozenset(others))


def _medium_in(name: str) -> str | None:
    match = _MEDIUM_IN_NAME.search(name.lower())
    return match and ("vacuum" if match[1] == "vac" else "air")
