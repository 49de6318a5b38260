"""Frontend: the client's end of one connection, still without any I/O.

It joins the two machines (start-up, session), the statement cache and the codecs. A transport drives it through
`Engine`; the client asks it for operations. Nothing in it waits: what needs several answers in turn is a conversation
in `client/`.
"""

import logging
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cache
from typing import Any, Final, NoReturn
from weakref import WeakMethod, WeakSet

from pgsansio.codecs import introspection
from pgsansio.codecs.builtin import BUILTIN
from pgsansio.codecs.catalog import BY_NAME
from pgsansio.codecs.descriptions import Description, Descriptions
from pgsansio.codecs.registry import Registry
from pgsansio.codecs.row_plan import plan_rows
from pgsansio.codecs.type_catalog import TypeCatalog, parts_of
from pgsansio.codecs.type_info import TypeInfo, TypeKind
from pgsansio.engine.driven import CancelExchange
from pgsansio.engine.events import Event, StatementsDiscarded
from pgsansio.engine.operations import (
    BARRIER,
    BEGINS,
    DISCARDS_ROWS,
    ENDS,
    EXCLUSIVE,
    FOLLOWS,
    INTERNAL,
    SYNC,
    Batch,
    Copy,
    DescribedAgain,
    FirstExecution,
    FunctionCallOperation,
    Operation,
    Preparation,
    RowsKept,
    RowStream,
    Script,
    SimpleQuery,
)
from pgsansio.engine.routes import STEPS
from pgsansio.engine.session import Session, is_refused_before
from pgsansio.engine.startup import StartupMachine
from pgsansio.engine.states import Awaiting
from pgsansio.enums import Format, Outcome, StatementMode
from pgsansio.errors import (
    DuplicatePreparedStatementError,
    InvalidCachedStatementError,
    InvalidSQLStatementNameError,
    PostgresError,
    ProtocolError,
)
from pgsansio.kernel import Record, decode_rows, row_plan
from pgsansio.kernel.contract import (
    Arguments,
    Opcode,
    OutdatedTypeError,
    RowPlan,
    UnknownTypeError,
    ValueCodec,
)
from pgsansio.messages.backend import FieldDescription
from pgsansio.messages.frontend import (
    Bind,
    Close,
    Describe,
    Execute,
    Flush,
    FunctionCall,
    Parse,
    Query,
    Sync,
    Target,
    Terminate,
)
from pgsansio.messages.startup import PROTOCOL_3_0, CancelRequest
from pgsansio.policy.authentication_rules import ANY_AUTHENTICATION, AuthenticationRules
from pgsansio.policy.keywords import StatementKind, classify
from pgsansio.policy.pooling import PROBE, PROBE_NAME, is_process_id, mode_found, mode_told
from pgsansio.policy.statement_cache import StatementCache
from pgsansio.policy.statement_names import StatementNames, own_name_in
from pgsansio.simple_statement import SimpleStatement
from pgsansio.statement import Statement, unnamed
from pgsansio.types import TlsInfo, parse_server_version
from pgsansio.types.secret import Secret, hide
from pgsansio.wire.framing import ReceiveBuffer, last_frame

__all__ = ["NOT_AS_KNOWN", "Frontend", "contradicts", "has_no_output"]

_logger: Final = logging.getLogger("pgsansio")

#: For servers that do not say what they are.
_NEWEST_MAJOR: Final = 18
_AS_IT_COMES: Final = BUILTIN[BY_NAME["bytea"].oid, Format.BINARY]
#: For what is asked about types.
_BUILTIN_ONLY: Final = Registry()
_UNDEFINED_FUNCTION: Final = "42883"
_DATATYPE_MISMATCH: Final = "42804"
_INTERNAL_ERROR: Final = "XX000"
#: Functions of the server; None: of one that does not say.
_NO_TYPE: Final = ("getTypeInputInfo", "getTypeBinaryInputInfo")
#: Those that find no binary output function: for a type, and for what an array or a range is made of.
_NO_BINARY_OUTPUT: Final = (
    "getTypeBinaryOutputInfo", "array_send", "get_range_io_data", "get_multirange_io_data", None
)  # fmt: skip
_OTHER_ATTRIBUTES: Final = ("record_recv", None)
_SYNTAX_OR_ACCESS: Final = "42"
_INSUFFICIENT_PRIVILEGE: Final = "42501"
#: Of a wrong number of parameters, a value that is none of its type in binary, and an unknown type.
NOT_AS_KNOWN: Final = ("08P01", "22P03", _INTERNAL_ERROR)

_SYNC: Final = Sync().encode()
_FLUSH: Final = Flush().encode()
_EXECUTE_ALL: Final = Execute("", 0).encode()
_TERMINATE: Final = Terminate().encode()

_EXECUTE: Final = STEPS(Awaiting.BIND_COMPLETE, Awaiting.EXECUTION, Awaiting.READY)
_PARSE_AND_EXECUTE: Final = STEPS(Awaiting.PARSE_COMPLETE, Awaiting.BIND_COMPLETE, Awaiting.EXECUTION, Awaiting.READY)
_READY: Final = STEPS(Awaiting.READY)
_FETCH: Final = STEPS(Awaiting.EXECUTION, Awaiting.READY)
_CLOSE: Final = STEPS(Awaiting.CLOSE_COMPLETE, Awaiting.READY)
_STREAM: Final = STEPS(Awaiting.STREAM_ROWS, Awaiting.READY)
_PREPARE: Final = (
    Awaiting.PARSE_COMPLETE,
    Awaiting.PARAMETER_DESCRIPTION,
    Awaiting.ROW_DESCRIPTION,
    Awaiting.READY,
)
_FIRST: Final = (*_PREPARE[:-1], Awaiting.BIND_COMPLETE, Awaiting.EXECUTION, Awaiting.READY)
_SIMPLE: Final = STEPS(Awaiting.SIMPLE_QUERY)
_BATCH: Final = STEPS(Awaiting.BATCH_BIND)
_FUNCTION: Final = STEPS(Awaiting.FUNCTION_RESULT, Awaiting.READY)
_PROBE_STEPS: Final = STEPS(
    Awaiting.CLOSE_COMPLETE,
    Awaiting.PARSE_COMPLETE,
    Awaiting.BIND_COMPLETE,
    Awaiting.EXECUTION,
    Awaiting.CLOSE_COMPLETE,
    Awaiting.READY,
)
_CLOSE_PROBE: Final = Close(Target.STATEMENT, PROBE_NAME).encode()
# Closed in front as well, since one that was cancelled has left it behind.
_PROBE: Final = b"".join(
    [_CLOSE_PROBE, Parse(PROBE_NAME, PROBE).encode(), Bind("", PROBE_NAME).encode(), _EXECUTE_ALL, _CLOSE_PROBE, _SYNC]
)


def _behind_closes(closing: Sequence[str], steps: Sequence[Awaiting]) -> tuple[Any, ...]:
    """These answers, behind those to Close of so many names."""
    return STEPS(*[Awaiting.CLOSE_COMPLETE] * len(closing), *steps)


def _unknown(codec: ValueCodec) -> ValueCodec:
    """In its place, where values have to wait until the type is known."""

    def decode(data: bytes) -> NoReturn:
        raise UnknownTypeError(f"a value of the unknown type {codec.oid}", oids=frozenset([codec.oid]))

    return ValueCodec(codec.oid, codec.name, Opcode.CALL, codec.format, decode, codec.encode)


def _simple_traits(kind: StatementKind) -> int:
    """What the queue has to know of a text of the user's in the simple protocol."""
    return (BARRIER if kind.simple_barrier else 0) | (BEGINS if kind.begins_transaction else 0)


def contradicts(error: PostgresError) -> bool:
    """Whether a statement that was refused before it was executed was perhaps refused for what was known of it."""
    code = error.sqlstate or ""
    return (code.startswith(_SYNTAX_OR_ACCESS) and code != _INSUFFICIENT_PRIVILEGE) or code in NOT_AS_KNOWN


def has_no_output(error: PostgresError) -> bool:
    """Whether a type has no binary output, or one that it is made of."""
    return error.sqlstate == _UNDEFINED_FUNCTION and error.server_source_function in _NO_BINARY_OUTPUT


def _plan(statement: Statement, record_class: type[Any] | None) -> RowPlan:
    return statement.row_plan if record_class is None else statement.rows_as(record_class)


@cache
def _introspection(query: str, parameter_oids: tuple[int, ...]) -> Statement:
    """A question about types; of a registry of its own, so that no codec of anybody's changes how it is read."""
    kind = classify(query)
    return Statement(query, "", parameter_oids, introspection.FIELDS, Registry(), Record, kind, is_fixed=True)


def _nameless(oid: int) -> TypeInfo:
    """A type that its database does not know (any more)."""
    return TypeInfo(oid, f"type {oid}", "unknown", f"type {oid}", TypeKind.BASE, has_binary=False)


def _with_parts(catalog: TypeCatalog, oids: Iterable[int]) -> list[TypeInfo]:
    """What is known of these types, and of what they are made of."""
    waiting = list(oids)
    found: dict[int, TypeInfo] = {}
    while waiting:
        info = catalog.info(waiting.pop())
        if info is not None and info.oid not in found:
            found[info.oid] = info
            waiting += parts_of(info)
    return list(found.values())


def _is_gone(catalog: TypeCatalog, oid: int) -> bool:
    """Whether this type, or one that it is made of, is none of the database's."""
    return any(info == _nameless(info.oid) for info in _with_parts(catalog, [oid]))


def _weak(method: Callable[[], None]) -> Callable[[], None]:
    """A method that does not keep its object."""
    weak = WeakMethod(method)

    def call() -> None:
        alive = weak()
        if alive is not None:
            alive()

    return call


class Frontend(Session):
    """The client's end of one connection, start-up included.

    Attributes:
        registry: codecs of this connection.
        descriptions: of statements; what is shared with other connections to the same database.
        statement_mode: how it sends statements: as it was told, or as has turned out to be right so far.
        statements: its statement cache.
        process_id, secret_key: of the backend; None before start-up, or if the server gave none.
        tls: what the transport has agreed on with the server, as far as it has said so; None: nothing is encrypted.
    """

    def __init__(
        self,
        *,
        registry: Registry | None = None,
        descriptions: Descriptions | None = None,
        statement_mode: StatementMode | None = StatementMode.CACHED,
        statement_cache_size: int = 100,
        max_cached_statement_lifetime: float = 300.0,
        max_cacheable_statement_size: int = 15360,
        record_class: type[Any] = Record,
    ) -> None:
        super().__init__(ReceiveBuffer())
        self.registry = registry if registry is not None else Registry()
        self.registry.on_change = _weak(self.forget_all)
        self.registry.on_outdated = _weak(self._outdated)
        self.record_class = record_class
        self.statement_mode = StatementMode.CACHED if statement_mode is None else statement_mode
        #: Nobody has said how statements are to be sent.
        self._finds_mode = statement_mode is None
        #: There may be a pooler, and nobody knows whether it keeps track of statements. Until the answer to this
        #: question has come they are sent without names.
        self._is_unsure = False
        self._probe: Operation | None = None
        self.descriptions = descriptions if descriptions is not None else Descriptions()
        self.statements: StatementCache[Statement] = StatementCache(
            size=0 if statement_mode is StatementMode.SIMPLE else statement_cache_size,
            max_statement_size=max_cacheable_statement_size,
            lifetime=max_cached_statement_lifetime,
        )
        self.process_id: int | None = None
        self.secret_key: bytes | None = None
        self.protocol_version = PROTOCOL_3_0
        self.tls: TlsInfo | None = None
        #: `cached(query, now)`: the statement for this text, if it is prepared and not too old.
        self.cached = self.statements.get
        self._startup: StartupMachine | None = None
        self._portals = 0
        self._names = StatementNames()
        #: Names of statements that the server still has and nobody needs.
        self._to_close: list[str] = []
        #: What makes statements or closes them, on its way.
        self._preparations: list[Preparation] = []
        #: Statements with names that are somebody's own.
        self._own: WeakSet[Statement] = WeakSet()

    @property
    def is_simple(self) -> bool:
        """Whether it does without the extended protocol."""
        return self.statement_mode is StatementMode.SIMPLE

    # the transport's side (the rest is the session's)

    def connection_lost(self, cause: BaseException | None) -> None:
        if self._startup is not None:
            self._startup.lost(cause)
            self.woken += self._startup.woken
            self._startup.woken = []
        self.lost(cause)

    def next_event(self) -> Event | None:
        """The oldest event that nobody has taken."""
        while self.events:
            event = self.events.popleft()
            if not isinstance(event, StatementsDiscarded):
                return event
            # One of them, or all: closing a name that the server does not know does no harm.
            self._note_names()
            self._names.discarded()
            self._to_close += [statement.name for statement in self.statements.clear() if statement.name]
        self.news = self.cancel_due or not self.is_open
        return None

    # start-up

    def start_up(
        self,
        parameters: Sequence[tuple[str, str]],
        *,
        user: str,
        password: str | Secret[str] | None,
        nonce: str,
        rules: AuthenticationRules = ANY_AUTHENTICATION,
        protocol_version: int = PROTOCOL_3_0,
        min_protocol_version: int = PROTOCOL_3_0,
        has_token: bool = False,
        is_private: bool = False,
    ) -> StartupMachine:
        """Begin: StartupMessage goes out. `operation` of what is returned settles when the session is ready.

        Args: as of `StartupMachine`; `tls` is known by then, if the connection is encrypted.
        """
        if password is not None:
            password = hide(password)
        startup = StartupMachine(
            self.buffer,
            parameters,
            user=user,
            password=password,
            nonce=nonce,
            rules=rules,
            tls=self.tls,
            protocol_version=protocol_version,
            min_protocol_version=min_protocol_version,
            has_token=has_token,
            is_private=is_private,
        )
        self._startup = startup
        # Until the session is ready, bytes are the start-up's; afterwards the detour is gone.
        self.bytes_received = self._start_up_received  # type: ignore[method-assign]
        if not self.is_open:
            startup.lost(self.failure)  # before it had begun
        self._start_up_proceeds()
        return startup

    def _start_up_received(self, size_bytes: int) -> None:
        self.buffer.end += size_bytes
        self._start_up_proceeds()

    def start_up_work_done(self, result: Secret[bytes]) -> None:
        """The result of the start-up machine's `work`."""
        startup = self._startup
        if startup is not None and startup.work is not None:
            startup.work_done(result)
            self._start_up_proceeds()

    def start_up_token(self, token: str | Secret[str]) -> None:
        """The OAuth token that the start-up machine wants (`token_due`).

        Raises:
            ClientConfigurationError: it is none.
        """
        token = hide(token)
        startup = self._startup
        if startup is not None and startup.token_due:
            startup.token_given(token)
            self._start_up_proceeds()

    def start_up_gss_stepped(self, token: bytes | None, *, is_established: bool) -> None:
        """What the GSSAPI or SSPI step that the start-up machine wants (`gss_due`) has come to.

        Args: as of `StartupMachine.gss_stepped`.
        """
        startup = self._startup
        if startup is not None and startup.gss_due is not None:
            startup.gss_stepped(token, is_established=is_established)
            self._start_up_proceeds()

    def _start_up_proceeds(self) -> None:
        startup = self._startup
        assert startup is not None
        startup.process()
        self.outbox += b"".join(startup.outbox)
        startup.outbox.clear()
        self.woken += startup.woken
        startup.woken.clear()
        operation = startup.operation
        if operation.outcome is Outcome.COMPLETED:
            self._startup = None
            del self.bytes_received
            self.process_id, self.secret_key = startup.process_id, startup.secret_key
            self.protocol_version = startup.protocol_version
            self.parameters.update(startup.parameters)
            if self._finds_mode:
                self._begin_with_mode()
            self.events.extend(startup.events)
            self.news = bool(self.events)
            self.bytes_received(0)
        elif operation.settled:
            self._startup = None
            del self.bytes_received
            self.lost(operation.error)

    # how statements are sent

    def _begin_with_mode(self) -> None:
        """The session has begun: how statements are sent, by what is known of sessions like it, or by what it has told
        of itself."""
        mode = self.descriptions.statement_mode or mode_told(self.parameters)
        if mode is None and not is_process_id(self.process_id):
            mode, self._is_unsure = StatementMode.UNNAMED, True
        self.statement_mode = mode or StatementMode.CACHED

    def _may_name(self) -> bool:
        """Whether names of statements are of use, as far as that is known now."""
        if self._finds_mode:
            self._look_at_mode()
        return self.statement_mode is StatementMode.CACHED

    def _look_at_mode(self) -> None:
        """Do as other sessions of the kind have found to be right, or find out what is."""
        probe = self._probe
        if self._is_unsure and self.descriptions.statement_mode is None:
            if probe is None and self.pipelining and not self.in_transaction:
                # In front of the user's own statement, and nobody waits for it.
                probe = Operation(_PROBE, _PROBE_STEPS, SYNC | INTERNAL | DISCARDS_ROWS)
                self.submit(probe)
                self._probe = probe
            if probe is None or not probe.settled:
                return
            self._is_unsure = False
            if probe.error is not None:
                return  # it cannot be asked
            self._tell_mode(mode_found(probe.tag))
        found = self.descriptions.statement_mode
        if found is None or found is self.statement_mode:
            return
        self._is_unsure = False
        if found is StatementMode.CACHED:
            self.statement_mode = found
            self.statements.clear()  # they have no names
        else:
            self.statement_mode = found
            self._lose_names()

    def _names_are_lost(self) -> None:
        """Prepared statements are not there any more, or others' are, though nothing has been done about them here: a
        pooler gives each transaction to another session of the server."""
        if self.statement_mode is StatementMode.CACHED:
            if self._finds_mode:
                self._tell_mode(StatementMode.UNNAMED)
                self.statement_mode = StatementMode.UNNAMED
            self._lose_names()

    def _tell_mode(self, mode: StatementMode) -> None:
        """Have all sessions of the kind use this mode, and the user know of it."""
        if mode is StatementMode.UNNAMED and self.descriptions.statement_mode is not mode:
            _logger.info(
                "A pooler that does not seem to keep track of prepared statements is between this client and the "
                "server: statements are parsed with each execution (statement_mode='unnamed')"
            )
        self.descriptions.statement_mode = mode

    def _lose_names(self) -> None:
        """Statements that were prepared so far are of use only without their names."""
        for statement in [*self.statements.values(), *self._own]:
            if own_name_in(statement.name) == statement.name:
                statement.lose_name()
        self._names.clear()

    # operations

    def execute(
        self,
        statement: Statement,
        arguments: Arguments,
        max_rows: int = 0,
        record_class: type[Any] | None = None,
        traits: int = 0,
    ) -> Operation:
        """Bind and Execute.

        Args:
            max_rows: stop after so many rows; 0: all.
            traits: besides those of the statement.
        Raises:
            InterfaceError, DataError: as `Statement.bind` and `Session.submit`; nothing was sent.
        """
        if arguments or statement.parameter_count:
            if statement.opening:
                return self._execute_unnamed(statement, arguments, max_rows, record_class, traits)
            data = statement.bind(arguments, max_rows)
        else:
            try:
                data = statement.constant[max_rows]
            except KeyError:
                if statement.opening:
                    return self._execute_unnamed(statement, arguments, max_rows, record_class, traits)
                data = statement.constant[max_rows] = statement.bind((), max_rows)
        operation = Operation(
            data,
            statement.steps,
            statement.traits | traits,
            statement.row_plan if record_class is None else statement.rows_as(record_class),
        )
        self.submit(operation)
        return operation

    def _execute_unnamed(
        self,
        statement: Statement,
        arguments: Arguments,
        max_rows: int,
        record_class: type[Any] | None,
        traits: int,
    ) -> Operation:
        operation = DescribedAgain(
            statement.opening + statement.bind(arguments, max_rows),
            statement.steps,
            statement.traits | traits,
            _plan(statement, record_class),
            statement,
            self.compare,
        )
        self.submit(operation)
        return operation

    def compare(self, operation: DescribedAgain, fields: tuple[FieldDescription, ...]) -> UnknownTypeError | None:
        """See to it that rows are decoded by what this session of the server says of them (`DescribedAgain`)."""
        statement: Statement = operation.statement
        if fields == statement.described:
            return None
        # Another search path, or a table was changed. What is known of it is of no use any more.
        operation.is_outdated = True
        self.descriptions.forget(statement.query)
        self.forget(statement)
        columns, plan = statement.as_asked(fields), operation.row_plan
        if columns is None or plan is None:
            return None  # there are more or fewer than it asks for: the server will refuse that
        registry = statement.registry
        operation.row_plan = plan_rows(registry, columns, plan.record_class)
        operation.unsure = self._unsure_of(registry, columns)
        if operation.unsure:
            return UnknownTypeError("a column is of a type that was unknown", oids=operation.unsure)
        return None

    @staticmethod
    def _unsure_of(registry: Registry, columns: Sequence[FieldDescription]) -> frozenset[int]:
        """Types of which it is not known whether they can be understood in the format asked for."""
        unknown = registry.catalog.missing([column.type_oid for column in columns])
        return unknown | {
            column.type_oid for column in columns if not registry.reads_alike(column.type_oid, column.format)
        }

    def prepare(self, query: str, *, named: bool, name: str = "") -> Preparation:
        """Parse and Describe, and Close of what was evicted or released.

        Args:
            named: make a name for it, if names are of use.
            name: the user's.
        Raises:
            InterfaceError: the text or the name holds a zero byte; or as `Session.submit`.
        """
        name, data, closing = self._opening(query, (), None if named else name)
        operation = Preparation(data + _SYNC, _behind_closes(closing, _PREPARE), SYNC, name, closing)
        self.submit_preparation(operation)
        return operation

    def _opening(
        self, query: str, parameter_oids: tuple[int, ...], name: str | None
    ) -> tuple[str, bytes, tuple[str, ...]]:
        """Close of what was evicted or released, Parse and Describe.

        Args:
            name: None: one is made, if names are of use.
        Returns:
            The name, the messages, and the names that they close.
        Raises:
            InterfaceError: the text or the name holds a zero byte.
        """
        is_named = name is None and self._may_name() and query not in self.descriptions.nameless
        self._note_names()
        # At once, since the collector may release another one meanwhile.
        released, self._to_close = self._to_close, []
        if self.statement_mode is not StatementMode.CACHED:
            # By a pooler's doing names of ours may be another client's as well.
            released = [one for one in released if own_name_in(one) != one]
        closing = self._names.to_close(released)
        name = self._names.take(query, parameter_oids) if is_named else name or ""
        try:
            closes = [Close(Target.STATEMENT, one).encode() for one in closing]
            parse = Parse(name, query, parameter_oids).encode()
            return name, b"".join([*closes, parse, Describe(Target.STATEMENT, name).encode()]), closing
        except BaseException:
            self._not_sent(name, closing)
            raise

    def _not_sent(self, name: str, closing: Sequence[str]) -> None:
        """What `_opening` has given will not be sent."""
        self._names.free([name])
        self._names.not_closed(closing)
        self._to_close += closing

    def _note_names(self) -> None:
        """Take note of what has become of the names that were on their way."""
        pending: list[Preparation] = []
        for operation in self._preparations:
            if not operation.settled:
                pending.append(operation)
                continue
            # A step for each answer, and those to Close come first; -1 where all of it was skipped.
            answered = max(operation.step, 0)
            self._names.free(operation.closing[:answered])
            unanswered = operation.closing[answered:]
            self._names.not_closed(unanswered)
            self._to_close += unanswered
            if operation.is_parsed:
                self._names.parsed(operation.name)
            else:
                self._names.free([operation.name])
        self._preparations = pending

    def prepared(
        self,
        query: str,
        operation: Preparation,
        now: float,
        *,
        record_class: type[Any] | None = None,
        keep: bool = True,
    ) -> Statement:
        """The statement that a completed `prepare` has made, kept in the cache if it is worth that.

        Args:
            record_class: of its rows; None: the connection's.
            keep: False: it is somebody's own, who will `release` it.
        """
        name = self._kept_name(operation)
        self._describe(query, operation, now)
        statement = Statement(
            query,
            name,
            operation.parameter_oids,
            operation.fields,
            self.registry,
            self.record_class if record_class is None else record_class,
            classify(query),
        )
        if keep and self.statements.cacheable(query):
            self._keep(statement, now)
        elif name:
            self._own.add(statement)
        return statement

    def _kept_name(self, operation: Preparation) -> str:
        """Under which name what was prepared can be used."""
        name = operation.name
        return "" if self.statement_mode is not StatementMode.CACHED and own_name_in(name) == name else name

    def _keep(self, statement: Statement, now: float) -> None:
        evicted = self.statements.put(statement.query, statement, now)
        self._to_close += [one.name for one in evicted if one.name]

    def description(self, query: str, now: float) -> Description | None:
        """What some connection has learned of this statement, if that is not too long ago."""
        return self.descriptions.get(query, now, self.statements.lifetime)

    def _describe(self, query: str, operation: Preparation, since: float) -> None:
        if self.statements.is_short(query):
            self.descriptions.put(query, Description(operation.parameter_oids, operation.fields, since))

    def executed_first(
        self, query: str, operation: FirstExecution, description: Description | None, now: float
    ) -> None:
        """Keep what a first execution has prepared, in the cache if it is worth that.

        Args:
            description: what was thought to be known of it.
        Raises:
            UnsupportedClientFeatureError: no codec suits one of its types.
        """
        statement: Statement | None = operation.statement
        if description is None or operation.parameter_oids != description.parameter_oids:
            since = now
        else:
            since = description.since  # the server was told them
        name = self._kept_name(operation)
        is_worth_it = self.statements.cacheable(query)
        if statement is not None and statement.name != name:
            statement.lose_name()
        if is_worth_it and (statement is None or statement.generation != self.registry.generation):
            statement = Statement(
                query,
                name,
                operation.parameter_oids,
                operation.fields,
                self.registry,
                self.record_class,
                classify(query),
            )
        self._describe(query, operation, since)
        if is_worth_it and statement is not None:
            self._keep(statement, now)

    def first_execution(
        self,
        query: str,
        arguments: Arguments,
        max_rows: int,
        record_class: type[Any] | None,
        description: Description | None,
    ) -> FirstExecution:
        """Parse, Describe, Bind and Execute of a statement that is not prepared, in one group; to be submitted.

        Args:
            description: what is thought to be known of it; None: its columns are asked for in binary, whichever there
                are.
        Raises:
            DataError: an argument cannot be encoded as was assumed.
            InterfaceError: there are more or fewer than was assumed, or the text holds a zero byte.
        """
        oids, fields = ((), ()) if description is None else (description.parameter_oids, description.fields)
        name, data, closing = self._opening(query, oids, None if self.statements.cacheable(query) else "")
        try:
            assumed = Statement(query, name, oids, fields, self.registry, self.record_class, classify(query))
            if description is None:
                assumed.ask_in_binary()
            data += assumed.bind(arguments, max_rows)
        except BaseException:
            self._not_sent(name, closing)
            raise
        registry, own = self.registry, self.record_class
        records = own if record_class is None else record_class

        def plan(operation: FirstExecution) -> UnknownTypeError | None:
            columns = assumed.as_asked(operation.fields)
            if columns is None:
                return None
            if columns == assumed.fields and operation.parameter_oids == oids:
                operation.statement = assumed
                operation.row_plan = assumed.rows_as(records)
                return None
            unknown = self._unsure_of(registry, columns)
            if unknown:
                operation.unsure = unknown
                operation.row_plan = plan_rows(registry, columns, records)
                return UnknownTypeError("a column is of a type that was unknown", oids=unknown)
            statement = Statement(query, name, operation.parameter_oids, operation.fields, registry, own, assumed.kind)
            operation.statement = statement
            fits = columns == statement.fields
            operation.row_plan = statement.rows_as(records) if fits else plan_rows(registry, columns, records)
            return None

        return FirstExecution(data, _behind_closes(closing, _FIRST), assumed.traits, name, closing, plan)

    def submit_preparation(self, operation: Preparation) -> None:
        """Raises InterfaceError as `Session.submit`."""
        try:
            self.submit(operation)
        except BaseException:
            self._not_sent(operation.name, operation.closing)
            raise
        self._preparations.append(operation)

    def convert(self, oid: int, values: Sequence[bytes], given: Format, wanted: Format) -> Batch:
        """Have the server turn values of a type from one format into another: a row of one `bytes` for each."""
        parts = [Parse("", "SELECT $1", (oid,)).encode()]
        for value in values:
            parts += (Bind("", "", (given,), (value,), (wanted,)).encode(), _EXECUTE_ALL)
        plan = row_plan(("value",), (_AS_IT_COMES,), Record)
        operation = Batch(b"".join([*parts, _SYNC]), _BATCH, SYNC | FOLLOWS, len(values), plan, None)
        self.submit(operation)
        return operation

    def _outdated(self) -> None:
        self.descriptions.clear()
        self.forget_all()

    def forget_all(self) -> None:
        """Do not use any of the cached statements again."""
        self._to_close += [statement.name for statement in self.statements.clear() if statement.name]

    # types

    def missing_types(self, described: Preparation | Statement | Description) -> frozenset[int]:
        """Types of a described statement that nothing is known of."""
        oids = {field.type_oid for field in described.fields}
        oids.update(described.parameter_oids)
        return self.registry.catalog.missing(oids)

    def introspect(self, oids: Iterable[int]) -> Operation:
        """Ask the database about types, and everything that they are made of.

        In one Sync group, without a name on the server and with built-in types alone: nothing that a user, a pool or
        another session has set changes how it is read.
        """
        query = introspection.types_by_oid(self._server_major())
        return self._ask(query, introspection.PARAMETER_OIDS, (sorted(oids),), FOLLOWS)

    def introspect_name(self, schema: str | None, typename: str) -> Operation:
        """Ask the database about a type by its name; None for the schema: the one that the session finds it in."""
        query = introspection.types_by_name(self._server_major())
        return self._ask(query, introspection.NAME_PARAMETER_OIDS, introspection.name_arguments(schema, typename), 0)

    def _ask(self, query: str, parameter_oids: tuple[int, ...], arguments: Arguments, traits: int) -> Operation:
        if not self.is_simple:
            return self.execute(_introspection(query, parameter_oids), arguments, traits=traits)
        data = Query(SimpleStatement(query, _BUILTIN_ONLY, self.parameters).text(arguments)).encode()
        operation = SimpleQuery(data, _SIMPLE, SYNC | traits, lambda fields: plan_rows(_BUILTIN_ONLY, fields, Record))
        self.submit(operation)
        return operation

    def _server_major(self) -> int:
        try:
            return parse_server_version(self.parameters["server_version"]).major
        except (KeyError, ValueError):
            return _NEWEST_MAJOR

    def learned(self, operation: Operation, oids: Iterable[int] = (), *, nameless: bool = True) -> frozenset[int]:
        """Keep the answer to `introspect`; which of the types asked about it does not tell of.

        Args:
            nameless: the database does not have those: they are known as text from now on.
        Raises:
            ProtocolError: the answer is none.
        """
        found = introspection.read_types(operation.rows)
        absent = frozenset(oids).difference([info.oid for info in found])
        self._learn([*found, *map(_nameless, absent)] if nameless else found)
        return absent

    def _learn(self, infos: Iterable[TypeInfo]) -> None:
        try:
            self.registry.catalog.learn(infos)
        except ValueError as error:
            raise ProtocolError(f"the server's description of types is wrong: {error}") from None

    def is_current(self, operation: Operation, registry: Registry) -> bool:
        """Whether the rows of an operation were decoded as types are known now."""
        plan = operation.row_plan
        return plan is not None and all(registry.codec_in(codec.oid, codec.format) is codec for codec in plan.codecs)

    def decode_kept(
        self, operation: Operation, kept: RowsKept, registry: Registry, absent: Collection[int] = ()
    ) -> None:
        """Go on with the rows of an operation that were kept, as types are known now; its `error` is what comes of
        it.

        Args:
            absent: unknown types that are taken for text, in these rows.
        """
        plan = operation.row_plan
        assert plan is not None
        catalog = registry.catalog
        absent = [oid for oid in absent if catalog.info(oid) is None]
        self._learn(map(_nameless, absent))
        try:
            codecs = tuple(
                [
                    # Of a type that was dropped meanwhile nothing better is known than what the plan has.
                    codec if _is_gone(catalog, codec.oid) else registry.codec_in(codec.oid, codec.format, codec.name)
                    for codec in plan.codecs
                ]
            )
            plan = operation.row_plan = row_plan(plan.names, codecs, plan.record_class)
            data = kept.data
            position, error = decode_rows(plan, data, 0, len(data), operation.rows, sys.maxsize)
        finally:
            catalog.forget(absent)
        if error is None:
            operation.error = None
            operation.outcome = Outcome.COMPLETED
        elif isinstance(error, UnknownTypeError | OutdatedTypeError):
            # The row that ends at `position` is the first of what is left.
            operation.error = RowsKept(error, data[last_frame(data, 0, position) :])
        else:
            operation.error = error
            operation.rows = []

    def heed(self, operation: Operation, statement: Statement | None) -> bool:
        """Take note of what the error of an execution or a preparation says about its statement; whether it may succeed
        now.

        Args:
            statement: None if it was forgotten before, or is none yet.
        """
        error = operation.error
        if not isinstance(error, PostgresError):
            return False
        if isinstance(error, InvalidCachedStatementError):
            if statement is not None:
                # The schema has changed. In a transaction the same error could not be mended: the pool's other
                # connections are spared it.
                self.forget(statement)
                self.registry.forget_statements()
            return True
        if isinstance(error, DuplicatePreparedStatementError):
            # A name that is taken is not given twice: another client has prepared the same text there.
            is_ours = own_name_in(error.message) is not None
            if is_ours:
                self._names_are_lost()
            return is_ours
        if isinstance(error, InvalidSQLStatementNameError):
            self._note_names()
            name = own_name_in(error.message)
            if name is not None and self._names.is_held(name):
                self._names_are_lost()
            if statement is not None and statement.name:
                self.descriptions.forget(statement.query)
                self.forget(statement)
            return True
        if isinstance(operation, DescribedAgain) and operation.is_outdated:
            return has_no_output(error) or (contradicts(error) and is_refused_before(operation))
        if statement is None:
            return False
        # Told by the server's function: the same errors are raised for other reasons, too.
        function = error.server_source_function
        if error.sqlstate == _INTERNAL_ERROR and function in _NO_TYPE:
            # "cache lookup failed for type ...": the type of a parameter was dropped, and may have been made anew.
            self.forget(statement)
            return True
        if has_no_output(error) and statement.binary_records:
            # "no binary output function available for type ...", of a member of an anonymous record.
            statement.take_records_as_text()
            return True
        if error.sqlstate == _DATATYPE_MISMATCH and function in _OTHER_ATTRIBUTES:
            # A composite argument has other attributes than the type.
            catalog = self.registry.catalog
            infos = _with_parts(catalog, statement.parameter_oids)
            composites = [info.oid for info in infos if info.kind is TypeKind.COMPOSITE]
            catalog.forget(composites)
            return bool(composites)
        if contradicts(error) and is_refused_before(operation) and self.statements.peek(statement.query) is statement:
            # By the types of its parameters, or the number of its columns, which others may have by now.
            self.descriptions.forget(statement.query)
            self.forget(statement)
            return True
        return False

    def drop(self, operation: Preparation) -> None:
        """Nobody makes a statement of what this has prepared; it is closed on the server when there is an occasion."""
        if operation.is_parsed and operation.name and not operation.abandoned:
            self._to_close.append(operation.name)

    def forget(self, statement: Statement) -> None:
        """Do not use this statement again, if it is a cached one; it is closed on the server when there is an
        occasion."""
        cached = self.statements.discard(statement.query)
        if cached is not None:
            self.release(cached)

    def release(self, statement: Statement) -> None:
        """Nobody uses it any more; it is closed on the server when there is an occasion. Callable in any thread."""
        if statement.name:
            self._to_close.append(statement.name)

    def close_statement(self, name: str) -> Operation:
        """Close of a prepared statement. Raises InterfaceError as `Session.submit`."""
        # It is in nobody's way, unless a BEGIN goes out with it.
        traits = SYNC if self.begin_is_due else SYNC | INTERNAL
        self._note_names()
        closing = self._names.to_close([name])
        operation = Preparation(Close(Target.STATEMENT, name).encode() + _SYNC, _CLOSE, traits, "", closing)
        self.submit_preparation(operation)
        return operation

    def simple_query(
        self,
        query: str,
        *,
        discard_rows: bool = True,
        internal: bool = False,
        begins: bool | None = None,
        kind: StatementKind | None = None,
    ) -> SimpleQuery:
        """A simple Query; its rows are discarded or decoded from text.

        Args:
            internal: the library's own: no barrier, and legal beside others in a transaction.
            begins: whether it begins a transaction; None: its text tells.
            kind: what its text tells, if that is known.
        Raises:
            InterfaceError: the text holds a zero byte; or as `Session.submit`.
        """
        data = Query(query).encode()
        traits = SYNC
        if internal:
            traits |= INTERNAL
        else:
            traits |= _simple_traits(kind or classify(query))
        if begins is not None:
            traits = (traits & ~BEGINS) | (BEGINS | BARRIER if begins else 0)
        if discard_rows:
            traits |= DISCARDS_ROWS
        operation = SimpleQuery(data, _SIMPLE, traits, None if discard_rows else self._plan_text_rows)
        self.submit(operation)
        return operation

    def sign_of_life(self) -> Operation:
        """What does nothing, and is answered. Raises InterfaceError as `Session.submit`."""
        # It is in nobody's way, unless a BEGIN goes out with it.
        internal = self.pipelining and not self.begin_is_due
        if self.is_simple:
            return self.simple_query("", internal=internal)
        return self.group((), INTERNAL if internal else 0)

    def begin_with_next(self, sql: str) -> None:
        """A transaction block from now on: this BEGIN goes out with the next operation (`Session.defer_begin`)."""
        if self._finds_mode and not self._is_unsure:
            # In the transaction it would be too late to do as others have found to be right.
            self._look_at_mode()
        self.defer_begin(unnamed(sql))

    def savepoint(self, sql: str) -> Operation:
        """SAVEPOINT, in the extended protocol, where there is that, so that it can bring a BEGIN along."""
        if self.is_simple:
            return self.simple_query(sql)
        operation = Operation(unnamed(sql) + _SYNC, _PARSE_AND_EXECUTE, SYNC | DISCARDS_ROWS)
        self.submit(operation)
        return operation

    def script(
        self,
        query: str,
        record_class: type[Any] | None = None,
        *,
        registry: Registry | None = None,
        kind: StatementKind | None = None,
    ) -> Script:
        """A simple Query whose statements' rows, decoded from text, are kept apart.

        Args:
            registry: whose codecs are used; None: the connection's.
            kind: as of `simple_query`.
        Raises: as `simple_query`.
        """
        codecs_of = registry or self.registry

        def plan(fields: tuple[FieldDescription, ...]) -> RowPlan:
            known = plan_rows(codecs_of, fields, record_class or self.record_class)
            missing = codecs_of.catalog.missing([codec.oid for codec in known.codecs])
            if not missing:
                return known
            # Without a Describe before, a type that has to be learned turns up now.
            codecs = tuple([_unknown(codec) if codec.oid in missing else codec for codec in known.codecs])
            return row_plan(known.names, codecs, known.record_class)

        traits = SYNC | _simple_traits(kind or classify(query))
        operation = Script(Query(query).encode(), _SIMPLE, traits, plan)
        self.submit(operation)
        return operation

    def rollback(self) -> SimpleQuery:
        """ROLLBACK of a transaction that was left by a cancellation; what is submitted from now on is outside of it."""
        operation = SimpleQuery(Query("ROLLBACK").encode(), _SIMPLE, SYNC | INTERNAL | ENDS | DISCARDS_ROWS)
        self.submit(operation)
        return operation

    def _plan_text_rows(self, fields: tuple[FieldDescription, ...]) -> RowPlan:
        return plan_rows(self.registry, fields, self.record_class)

    def batch(
        self,
        statement: Statement,
        data: bytes,
        count: int,
        *,
        complete: bool,
        owner: object,
        row_plan: RowPlan | None = None,
    ) -> Batch:
        """Many executions under one Sync; if not complete, more follow by `Session.extend` and nobody else's is
        written.

        Args:
            row_plan: of the rows of all of them, if they are wanted.
        """
        traits = (SYNC if complete else EXCLUSIVE) | (BARRIER if statement.kind.barrier else 0)
        if row_plan is None:
            traits |= DISCARDS_ROWS
        data, steps = data + _SYNC if complete else data, (*statement.steps[:-3], *_BATCH)
        operation = Batch(data, steps, traits, count, row_plan, owner, statement, self.compare)
        self.submit(operation)
        return operation

    # groups

    def preparation(self, query: str, *, named: bool = True) -> Preparation:
        """Parse and Describe, to be given to `group`. It is in the cache's hands once `prepared` was called.

        Args:
            named: make a name for it, if it is worth keeping and names are of use.
        Raises:
            InterfaceError: the text holds a zero byte.
        """
        name, data, closing = self._opening(query, (), None if named and self.statements.cacheable(query) else "")
        return Preparation(data, _behind_closes(closing, _PREPARE[:-1]), 0, name, closing)

    def group(self, operations: Sequence[Operation], traits: int = 0) -> Operation:
        """Queue operations that share one Sync group; what is returned is settled at its ReadyForQuery, after all of
        them.

        Args:
            operations: without Sync.
            traits: of the Sync, which is all that an empty group consists of.
        Raises:
            InterfaceError: as `Session.submit`; nothing was sent.
        """
        sync = Operation(_SYNC, _READY, SYNC | traits)
        group = [*operations, sync]
        # In one piece, since adding each to the outbox would copy all those before.
        data = b"".join([operation.data for operation in group])
        for operation in group:
            operation.data = b""
        group[0].data = data
        preparations = [operation for operation in operations if isinstance(operation, Preparation)]
        try:
            self.submit_group(group)
        except BaseException:
            for operation in preparations:
                self._not_sent(operation.name, operation.closing)
            raise
        self._preparations += preparations
        return sync

    # portals

    def open_portal(
        self, statement: Statement, arguments: Arguments, max_rows: int, record_class: type[Any] | None
    ) -> tuple[str, Operation]:
        """Bind a portal of a new name, which lives until the transaction ends, and Execute for so many rows.

        Args:
            max_rows: 0: none yet.
        Raises: as `execute`.
        """
        self._portals += 1
        portal = f"__pgsansio_portal_{self._portals:x}__"
        if max_rows:
            trailer = Execute(portal, max_rows).encode() + _SYNC
            steps = statement.steps
        else:
            trailer = _SYNC
            steps = (*statement.steps[:-2], *_READY)
        data, plan = statement.open(portal, arguments, trailer), _plan(statement, record_class)
        operation = DescribedAgain(data, steps, statement.traits, plan, statement, self.compare)
        self.submit(operation)
        return portal, operation

    def fetch_portal(self, statement: Statement, portal: str, max_rows: int, row_plan: RowPlan | None) -> Operation:
        """Execute for more rows of a portal of this statement.

        Args:
            row_plan: of the operation that has opened it.
        Raises:
            InterfaceError: as `Session.submit`.
        """
        data = Execute(portal, max_rows).encode() + _SYNC
        operation = Operation(data, _FETCH, statement.traits, row_plan)
        self.submit(operation)
        return operation

    def close_portal(self, portal: str) -> Operation:
        """Close of a portal, for which nobody needs to wait. Raises InterfaceError as `Session.submit`."""
        operation = Operation(Close(Target.PORTAL, portal).encode() + _SYNC, _CLOSE, SYNC | INTERNAL)
        self.submit(operation)
        return operation

    def stream(
        self,
        statement: Statement,
        arguments: Arguments,
        max_rows: int,
        record_class: type[Any] | None,
        *,
        owner: object,
    ) -> RowStream:
        """Bind and Execute for the first rows, outside of a transaction block. Nobody else's is written until its end.

        Args:
            max_rows: how many come at a time; `more_rows` asks for as many again.
        Raises: as `execute`.
        """
        data = statement.open("", arguments, Execute("", max_rows).encode() + _FLUSH)
        operation = RowStream(
            data,
            (*statement.steps[:-2], *_STREAM),
            EXCLUSIVE | (statement.traits & ~SYNC),
            _plan(statement, record_class),
            owner,
            statement,
            self.compare,
        )
        self.submit(operation)
        return operation

    def stream_on(self, operation: RowStream, max_rows: int) -> None:
        """Ask a stream for so many more rows."""
        self.more_rows(operation, Execute("", max_rows).encode() + _FLUSH)

    def copy(self, query: str, *, owner: object) -> Copy:
        """A COPY statement with data to give or to take."""
        # A statement that is no COPY, or follows one, may have rows; nobody could take them.
        operation = Copy(Query(query).encode(), _SIMPLE, SYNC | BARRIER | EXCLUSIVE | DISCARDS_ROWS, owner)
        self.submit(operation)
        return operation

    def function_call(self, message: FunctionCall) -> FunctionCallOperation:
        """A FunctionCall (legacy; large objects)."""
        operation = FunctionCallOperation(message.encode(), _FUNCTION, SYNC)
        self.submit(operation)
        return operation

    def _settle(self, operation: Operation, outcome: Outcome) -> None:
        super()._settle(operation, outcome)
        # Only what it has made itself: under a user's name there may have been another one before.
        if operation.abandoned and isinstance(operation, Preparation) and operation.is_parsed and operation.name:
            self._to_close.append(operation.name)

    def cancel_exchange(self) -> CancelExchange | None:
        """The exchange that cancels what runs, to be driven over a connection of its own; None: the server gave no
        key."""
        if self.process_id is None or self.secret_key is None:
            return None
        return CancelExchange(CancelRequest(self.process_id, self.secret_key).encode())

    def part(self) -> Operation:
        """Terminate goes out, as by `terminate`; what is returned is settled when the server has hung up."""
        return self.say_goodbye(_TERMINATE)

    def terminate(self) -> None:
        """Terminate goes out; everything that is not settled ends as lost."""
        self.close(_TERMINATE)
