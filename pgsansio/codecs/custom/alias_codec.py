"""AliasCodec: a type whose values are those of another one, of which the codec is known."""

from dataclasses import dataclass, field, replace
from typing import Final, Literal, cast

from pgsansio.codecs.builtin import BUILTIN, PREFERRED
from pgsansio.codecs.codec import type_name
from pgsansio.codecs.contrib import BY_CODEC_NAME
from pgsansio.codecs.custom.checks import catalog_name, qualified
from pgsansio.codecs.type_catalog import builtin_oid
from pgsansio.codecs.type_info import TypeInfo, TypeKind
from pgsansio.enums import Format
from pgsansio.errors import InterfaceError
from pgsansio.kernel.contract import ValueCodec

__all__ = ["AliasCodec"]

_SCALARS: Final = (TypeKind.BASE, TypeKind.ENUM, TypeKind.DOMAIN, TypeKind.PSEUDO)


@dataclass(frozen=True, slots=True, eq=False)
class AliasCodec:
    """Values of a type as those of a built-in or a contrib type, since they look the same on the wire; what
    `set_builtin_type_codec` sets.

    Raises:
        InterfaceError: not one of the formats; or no codec of that name, or none in that format.
        TypeError: no str for a name.
    """

    #: typname of the type; in pg_catalog also its name in SQL.
    typename: str
    #: None: whichever schema.
    schema: str | None = field(default="public", kw_only=True)
    #: A core type by its name in SQL or in the catalogue ('int', 'numeric'), or 'pg_contrib.hstore'.
    codec_name: str = field(kw_only=True)
    #: The only format to be used; None: each that the codec has, but text alone where that is preferred.
    format: Literal["text", "binary"] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "typename", catalog_name(self.typename, self.schema))
        if not isinstance(cast("object", self.codec_name), str):
            raise TypeError(f"codec_name must be a str, got {type_name(self.codec_name)}")
        if self.format not in ("text", "binary", None):
            raise InterfaceError(
                f"invalid `format` argument, expected 'text' or 'binary', got {cast('object', self.format)!r}"
            )
        if not self._formats():
            raise InterfaceError(
                f"cannot alias {self.typename} to {self.codec_name}: "
                f"there is no {self.format or 'text'} codec for {self.codec_name}"
            )

    @property
    def extension(self) -> str:
        """Whichever the type belongs to."""
        return ""

    def build(self, info: TypeInfo, default: ValueCodec) -> ValueCodec:
        """The codec: in the format of `default`, unless there is only the other one.

        Raises:
            InterfaceError: a type that is made of others.
        """
        if info.kind not in _SCALARS:
            raise InterfaceError(f"cannot alias non-scalar type {qualified(self.typename, self.schema, info)}")
        formats = self._formats()
        wire_format = default.format if default.format in formats else formats[0]
        contrib = BY_CODEC_NAME.get(self.codec_name)
        if contrib is not None:
            return contrib.build(info, replace(default, format=wire_format))
        return replace(BUILTIN[self._oid(), wire_format], oid=info.oid, name=info.sql_name)

    def _oid(self) -> int:
        return builtin_oid(self.codec_name) or 0

    def _formats(self) -> list[Format]:
        """Those that there are and that are wanted."""
        if self.format is not None:
            wanted = [Format[self.format.upper()]]
        elif PREFERRED.get(self._oid()) is Format.TEXT:
            wanted = [Format.TEXT]
        else:
            wanted = [Format.BINARY, Format.TEXT]
        if self.codec_name in BY_CODEC_NAME:
            return wanted
        return [wire_format for wire_format in wanted if (self._oid(), wire_format) in BUILTIN]
