"""Types and columns as the database describes them."""

from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["Attribute", "Column", "Type"]


class Type(NamedTuple):
    """A type of the database."""

    oid: int
    #: As in pg_type, for example int4; arrays are named int4[].
    name: str
    #: scalar, array, composite, range or multirange; an enum is a scalar, a domain what it is based on.
    kind: str
    schema: str


class Attribute(NamedTuple):
    """A column of a statement's result, or of a composite type."""

    name: str
    type: Type


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a statement's result, and where it comes from. Source: manual, "Message Formats", RowDescription."""

    name: str
    type: Type
    #: What the type was declared with (pg_attribute.atttypmod), as it is encoded there; None: nothing.
    type_modifier: int | None
    #: The table (pg_class.oid) and the column of it (pg_attribute.attnum), if it is a table's column and nothing else.
    table_oid: int | None
    column_number: int | None
