"""Which codec each type has: the built-in ones, what a pool has learned, what one connection has set.

How this works: a registry knows what was set in it and asks the one below for the rest; the lowest has the built-in
codecs. An array type follows its element: a registry in which the element has a codec of its own builds the array anew.
What was found is kept until something is set or removed, in it or below.
"""

from collections.abc import Mapping
from itertools import count
from typing import Final
from weakref import WeakSet

from pgsansio.codecs import boolean, bytea, date_time, floating, integer, json, numeric, text, uuid
from pgsansio.codecs.array import array_codec
from pgsansio.codecs.catalog import BY_OID, ELEMENTS
from pgsansio.enums import Format
from pgsansio.kernel.contract import Opcode, ValueCodec

__all__ = ["Registry"]

_BUILTIN: Final[Mapping[tuple[int, Format], ValueCodec]] = {
    (codec.oid, codec.format): codec
    for module in (boolean, bytea, date_time, floating, integer, json, numeric, text, uuid)
    for pair in module.CODECS
    for codec in pair
}

#: One number for every state that any registry is brought into.
_generations: Final = count(1)


class Registry:
    """Codecs by pg_type.oid, in layers.

    `Registry(shared)` is a layer on `shared`, for one connection: what is set in it is seen nowhere else, and what is
    set in `shared` is seen in it at once, except where it has something of its own.
    """

    __slots__ = ("__weakref__", "_above", "_below", "_found", "_other", "_own", "generation")

    #: A number for the codecs that are in force here: where it is the same, so are they, in one registry or in two.
    #: Part of the key of whatever is made from them. Only to be read.
    generation: int

    def __init__(self, below: "Registry | None" = None) -> None:
        self._below = below
        self._above: WeakSet[Registry] = WeakSet()
        self._own: dict[int, ValueCodec] = {}
        self._found: dict[int, ValueCodec] = {}
        self._other: dict[int, ValueCodec] = {}
        self.generation = 0 if below is None else below.generation
        if below is not None:
            below._above.add(self)

    def codec(self, oid: int) -> ValueCodec | None:
        """The codec in whose format values of a type should be sent and asked for; None if it is unknown."""
        try:
            return self._found[oid]
        except KeyError:
            found = self._find(oid)
            # What is unknown is not kept: any number of oids may be.
            if found is not None:
                self._found[oid] = found
            return found

    def codec_in(self, oid: int, wire_format: Format, name: str = "") -> ValueCodec:
        """A codec for values that come in this format, whichever is preferred.

        Of an unknown type, text becomes str and binary bytes.

        Args:
            name: the type's name for error texts, if it is an unknown one.
        """
        preferred = self.codec(oid)
        if preferred is not None and preferred.format == wire_format:
            return preferred
        # There are two formats, so a known type has one that is not preferred.
        other = self._other.get(oid) if preferred is not None else None
        if other is None:
            other = self._find_other(oid, wire_format, name)
            if preferred is not None:
                self._other[oid] = other
        return other

    def text_codec(self, oid: int, name: str = "") -> ValueCodec:
        """`codec_in` text: for a type of which nothing is known, str both ways."""
        return self.codec_in(oid, Format.TEXT, name)

    def set_codec(self, oid: int, codec: ValueCodec) -> None:
        """Use this codec for a type, and for the elements of its arrays, in this registry and those above.

        Plans that were made before keep the codecs they were made with.

        Raises:
            ValueError: the codec is another type's.
        """
        if codec.oid != oid:
            raise ValueError(f"a codec of type {codec.oid} cannot be set for type {oid}")
        self._own[oid] = codec
        self._changed()

    def remove(self, oid: int) -> None:
        """Take back what `set_codec` did here, if it did."""
        if self._own.pop(oid, None) is not None:
            self._changed()

    def _changed(self) -> None:
        self._found.clear()
        self._other.clear()
        if self._own:
            self.generation = next(_generations)
        else:
            self.generation = 0 if self._below is None else self._below.generation
        for registry in list(self._above):
            registry._changed()

    def _find(self, oid: int) -> ValueCodec | None:
        own = self._own.get(oid)
        if own is not None:
            return own
        below = self._below
        element = ELEMENTS.get(oid)
        if element is None:
            return _BUILTIN.get((oid, Format.BINARY)) if below is None else below.codec(oid)
        element_codec = self.codec(element.oid)
        if below is not None and element_codec is below.codec(element.oid):
            return below.codec(oid)
        return array_codec(oid, BY_OID[oid].sql_name, element_codec or self.text_codec(element.oid), element.delimiter)

    def _find_other(self, oid: int, wire_format: Format, name: str) -> ValueCodec:
        builtin = _BUILTIN.get((oid, wire_format))
        if builtin is not None:
            return builtin
        entry = BY_OID.get(oid)
        if entry is not None:
            name = entry.sql_name
            element = ELEMENTS.get(oid)
            if element is not None:
                return array_codec(oid, name, self.codec_in(element.oid, wire_format), element.delimiter)
        name = name or f"type {oid}"
        if wire_format is Format.TEXT:
            return text.text_codec(oid, name)
        return ValueCodec(oid, name, Opcode.BYTEA, Format.BINARY, bytea.decode_bytea, bytea.encode_bytea)
