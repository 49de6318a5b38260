"""CodecDeclaration: a codec for a type that is known by its name alone, before any database was asked."""

from collections.abc import Iterable
from typing import Protocol

from pgsansio.codecs.type_info import TypeInfo
from pgsansio.kernel.contract import ValueCodec

__all__ = ["CodecDeclaration", "applies", "last_of_each"]


class CodecDeclaration(Protocol):
    """What a user gives to `connect(codecs=...)` or to a pool; immutable, and compared by identity.

    It says which type it is for, and makes the codec once that type has been described.
    """

    @property
    def typename(self) -> str:
        """typname of the type; for an array type its element's with [] behind it."""
        ...

    @property
    def schema(self) -> str | None:
        """The schema of the type; None: of whichever schema it is."""
        ...

    @property
    def extension(self) -> str:
        """The extension that the type must belong to; "": it does not matter."""
        ...

    def build(self, info: TypeInfo, default: ValueCodec) -> ValueCodec:
        """The codec of this type.

        Asked for once in each format that is of interest: a codec that is made around `default` has the format of
        `default`, one that stands by itself always its own.

        Args:
            default: the codec that the type has without this declaration; values in text if nothing is known of it.
        Raises:
            InterfaceError: this kind of type cannot have such a codec.
        """
        ...


def applies(declaration: CodecDeclaration, info: TypeInfo, canonical_name: str) -> bool:
    """Whether a declaration is for this type.

    Args:
        canonical_name: typname, or of an array type its element's with [].
    """
    return (
        declaration.typename in (info.name, canonical_name)
        and declaration.schema in (None, info.schema)
        and declaration.extension in ("", info.extension)
    )


def last_of_each(declarations: Iterable[CodecDeclaration]) -> list[CodecDeclaration]:
    """These without those of which a later one is for just the same types: they would never be asked."""
    last: dict[tuple[str, str | None, str], CodecDeclaration] = {}
    for item in declarations:
        key = item.typename, item.schema, item.extension
        last.pop(key, None)
        last[key] = item
    return list(last.values())
