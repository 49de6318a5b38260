"""What every declaration looks at: its names, and the line between the library's functions and the user's."""

from collections.abc import Callable, Iterator
from typing import Any

from pgsansio.codecs.catalog import BY_OID
from pgsansio.codecs.codec import type_name
from pgsansio.codecs.type_catalog import builtin_oid
from pgsansio.codecs.type_info import TypeInfo
from pgsansio.errors import InvalidValueError
from pgsansio.kernel.contract import OutdatedTypeError, UnknownTypeError, ValueCodec

__all__ = ["catalog_name", "invalid", "library_decoder", "qualified"]


def catalog_name(typename: object, schema: object) -> str:
    """The name by which the catalogue has the type: in pg_catalog, types may be called as in SQL, such as `int`.

    Raises:
        TypeError: not a str each; for the schema also None.
        ValueError: an empty one.
    """
    if not isinstance(typename, str):
        raise TypeError(f"typename must be a str, got {type_name(typename)}")
    if schema is not None and not isinstance(schema, str):
        raise TypeError(f"schema must be a str or None, got {type_name(schema)}")
    if not typename or schema == "":
        raise ValueError("typename and schema must not be empty")
    oid = builtin_oid(typename) if schema == "pg_catalog" else None
    return typename if oid is None else BY_OID[oid].name


def qualified(typename: str, schema: str | None, info: TypeInfo) -> str:
    """As error texts name the type of a declaration."""
    return f"{schema or info.schema}.{typename}"


def invalid(error: ValueError) -> InvalidValueError:
    """What to raise for the library's own refusal inside of a user's codec, where the kernel cannot tell them apart."""
    refusal = InvalidValueError(f"cannot decode a value: {error}")
    for note in getattr(error, "__notes__", ()):
        refusal.add_note(note)
    return refusal


def library_decoder(codec: ValueCodec) -> Callable[[bytes], Any]:
    """`codec.decode`, to be called by the decoder of a codec with `user=True`.

    What the library refuses becomes an InvalidValueError. A codec that has a user's in it is left as it is: its
    ValueError may be the user's.
    """
    decode = codec.decode
    if any(part.user for part in _with_parts(codec)):
        return decode

    def decode_or_refuse(data: bytes) -> Any:
        try:
            return decode(data)
        except (UnknownTypeError, OutdatedTypeError):
            raise
        except ValueError as error:
            raise invalid(error) from error

    return decode_or_refuse


def _with_parts(codec: ValueCodec) -> Iterator[ValueCodec]:
    yield codec
    for part in (codec.element, *codec.members):
        if part is not None:
            yield from _with_parts(part)
