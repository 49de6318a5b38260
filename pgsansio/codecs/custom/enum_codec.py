"""EnumCodec: the labels of an enum type as members of an `enum.Enum`."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast

from pgsansio.codecs.catalog import BY_OID
from pgsansio.codecs.codec import type_name
from pgsansio.codecs.custom.checks import catalog_name, qualified
from pgsansio.codecs.text import encode_text
from pgsansio.codecs.type_info import TypeInfo, TypeKind
from pgsansio.errors import InterfaceError
from pgsansio.kernel.contract import Opcode, ValueCodec

__all__ = ["EnumCodec"]

#: Base types and domains can be text, too.
_KINDS: Final = (TypeKind.ENUM, TypeKind.BASE, TypeKind.DOMAIN)
#: The category of the built-in types whose values are text and nothing else (manual, "pg_type", typcategory).
_STRING: Final = "S"


@dataclass(frozen=True, slots=True, eq=False)
class EnumCodec:
    """Values of an enum type, or of a type that is text, as members of a class.

    A str is accepted in place of a member, and sent as it is. What the server sends must be a member's label, else it
    is an InvalidValueError (a ValueError): labels may be added to a type after the program was written.

    Raises:
        TypeError: no str for a name, no class of enum's, or values for labels that are not str.
        ValueError: no members, or no such `by`.
    """

    #: typname of the enum type.
    typename: str
    enum_class: type[enum.Enum]
    #: None: whichever schema.
    schema: str | None = field(default="public", kw_only=True)
    #: What of a member is its label; None: its value if every member's is a str, else its name.
    by: Literal["value", "name"] | None = field(default=None, kw_only=True)
    _members: Mapping[bytes, enum.Enum] = field(init=False, repr=False)
    #: By the members' names: members of some classes cannot be hashed.
    _labels: Mapping[str, bytes] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "typename", catalog_name(self.typename, self.schema))
        enum_class = cast("object", self.enum_class)
        if not isinstance(enum_class, enum.EnumMeta):
            raise TypeError(f"enum_class must be a class derived from enum.Enum, got {enum_class!r}")
        if self.by not in ("value", "name", None):
            raise ValueError(f"by must be 'value', 'name' or None, got {cast('object', self.by)!r}")
        # Aliases are among these: a label may be an alias' name, too.
        members: dict[str, enum.Enum] = dict(self.enum_class.__members__)
        if not members:
            raise ValueError(f"{self.enum_class.__name__} has no members")
        values = {member.value: member for member in members.values() if isinstance(member.value, str)}
        by_value = len({member.name for member in values.values()}) == len({m.name for m in members.values()})
        if self.by == "value" and not by_value:
            raise TypeError(f"not every value of {self.enum_class.__name__} is a str")
        if by_value and self.by != "name":
            members = values
            labels = {member.name: encode_text(value) for value, member in values.items()}
        else:
            labels = {member.name: encode_text(member.name) for member in members.values()}
        object.__setattr__(self, "_members", {encode_text(label): member for label, member in members.items()})
        object.__setattr__(self, "_labels", labels)

    @property
    def extension(self) -> str:
        """Whichever the type belongs to."""
        return ""

    def build(self, info: TypeInfo, default: ValueCodec) -> ValueCodec:
        """The codec, in the format of `default`: text is the same in both.

        Raises:
            InterfaceError: a type that is made of others, or a built-in one that is not text.
        """
        builtin = BY_OID.get(info.inner_oid or info.oid)
        if info.kind not in _KINDS or (builtin is not None and builtin.category != _STRING):
            name = qualified(self.typename, self.schema, info)
            raise InterfaceError(f"cannot use {self.enum_class.__name__} for type {name}: it is not an enum type")
        # Not atomic: a member may refer to anything.
        return ValueCodec(
            info.oid, info.sql_name, Opcode.CALL, default.format, self._decode, self.label_of, atomic=False
        )

    def _decode(self, data: bytes) -> enum.Enum:
        try:
            return self._members[data]
        except KeyError:
            label = data.decode()
            raise ValueError(f"{label[:40]!r} is not a label of {self.enum_class.__name__}") from None

    def label_of(self, value: Any) -> bytes:
        """Of a member, or a str as it is.

        Raises:
            TypeError: neither. ValueError: a member made of several, which has no label.
        """
        if isinstance(value, self.enum_class):
            try:
                return self._labels[value.name]
            except KeyError:
                # What the members of a Flag are combined to.
                raise ValueError(f"{value!r} has no label") from None
        if isinstance(value, str):
            return encode_text(value)
        raise TypeError(f"expected {self.enum_class.__name__} or str, got {type_name(value)}")
