# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The ASDF extension of astropayne: tags and schemas for the trees in its files.

A tree is a plain dict for whoever opens a file. Its tag names its kind and version, and asdf checks
it by the schema of that tag. The entry points ``asdf.extensions`` and ``asdf.resource_mappings``
register it in asdf, so that `asdf.open` reads files of astropayne without a warning.
"""

import contextlib
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

import asdf
from asdf.extension import Converter, Extension, TagDefinition

__all__ = ["ContainerTree", "extension_enabled", "extensions", "resource_mappings", "tagged"]

_URI = "asdf://astropayne.org"
#: Versions of the trees that have a tag, by kind.
_VERSIONS = {"PayneModel": "1.0.0", "SpectralGrid": "1.0.0"}


def tagged(kind: str, tree: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a tree that is written with the tag of its kind, if that has one.

    Parameters
    ----------
    kind : str
        Kind of the tree, such as ``"PayneModel"``.
    tree : mapping
    """
    return ContainerTree(kind, tree) if kind in _VERSIONS else tree


def _tag(kind: str) -> str:
    return f"{_URI}/tags/{kind}-{_VERSIONS[kind]}"


class ContainerTree(dict):
    """A tree that is written with the tag of its kind.

    Parameters
    ----------
    kind : str
    tree : mapping
    """

    def __init__(self, kind: str, tree: Mapping[str, Any]) -> None:
        super().__init__(tree)
        self.kind = kind


class _TreeConverter(Converter):
    tags = tuple(_tag(kind) for kind in _VERSIONS)
    types = (ContainerTree,)

    def select_tag(self, obj: ContainerTree, tags: list[str], ctx: Any) -> str:
        return _tag(obj.kind)

    def to_yaml_tree(self, obj: ContainerTree, tag: str, ctx: Any) -> dict:
        return dict(obj)

    def from_yaml_tree(self, node: Mapping, tag: str, ctx: Any) -> ContainerTree:
        return ContainerTree(tag.rpartition("/")[2].partition("-")[0], node)


class AstropayneExtension(Extension):
    """Tags, schemas and the converter of trees."""

    extension_uri = f"{_URI}/extensions/astropayne-1.0.0"
    converters = (_TreeConverter(),)
    tags = tuple(
        TagDefinition(_tag(kind), schema_uris=[f"{_URI}/schemas/{kind}-{version}"])
        for kind, version in _VERSIONS.items()
    )


@contextlib.contextmanager
def extension_enabled() -> Iterator[None]:
    """Register the extension in asdf in a ``with`` block, whether it is installed or not."""
    with asdf.config_context() as config:
        config.validate_on_read = True
        for mapping in resource_mappings():
            config.add_resource_mapping(mapping)
        for extension in extensions():
            config.add_extension(extension)
        yield


def extensions() -> list[Extension]:
    """Return the extension, for the entry point ``asdf.extensions``."""
    return [AstropayneExtension()]


def resource_mappings() -> list[Mapping[str, bytes]]:
    """Return the schemas by their URI, for the entry point ``asdf.resource_mappings``."""
    folder = files("astropayne.io") / "schemas"
    names = [f"{kind}-{version}" for kind, version in _VERSIONS.items()]
    return [{f"{_URI}/schemas/{name}": (folder / f"{name}.yaml").read_bytes() for name in names}]
