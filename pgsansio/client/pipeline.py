"""Pipelines: statements that are collected, and then sent together, under one Sync.

How this works. Calls on a `Pipeline` only note what is wanted. `sync` prepares the statements that are new in a group
of their own (one round trip for all of them), encodes the arguments, and sends the group: Bind and Execute for each,
and one Sync. When its ReadyForQuery has come every handle is told what has become of its operation.
"""

from collections.abc import Callable, Generator, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeVar, cast

from pgsansio.client.core import check_query
from pgsansio.client.resource import Resource
from pgsansio.client.simple import check_extended
from pgsansio.client.type_methods import Codecs
from pgsansio.engine.operations import BARRIER, Operation, Preparation, RowsKept
from pgsansio.enums import Outcome
from pgsansio.errors import DataError, InterfaceError, PipelineAbortedError
from pgsansio.policy.keywords import StatementKind, classify
from pgsansio.statement import MAX_ARGUMENTS, Statement, unprepared
from pgsansio.types import Result

if TYPE_CHECKING:
    from pgsansio.client.connection import Connection

T = TypeVar("T")

__all__ = ["Pipeline", "PipelineMethods", "PipelineResult"]

#: Barriers (`policy.keywords`) that do no harm in a group, if nothing is written behind it until they are answered.
_HARMLESS: Final = frozenset({"SET", "RESET"})
_HINTS: Final = {
    "COPY": "Use copy_records_to_table(), copy_to_table(), copy_from_query() or copy_from_table() outside of it.",
    **dict.fromkeys(
        ("BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE"),
        "Put the pipeline into an `async with connection.transaction()` block, or such a block around parts of it.",
    ),
}
_OTHER_HINT: Final = "End the pipeline, or `await pipeline.sync()`, and call it on the connection."


class PipelineResult(Generic[T]):
    """What an operation of a pipeline will have come to, when that has been sent and answered."""

    __slots__ = (
        "_args", "_codecs", "_elements", "_error", "_give", "_is_known", "_max_rows", "_operation", "_pipeline",
        "_query", "_record_class", "_statement", "_wants_rows",
    )  # fmt: skip

    def __init__(
        self,
        pipeline: "Pipeline",
        query: str,
        args: Sequence[object],
        give: Callable[[Operation | None], T],
        *,
        max_rows: int = 0,
        wants_rows: bool = True,
        record_class: type[Any] | None = None,
        codecs: Codecs = (),
        elements: list[Sequence[object]] | None = None,
    ) -> None:
        self._pipeline = pipeline
        self._query = query
        self._args = args
        #: What is made of the operation for the user.
        self._give = give
        self._max_rows = max_rows
        self._wants_rows = wants_rows
        self._record_class = record_class
        self._codecs = codecs
        #: Of an executemany().
        self._elements = elements
        self._statement: Statement | None = None
        self._operation: Operation | None = None
        self._error: BaseException | None = None
        self._is_known = False

    def result(self) -> T:
        """What the method of the connection with the same name returns.

        Raises:
            InterfaceError: it is not known yet: before `await pipeline.sync()`, or the end of the block.
            PipelineAbortedError: another operation of the same group has failed, or the wait for it was cancelled.
            Else as the method of the connection.
        """
        if not self._is_known:
            raise InterfaceError(
                "the result of this operation is not known yet",
                hint="Results are there when the pipeline's block has ended, or after `await pipeline.sync()`.",
            )
        if self._error is not None:
            raise self._error
        return self._give(self._operation)

    def __await__(self) -> Generator[Any, Any, T]:
        """As `result`: it does not wait for the pipeline to be sent."""
        result = self.result()
        yield from self._pipeline._connection._port.checkpoint().__await__()
        return result

    def __repr__(self) -> str:
        state = "not known yet" if not self._is_known else "failed" if self._error is not None else "completed"
        return f"<{type(self).__name__} {state} {id(self):#x}>"

    def _tell(self, error: BaseException | None = None) -> None:
        """It has come to this."""
        self._is_known = True
        self._error = error

    # its operation

    def _make(self, connection: "Connection", statements: dict[str, Statement]) -> Operation | None:
        """The operation, not submitted; None: there is nothing to do.

        Raises: what an argument is refused with.
        """
        statement = statements.get(self._query)
        if statement is not None and self._codecs:
            statement = connection._with_codecs(statement, self._codecs)
        self._statement = statement
        if statement is None:
            self._operation = unprepared(self._query)
        elif self._elements is not None:
            self._operation = statement.bound_many(iter(self._elements))
        else:
            plan = None
            if self._wants_rows:
                plan = statement.row_plan if self._record_class is None else statement.rows_as(self._record_class)
            self._operation = statement.bound(self._args, self._max_rows, plan, connection._frontend.compare)
        return self._operation

    @property
    def _needs_preparing(self) -> bool:
        return bool(self._args) or self._wants_rows or self._elements is not None


class Pipeline(Resource):
    """Made by `Connection.pipeline()`: `async with connection.pipeline() as pipeline`.

    Its methods are those of the connection, but they are no coroutines: each returns a `PipelineResult`. Nothing is
    sent until the block ends, or `await pipeline.sync()`. An exception that leaves the block discards what was not
    sent.
    """

    __slots__ = ("_is_open", "_kinds", "_timeout", "_waiting")

    def __init__(self, connection: "Connection", timeout: float | None) -> None:
        super().__init__(connection)
        self._timeout = timeout
        self._is_open = False
        self._waiting: list[PipelineResult[Any]] = []
        self._kinds: dict[str, StatementKind] = {}

    async def __aenter__(self) -> Self:
        self._check("__aenter__")
        if self._is_open:
            raise InterfaceError("cannot enter context: already in an `async with` block")
        await self._connection._port.checkpoint()
        self._is_open = True
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._is_open = False
        if exc is None:
            await self._sync()
            return
        discarded, self._waiting = self._waiting, []
        _tell_others(
            discarded, "was not sent, since an exception has left the pipeline's block", exc, Outcome.CANCELLED
        )

    # what may be asked

    def execute(self, query: str, *args: object, codecs: Codecs = ()) -> PipelineResult[str]:
        """As `Connection.execute`, of one statement. Raises InterfaceError: it cannot be part of a pipeline."""
        return self._add(PipelineResult(self, query, args, _status, wants_rows=False, codecs=codecs))

    def executemany(
        self, command: str, args: Iterable[Sequence[object]], *, codecs: Codecs = ()
    ) -> PipelineResult[None]:
        """As `Connection.executemany`; all elements are taken at once. Raises as `execute`, and what `args` raises."""
        elements = list(args)
        return self._add(
            PipelineResult(self, command, (), _nothing, wants_rows=False, codecs=codecs, elements=elements)
        )

    def fetch(
        self, query: str, *args: object, record_class: type[Any] | None = None, codecs: Codecs = ()
    ) -> PipelineResult[list[Any]]:
        """As `Connection.fetch`. Raises as `execute`."""
        return self._add(PipelineResult(self, query, args, _rows, record_class=record_class, codecs=codecs))

    def fetchrow(
        self, query: str, *args: object, record_class: type[Any] | None = None, codecs: Codecs = ()
    ) -> PipelineResult[Any]:
        """As `Connection.fetchrow`. Raises as `execute`."""
        return self._add(PipelineResult(self, query, args, _row, max_rows=1, record_class=record_class, codecs=codecs))

    def fetchval(self, query: str, *args: object, column: int | str = 0, codecs: Codecs = ()) -> PipelineResult[Any]:
        """As `Connection.fetchval`. Raises as `execute`."""

        def value(operation: Operation | None) -> Any:
            rows = _rows(operation)
            return rows[0][column] if rows else None

        return self._add(PipelineResult(self, query, args, value, max_rows=1, codecs=codecs))

    def query(
        self, query: str, *args: object, record_class: type[Any] | None = None, codecs: Codecs = ()
    ) -> PipelineResult[Result]:
        """As `Connection.query`. Raises as `execute`."""
        return self._add(PipelineResult(self, query, args, _result, record_class=record_class, codecs=codecs))

    async def sync(self) -> None:
        """Send what was collected, and wait until the server has answered all of it.

        Outside of a transaction all of it is one: if one operation fails, nothing of the group is kept. In a
        transaction the operations before it have taken place, and those behind it have not. Arguments are encoded now,
        and one that is refused keeps all of the group from being sent. A statement with arguments, or whose rows are
        wanted, is prepared before any of the group is carried out: what it needs must be there already.

        Raises:
            The first failure of an operation. Else as `Connection.execute`.
        """
        self._check("sync")
        self._check_block()
        await self._sync()

    # how it is done

    def _check_block(self) -> None:
        if not self._is_open:
            raise InterfaceError("a pipeline is used within its `async with` block")

    def _add(self, handle: PipelineResult[T]) -> PipelineResult[T]:
        self._check_block()
        query = handle._query
        check_query(query)
        self._check("execute")
        self._connection._checked_record_class(handle._record_class)
        if len(handle._args) > MAX_ARGUMENTS:
            raise InterfaceError(f"the number of query arguments cannot exceed {MAX_ARGUMENTS}")
        kind = self._kinds.get(query)
        if kind is None:
            kind = self._kinds[query] = classify(query)
        if kind.barrier and kind.keyword not in _HARMLESS:
            raise InterfaceError(
                f"{kind.keyword} cannot be part of a pipeline", hint=_HINTS.get(kind.keyword, _OTHER_HINT)
            )
        self._waiting.append(handle)
        return handle

    async def _sync(self) -> None:
        handles, self._waiting = self._waiting, []
        connection = self._connection
        if not handles:
            await connection._port.checkpoint()
            return
        told = handles if connection._query_loggers else []
        timers = [connection._logged(one._query, one._args, self._timeout) for one in told]
        try:
            for timer in timers:
                await timer.__aenter__()
            async with connection._limit(connection._deadline(self._timeout)):
                connection._check_open()
                self._check("sync")
                if not await self._send(handles):
                    await self._send(handles, repeated=True)
        except BaseException as error:
            # Those that were told already know better.
            written = any(one._operation is not None and one._operation.written for one in handles)
            how = "was given up, and nothing tells what has become of it" if written else "was not sent"
            _tell_others(handles, how, error, Outcome.UNKNOWN if written else Outcome.CANCELLED)
            raise
        finally:
            for timer, handle in zip(timers, told, strict=True):
                failure = handle._error
                await timer.__aexit__(None if failure is None else type(failure), failure, None)

    async def _send(self, handles: list[PipelineResult[Any]], *, repeated: bool = False) -> bool:
        """Send a group, wait for its answers and tell the handles.

        Args:
            repeated: this is the second time.
        Returns:
            False: what was known of a statement turned out to be outdated, nothing was kept, and it may be sent again.
        Raises: the first failure.
        """
        connection = self._connection
        frontend = connection._frontend
        statements = await self._statements(handles)
        try:
            operations = self._operations(handles, statements)
        except DataError as error:
            if not repeated and await connection._was_outdated(error):
                _forget(handles)
                return False
            raise
        connection._check_alone()
        if not operations:
            for handle in handles:
                handle._tell()
            await connection._port.checkpoint()
            return True
        inside = frontend.in_transaction
        has_barrier = any(self._kinds[handle._query].barrier for handle in handles)
        sync = frontend.group(operations, BARRIER if has_barrier else 0)
        connection._queries += len(operations)
        await _wait_for_group(connection, operations, sync)
        if sync.error is not None:
            failed = _failed_one(handles, sync)
            if (
                failed is not None
                and connection._may_repeat(cast(Operation, failed._operation), failed._statement)
                and not repeated
            ):
                _forget(handles)
                return False
            raise self._failure(handles, sync, failed, inside=inside)
        await self._take(handles)
        return True

    async def _statements(self, handles: list[PipelineResult[Any]], *, named: bool = True) -> dict[str, Statement]:
        """Those that are prepared, or have to be; the new ones are prepared together.

        Args:
            named: under names, if they are of use.
        Raises:
            PostgresError: the server refused one of them.
        """
        connection = self._connection
        frontend, clock = connection._frontend, connection._port.clock
        statements: dict[str, Statement] = {}
        new: dict[str, PipelineResult[Any]] = {}
        for handle in handles:
            query = handle._query
            if query in statements:
                continue
            statement = frontend.cached(query, clock())
            if statement is not None:
                statements[query] = statement
            elif handle._needs_preparing:
                new.setdefault(query, handle)
        if not new:
            return statements
        connection._check_alone()
        preparations: list[Preparation] = [frontend.preparation(query, named=named) for query in new]
        sync = frontend.group(preparations)
        try:
            await _wait_for_group(connection, preparations, sync)
            if sync.error is not None:
                for handle, preparation in zip(new.values(), preparations, strict=True):
                    if preparation.outcome is Outcome.FAILED:
                        if named and connection._may_prepare_unnamed(handle._query, preparation):
                            return await self._statements(handles, named=False)
                        error = connection._failure(preparation, handle._query)
                        handle._tell(error)
                        raise error
                raise connection._failure(sync, "")
            absent: frozenset[int] = frozenset()
            while missing := frozenset[int]().union(*map(frontend.missing_types, preparations)) - absent:
                absent |= await connection._learn_types(missing)
            for query, preparation in zip(new, preparations, strict=True):
                statements[query] = frontend.prepared(query, preparation, clock())
        except BaseException:
            for query, preparation in zip(new, preparations, strict=True):
                if query not in statements:
                    frontend.drop(preparation)
            raise
        return statements

    def _operations(self, handles: list[PipelineResult[Any]], statements: dict[str, Statement]) -> list[Operation]:
        """Of all handles, not submitted.

        Raises: what an argument is refused with.
        """
        operations: list[Operation] = []
        for handle in handles:
            try:
                operation = handle._make(self._connection, statements)
            except Exception as error:
                handle._tell(error)
                raise
            if operation is not None:
                operations.append(operation)
        return operations

    def _failure(
        self, handles: list[PipelineResult[Any]], sync: Operation, failed: PipelineResult[Any] | None, *, inside: bool
    ) -> BaseException:
        """The error of a group that has failed; the handles are told what it means to them."""
        connection = self._connection
        if sync.outcome is Outcome.UNKNOWN or sync.outcome is Outcome.CANCELLED:
            # The connection has ended. Whether what was answered is kept would only have been told by the Sync.
            error = connection._failure(sync, "")
            for handle in handles:
                handle._tell(error)
            return error
        if failed is None:
            error = connection._failure(sync, "")
        else:
            assert failed._operation is not None
            failed._operation.error = sync.error  # the server's word, not that of a codec of ours
            error = connection._failure(failed._operation, failed._query)
            failed._tell(error)
        if inside:
            for handle in handles:
                operation = handle._operation
                if handle is failed or (operation is not None and operation.outcome is Outcome.SKIPPED):
                    break
                refused = None if operation is None or operation.error is None else operation
                handle._tell(None if refused is None else connection._failure(refused, handle._query))
            _tell_others(handles, "was skipped, since an earlier one of its group has failed", error)
        else:
            _tell_others(handles, "was undone or skipped, since one of its group has failed", error)
        return error

    async def _take(self, handles: list[PipelineResult[Any]]) -> None:
        """Tell the handles of a group that was carried out. Raises the first failure to decode a value."""
        first: BaseException | None = None
        for handle in handles:
            try:
                error = await self._decode(handle)
            except Exception as raised:
                error = raised
            handle._tell(error)
            first = first or error
        if first is not None:
            raise first

    async def _decode(self, handle: PipelineResult[Any]) -> BaseException | None:
        """Go on with rows whose types are unknown; what remains to be told of an operation that was carried out."""
        connection, operation, statement = self._connection, handle._operation, handle._statement
        if operation is None:
            return None
        if statement is not None and isinstance(operation.error, RowsKept):
            await connection._decode_kept(operation, statement.registry)
        return None if operation.error is None else connection._failure(operation, handle._query)


async def _wait_for_group(connection: "Connection", operations: Sequence[Operation], sync: Operation) -> None:
    """Wait until all of them are settled; if that is cancelled, give up all of them."""
    try:
        await connection._port.wait(sync)
    except BaseException as error:
        pending = [one for one in [*operations, sync] if not one.settled]
        if pending:
            # Backwards, since each looks for the first one in flight that somebody still waits for.
            for operation in pending[:0:-1]:
                connection._abandon(operation, error)
            await connection._give_up(pending[0], error)
        raise


def _failed_one(handles: Sequence[PipelineResult[Any]], sync: Operation) -> PipelineResult[Any] | None:
    """The one that the server has refused; None: it was none of them, but the commit, or a BEGIN in front of them."""
    if sync.outcome is not Outcome.SKIPPED:
        return None
    # Those in front of it may have failed as well, but here: by a value that cannot be decoded.
    failed = [one for one in handles if one._operation is not None and one._operation.outcome is Outcome.FAILED]
    return failed[-1] if failed else None


def _forget(handles: Iterable[PipelineResult[Any]]) -> None:
    """They are to be sent again."""
    for handle in handles:
        handle._operation = handle._statement = handle._error = None
        handle._is_known = False


def _tell_others(
    handles: Iterable[PipelineResult[Any]], how: str, cause: BaseException, outcome: Outcome = Outcome.SKIPPED
) -> None:
    for handle in handles:
        if not handle._is_known:
            error = PipelineAbortedError(f"this operation {how}", outcome=outcome)
            error.__cause__ = cause
            handle._tell(error)


# What is made of operations. There is none where there was nothing to do, which only executemany() can find.


def _nothing(operation: Operation | None) -> None:
    """executemany() has no result."""


def _status(operation: Operation | None) -> str:
    assert operation is not None
    return operation.status or ""


def _rows(operation: Operation | None) -> list[Any]:
    assert operation is not None
    return operation.rows


def _row(operation: Operation | None) -> Any:
    rows = _rows(operation)
    return rows[0] if rows else None


def _result(operation: Operation | None) -> Result:
    return Result(_rows(operation), _status(operation))


class PipelineMethods:
    """Pipelines of a connection."""

    __slots__ = ()

    def pipeline(self, *, timeout: float | None = None) -> Pipeline:
        """Collect operations and send them together: `async with connection.pipeline() as pipeline`.

        `handle = pipeline.fetch(...)` and so on only note what is wanted; when the block has ended,
        `handle.result()` is what `await connection.fetch(...)` would have been. Outside of a transaction all of them
        are one.

        Args:
            timeout: seconds for each time that something is sent; default: the connection's `command_timeout`.
        Raises:
            InterfaceError: the connection is closed.
        """
        connection = cast("Connection", self)
        connection._check_open()
        check_extended(
            connection, "pipeline()", "Use execute_script(), or let several tasks use the connection at the same time."
        )
        return Pipeline(connection, timeout)
