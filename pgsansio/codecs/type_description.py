"""Types as asyncpg describes them to its users."""

from functools import cache

from pgsansio.codecs.type_catalog import TypeCatalog, builtin_info
from pgsansio.codecs.type_info import TypeInfo, TypeKind
from pgsansio.types.description import Type

__all__ = ["describe_type"]

#: The rest is scalar.
_KINDS = {
    TypeKind.ARRAY: "array",
    TypeKind.COMPOSITE: "composite",
    TypeKind.RANGE: "range",
    TypeKind.MULTIRANGE: "multirange",
}


def describe_type(catalog: TypeCatalog, oid: int) -> Type:
    """A type by its oid; a domain has the name, kind and schema of what it is based on.

    One that nobody knows is a scalar named after its oid.
    """
    return _describe(catalog, oid) if builtin_info(oid) is None else _describe_builtin(oid)


@cache
def _describe_builtin(oid: int) -> Type:
    return _describe(TypeCatalog(), oid)


def _describe(catalog: TypeCatalog, oid: int) -> Type:
    info = _base(catalog, oid)
    if info is None:
        return Type(oid, f"type {oid}", "scalar", "unknown")
    name = info.name
    if info.kind is TypeKind.ARRAY:
        # The server's name of it says nothing, and may be any.
        element = catalog.info(info.inner_oid)
        name = f"{info.name if element is None else element.name}[]"
    return Type(oid, name, _KINDS.get(info.kind, "scalar"), info.schema)


def _base(catalog: TypeCatalog, oid: int) -> TypeInfo | None:
    info = catalog.info(oid)
    while info is not None and info.kind is TypeKind.DOMAIN:
        info = catalog.info(info.inner_oid)
    return info
