"""What a database says of its types: rows of the catalogue's query, and exports of what was learned.

Input: what to do with the types, then rows; bytes stand for values, so that types are made of each other. Held to:
ProtocolError or types that a catalogue learns, or refuses with a ValueError and is as it was; an export is learned
again as the same; and a codec is built for each type.
"""

import random
from typing import Final

from fuzz.choices import pick
from fuzz.mutation import mutated
from pgsansio.codecs import Registry
from pgsansio.codecs.introspection import read_types
from pgsansio.codecs.type_catalog import TypeCatalog
from pgsansio.enums import Format
from pgsansio.errors import ProtocolError, UnsupportedClientFeatureError

__all__ = ["PREFIX_BYTES", "mutate", "target"]

PREFIX_BYTES: Final = 1
_OIDS: Final = (
    0, 16, 23, 25, 1007, 2249, 2287, 3904, 4451, -1, 2**32, None, "1", True,
    *(100_000 + number for number in range(24)),
)  # fmt: skip
_KINDS: Final = ("a", "b", "c", "d", "e", "m", "p", "r", "", "x", None, 7)
_NAMES: Final = ("a", "b", "c", "d", "_a", "int4", "", "\0", "hstore", None, *(f"t{number}" for number in range(22)))
_ROW_BYTES: Final = 12


def mutate(data: bytes, corpus: list[bytes], chance: random.Random) -> bytes:
    return mutated(data, corpus, chance, PREFIX_BYTES)


def target(data: bytes) -> None:
    how, body = data[0] if data else 0, data[1:]
    rows = [_row(body[at : at + _ROW_BYTES]) for at in range(0, len(body), _ROW_BYTES)]
    catalog = TypeCatalog()
    registry = Registry(catalog=catalog)
    middle = len(rows) // (1 + how % 3)
    for part in (rows[:middle], rows[middle:]):
        before = catalog.export()
        try:
            infos = read_types(part)
        except ProtocolError:
            continue
        try:
            catalog.learn(infos)
        except ValueError:
            assert catalog.export() == before
            continue
        exported = catalog.export()
        assert TypeCatalog.from_export(exported).export() == exported
        for info in infos:
            for wire_format in Format:
                codec = registry.codec_in(info.oid, wire_format)
                try:
                    codec.decode(body[:64])
                except ValueError:
                    pass
            try:
                registry.codec(info.oid)
            except UnsupportedClientFeatureError:
                pass
        if infos and how & 64:
            catalog.forget([infos[how % len(infos)].oid])
            assert catalog.info(infos[how % len(infos)].oid) is None


def _row(data: bytes) -> tuple[object, ...]:
    oid, name, schema, kind, delimiter, inner, count, first, second, extension, flags, cut = data.ljust(
        _ROW_BYTES, b"\0"
    )
    attributes = [pick(_OIDS, first + number * second) for number in range(count % 6)]
    values = (
        pick(_OIDS, oid),
        pick(_NAMES, name),
        ("public", "s", "pg_catalog", "", None)[schema % 5 if schema > 200 else 0],
        "sql name",
        pick(_KINDS, kind),
        (",", ";", "é", "", None)[delimiter % 5 if delimiter > 200 else 0],
        pick(_OIDS, inner),
        None if count > 127 else [pick(_NAMES, first + number) for number in range(count % 6)],
        None if count > 127 else attributes[: None if flags < 200 else -1],
        ("", "hstore", "vector", None)[extension % 4 if extension > 128 else 0],
        bool(flags & 1) if flags < 250 else None,
        bool(flags & 2),
    )
    return values[: len(values) - cut % 3] if cut > 240 else values
