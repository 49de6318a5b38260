"""Arguments as SQL, where no type of a parameter is known: constants that the server finds the types of.

How this works. A value is written as its text form, by a codec that its Python type chooses, between quotes and without
a type: the server takes that for whatever the statement wants in the place, as it does with a parameter. Some texts
would be taken for something else, without a word, where the statement wants another type: an instant, of which a
timestamp drops the offset, and bytes, which for text are a backslash, an x and digits. These get the name of their type
along. What cannot be written so that it is understood in one way is refused.

Source: manual, "Constants" and "Type Conversion", Overview.
"""

import enum
import ipaddress
import operator
from collections.abc import Callable, Iterable, Mapping, Sized
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple, cast
from uuid import UUID

from pgsansio.codecs.array import array_codec
from pgsansio.codecs.builtin import BUILTIN
from pgsansio.codecs.catalog import BY_NAME
from pgsansio.codecs.codec import items_of, type_name
from pgsansio.codecs.composite import write_items
from pgsansio.codecs.contrib import CUBE, SPARSEVEC
from pgsansio.codecs.custom import CompositeCodec, EnumCodec
from pgsansio.codecs.range import is_range, range_codec
from pgsansio.codecs.registry import Registry
from pgsansio.enums import Format
from pgsansio.kernel import Record
from pgsansio.kernel.contract import Opcode, ValueCodec
from pgsansio.types import BitString, Box, Circle, Cube, Line, LineSegment, Path, Point, Polygon, Range, SparseVector

__all__ = ["UntypedArguments"]


class _Text(NamedTuple):
    """A value's text form in UTF-8, and the type to name with it; "": none."""

    data: bytes
    cast: str = ""


def _encoder(name: str) -> Callable[[Any], bytes]:
    return BUILTIN[BY_NAME[name].oid, Format.TEXT].encode


def _spell_bool(value: Any) -> bytes:
    return b"true" if value else b"false"  # which JSON reads, too


def _spell_int(value: Any) -> bytes:
    return int.__repr__(value).encode()


#: By the nearest class of a value that is here.
_ENCODERS: Final[Mapping[type[Any], Callable[[Any], bytes]]] = {
    str: _encoder("text"),
    bool: _spell_bool,
    int: _spell_int,
    float: _encoder("float8"),
    Decimal: _encoder("numeric"),
    date: _encoder("date"),
    timedelta: _encoder("interval"),
    UUID: _encoder("uuid"),
    ipaddress.IPv4Address: _encoder("inet"),
    ipaddress.IPv6Address: _encoder("inet"),
    ipaddress.IPv4Network: _encoder("cidr"),
    ipaddress.IPv6Network: _encoder("cidr"),
    BitString: _encoder("varbit"),
    Point: _encoder("point"),
    Line: _encoder("line"),
    LineSegment: _encoder("lseg"),
    Box: _encoder("box"),
    Path: _encoder("path"),
    Polygon: _encoder("polygon"),
    Circle: _encoder("circle"),
    Cube: CUBE.encode_text,
    SparseVector: SPARSEVEC.encode_text,
}
_ENCODE_BYTEA: Final = _encoder("bytea")
_ENCODE_TIME: Final = _encoder("time")
_ENCODE_TIMETZ: Final = _encoder("timetz")
_ENCODE_TIMESTAMP: Final = _encoder("timestamp")
_ENCODE_TIMESTAMPTZ: Final = _encoder("timestamptz")

#: The array type's delimiter is the element's.
_DELIMITER: Final = BY_NAME["point"].delimiter
_DELIMITER_OF_BOXES: Final = BY_NAME["box"].delimiter
#: Of bounds whose type has to be named: the range's type.
_RANGES: Final = {"timestamptz": "tstzrange"}
_EMPTY_ARRAY: Final = b"{}"


class UntypedArguments:
    """Makes SQL of arguments.

    Args:
        registry: of json and jsonb, and of classes of `enum`, the declared codecs are used.
        quote: makes a string constant of a text.
    """

    __slots__ = ("_quote", "_registry", "codec")

    def __init__(self, registry: Registry, quote: Callable[[str], str]) -> None:
        self._registry = registry
        self._quote = quote
        #: `encode` makes an SQL expression of any value but None, in brackets, so that nothing runs into it.
        self.codec = ValueCodec(
            BY_NAME["unknown"].oid, "unknown", Opcode.CALL, Format.TEXT, bytes.decode, self._expression, user=True
        )

    def _expression(self, value: object) -> bytes:
        """
        Raises:
            TypeError: there is no text for values of this class. ValueError, OverflowError: for this value.
            Else what a declared codec raises.
        """
        text = self._text(value)
        if b"\0" in text.data:
            raise ValueError("the text of a declared codec holds the character U+0000")
        cast = f"::pg_catalog.{text.cast}" if text.cast else ""
        return f"({self._quote(text.data.decode())}{cast})".encode()

    def _text(self, value: object) -> _Text:
        if isinstance(value, enum.Enum):
            label = self._label(value)
            if label is not None:
                return _Text(label)
        if isinstance(value, bytes | bytearray | memoryview):
            return _Text(_ENCODE_BYTEA(value), "bytea")
        if isinstance(value, datetime):
            if value.utcoffset() is None:
                return _Text(_ENCODE_TIMESTAMP(value))
            return _Text(_ENCODE_TIMESTAMPTZ(value), "timestamptz")
        if isinstance(value, time):
            if value.utcoffset() is None:
                return _Text(_ENCODE_TIME(value))
            return _Text(_ENCODE_TIMETZ(value), "timetz")
        for kind in type(value).__mro__:
            encode = _ENCODERS.get(kind)
            if encode is not None:
                return _Text(encode(value))
        if is_range(value):
            return self._range(value)
        for declared in self._registry.declarations():
            if isinstance(declared, CompositeCodec) and isinstance(value, declared.cls):
                raise TypeError(
                    f"the attributes of {declared.typename} are not known here: a tuple of them, in the order of the "
                    "type, is expected"
                )
        if isinstance(value, tuple | Record):
            return self._composite(cast("Iterable[object]", value))
        if isinstance(value, Mapping):
            return _Text(self._json(cast("object", value)))
        if isinstance(value, Sized) and isinstance(value, Iterable):
            return self._array(value)
        if hasattr(type(value), "__index__"):
            return _Text(_spell_int(operator.index(cast("Any", value))))
        raise TypeError(f"a value of type {type_name(value)} cannot be written as SQL: pass its text as a str")

    def _label(self, member: enum.Enum) -> bytes | None:
        """Its label in the type that its class was declared for; None: it is a text or a number."""
        labels = {
            declared.label_of(member)
            for declared in self._registry.declarations()
            if isinstance(declared, EnumCodec) and isinstance(member, declared.enum_class)
        }
        if len(labels) > 1:
            raise ValueError(f"{member} has more than one label: several types are declared for its class")
        if not labels and not isinstance(member, str | int | float):
            raise TypeError(f"no EnumCodec is declared for {type_name(member)}")
        return labels.pop() if labels else None

    def _part(self, value: object, casts: set[str], whole: str) -> bytes:
        """Text of a part of a value, whose type cannot be named."""
        text = self._text(value)
        casts.add(text.cast)
        if len(casts) > 1:
            raise ValueError(f"{whole} of both {_named(casts)} cannot be written as SQL")
        return text.data

    def _array(self, value: object) -> _Text:
        casts: set[str] = set()
        boxes: list[object] = []

        def encode(item: object) -> bytes:
            if isinstance(item, Box):
                boxes.append(item)
            return self._part(item, casts, "an array")

        # Its name tells that a Record is an element, and no dimension.
        element = ValueCodec(0, "element", Opcode.CALL, Format.TEXT, bytes, encode, names=("element",))
        data = array_codec(0, "array", element, _DELIMITER).encode(value)
        if boxes:
            data = array_codec(0, "array", element, _DELIMITER_OF_BOXES).encode(value)
        if data == _EMPTY_ARRAY and self._json_codec() is not None:
            raise ValueError("an array without elements could be taken for JSON's object: pass '{}' or '[]' as a str")
        named = casts.pop() if casts else ""
        return _Text(data, f"{named}[]" if named else "")

    def _range(self, value: Range[Any]) -> _Text:
        casts: set[str] = set()
        bound = ValueCodec(0, "bound", Opcode.CALL, Format.TEXT, bytes, lambda item: self._part(item, casts, "a range"))
        data = range_codec(0, "range", bound).encode(value)
        named = casts.pop() if casts else ""
        if named and named not in _RANGES:
            raise ValueError(f"there are no ranges of {named}")
        return _Text(data, _RANGES.get(named, ""))

    def _composite(self, value: Iterable[object]) -> _Text:
        items: list[bytes | None] = []
        for item in items_of(cast("Any", value)):
            text = None if item is None else self._text(item)
            if text is not None and text.cast:
                raise ValueError(f"{text.cast} inside of a composite cannot be told from other types: pass its text")
            items.append(None if text is None else text.data)
        return _Text(write_items(items))

    def _json(self, value: object) -> bytes:
        codec = self._json_codec()
        if codec is None:
            raise TypeError(
                f"a value of type {type_name(value)} cannot be written as SQL without a codec for json: pass its text "
                "as a str"
            )
        return codec.encode(value)

    def _json_codec(self) -> ValueCodec | None:
        for name in ("jsonb", "json"):
            oid = BY_NAME[name].oid
            if self._registry.declares(oid):
                return self._registry.codec_in(oid, Format.TEXT)
        return None


def _named(casts: set[str]) -> str:
    return " and ".join(sorted(name or "other types" for name in casts))
