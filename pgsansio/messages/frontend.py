"""What a frontend sends in a session: simple queries, the extended protocol, function calls, the end."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from pgsansio.enums import Format
from pgsansio.messages.message import EmptyMessage
from pgsansio.wire.fields import Reader, Writer

__all__ = [
    "Bind",
    "Close",
    "Describe",
    "Execute",
    "Flush",
    "FunctionCall",
    "Parse",
    "Query",
    "Sync",
    "Target",
    "Terminate",
]


class Target(enum.Enum):
    """What Describe and Close are about."""

    STATEMENT = "S"
    PORTAL = "P"


_TARGETS = {ord(target.value): target for target in Target}


def _formats_fault(formats: Sequence[Format], values: Sequence[object]) -> str | None:
    """What is wrong with the number of format codes: it must be 0 (all text), 1 (for all) or one for each value."""
    if len(formats) in (0, 1, len(values)):
        return None
    return f"{len(formats)} formats for {len(values)} values"


@dataclass(frozen=True, slots=True)
class Query:
    """The simple protocol: one string, any number of statements; ends with one ReadyForQuery."""

    TAG: ClassVar[bytes] = b"Q"
    query: str

    def encode(self) -> bytes:
        writer = Writer("Query", self.TAG)
        writer.string(self.query, "query")
        return writer.frame()

    @classmethod
    def decode(cls, body: bytes) -> Self:
        reader = Reader("Query", body)
        query = reader.string("query")
        reader.end()
        return cls(query)


@dataclass(frozen=True, slots=True)
class Parse:
    """Make a prepared statement."""

    TAG: ClassVar[bytes] = b"P"
    #: "" is the unnamed statement.
    statement: str
    query: str
    #: For the first parameters, in order; 0 leaves a type to the server.
    parameter_oids: tuple[int, ...] = ()

    def encode(self) -> bytes:
        writer = Writer("Parse", self.TAG)
        writer.string(self.statement, "statement")
        writer.string(self.query, "query")
        writer.count(self.parameter_oids, "parameter oid")
        writer.uint32s(self.parameter_oids, "parameter oid")
        return writer.frame()

    @classmethod
    def decode(cls, body: bytes) -> Self:
        reader = Reader("Parse", body)
        statement = reader.string("statement")
        query = reader.string("query")
        oids = reader.uint32s(reader.uint16("count of parameter oids"), "parameter oids")
        reader.end()
        return cls(statement, query, oids)


@dataclass(frozen=True, slots=True)
class Bind:
    """Make a portal out of a prepared statement and parameters.

    `encode` raises InterfaceError for more than 65535 parameters, and if `parameter_formats` does not have none, one
    or as many entries as there are parameters.
    """

    TAG: ClassVar[bytes] = b"B"
    #: "" is the unnamed portal.
    portal: str
    #: "" is the unnamed statement.
    statement: str
    #: One for all parameters, one for each, or none (all TEXT).
    parameter_formats: tuple[Format, ...] = ()
    #: None is NULL.
    parameters: tuple[bytes | None, ...] = ()
    #: One for all result columns, one for each, or none (all TEXT).
    result_formats: tuple[Format, ...] = ()

    def encode(self) -> bytes:
        writer = Writer("Bind", self.TAG)
        if fault := _formats_fault(self.parameter_formats, self.parameters):
            raise writer.error(fault)
        writer.string(self.portal, "portal")
        writer.string(self.statement, "statement")
        writer.formats(self.parameter_formats, "parameter format")
        writer.count(self.parameters, "parameter")
        for parameter in self.parameters:
            writer.value(parameter)
        writer.formats(self.result_formats, "result format")
        return writer.frame()

    @classmethod
    def decode(cls, body: bytes) -> Self:
        reader = Reader("Bind", body)
        portal = reader.string("portal")
        statement = reader.string("statement")
        parameter_formats = reader.formats("parameter format")
        parameters = tuple([reader.value("parameter") for _ in range(reader.uint16("count of parameters"))])
        result_formats = reader.formats("result format")
        reader.end()
        if fault := _formats_fault(parameter_formats, parameters):
            raise reader.error(fault)
        return cls(portal, statement, parameter_formats, parameters, result_formats)


@dataclass(frozen=True, slots=True)
class _Targeted:
    """The common shape of Describe and Close."""

    TAG: ClassVar[bytes]
    target: Target
    #: "" is the unnamed one.
    name: str

    def encode(self) -> bytes:
        writer = Writer(type(self).__name__, self.TAG)
        writer.raw(self.target.value.encode())
        writer.string(self.name, "name")
        return writer.frame()

    @classmethod
    def decode(cls, body: bytes) -> Self:
        reader = Reader(cls.__name__, body)
        code = reader.int8("target")
        target = _TARGETS.get(code)
        if target is None:
            raise reader.error(f"target is {code}, neither 83 (S) nor 80 (P)")
        name = reader.string("name")
        reader.end()
        return cls(target, name)


@dataclass(frozen=True, slots=True)
class Describe(_Targeted):
    """Ask for ParameterDescription (of a statement only) and RowDescription or NoData."""

    TAG: ClassVar[bytes] = b"D"


@dataclass(frozen=True, slots=True)
class Close(_Targeted):
    """Drop a statement (and its portals) or a portal. Closing what does not exist is no error."""

    TAG: ClassVar[bytes] = b"C"


@dataclass(frozen=True, slots=True)
class Execute:
    """Run a portal."""

    TAG: ClassVar[bytes] = b"E"
    #: "" is the unnamed portal.
    portal: str
    #: Suspend after this many rows; 0 or less is no limit.
    max_rows: int = 0

    def encode(self) -> bytes:
        writer = Writer("Execute", self.TAG)
        writer.string(self.portal, "portal")
        writer.int32(self.max_rows, "max_rows")
        return writer.frame()

    @classmethod
    def decode(cls, body: bytes) -> Self:
        reader = Reader("Execute", body)
        portal = reader.string("portal")
        max_rows = reader.int32("max_rows")
        reader.end()
        return cls(portal, max_rows)


@dataclass(frozen=True, slots=True)
class Flush(EmptyMessage):
    """Asks for what is answered so far, without ending the group."""

    TAG: ClassVar[bytes] = b"H"


@dataclass(frozen=True, slots=True)
class Sync(EmptyMessage):
    """Ends a group of extended messages; answered by one ReadyForQuery."""

    TAG: ClassVar[bytes] = b"S"


@dataclass(frozen=True, slots=True)
class Terminate(EmptyMessage):
    """The frontend closes the connection."""

    TAG: ClassVar[bytes] = b"X"


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """Call a function by its oid; answered by FunctionCallResponse and, without a Sync, ReadyForQuery. Legacy."""

    TAG: ClassVar[bytes] = b"F"
    function_oid: int
    #: One for all arguments, one for each, or none (all TEXT).
    argument_formats: tuple[Format, ...] = ()
    #: None is NULL.
    arguments: tuple[bytes | None, ...] = ()
    result_format: Format = Format.TEXT

    def encode(self) -> bytes:
        writer = Writer("FunctionCall", self.TAG)
        if fault := _formats_fault(self.argument_formats, self.arguments):
            raise writer.error(fault)
        writer.uint32(self.function_oid, "function oid")
        writer.formats(self.argument_formats, "argument format")
        writer.count(self.arguments, "argument")
        for argument in self.arguments:
            writer.value(argument)
        writer.int16(self.result_format, "result format")
        return writer.frame()

    @classmethod
    def decode(cls, body: bytes) -> Self:
        reader = Reader("FunctionCall", body)
        function_oid = reader.uint32("function oid")
        argument_formats = reader.formats("argument format")
        arguments = tuple([reader.value("argument") for _ in range(reader.uint16("count of arguments"))])
        result_format = reader.format("result format")
        reader.end()
        if fault := _formats_fault(argument_formats, arguments):
            raise reader.error(fault)
        return cls(function_oid, argument_formats, arguments, result_format)
