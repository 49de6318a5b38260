"""TypeCodec: a pair of functions of the user's, over the text, the bytes or the numbers of a value."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast

from pgsansio.codecs.bytea import encode_bytea
from pgsansio.codecs.codec import type_name
from pgsansio.codecs.custom.checks import catalog_name, invalid, library_decoder, qualified
from pgsansio.codecs.custom.tuple_layout import LAYOUTS, TupleLayout
from pgsansio.codecs.text import encode_text
from pgsansio.codecs.type_info import TypeInfo, TypeKind
from pgsansio.enums import Format
from pgsansio.errors import InterfaceError, UnsupportedClientFeatureError
from pgsansio.kernel.contract import Opcode, ValueCodec

__all__ = ["Decoder", "Encoder", "ExchangeFormat", "TypeCodec"]

ExchangeFormat = Literal["text", "binary", "tuple"]
Encoder = Callable[[Any], Any]
Decoder = Callable[[Any], Any]

_FORMATS: Final = ("text", "binary", "tuple")
_CONTAINERS: Final = (TypeKind.ARRAY, TypeKind.RANGE, TypeKind.MULTIRANGE)


@dataclass(frozen=True, slots=True, eq=False)
class TypeCodec:
    """Values of a type as two functions make them; what `set_type_codec` sets.

    NULL is None and never reaches a function. Either function may be None if values go the other way only. For arrays,
    ranges, multiranges and domains the functions see the whole value.

    Raises:
        InterfaceError: not one of the three formats.
        TypeError: no str for a name, a function that cannot be called, or no function at all.
    """

    #: typname of the type; in pg_catalog also its name in SQL; of an array, its element's with [] behind it.
    typename: str
    #: None: whichever schema.
    schema: str | None = field(default="public", kw_only=True)
    #: The user's value -> what `format` says.
    encoder: Encoder | None = field(kw_only=True)
    #: What `format` says -> the user's value.
    decoder: Decoder | None = field(kw_only=True)
    #: 'text': str, as the server prints and reads it. 'binary': bytes, as on the wire (for jsonb with the version byte
    #: in front); the encoder may return any buffer. 'tuple': of a composite type its attributes (a `Record` for the
    #: decoder), of date and time types integers::
    #:
    #:     interval                 (months, days, microseconds)
    #:     date                     (days since 2000-01-01,)
    #:     timestamp, timestamptz   (microseconds since 2000-01-01, in UTC,)
    #:     time                     (microseconds,)
    #:     timetz                   (microseconds, seconds west of UTC)
    #:
    #: where infinity is the largest integer of its size (32 bits for a date, else 64), and -infinity the smallest.
    format: ExchangeFormat = field(default="text", kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "typename", catalog_name(self.typename, self.schema))
        if self.format not in _FORMATS:
            raise InterfaceError(
                f"invalid `format` argument, expected 'text', 'binary' or 'tuple', got {cast('object', self.format)!r}"
            )
        for name, function in (("encoder", self.encoder), ("decoder", self.decoder)):
            if function is not None and not callable(cast("object", function)):
                raise TypeError(f"{name} must be callable, got {type_name(function)}")
        if self.encoder is None and self.decoder is None:
            raise TypeError("an encoder or a decoder is required")

    @property
    def extension(self) -> str:
        """Whichever the type belongs to."""
        return ""

    def build(self, info: TypeInfo, default: ValueCodec) -> ValueCodec:
        """The codec; in text or binary as `format` says, for a composite type in the format of `default`.

        Raises:
            InterfaceError: 'tuple' for a type that has no such layout.
            UnsupportedClientFeatureError: another format for a composite type.
        """
        sql_name = info.sql_name
        encoder = _absent("encoder", sql_name) if self.encoder is None else self.encoder
        decoder = _absent("decoder", sql_name) if self.decoder is None else self.decoder
        wire_format = Format.BINARY
        if self.format == "tuple":
            layout = self._layout(info, default)
            if layout is None:
                wire_format = default.format
                decode, encode = _attributes_decoder(decoder, default), _attributes_encoder(encoder, default)
            else:
                decode, encode = _layout_decoder(decoder, layout), _layout_encoder(encoder, layout)
        elif info.kind is TypeKind.COMPOSITE:
            raise UnsupportedClientFeatureError(
                "only tuple-format codecs can be used on composite types",
                hint="Use `set_type_codec(..., format='tuple')` and pass/interpret data as a Python tuple.",
            )
        elif self.format == "binary":
            decode, encode = decoder, _binary_encoder(encoder)
        else:
            wire_format = Format.TEXT
            decode, encode = _text_decoder(decoder), _text_encoder(encoder)
        return ValueCodec(info.oid, sql_name, Opcode.CALL, wire_format, decode, encode, atomic=False, user=True)

    def _layout(self, info: TypeInfo, default: ValueCodec) -> TupleLayout | None:
        """What the tuple is made of; None: of the attributes of a composite type."""
        if info.kind in _CONTAINERS:
            raise InterfaceError(
                f"cannot use custom codec on type {qualified(self.typename, self.schema, info)}: "
                "it is neither a scalar type nor a composite type"
            )
        is_domain = info.kind is TypeKind.DOMAIN
        if info.kind is TypeKind.COMPOSITE or (is_domain and default.names):
            return None
        try:
            return LAYOUTS[info.inner_oid if is_domain else info.oid]
        except KeyError:
            raise InterfaceError(f"{self.typename} type does not support the 'tuple' exchange format") from None


def _absent(what: str, sql_name: str) -> Callable[[Any], Any]:
    def refuse(value: object) -> Any:
        raise UnsupportedClientFeatureError(f"the custom codec of type {sql_name} has no {what}")

    return refuse


def _returned(expected: str, result: object) -> TypeError:
    return TypeError(f"expected {expected}, got {type_name(result)} (returned by the encoder)")


def _text_decoder(decoder: Decoder) -> Callable[[bytes], Any]:
    def decode(data: bytes) -> Any:
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            raise invalid(error) from error
        return decoder(text)

    return decode


def _text_encoder(encoder: Encoder) -> Callable[[Any], bytes]:
    def encode(value: Any) -> bytes:
        """Raises ValueError: U+0000 or a surrogate in the text, and what the user's function raises."""
        result = encoder(value)
        if not isinstance(result, str):
            raise _returned("str", result)
        return encode_text(result)

    return encode


def _binary_encoder(encoder: Encoder) -> Callable[[Any], bytes]:
    def encode(value: Any) -> bytes:
        result = encoder(value)
        try:
            return encode_bytea(result)
        except TypeError as error:
            raise TypeError(f"{error} (returned by the encoder)") from None

    return encode


def _layout_decoder(decoder: Decoder, layout: TupleLayout) -> Callable[[bytes], Any]:
    unpack = layout.unpack

    def decode(data: bytes) -> Any:
        try:
            values = unpack(data)
        except ValueError as error:
            raise invalid(error) from error
        return decoder(values)

    return decode


def _layout_encoder(encoder: Encoder, layout: TupleLayout) -> Callable[[Any], bytes]:
    pack = layout.pack

    def encode(value: Any) -> bytes:
        result = encoder(value)
        if not isinstance(result, tuple | list):
            raise _returned("tuple", result)
        return pack(cast("tuple[Any, ...]", result))

    return encode


def _attributes_decoder(decoder: Decoder, default: ValueCodec) -> Callable[[bytes], Any]:
    decode_attributes = library_decoder(default)
    return lambda data: decoder(decode_attributes(data))


def _attributes_encoder(encoder: Encoder, default: ValueCodec) -> Callable[[Any], bytes]:
    encode_attributes = default.encode

    def encode(value: Any) -> bytes:
        """A tuple, or what else the type's own codec takes: a list, a record, a mapping."""
        result = encoder(value)
        if result is None:
            raise _returned("tuple", result)
        return encode_attributes(result)

    return encode
