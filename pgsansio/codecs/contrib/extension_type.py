"""ExtensionType: both codecs of an extension's type, before its oid is known."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from pgsansio.codecs.type_info import TypeInfo, TypeKind
from pgsansio.enums import Format
from pgsansio.errors import InterfaceError
from pgsansio.kernel.contract import Opcode, ValueCodec

__all__ = ["ExtensionType"]

_SCALAR: Final = (TypeKind.BASE, TypeKind.ENUM, TypeKind.DOMAIN)


@dataclass(frozen=True, slots=True, eq=False)
class ExtensionType:
    """A `CodecDeclaration` that stands by itself in both formats; `dataclasses.replace` aims it at another type."""

    typename: str
    #: As in pg_extension; "": a type of this name whose extension does not matter.
    extension: str
    #: As in `ValueCodec`: for the binary format, for the text format.
    decode: Callable[[bytes], Any]
    encode: Callable[[Any], bytes]
    decode_text: Callable[[bytes], Any]
    encode_text: Callable[[Any], bytes]
    opcode: Opcode = Opcode.CALL
    text_opcode: Opcode = Opcode.CALL
    #: As in `ValueCodec`.
    atomic: bool = True
    schema: str | None = None

    def build(self, info: TypeInfo, default: ValueCodec) -> ValueCodec:
        """The codec in the format of `default`.

        Raises:
            InterfaceError: aimed at a type that is made of others.
        """
        if info.kind not in _SCALAR:
            raise InterfaceError(f"cannot alias non-scalar type {info.schema}.{info.name}")
        if default.format is Format.BINARY:
            opcode, decode, encode = self.opcode, self.decode, self.encode
        else:
            opcode, decode, encode = self.text_opcode, self.decode_text, self.encode_text
        return ValueCodec(info.oid, info.sql_name, opcode, default.format, decode, encode, atomic=self.atomic)
