"""Codecs of types that are made of others, in both formats, by themselves: no registry, no catalogue.

Oids of types that are not built in are those of the server that the vectors were recorded from.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Final

from pgsansio.codecs import boolean, bytea, date_time, floating, integer, numeric, text, uuid
from pgsansio.codecs.array import array_codec
from pgsansio.codecs.catalog import BY_OID
from pgsansio.codecs.composite import composite_codec
from pgsansio.codecs.range import multirange_codec, range_codec
from pgsansio.enums import Format
from pgsansio.kernel.contract import ValueCodec

__all__ = ["FORMATS", "NEST", "PAIR", "codec", "pair"]

FORMATS: Final = (Format.BINARY, Format.TEXT)

PAIR: Final = 18158
NEST: Final = 18167

_SCALARS: Final[Mapping[tuple[str, Format], ValueCodec]] = {
    (BY_OID[each.oid].name, each.format): each
    for module in (boolean, bytea, date_time, floating, integer, numeric, text, uuid)
    for codecs in module.CODECS
    for each in codecs
}

#: Type -> oid, and what it spans or consists of.
_RANGES: Final = {
    "int4range": (3904, "int4"),
    "numrange": (3906, "numeric"),
    "tsrange": (3908, "timestamp"),
    "tstzrange": (3910, "timestamptz"),
    "daterange": (3912, "date"),
    "int8range": (3926, "int8"),
    "textrange": (18171, "text"),
    "pairrange": (18181, "pair"),
}
_MULTIRANGES: Final = {
    "int4multirange": (4451, "int4range"),
    "nummultirange": (4532, "numrange"),
    "int8multirange": (4536, "int8range"),
    "textmultirange": (18169, "textrange"),
}
_COMPOSITES: Final[Mapping[str, tuple[int, Mapping[str, str]]]] = {
    "nil": (18161, {}),
    "one": (18164, {"x": "text"}),
    "pair": (PAIR, {"a": "int4", "b": "text"}),
    "dropped": (18190, {"k": "int4", "v": "text"}),
    "nest": (
        NEST,
        {"p": "pair", "ps": "pair[]", "r": "int4range", "m": "int4multirange", "d": "dom", "u": "uuid"},
    ),
    "nests": (99990, {"n": "nest", "ns": "nest[]", "rs": "textrange[]", "ms": "int4multirange[]"}),
}
_ARRAYS: Final = {"int4": 1007, "text": 1009, "int4multirange": 6150, "pair": 18157, "nest": 18166}


@cache
def codec(name: str, wire_format: Format) -> ValueCodec:
    """The codec of a type by its typname, or that of an element with [] behind it."""
    if name.endswith("[]"):
        element = codec(name[:-2], wire_format)
        return array_codec(_ARRAYS.get(name[:-2], 99991), name, element)
    if name == "dom":
        return replace(codec("int4", wire_format), oid=18154, name="dom")
    if name in _RANGES:
        oid, subtype = _RANGES[name]
        return range_codec(oid, name, codec(subtype, wire_format))
    if name in _MULTIRANGES:
        oid, range_name = _MULTIRANGES[name]
        return multirange_codec(oid, name, codec(range_name, wire_format))
    if name in _COMPOSITES:
        oid, attributes = _COMPOSITES[name]
        members = tuple([codec(each, wire_format) for each in attributes.values()])
        return composite_codec(oid, name, tuple(attributes), members, wire_format)
    return _SCALARS[name, wire_format]


def pair(a: int | None, b: str | None) -> object:
    """A Record of the type pair."""
    return codec("pair", Format.TEXT).decode(codec("pair", Format.TEXT).encode((a, b)))
