"""Operations of every kind: simple queries, scripts, groups, portals, COPY."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NoReturn

from pgsansio.codecs.registry import Registry
from pgsansio.codecs.row_plan import plan_rows
from pgsansio.engine.operations import (
    BARRIER,
    BEGINS,
    DISCARDS_ROWS,
    ENDS,
    EXCLUSIVE,
    INTERNAL,
    SYNC,
    Copy,
    DescribedAgain,
    FunctionCallOperation,
    Operation,
    Preparation,
    RowStream,
    Script,
    SimpleQuery,
)
from pgsansio.engine.routes import RESET, SIMPLE, STEPS
from pgsansio.engine.states import Awaiting
from pgsansio.frontend.learning import Learning
from pgsansio.frontend.statements import plan_of
from pgsansio.kernel import row_plan
from pgsansio.kernel.contract import (
    Arguments,
    Opcode,
    RowPlan,
    UnknownTypeError,
    ValueCodec,
)
from pgsansio.messages.backend import FieldDescription
from pgsansio.messages.frontend import (
    Close,
    Execute,
    Flush,
    FunctionCall,
    Query,
    Sync,
    Target,
)
from pgsansio.policy.keywords import StatementKind, classify
from pgsansio.statement import Statement, unnamed

__all__ = ["Frontend"]

_SYNC: Final = Sync().encode()
_FLUSH: Final = Flush().encode()
_PARSE_AND_EXECUTE: Final = STEPS(Awaiting.PARSE_COMPLETE, Awaiting.BIND_COMPLETE, Awaiting.EXECUTION, Awaiting.READY)
_READY: Final = STEPS(Awaiting.READY)
_FETCH: Final = STEPS(Awaiting.EXECUTION, Awaiting.READY)
_CLOSE: Final = STEPS(Awaiting.CLOSE_COMPLETE, Awaiting.READY)
_STREAM: Final = STEPS(Awaiting.STREAM_ROWS, Awaiting.READY)
_RESETS: Final = SYNC | INTERNAL | DISCARDS_ROWS
_FUNCTION: Final = STEPS(Awaiting.FUNCTION_RESULT, Awaiting.READY)


def _unknown(codec: ValueCodec) -> ValueCodec:
    """In its place, where values have to wait until the type is known."""

    def decode(data: bytes) -> NoReturn:
        raise UnknownTypeError(f"a value of the unknown type {codec.oid}", oids=frozenset([codec.oid]))

    return ValueCodec(codec.oid, codec.name, Opcode.CALL, codec.format, decode, codec.encode)


def _simple_traits(kind: StatementKind) -> int:
    """What the queue has to know of a text of the user's in the simple protocol."""
    return SYNC | (BARRIER if kind.simple_barrier else 0) | (BEGINS if kind.begins_transaction else 0)


def _simple(query: str) -> tuple[bytes, int]:
    """A text in the simple protocol: the message, and its traits. Raises InterfaceError: it holds a zero byte."""
    return Query(query).encode(), _simple_traits(classify(query))


#: Texts without arguments come again and again: COMMIT, what resets a session, NOTIFY.
_known_simple: Final = lru_cache(maxsize=256)(_simple)
_SHORT_TEXT: Final = 1024

#: There are only so many ways to begin a transaction.
_begin: Final = lru_cache(maxsize=64)(unnamed)


class Frontend(Learning):
    """The client's end of one connection, start-up included. Nothing in it waits.

    A transport drives it through `Engine`; the client asks it for operations. What needs several answers in turn is a
    conversation in `pgsansio.client`.
    """

    #: How many there were.
    _portals = 0

    def simple_query(
        self,
        query: str,
        *,
        discard_rows: bool = True,
        internal: bool = False,
        kind: StatementKind | None = None,
    ) -> Operation:
        """A simple Query; its rows are discarded or decoded from text.

        Args:
            internal: the library's own: no barrier, and legal beside others in a transaction.
            kind: what its text tells, if that is known.
        Raises:
            InterfaceError: the text holds a zero byte; or as `Session.submit`.
        """
        if kind is not None:
            data, traits = Query(query).encode(), _simple_traits(kind)
        else:
            data, traits = (_known_simple if len(query) <= _SHORT_TEXT else _simple)(query)
        if internal:
            traits = SYNC | INTERNAL
        if discard_rows:
            operation = Operation(data, SIMPLE, traits | DISCARDS_ROWS)
        else:
            operation = SimpleQuery(data, SIMPLE, traits, self._plan_text_rows)
        self.submit(operation)
        return operation

    def reset(self, query: str) -> Operation:
        """What brings the session back to where it started, for which nobody waits."""
        operation = Operation(_known_simple(query)[0], RESET, _RESETS)
        self.submit(operation)
        return operation

    def reset_behind(self, query: str, first: Operation) -> Operation | None:
        """As `reset`, in the same write as `first`, which was just submitted; None: not now (`submit_behind`)."""
        operation = Operation(_known_simple(query)[0], RESET, _RESETS)
        return operation if self.submit_behind(operation, first) else None

    def sign_of_life(self) -> Operation:
        """What does nothing, and is answered. Raises InterfaceError as `Session.submit`."""
        # It is in nobody's way, unless a BEGIN goes out with it; and it needs no transaction where that was refused.
        refused = self.begin_error
        if refused is not None:
            self.deferred = None
        try:
            internal = self.pipelining and not self.begin_is_due
            if self.is_simple:
                return self.simple_query("", internal=internal)
            return self.group((), INTERNAL if internal else 0)
        finally:
            if refused is not None:
                self.deferred = refused

    def begin_with_next(self, sql: str) -> None:
        """A transaction block from now on: this BEGIN goes out with the next operation (`Session.defer_begin`)."""
        if self._finds_mode and not self._is_unsure:
            # In the transaction it would be too late to do as others have found to be right.
            self._look_at_mode()
        self.defer_begin(_begin(sql))

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

        traits = _simple_traits(kind or classify(query))
        operation = Script(Query(query).encode(), SIMPLE, traits, plan)
        self.submit(operation)
        return operation

    def command(self, sql: str) -> Operation:
        """A text of the library's own in the simple protocol, of which only the command tag matters: no barrier.

        Raises:
            InterfaceError: as `Session.submit`.
        """
        operation = Operation(_known_simple(sql)[0], SIMPLE, SYNC | DISCARDS_ROWS)
        self.submit(operation)
        return operation

    def rollback(self) -> Operation:
        """ROLLBACK of a transaction that was left by a cancellation; what is submitted from now on is outside of it."""
        operation = Operation(Query("ROLLBACK").encode(), SIMPLE, SYNC | INTERNAL | ENDS | DISCARDS_ROWS)
        self.submit(operation)
        return operation

    def _plan_text_rows(self, fields: tuple[FieldDescription, ...]) -> RowPlan:
        return plan_rows(self.registry, fields, self.record_class)

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
        data, plan = statement.open(portal, arguments, trailer), plan_of(statement, record_class)
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
            plan_of(statement, record_class),
            owner,
            statement,
            self.compare,
        )
        self.submit(operation)
        return operation

    def stream_on(self, operation: RowStream, max_rows: int, *, is_ahead: bool = False) -> None:
        """Ask a stream for so many more rows; `is_ahead`: though nobody waits for them yet."""
        operation.is_ahead = is_ahead
        self.more_rows(operation, Execute("", max_rows).encode() + _FLUSH)

    def copy(self, query: str, *, owner: object) -> Copy:
        """A COPY statement with data to give or to take."""
        # A statement that is no COPY, or follows one, may have rows; nobody could take them.
        operation = Copy(Query(query).encode(), SIMPLE, SYNC | BARRIER | EXCLUSIVE | DISCARDS_ROWS, owner)
        self.submit(operation)
        return operation

    def function_call(self, message: FunctionCall) -> FunctionCallOperation:
        """A FunctionCall (legacy; large objects)."""
        operation = FunctionCallOperation(message.encode(), _FUNCTION, SYNC)
        self.submit(operation)
        return operation
