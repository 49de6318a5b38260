"""Types and columns as the database describes them."""

from typing import NamedTuple

__all__ = ["Attribute", "Type"]


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
