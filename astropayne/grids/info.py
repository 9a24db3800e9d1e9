# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""`GridInfo`: the metadata of a grid that the code reads, and how users see it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

__all__ = ["BROADENING", "GridInfo", "GridMeta"]

#: Names of velocities that broaden spectra, among ``meta["constant_columns"]``.
BROADENING = ("rotation", "vsini", "vrot", "vmac", "vmacro", "macroturbulence", "zeta")

_FIELDS = ("medium", "resolution", "solar_scale", "flux_unit", "constant_labels")


@dataclass(frozen=True)
class GridInfo:
    """Metadata that apply to all spectra of a grid.

    Attributes
    ----------
    medium : {"air", "vacuum"}
        Medium of the wavelengths.
    resolution : float or None
        λ/FWHM; `None` if unknown.
    solar_scale : str, dict or None
        Solar abundances that the spectra were computed with; `None` if unknown.
    flux_unit : str or None
        Unit of flux that is stored as plain numbers.
    constant_labels : dict of str to float
        Labels that have one value in all spectra.
    other : dict
        Everything else, which the package stores but does not interpret.

    Examples
    --------
    >>> from astropayne.grids import GridInfo
    >>> info = GridInfo.from_meta({"resolution": 20000, "author": "me"})
    >>> info.medium, info.resolution, info.other
    ('air', 20000, {'author': 'me'})
    """

    medium: str = "air"
    resolution: float | None = None
    solar_scale: Any = None
    flux_unit: str | None = None
    constant_labels: Mapping[str, float] = field(default_factory=dict)
    other: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_meta(cls, meta: Mapping[str, Any] | None) -> "GridInfo":
        """Take the information out of a mapping of metadata.

        Parameters
        ----------
        meta : mapping of str to object, or None

        Returns
        -------
        GridInfo
        """
        meta = dict(meta or {})
        read = {name: meta.pop(name) for name in _FIELDS if name in meta}
        constant = read.pop("constant_labels", None)
        return cls(**read, constant_labels=dict(constant or {}), other=meta)

    def to_meta(self) -> dict[str, Any]:
        """Return the metadata as a dict, the opposite of `from_meta`.

        Returns
        -------
        dict
            ``flux_unit`` and ``constant_labels`` are left out if they are not set.
        """
        meta = {name: getattr(self, name) for name in _FIELDS[:3]}
        if self.flux_unit is not None:
            meta["flux_unit"] = self.flux_unit
        if self.constant_labels:
            meta["constant_labels"] = dict(self.constant_labels)
        return {**meta, **self.other}

    def changed(self, meta: Mapping[str, Any]) -> "GridInfo":
        """Return a copy in which some entries of the metadata are added or changed."""
        return GridInfo.from_meta({**self.to_meta(), **meta})

    def with_constants(self, labels: Mapping[str, float]) -> "GridInfo":
        """Return a copy with more constant labels."""
        return replace(self, constant_labels={**self.constant_labels, **labels})

    @property
    def source(self) -> str:
        """Files or folders that the grid was read from; empty if unknown."""
        return self.other.get("source", "")


class GridMeta(Mapping):
    """Read-only mapping of the metadata of a grid; ``grid.replace(meta=...)`` changes entries."""

    def __init__(self, entries: Mapping[str, Any]) -> None:
        self._entries = dict(entries)

    def __getitem__(self, key: str) -> Any:
        return self._entries[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return repr(self._entries)

    def __setitem__(self, key: str, value: Any) -> None:
        raise TypeError(
            f"the metadata of a grid are read-only: grid.replace(meta={{{key!r}: ...}}) returns a "
            "grid with another entry"
        )

    def __delitem__(self, key: str) -> None:
        raise TypeError(
            "the metadata of a grid are read-only: SpectralGrid(...) makes a grid with others"
        )
