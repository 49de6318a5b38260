"""As much of a PostgreSQL as shows what became of a transaction. `ToyCluster` makes a server for each connection.

It has one table of integers and these statements, in scripts or one at a time:

    SELECT 7, SELECT $1     one row of one int4
    INSERT 7, INSERT $1     a row for the table
    SERIES 7, SERIES $1     so many rows of one int4: 1, 2, 3, ...
    MOVE FORWARD 2 name     skips rows of a portal of a SERIES
    FAIL, FAIL 40001        an error, with this SQLSTATE
    DEFER 40001             the next COMMIT has this error
    SLEEP                   does not end unless it is cancelled
    TYPED 16400 00ff 01     rows of one value of a type: these bytes, whatever format is asked for
    TYPED 16400 $1          a row of one value, as it was given
    the question about types by their oids, or by a name, is answered from `ToyCluster.types`
    BEGIN, COMMIT, ROLLBACK, SAVEPOINT, RELEASE SAVEPOINT, ROLLBACK TO, LISTEN, UNLISTEN, NOTIFY
    anything else           does nothing

It takes one message at a time, only when it is asked what it says, so that a CancelRequest can come anywhere between.
One that comes while messages wait hits the next statement, whosesoever that is, up to the next Sync.
"""

import re
import struct
from dataclasses import dataclass, field
from typing import Any

from pgsansio.authentication.server import Trust
from pgsansio.backend import Backend
from pgsansio.client.port import Address
from pgsansio.codecs import introspection
from pgsansio.codecs.registry import Registry
from pgsansio.codecs.type_catalog import builtin_info, parts_of
from pgsansio.codecs.type_info import TypeInfo, TypeKind
from pgsansio.enums import Format, TransactionStatus
from pgsansio.messages.backend import (
    BindComplete,
    CloseComplete,
    CommandComplete,
    DataRow,
    EmptyQueryResponse,
    ErrorResponse,
    FieldDescription,
    NoData,
    NotificationResponse,
    ParameterDescription,
    ParseComplete,
    PortalSuspended,
    ReadyForQuery,
    RowDescription,
)
from pgsansio.messages.frontend import Bind, Close, Describe, Execute, Flush, Parse, Query, Sync, Target, Terminate
from pgsansio.messages.startup import CancelRequest, StartupMessage

__all__ = ["ToyCluster", "ToyServer"]

INT4 = 23


@dataclass
class State:
    """What transactions are about."""

    rows: list[int] = field(default_factory=list)
    channels: set[str] = field(default_factory=set)

    def copy(self) -> "State":
        return State(list(self.rows), set(self.channels))


@dataclass
class Portal:
    sql: str
    parameters: tuple[bytes | None, ...]
    #: Rows of a SERIES that were given.
    position: int = 0

    @property
    def size(self) -> int:
        """How many rows a SERIES has."""
        value = self.parameters[0] if self.parameters else None
        return int(self.sql.split()[1]) if value is None else int(struct.unpack("!i", value)[0])


class Refused(Exception):
    def __init__(self, sqlstate: str, text: str) -> None:
        super().__init__(text)
        self.sqlstate = sqlstate


class ToyCluster:
    """Makes the servers, and hands CancelRequests on."""

    def __init__(self) -> None:
        self.servers: list[ToyServer] = []
        self.cancel_requests = 0
        #: What the catalogue says of types that are not built in.
        self.types: dict[int, TypeInfo] = {}
        #: How many statements have sent values of types.
        self.typed = 0
        #: For each question about types: the oids, or the schema and the name.
        self.questions: list[tuple[object, ...]] = []
        #: Instead of answering a question.
        self.question_error: tuple[str, str] | None = None

    def __call__(self, address: Address) -> "ToyServer":
        server = ToyServer(self, 1000 + len(self.servers))
        self.servers.append(server)
        return server

    def describe(self, sql: str, parameters: tuple[bytes | None, ...]) -> list[tuple[bytes | None, ...]]:
        """The answer to a question about types."""
        if sql == introspection.types_by_oid(16):
            asked = _decoded(introspection.PARAMETER_OIDS, parameters)[0]
            self.questions.append(tuple(asked))
        else:
            name, schema, array = _decoded(introspection.NAME_PARAMETER_OIDS, parameters)
            self.questions.append((schema, name + "[]" * array))
            named = [info.oid for info in self.types.values() if (info.schema, info.name) == (schema, name)]
            arrays = [info.oid for info in self.types.values() if info.inner_oid in named]
            asked = arrays if array else named
        if self.question_error is not None:
            raise Refused(*self.question_error)
        found: dict[int, TypeInfo] = {}
        waiting = list(asked)
        while waiting:
            oid = waiting.pop()
            info = self.types.get(oid) or builtin_info(oid)
            if info is not None and oid not in found:
                found[oid] = info
                waiting += parts_of(info)
        return [_type_row(info, info.oid in asked) for info in found.values()]

    def cancel(self, process_id: int) -> None:
        self.cancel_requests += 1
        for server in self.servers:
            if server.process_id == process_id:
                server.interrupt()

    @property
    def sessions(self) -> "list[ToyServer]":
        """Those that are no cancel connections."""
        return [server for server in self.servers if server.backend.startup_message is not None]


class ToyServer:
    def __init__(self, cluster: ToyCluster, process_id: int) -> None:
        self.backend = Backend()
        self.process_id = process_id
        self.status = TransactionStatus.IDLE
        self.state = State()
        self.hung_up = False
        self.sleeping = False
        self.interrupted = False
        #: SQL of the statements that were begun.
        self.log: list[str] = []
        self._cluster = cluster
        self._before: State | None = None
        self._savepoints: list[tuple[str, State]] = []
        self._statements: dict[str, str] = {}
        self._portals: dict[str, Portal] = {}
        #: After an error in the extended protocol, until Sync.
        self._skipping = False
        #: What is left of a script that sleeps.
        self._script: list[str] | None = None
        self._notifications: list[str] = []
        #: SQLSTATE of the error that the next COMMIT has.
        self._deferred = ""

    # the wire

    def receive_data(self, data: bytes) -> None:
        self.backend.receive_data(data)

    def receive_eof(self) -> None:
        self._end()

    def _end(self) -> None:
        self.hung_up = True
        self.sleeping = False
        self._undo()

    def data_to_send(self) -> bytes:
        while not (data := self.backend.data_to_send()) and not self.sleeping and not self.hung_up:
            message = self.backend.next_message()
            if message is None:
                break
            self._answer(message)
        return data

    def interrupt(self) -> None:
        """A CancelRequest has come."""
        if self.sleeping:
            self.sleeping = False
            self._fail(Refused("57014", "canceling statement due to user request"))
            if self._script is not None:
                self._script = None
                self._ready()
        else:
            buffer = self.backend.buffer
            self.interrupted = buffer.start < buffer.end

    def _answer(self, message: Any) -> None:
        backend = self.backend
        if self._skipping and not isinstance(message, Sync | Terminate):
            return
        match message:
            case StartupMessage():
                backend.authenticate(Trust())
                backend.welcome({"client_encoding": "UTF8", "server_version": "16.4"}, self.process_id, b"key!")
            case CancelRequest():
                self._cluster.cancel(message.process_id)
                self._end()
            case Terminate():
                self._end()
            case Query():
                self._script = [part.strip() for part in message.query.split(";") if part.strip()]
                if not self._script:
                    backend.send(EmptyQueryResponse())
                self._go_on()
            case Parse():
                self._statements[message.statement] = message.query.removesuffix(";")
                backend.send(ParseComplete())
            case Describe():
                assert message.target is Target.STATEMENT
                sql = self._statements[message.name]
                type_oid = int(sql.split()[1]) if sql.startswith("TYPED") else INT4
                backend.send(ParameterDescription((type_oid,) * sql.count("$1")))
                has_rows = sql.startswith(("SELECT", "TYPED", "SERIES"))
                backend.send(_description(Format.TEXT, type_oid) if has_rows else NoData())
            case Bind():
                self._portals[message.portal] = Portal(self._statements[message.statement], tuple(message.parameters))
                backend.send(BindComplete())
            case Execute():
                portal = self._portals.get(message.portal)
                if portal is None:
                    self._fail(Refused("34000", "there is no such portal"))
                elif portal.sql.startswith("SERIES"):
                    self._series(portal, message.max_rows)
                else:
                    self._execute(portal.sql, portal.parameters)
            case Close():
                (self._statements if message.target is Target.STATEMENT else self._portals).pop(message.name, None)
                backend.send(CloseComplete())
            case Flush():
                pass
            case Sync():
                self._ready()
            case _:
                raise AssertionError(f"the toy does not know {message!r}")

    def _go_on(self) -> None:
        """The rest of a script."""
        script = self._script
        while script:
            if not self._execute(script.pop(0), (), simple=True):
                script.clear()
            if self.sleeping:
                return
        self._script = None
        self._ready()

    def _ready(self) -> None:
        self.interrupted = self._skipping = False
        if self.status is TransactionStatus.IDLE:
            self._before = None
            self._savepoints.clear()
            self._portals.clear()
        self.backend.send(ReadyForQuery(self.status))
        for channel in self._notifications:
            if channel in self.state.channels:
                self.backend.send(NotificationResponse(self.process_id, channel, "payload"))
        self._notifications.clear()

    # statements

    def _series(self, portal: Portal, max_rows: int) -> None:
        self.log.append(portal.sql)
        if self._is_interrupted():
            return
        end = min(portal.size, portal.position + max_rows) if max_rows else portal.size
        numbers = range(portal.position, end)
        portal.position = end
        self.backend.send(*(DataRow((struct.pack("!i", number + 1),)) for number in numbers))
        is_suspended = max_rows and len(numbers) == max_rows
        self.backend.send(PortalSuspended() if is_suspended else CommandComplete(f"SELECT {len(numbers)}"))

    def _is_interrupted(self) -> bool:
        """A CancelRequest has come before, or the transaction has failed."""
        if self.interrupted:
            self.interrupted = False
            self._fail(Refused("57014", "canceling statement due to user request"))
        elif self.status is TransactionStatus.FAILED:
            self._fail(Refused("25P02", "current transaction is aborted"))
        else:
            return False
        return True

    def _execute(self, sql: str, parameters: tuple[bytes | None, ...], *, simple: bool = False) -> bool:
        self.log.append(sql)
        if self._before is None:
            self._before = self.state.copy()
        try:
            if self.interrupted:
                self.interrupted = False
                raise Refused("57014", "canceling statement due to user request")
            if sql.startswith(("TYPED", "WITH")):
                return self._send_rows(sql, parameters)
            tag, value = self._run(sql, parameters)
        except Refused as error:
            self._fail(error)
            return False
        if tag is None:
            self.sleeping = True
            return True
        if value is not None:
            if simple:
                self.backend.send(_description(Format.TEXT))
                value = str(struct.unpack("!i", value)[0]).encode()
            self.backend.send(DataRow((value,)))
        self.backend.send(CommandComplete(tag))
        return True

    def _send_rows(self, sql: str, parameters: tuple[bytes | None, ...]) -> bool:
        if sql.startswith("WITH"):
            rows = self._cluster.describe(sql, parameters)
        else:
            self._cluster.typed += 1
            rows = [parameters if data == "$1" else (bytes.fromhex(data),) for data in sql.split()[2:]]
        self.backend.send(*(DataRow(row) for row in rows), CommandComplete(f"SELECT {len(rows)}"))
        return True

    def _fail(self, error: Refused) -> None:
        if self.status is TransactionStatus.IDLE:
            self._undo()
        else:
            self.status = TransactionStatus.FAILED
        self._skipping = self._script is None
        fields = {"S": "ERROR", "V": "ERROR", "C": error.sqlstate, "M": str(error)}
        self.backend.send(ErrorResponse(fields))

    def _undo(self) -> None:
        if self._before is not None:
            self.state = self._before.copy()

    def _run(self, sql: str, parameters: tuple[bytes | None, ...]) -> tuple[str | None, bytes | None]:
        """Command tag (None: it sleeps) and value."""
        word = sql.split()[0].upper()
        if self.status is TransactionStatus.FAILED and word not in ("ROLLBACK", "COMMIT"):
            raise Refused("25P02", "current transaction is aborted, commands ignored until end of transaction block")
        value = parameters[0] if parameters else None
        if value is None and (number := re.search(r"(\d+)[')]*$", sql)):
            value = struct.pack("!i", int(number[1]))
        match word:
            case "SELECT":
                return "SELECT 1", value
            case "INSERT":
                assert value is not None
                self.state.rows.append(struct.unpack("!i", value)[0])
                return "INSERT 0 1", None
            case "MOVE":
                portal = self._portals.get(sql.split()[3])
                if portal is None:
                    raise Refused("34000", "there is no such portal")
                skipped = min(int(sql.split()[2]), portal.size - portal.position)
                portal.position += skipped
                return f"MOVE {skipped}", None
            case "FAIL":
                given = re.fullmatch(r"FAIL (\w{5})", sql)
                raise Refused(given[1] if given else "22012", "division by zero")
            case "DEFER":
                self._deferred = sql.split()[1]
            case "SLEEP":
                return None, None
            case "BEGIN":
                self.status = TransactionStatus.IN_TRANSACTION
            case "COMMIT" if self._deferred and self.status is not TransactionStatus.FAILED:
                self._undo()
                self.status = TransactionStatus.IDLE
                sqlstate, self._deferred = self._deferred, ""
                raise Refused(sqlstate, "not committed")
            case "COMMIT":
                if self.status is TransactionStatus.FAILED:
                    word = "ROLLBACK"
                    self._undo()
                self.status = TransactionStatus.IDLE
                self._before = self.state.copy()
            case "SAVEPOINT":
                self._savepoints.append((sql.split()[1], self.state.copy()))
            case "RELEASE":
                while self._savepoints.pop()[0] != sql.split()[-1]:
                    pass
            case "ROLLBACK" if " TO " in sql:
                while self._savepoints[-1][0] != sql.split()[-1]:
                    self._savepoints.pop()
                self.state = self._savepoints[-1][1].copy()
                self.status = TransactionStatus.IN_TRANSACTION
            case "ROLLBACK":
                self._undo()
                self.status = TransactionStatus.IDLE
            case "LISTEN":
                self.state.channels.add(sql.split()[1].strip('"'))
            case "UNLISTEN" if "*" in sql:
                self.state.channels.clear()
            case "UNLISTEN":
                self.state.channels.discard(sql.split()[1].strip('"'))
            case "NOTIFY":
                self._notifications.append(sql.split()[1].strip('"'))
        return word, None


def _description(format_: Format, type_oid: int = INT4) -> RowDescription:
    return RowDescription((FieldDescription("a", 0, 0, type_oid, 4, -1, format_),))


_LETTERS = {TypeKind.ARRAY: "a", TypeKind.BASE: "b", TypeKind.COMPOSITE: "c", TypeKind.DOMAIN: "d", TypeKind.ENUM: "e",
            TypeKind.MULTIRANGE: "m", TypeKind.PSEUDO: "p", TypeKind.RANGE: "r"}  # fmt: skip


def _type_row(info: TypeInfo, asked: bool) -> tuple[bytes | None, ...]:
    """As `introspection.FIELDS`."""
    names, oids = [name for name, _ in info.attributes], [oid for _, oid in info.attributes]
    values = (info.oid, info.name, info.schema, info.sql_name, _LETTERS[info.kind], info.delimiter, info.inner_oid,
              names or None, oids or None, info.extension, info.has_binary, asked)  # fmt: skip
    codecs = [Registry().codec_in(field.type_oid, Format.BINARY) for field in introspection.FIELDS]
    return tuple(None if value is None else codec.encode(value) for codec, value in zip(codecs, values, strict=True))


def _decoded(oids: tuple[int, ...], parameters: tuple[bytes | None, ...]) -> list[Any]:
    codecs = [Registry().codec_in(oid, Format.BINARY) for oid in oids]
    return [None if data is None else codec.decode(data) for codec, data in zip(codecs, parameters, strict=True)]
