"""All codecs of built-in types, each in the formats that it has, and which of the types have none.

A type is either in `BUILTIN`, or its codec is made from those of other types, or no value of it ever travels: then it
is in `WITHOUT`, with the reason. Tests compare this with the pg_type of real servers. What is not in the catalogue of
this package at all (the row types of most catalogues and views, the domains of information_schema) has another oid in
every version, and is described by its database like a user's own types.
"""

from collections.abc import Mapping
from typing import Final

from pgsansio.codecs import (
    bit_string,
    boolean,
    bytea,
    date_time,
    floating,
    geometric,
    identifiers,
    integer,
    json,
    network,
    numeric,
    summaries,
    text,
    text_only,
    text_search,
    uuid,
    vector,
)
from pgsansio.codecs.catalog import BY_OID, ELEMENTS, TypeEntry
from pgsansio.enums import Format
from pgsansio.kernel.contract import ValueCodec

__all__ = ["AS_TEXT", "BUILTIN", "PREFERRED", "WITHOUT"]

_PAIRS: Final = (
    *bit_string.CODECS,
    *boolean.CODECS,
    *bytea.CODECS,
    *date_time.CODECS,
    *floating.CODECS,
    *geometric.CODECS,
    *identifiers.CODECS,
    *integer.CODECS,
    *json.CODECS,
    *network.CODECS,
    *numeric.CODECS,
    *summaries.CODECS,
    *text.CODECS,
    *text_only.CODECS,
    *text_search.CODECS,
    *uuid.CODECS,
    *vector.CODECS,
)

#: (oid, format) -> codec.
BUILTIN: Final[Mapping[tuple[int, Format], ValueCodec]] = {
    (codec.oid, codec.format): codec for codecs in _PAIRS for codec in codecs
}

#: typname -> why values of the type are sent and asked for as text.
AS_TEXT: Final[Mapping[str, str]] = {
    **text_only.REASONS,
    "int2vector": "the server does not take an empty one in binary",
    "oidvector": "the server does not take an empty one in binary",
    "tsquery": "only the server parses the text that is written",
    "tsvector": "only the server parses the text that is written",
}

#: oid of each type in `BUILTIN` -> the format in which its values are sent and asked for.
PREFERRED: Final[Mapping[int, Format]] = {
    oid: Format.TEXT if BY_OID[oid].name in AS_TEXT else Format.BINARY for oid, _ in BUILTIN
}


def _made_of_others(entry: TypeEntry) -> str | None:
    """The reason if the type's codec is made from other types' codecs, else None."""
    if entry.oid in ELEMENTS:
        return "an array: made of its element's codec"
    return {
        "c": "a catalogue's row type, which differs between versions: made of what the database says of its columns",
        "m": "a multirange: made of its range's codec",
        "r": "a range: made of its subtype's codec",
    }.get(entry.typtype)


_POLYMORPHIC: Final = "stands for another type in the declaration of a function; only NULL is ever of this type itself"
_INTERNAL: Final = "for functions that only the server calls; only NULL of it ever travels"

#: typname -> why the type has no codec here. Of all that are in the catalogue.
WITHOUT: Final[Mapping[str, str]] = {
    "any": _POLYMORPHIC,
    "anycompatible": _POLYMORPHIC,
    "anycompatiblearray": _POLYMORPHIC,
    "anycompatiblemultirange": _POLYMORPHIC,
    "anycompatiblenonarray": _POLYMORPHIC,
    "anycompatiblerange": _POLYMORPHIC,
    "anyelement": _POLYMORPHIC,
    "anyenum": _POLYMORPHIC,
    "anymultirange": _POLYMORPHIC,
    "anynonarray": _POLYMORPHIC,
    "anyrange": _POLYMORPHIC,
    "event_trigger": _INTERNAL,
    "fdw_handler": _INTERNAL,
    "index_am_handler": _INTERNAL,
    "internal": _INTERNAL,
    "language_handler": _INTERNAL,
    "pg_ddl_command": _INTERNAL,
    "record": "an anonymous row: the types of its members come only with each value",
    "table_am_handler": _INTERNAL,
    "trigger": _INTERNAL,
    "tsm_handler": _INTERNAL,
} | {entry.name: reason for entry in BY_OID.values() if (reason := _made_of_others(entry)) is not None}
