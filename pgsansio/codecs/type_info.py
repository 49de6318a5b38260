"""TypeInfo: what has to be known of a type in order to read and write its values."""

import enum
from dataclasses import dataclass

__all__ = ["TypeInfo", "TypeKind"]


class TypeKind(enum.Enum):
    """What a type is made of (manual, "pg_type": typtype, and whether it is an array type)."""

    BASE = "base"
    ENUM = "enum"
    ARRAY = "array"
    COMPOSITE = "composite"
    RANGE = "range"
    MULTIRANGE = "multirange"
    DOMAIN = "domain"
    PSEUDO = "pseudo"


@dataclass(frozen=True, slots=True)
class TypeInfo:
    """A type, as the catalogue of its database describes it."""

    oid: int
    #: typname; of an array type the server's own, for example _int4.
    name: str
    schema: str
    #: As format_type prints it, without modifiers; for error texts.
    sql_name: str
    kind: TypeKind
    #: typdelim: what stands between values of this type in an array's text.
    delimiter: str = ","
    #: What an array is of, a range spans, a multirange is made of (its range) or a domain is based on; else 0.
    inner_oid: int = 0
    #: Of a composite type: name and type of each attribute that was not dropped, in order.
    attributes: tuple[tuple[str, int], ...] = ()
    #: The extension that the type belongs to, or "".
    extension: str = ""
    #: The server can both send and receive it in binary.
    has_binary: bool = True
