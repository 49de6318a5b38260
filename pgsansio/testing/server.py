"""A server that answers the statements that a test describes, instead of PostgreSQL.

    server = ScriptedServer()
    server.answer("SELECT name FROM fruit WHERE id = $1", parameters=["int4"], columns={"name": "text"},
                  rows=lambda call: [(f"fruit {call.arguments[0]}",)])
    server.answer(re.compile("^INSERT INTO fruit"), error=UniqueViolationError("duplicate key"))

How this works. A session is a `Backend` with a statement's worth of knowledge: it prepares, binds and describes from
what `answer` was told, keeps the state of its transaction, and knows by itself what needs no table: transactions and
savepoints, SET, LISTEN and NOTIFY, portals, and the statements that a pool resets a connection with. It takes up one
message of the client at a time, and only when it is asked what it says, so that whoever carries the bytes decides what
comes between two messages: a CancelRequest, a lost connection, another session's NOTIFY.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from pgsansio._error_base import FIELD_NAMES
from pgsansio.authentication.server import AuthenticationMethod, Trust
from pgsansio.backend import Backend
from pgsansio.codecs.registry import Registry
from pgsansio.codecs.type_catalog import builtin_oid
from pgsansio.engine.states import Awaiting
from pgsansio.enums import Format, TransactionStatus
from pgsansio.errors import (
    AdminShutdownError,
    DuplicateCursorError,
    DuplicatePreparedStatementError,
    FeatureNotSupportedError,
    InFailedSQLTransactionError,
    InvalidCursorNameError,
    InvalidSavepointSpecificationError,
    InvalidSQLStatementNameError,
    InvalidTextRepresentationError,
    PostgresError,
    QueryCanceledError,
)
from pgsansio.messages.backend import (
    BindComplete,
    CloseComplete,
    CommandComplete,
    DataRow,
    EmptyQueryResponse,
    ErrorResponse,
    FieldDescription,
    NoData,
    NoticeResponse,
    NotificationResponse,
    ParameterDescription,
    ParseComplete,
    PortalSuspended,
    ReadyForQuery,
    RowDescription,
)
from pgsansio.messages.copy import CopyData, CopyDone, CopyFail, CopyInResponse, CopyOutResponse
from pgsansio.messages.frontend import (
    Bind,
    Close,
    Describe,
    Execute,
    FunctionCall,
    Parse,
    Query,
    Sync,
    Target,
    Terminate,
)
from pgsansio.messages.startup import CancelRequest, GSSENCRequest, SSLRequest, StartupMessage
from pgsansio.messages.tags import FrontendMessage
from pgsansio.policy.keywords import parameters_of, split_statements

__all__ = ["Call", "ScriptedServer", "Session"]

_TEXT: Final = 25
_PARAMETERS: Final = {
    "client_encoding": "UTF8",
    "DateStyle": "ISO, MDY",
    "integer_datetimes": "on",
    "server_version": "16.4",
    "standard_conforming_strings": "on",
    "TimeZone": "UTC",
}
_SECRET_KEY: Final = b"key!"
_SPACE: Final = re.compile(r"\s+")
_BINARY: Final = re.compile(r"\bbinary\b", re.IGNORECASE)
#: What a server says of a statement where it is not its first words.
_COUNTED: Final = ("DELETE", "MERGE", "UPDATE")


@dataclass(frozen=True, slots=True)
class Call:
    """A statement that was carried out, or is about to be."""

    session: "Session"
    #: As it was sent; of a script, one statement of it.
    statement: str
    #: Decoded by the types of the statement's parameters.
    arguments: tuple[object, ...] = ()
    #: If the answer was described by a pattern.
    match: re.Match[str] | None = None
    #: What COPY FROM STDIN has brought.
    copied: bytes = b""


#: Rows, or a function that makes them for each call. What it raises as a PostgresError is the server's error.
Rows: TypeAlias = Iterable[Sequence[object]] | Callable[[Call], Iterable[Sequence[object]]]


@dataclass(frozen=True, slots=True)
class _Answer:
    statement: str | re.Pattern[str]
    parameters: tuple[int, ...] = ()
    columns: tuple[tuple[str, int], ...] = ()
    rows: Rows = ()
    tag: str | None = None
    notices: tuple[str, ...] = ()
    error: PostgresError | None = None
    fatal: bool = False
    copy_out: Iterable[bytes] | Callable[[Call], Iterable[bytes]] | None = None
    copy_in: Callable[[Call], object] | None = None
    waits: bool = False


@dataclass(slots=True)
class _Statement:
    sql: str
    #: None: an empty text, or something that the session knows by itself.
    answer: _Answer | None
    parameters: tuple[int, ...]
    match: re.Match[str] | None


@dataclass(slots=True)
class _Portal:
    statement: _Statement
    arguments: tuple[object, ...]
    formats: tuple[Format, ...]
    #: Once it has been executed.
    rows: Iterator[Sequence[object]] | None = None
    #: How many rows it has given.
    position: int = 0
    #: One that was taken to see whether there is another.
    ahead: list[Sequence[object]] = field(default_factory=list)


@dataclass(slots=True)
class _Copy:
    statement: _Statement
    arguments: tuple[object, ...]
    data: bytearray


class ScriptedServer:
    """Sessions, and what they answer. Called with an address, it makes the session of a new connection.

    Args:
        parameters: what is reported at start-up, beside or instead of what a server reports.
        authentication: makes the method of each session; default: everybody is let in.

    Attributes:
        sessions: those that have begun, in order; without those that brought a CancelRequest only.
        calls: statements that were begun, of all sessions, in order.
        unexpected: statements that nobody has described. They got an error (0A000).
        cancel_requests: how many have come with a right key.
    """

    def __init__(
        self,
        parameters: Mapping[str, str] | None = None,
        *,
        authentication: Callable[[], AuthenticationMethod] = Trust,
    ) -> None:
        self.parameters: dict[str, str] = {**_PARAMETERS, **(parameters or {})}
        self.authentication = authentication
        self.sessions: list[Session] = []
        self.calls: list[Call] = []
        self.unexpected: list[str] = []
        self.cancel_requests = 0
        self._refusal: PostgresError | None = None
        self._process_id = 1000
        self._answers: list[_Answer] = []
        self.answer("SELECT pg_advisory_unlock_all()", columns={"pg_advisory_unlock_all": "void"}, rows=[("",)])
        # What `target_session_attrs` asks of servers that do not report it.
        role = re.compile("^SELECT pg_catalog.pg_is_in_recovery")
        self.answer(role, columns={"standby": "bool", "read_only": "bool"}, rows=[(False, False)])

    def __call__(self, address: object = None) -> "Session":
        self._process_id += 1
        return self._make_session(self._process_id)

    def _make_session(self, process_id: int) -> "Session":
        return Session(self, process_id)

    def answer(
        self,
        statement: str | re.Pattern[str],
        *,
        parameters: Iterable[str | int] = (),
        columns: Mapping[str, str | int] | None = None,
        rows: Rows = (),
        tag: str | None = None,
        notices: Iterable[str] = (),
        error: PostgresError | None = None,
        fatal: bool = False,
        copy_out: Iterable[bytes] | Callable[[Call], Iterable[bytes]] | None = None,
        copy_in: Callable[[Call], object] | None = None,
        waits: bool = False,
    ) -> None:
        """Describe what comes of a statement from now on; what was said last holds.

        Args:
            statement: its whole text, but for white space and a semicolon at its end; or a pattern, to be found in it.
            parameters: types of `$1`, `$2` and so on, by their names or oids; text where it does not say. What the
                client declares goes before.
            columns: name and type of each; None: there are no rows.
            rows: values of the columns, None for NULL; or a function of the call.
            tag: the command tag; default: as a server says, with the number of rows (INSERT and its like without
                RETURNING: 1).
            notices: are sent before anything else.
            error: is sent behind the rows, in the place of the tag.
            fatal: the session ends with the error.
            copy_out: CopyData messages for COPY TO STDOUT.
            copy_in: it is COPY FROM STDIN; called with the data (`Call.copied`) when it is complete.
            waits: it does not end by itself, only by a CancelRequest (57014), or with the session.
        Raises:
            LookupError: no built-in type has such a name.
        """
        self._answers.append(
            _Answer(
                statement if isinstance(statement, re.Pattern) else _normal(statement),
                tuple(_oid(name) for name in parameters),
                tuple((name, _oid(type_)) for name, type_ in (columns or {}).items()),
                rows,
                tag,
                tuple(notices),
                error,
                fatal,
                copy_out,
                copy_in,
                waits,
            )
        )

    def refuse(self, error: PostgresError | None) -> None:
        """New sessions end at start-up with this error; None: no longer."""
        self._refusal = error

    def notify(self, channel: str, payload: str = "", *, process_id: int = 0) -> None:
        """Whoever listens gets a notification, as soon as it is in no transaction."""
        for session in self.sessions:
            session.notified(NotificationResponse(process_id, channel, payload))

    def terminate(self, error: PostgresError | None = None) -> None:
        """All sessions end with this error; None: as by pg_terminate_backend (57P01)."""
        for session in self.sessions:
            session.terminate(error)

    def check(self) -> None:
        """AssertionError if statements came that nobody has described."""
        assert not self.unexpected, f"no answer was described for {self.unexpected}"

    def _find(self, sql: str) -> tuple[_Answer | None, re.Match[str] | None]:
        normal = _normal(sql)
        for answer in reversed(self._answers):
            if isinstance(answer.statement, str):
                if answer.statement == normal:
                    return answer, None
            elif (match := answer.statement.search(normal)) is not None:
                return answer, match
        return None, None

    def _cancel(self, request: CancelRequest) -> None:
        for session in self.sessions:
            if (session.process_id, _SECRET_KEY) == (request.process_id, request.secret_key) and not session.hung_up:
                self.cancel_requests += 1
                session.interrupt()


class Session:
    """One connection to a `ScriptedServer`: a `Peer`.

    Attributes:
        process_id: what CancelRequest names it by.
        status: of its transaction.
        channels: it listens to.
        values: for functions that make answers; a rollback gives back what was there when the transaction, or the
            savepoint, began. Values in it are to be replaced, not changed.
        hung_up: it has ended.
    """

    def __init__(self, server: ScriptedServer, process_id: int) -> None:
        self.backend = Backend()
        self.process_id = process_id
        self.status = TransactionStatus.IDLE
        self.channels: set[str] = set()
        self.values: dict[str, object] = {}
        self.hung_up = False
        self.waits = False
        self.on_news: Callable[[], None] | None = None
        self._server = server
        self._codecs = Registry()
        self._statements: dict[str, _Statement] = {}
        self._portals: dict[str, _Portal] = {}
        #: What a rollback gives back; None: nothing was done since the last ReadyForQuery outside of a transaction.
        self._before: tuple[set[str], dict[str, object]] | None = None
        self._savepoints: list[tuple[str, tuple[set[str], dict[str, object]]]] = []
        #: A CancelRequest came while there was something to do: it hits the next statement up to Sync.
        self._interrupted = False
        #: What is left of a script.
        self._script: list[str] | None = None
        self._copy: _Copy | None = None
        self._notifying: list[tuple[str, str]] = []
        self._notified: list[NotificationResponse] = []

    # the wire

    def receive_data(self, data: bytes) -> None:
        self.backend.receive_data(data)

    def receive_eof(self) -> None:
        self._end()

    def data_to_send(self) -> bytes:
        backend = self.backend
        while not (data := backend.data_to_send()) and not self.waits and not self.hung_up:
            message = backend.next_message()
            if message is not None:
                self._answer(message)
            elif backend.ended:
                data = backend.data_to_send()
                self._end()
                break
            elif not self._tell():
                break
        return data

    def interrupt(self) -> None:
        """A CancelRequest has come for this session."""
        if self.waits or self._copy is not None:
            self.waits = False
            self._copy = None
            self._fail(QueryCanceledError("canceling statement due to user request"))
            self._go_on_with_script(failed=True)
            self._announce()
        else:
            buffer = self.backend.buffer
            # It is over when what is left of a COPY has been read, which the server passes over.
            self._interrupted = buffer.start < buffer.end and buffer.data[buffer.start] not in _OF_COPY

    def terminate(self, error: PostgresError | None = None) -> None:
        """It ends with this error; None: as by pg_terminate_backend (57P01)."""
        if not self.hung_up:
            if error is None:
                error = AdminShutdownError("terminating connection due to administrator command")
            # At any time: also while a COPY goes on, or nothing was asked.
            self.backend.send_bytes(ErrorResponse(_fields(error, "FATAL")).encode())
            self._end()
            self._announce()

    def notified(self, notification: NotificationResponse) -> None:
        """Somebody has notified a channel, which this session may listen to."""
        if notification.channel in self.channels and not self.hung_up:
            self._notified.append(notification)
            self._announce()

    def _announce(self) -> None:
        if self.on_news is not None:
            self.on_news()

    def _tell(self) -> bool:
        """Send notifications, if it is the time for them and there are any."""
        if self.status is not TransactionStatus.IDLE or self.backend.awaiting is not Awaiting.NOTHING:
            return False
        notified, self._notified = self._notified, []
        self.backend.send(*notified)
        return bool(notified)

    def _end(self) -> None:
        if not self.hung_up:
            self.hung_up = True
            self.waits = False
            self._rollback()

    # messages

    def _answer(self, message: FrontendMessage) -> None:
        backend = self.backend
        try:
            match message:
                case SSLRequest() | GSSENCRequest():
                    backend.answer_encryption(b"N")
                case CancelRequest():
                    self._server._cancel(message)
                    self._end()
                case StartupMessage():
                    self._start()
                case Terminate():
                    self._end()
                case Query():
                    self._script = split_statements(message.query)
                    if not self._script:
                        backend.send(EmptyQueryResponse())
                    self._go_on_with_script()
                case Parse():
                    self._parse(message)
                case Describe():
                    self._describe(message)
                case Bind():
                    self._bind(message)
                case Execute():
                    self._execute(message)
                case Close():
                    named = self._statements if message.target is Target.STATEMENT else self._portals
                    named.pop(message.name, None)
                    backend.send(CloseComplete())
                case Sync():
                    self._ready()
                case CopyData():
                    if self._copy is not None:
                        self._copy.data += message.data
                case CopyDone() | CopyFail():
                    self._copy_ended(message)
                case FunctionCall():
                    self._fail(FeatureNotSupportedError("this server has no functions"))
                    self._ready()
                case _:  # an answer of the authentication, which the method has looked at; or Flush
                    self._welcome()
        except PostgresError as error:
            self._fail(error)

    def _start(self) -> None:
        server = self._server
        server.sessions.append(self)
        if server._refusal is not None:
            self.backend.send(ErrorResponse(_fields(server._refusal, "FATAL")))
            self._end()
            return
        self.backend.authenticate(server.authentication())
        self._welcome()

    def _welcome(self) -> None:
        if self.backend.startup.name == "AUTHENTICATED":
            self.backend.welcome(self._server.parameters, self.process_id, _SECRET_KEY)

    def _parse(self, message: Parse) -> None:
        if message.statement and message.statement in self._statements:
            raise DuplicatePreparedStatementError(f'prepared statement "{message.statement}" already exists')
        self._check_transaction(message.query)
        statement = self._prepare(message.query)
        told = message.parameter_oids
        statement.parameters = tuple(
            (told[number] if number < len(told) else 0) or oid for number, oid in enumerate(statement.parameters)
        )
        self._statements[message.statement] = statement
        self.backend.send(ParseComplete())

    def _prepare(self, sql: str) -> _Statement:
        """Raises FeatureNotSupportedError: nobody has described it."""
        answer, match = self._server._find(sql)
        if answer is None and not is_known(sql):
            self._server.unexpected.append(sql)
            raise FeatureNotSupportedError(f"no answer was described for this statement: {sql}")
        described = () if answer is None else answer.parameters
        count = max((number for _, _, number in parameters_of(sql)), default=0)
        oids = (*described, *(_TEXT,) * (count - len(described)))[:count]
        return _Statement(sql, answer, oids, match)

    def _describe(self, message: Describe) -> None:
        if message.target is Target.STATEMENT:
            statement = self._statement(message.name)
            formats: tuple[Format, ...] = ()
            self.backend.send(ParameterDescription(statement.parameters))
        else:
            portal = self._portal(message.name)
            statement, formats = portal.statement, portal.formats
        columns = () if statement.answer is None else statement.answer.columns
        self.backend.send(_row_description(columns, formats) if columns else NoData())

    def _statement(self, name: str) -> _Statement:
        if name not in self._statements:
            raise InvalidSQLStatementNameError(f'prepared statement "{name}" does not exist')
        return self._statements[name]

    def _portal(self, name: str) -> _Portal:
        if name not in self._portals:
            raise InvalidCursorNameError(f'portal "{name}" does not exist')
        return self._portals[name]

    def _bind(self, message: Bind) -> None:
        if message.portal and message.portal in self._portals:
            raise DuplicateCursorError(f'cursor "{message.portal}" already exists')
        statement = self._statement(message.statement)
        self._check_transaction(statement.sql)
        formats = _each(message.parameter_formats, len(message.parameters))
        values: list[object] = []
        for oid, format_, data in zip(statement.parameters, formats, message.parameters, strict=True):
            try:
                values.append(None if data is None else self._codecs.codec_in(oid, format_).decode(data))
            except ValueError as error:
                raise InvalidTextRepresentationError(str(error)) from error
        columns = () if statement.answer is None else statement.answer.columns
        self._portals[message.portal] = _Portal(statement, tuple(values), _each(message.result_formats, len(columns)))
        self.backend.send(BindComplete())

    def _execute(self, message: Execute) -> None:
        portal = self._portal(message.portal)
        self._check_transaction(portal.statement.sql)
        if portal.rows is None:
            rows = self._begin(portal.statement, portal.arguments)
            if rows is None:
                return
            portal.rows = iter(rows)
        self._check_interrupt()
        answer = portal.statement.answer
        count = 0
        for row in self._rest(portal):
            if message.max_rows and count == message.max_rows:
                portal.ahead.append(row)
                break
            self.backend.send(self._data_row(portal.statement, row, portal.formats))
            count += 1
        portal.position += count
        if message.max_rows and count == message.max_rows:
            # As a server, which does not look whether there is another row.
            self.backend.send(PortalSuspended())
        elif answer is None:
            self.backend.send(EmptyQueryResponse())
        else:
            self._finish(answer, portal.statement.sql, count)

    @staticmethod
    def _rest(portal: _Portal) -> Iterator[Sequence[object]]:
        while portal.ahead:
            yield portal.ahead.pop()
        assert portal.rows is not None
        yield from portal.rows

    # statements

    def _go_on_with_script(self, *, failed: bool = False) -> None:
        """Carry out the rest of a script, if there is one."""
        script = self._script
        if script is None:
            return
        if failed:
            script.clear()
        while script:
            sql = script.pop(0)
            try:
                self._check_transaction(sql)
                self._check_interrupt()
                statement = self._prepare(sql)
                rows = self._begin(statement, ())
                if self.waits or self._copy is not None:
                    return
                if rows is not None and statement.answer is not None:
                    columns, count = statement.answer.columns, 0
                    if columns:
                        self.backend.send(_row_description(columns, ()))
                    for row in rows:
                        self.backend.send(self._data_row(statement, row, ()))
                        count += 1
                    self._finish(statement.answer, sql, count)
            except PostgresError as error:
                self._fail(error)
                script.clear()
            if self.hung_up:
                return
        self._script = None
        self._ready()

    def _begin(self, statement: _Statement, arguments: tuple[object, ...]) -> Iterable[Sequence[object]] | None:
        """Begin to carry out a statement: its rows; None: it is over already, or goes on by other messages."""
        answer, sql = statement.answer, statement.sql
        call = Call(self, sql, arguments, statement.match)
        self._server.calls.append(call)
        if self._before is None:
            self._before = self._saved()
        self._check_interrupt()
        if answer is not None:
            self.backend.send(*(NoticeResponse(_notice_fields(notice)) for notice in answer.notices))
            if answer.waits:
                self.waits = True
                return None
        if is_known(sql):
            if answer is not None and answer.error is not None:
                if _word(sql) in ("COMMIT", "END"):
                    self._rollback()
                    self.status = TransactionStatus.IDLE
                self._finish(answer, sql, 0)
            elif sql:
                self.backend.send(CommandComplete(self._carry_out(sql)))
            else:
                return ()
            return None
        assert answer is not None
        if answer.copy_in is not None:
            self.backend.send(CopyInResponse(*_copy_formats(sql, answer)))
            self._copy = _Copy(statement, arguments, bytearray())
            return None
        if answer.copy_out is not None:
            data = answer.copy_out(call) if callable(answer.copy_out) else answer.copy_out
            self.backend.send(CopyOutResponse(*_copy_formats(sql, answer)))
            count = 0
            for piece in data:
                self.backend.send(CopyData(piece))
                count += 1
            self.backend.send(CopyDone())
            self._finish(answer, sql, count)
            return None
        return answer.rows(call) if callable(answer.rows) else answer.rows

    def _finish(self, answer: _Answer, sql: str, count: int) -> None:
        if answer.error is None:
            self.backend.send(CommandComplete(answer.tag or _tag(sql, count, bool(answer.columns))))
        elif answer.fatal:
            self.terminate(answer.error)
        else:
            raise answer.error

    def _copy_ended(self, message: CopyDone | CopyFail) -> None:
        copy, self._copy = self._copy, None
        if copy is None:
            return  # it was cancelled
        answer, sql = copy.statement.answer, copy.statement.sql
        assert answer is not None
        assert answer.copy_in is not None
        failed = True
        try:
            if isinstance(message, CopyFail):
                raise QueryCanceledError(f"COPY from stdin failed: {message.message}")
            call = Call(self, sql, copy.arguments, copy.statement.match, bytes(copy.data))
            self._server.calls[self._last_call(sql)] = call
            answer.copy_in(call)
            self._finish(answer, sql, call.copied.count(b"\n"))
            failed = False
        except PostgresError as error:
            self._fail(error)
        self._go_on_with_script(failed=failed)

    def _last_call(self, sql: str) -> int:
        calls = self._server.calls
        return max(n for n, call in enumerate(calls) if call.session is self and call.statement == sql)

    def _data_row(self, statement: _Statement, row: Sequence[object], formats: Sequence[Format]) -> DataRow:
        assert statement.answer is not None
        columns = statement.answer.columns
        if len(row) != len(columns):
            raise ValueError(f"a row of {len(row)} values was described for {len(columns)} columns: {statement.sql}")
        return DataRow(
            tuple(
                None if value is None else self._codecs.codec_in(oid, format_).encode(value)
                for (_, oid), format_, value in zip(columns, _each(formats, len(columns)), row, strict=True)
            )
        )

    def _carry_out(self, sql: str) -> str:
        """Do what needs no answer of anybody's; the command tag."""
        words = sql.rstrip(" ;").split()
        word, name = _word(sql), words[-1].strip('"')
        match word:
            case "BEGIN" | "START":
                self.status = TransactionStatus.IN_TRANSACTION
                return "BEGIN" if word == "BEGIN" else "START TRANSACTION"
            case "COMMIT" | "END":
                if self.status is TransactionStatus.FAILED:
                    self._rollback()
                    word = "ROLLBACK"
                else:
                    self._before = self._saved()
                    word = "COMMIT"
                self.status = TransactionStatus.IDLE
                return word
            case "SAVEPOINT":
                self._savepoints.append((name, self._saved()))
            case "RELEASE" | "ROLLBACK" | "ABORT" if word == "RELEASE" or "TO" in (part.upper() for part in words):
                if name not in [known for known, _ in self._savepoints]:
                    raise InvalidSavepointSpecificationError(f'savepoint "{name}" does not exist')
                while self._savepoints[-1][0] != name:
                    self._savepoints.pop()
                if word == "RELEASE":
                    self._savepoints.pop()
                else:
                    self._restore(self._savepoints[-1][1])
                    self.status = TransactionStatus.IN_TRANSACTION
            case "ROLLBACK" | "ABORT":
                self._rollback()
                self.status = TransactionStatus.IDLE
                return "ROLLBACK"
            case "LISTEN":
                self.channels.add(_channel(sql))
            case "UNLISTEN" if name == "*":
                self.channels.clear()
            case "UNLISTEN":
                self.channels.discard(_channel(sql))
            case "NOTIFY":
                channel, _, payload = sql.partition(",")
                self._notifying.append((_channel(channel), payload.strip(" ;'")))
            case "DISCARD" | "DEALLOCATE":
                self._discard(name, everything=word == "DISCARD")
                return "DISCARD ALL" if word == "DISCARD" else "DEALLOCATE ALL" if name.upper() == "ALL" else word
            case "CLOSE":
                for portal in [name] if name.upper() != "ALL" else list(self._portals):
                    self._portals.pop(portal, None)
                return "CLOSE CURSOR ALL" if name.upper() == "ALL" else "CLOSE CURSOR"
            case "MOVE":
                return f"MOVE {self._move(self._portal(name), words[1:-1])}"
            case _:  # SET and RESET change nothing here
                pass
        return word

    def _discard(self, name: str, *, everything: bool) -> None:
        if everything or name.upper() == "ALL":
            self._statements.clear()
        elif self._statements.pop(name, None) is None:
            raise InvalidSQLStatementNameError(f'prepared statement "{name}" does not exist')
        if everything:
            self.channels.clear()
            self._portals.clear()

    def _move(self, portal: _Portal, words: Sequence[str]) -> int:
        if portal.rows is None:
            portal.rows = iter(self._begin(portal.statement, portal.arguments) or ())
        wanted = next((int(word) for word in words if word.isdigit()), 1)
        moved = 0
        rest = self._rest(portal)
        while moved < wanted and next(rest, None) is not None:
            moved += 1
        portal.position += moved
        return moved

    # transactions

    def _saved(self) -> tuple[set[str], dict[str, object]]:
        return set(self.channels), dict(self.values)

    def _restore(self, saved: tuple[set[str], dict[str, object]]) -> None:
        self.channels, self.values = set(saved[0]), dict(saved[1])

    def _rollback(self) -> None:
        if self._before is not None:
            self._restore(self._before)
        self._notifying.clear()
        self._savepoints.clear()

    def _ready(self) -> None:
        """ReadyForQuery; outside of a transaction block what was done is committed."""
        self._interrupted = False
        self._script = None
        if self.status is TransactionStatus.IDLE:
            self._before = None
            self._savepoints.clear()
            self._portals.clear()
        self.backend.send(ReadyForQuery(self.status))
        if self.status is TransactionStatus.IDLE:
            notifying, self._notifying = self._notifying, []
            for channel, payload in notifying:
                self._server.notify(channel, payload, process_id=self.process_id)
            self._committed()

    def _committed(self) -> None:
        """Nothing that was done can be taken back any more; for subclasses."""

    def _check_transaction(self, sql: str) -> None:
        ends = _word(sql) in ("ROLLBACK", "ABORT", "COMMIT", "END", "")
        if self.status is TransactionStatus.FAILED and not ends:
            raise InFailedSQLTransactionError(
                "current transaction is aborted, commands ignored until end of transaction block"
            )

    def _check_interrupt(self) -> None:
        if self._interrupted:
            self._interrupted = False
            raise QueryCanceledError("canceling statement due to user request")

    def _fail(self, error: PostgresError) -> None:
        if self.status is TransactionStatus.IDLE:
            self._rollback()
        else:
            self.status = TransactionStatus.FAILED
        if not self.hung_up:
            self.backend.send(ErrorResponse(_fields(error, "ERROR")))


_OF_COPY: Final = CopyData.TAG + CopyDone.TAG + CopyFail.TAG
_KNOWN: Final = frozenset(
    {
        *("BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE", "SET", "RESET", "LISTEN"),
        *("UNLISTEN", "NOTIFY", "DISCARD", "DEALLOCATE", "CLOSE", "MOVE", ""),
    }
)


def is_known(sql: str) -> bool:
    """A session carries it out without having been told how."""
    return _word(sql) in _KNOWN


def _word(sql: str) -> str:
    """The first one, in capitals; "" if there is none."""
    return (sql.strip(" \t\r\n;").split(None, 1) or [""])[0].upper()


def _channel(sql: str) -> str:
    """What stands behind the first word."""
    return sql.split(None, 1)[1].strip(" ;").strip('"')


def _normal(sql: str) -> str:
    return _SPACE.sub(" ", sql).strip(" ;")


def _oid(type_: str | int) -> int:
    if isinstance(type_, int):
        return type_
    oid = builtin_oid(type_)
    if oid is None:
        raise LookupError(f"there is no built-in type {type_!r}")
    return oid


def _each(formats: Sequence[Format], count: int) -> tuple[Format, ...]:
    """One format code for each of so many (manual, "Message Formats", Bind)."""
    if len(formats) == 1:
        return (formats[0],) * count
    return tuple(formats) or (Format.TEXT,) * count


def _row_description(columns: Sequence[tuple[str, int]], formats: Sequence[Format]) -> RowDescription:
    return RowDescription(
        tuple(
            FieldDescription(name, 0, 0, oid, -1, -1, format_)
            for (name, oid), format_ in zip(columns, _each(formats, len(columns)), strict=True)
        )
    )


def _copy_formats(sql: str, answer: _Answer) -> tuple[Format, tuple[Format, ...]]:
    format_ = Format.BINARY if _BINARY.search(sql) else Format.TEXT
    return format_, (format_,) * (len(answer.columns) or 1)


def _tag(sql: str, count: int, has_rows: bool) -> str:
    word = _word(sql)
    if word == "INSERT":
        return f"INSERT 0 {count if has_rows else 1}"
    if word in _COUNTED:
        return f"{word} {count if has_rows else 1}"
    if word == "COPY":
        return f"COPY {count}"
    if has_rows:
        return f"SELECT {count}"
    return " ".join(_normal(sql).upper().split()[:2])


def _fields(error: PostgresError, severity: str) -> dict[str, str]:
    message = error.message or (str(error.args[0]) if error.args else type(error).__name__)
    fields = {"S": severity, "V": severity, "C": error.sqlstate or "XX000", "M": message}
    for code, name in FIELD_NAMES.items():
        value: str | None = getattr(error, name)
        if code not in fields and value is not None:
            fields[code] = value
    return fields


def _notice_fields(text: str) -> dict[str, str]:
    return {"S": "NOTICE", "V": "NOTICE", "C": "00000", "M": text}
