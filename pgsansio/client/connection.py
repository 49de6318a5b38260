"""Connection: queries on one connection, as conversations with its server.

How this works. A query that the statement cache knows is one coroutine frame: `fetch` makes the operation and awaits
what the port returns for it. Everything else (a statement to prepare, a time limit, a retry, an error) goes through
`_query`, which is the same conversation at length. Whatever is raised out of an await is a cancellation: `_give_up`
first changes the state, then lets the port carry out what is owed.
"""

import warnings
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Literal, TypeAlias, cast
from weakref import ref

from pgsansio.client import cancelling
from pgsansio.client.copy import CopyMethods, CopyStreams
from pgsansio.client.encrypting import PLAIN
from pgsansio.client.listener import Notifications, ReaderQueue
from pgsansio.client.port import Address, Port
from pgsansio.client.statement import StatementMethods
from pgsansio.client.transaction import Transaction
from pgsansio.codecs import introspection
from pgsansio.codecs.custom import AliasCodec, TypeCodec
from pgsansio.codecs.declaration import CodecDeclaration
from pgsansio.codecs.registry import Registry
from pgsansio.codecs.row_plan import plan_rows
from pgsansio.codecs.type_catalog import TypeCatalog, builtin_info, builtin_oid
from pgsansio.codecs.type_info import TypeInfo
from pgsansio.engine.events import NotificationReceived
from pgsansio.engine.operations import Batch, Copy, Operation, Preparation, RowsKept, RowStream
from pgsansio.enums import Outcome, TransactionStatus
from pgsansio.errors import (
    DataError,
    InterfaceError,
    InternalClientError,
    InvalidValueError,
    OperationTimeoutError,
    PostgresError,
)
from pgsansio.frontend import MAX_ARGUMENTS, Frontend, Statement
from pgsansio.kernel import Record
from pgsansio.kernel.contract import OutdatedTypeError, RowPlan, UnknownTypeError
from pgsansio.messages.backend import FieldDescription
from pgsansio.policy import capabilities
from pgsansio.policy.cancellation import Owed
from pgsansio.policy.conninfo import Settings
from pgsansio.policy.keywords import percent_placeholder_hint
from pgsansio.policy.subscriptions import Listen, Subscriptions, Unlisten
from pgsansio.policy.transactions import Levels
from pgsansio.types import Notification, ServerVersion, TlsInfo, parse_server_version

__all__ = ["Connection", "ConnectionSettings"]

#: How long cancelling what runs may take before the connection is given up; libpq has no such bound and hangs.
CANCEL_SECONDS: Final = 10.0
#: How long Terminate may take to be written before the transport is dropped.
CLOSE_SECONDS: Final = 10.0

SEVERAL_STATEMENTS_HINT: Final = "Use execute() without arguments for a script, or one call for each statement."

#: Noted on the cancellation that ended the wait for an operation of which the server may have seen something.
_WRITTEN: Final = "_pgsansio_written"

#: Sets of codecs for single queries that are kept.
_MAX_LAYERS: Final = 32

Codecs: TypeAlias = Iterable[CodecDeclaration]
Callback: TypeAlias = Callable[[Any, int, str, str], Any]


class ConnectionSettings:
    """What the server reports about the session (ParameterStatus), by attribute: `settings.TimeZone`.

    An unknown name is an AttributeError. The values are live.
    """

    __slots__ = ("_parameters",)

    def __init__(self, parameters: Any) -> None:
        self._parameters = parameters

    def __getattr__(self, name: str) -> str:
        if not name.startswith("_") and name in self._parameters:
            return cast(str, self._parameters[name])
        raise AttributeError(name)

    def __repr__(self) -> str:
        return f"<ConnectionSettings {dict(self._parameters)!r}>"


class Connection(CopyMethods, CopyStreams, StatementMethods):
    """A connection to a PostgreSQL server. Use `connect()` to make one.

    Many tasks may use it at once outside of transactions; their queries are pipelined, each with a Sync of its own.
    """

    __slots__ = (
        "__weakref__",
        "_address",
        "_channel",
        "_command_timeout",
        "_frontend",
        "_layers",
        "_levels",
        "_on_end",
        "_port",
        "_preparing",
        "_proxy",
        "_queries",
        "_record_class",
        "_releases",
        "_settings",
        "_subscriptions",
    )

    def __init__(
        self, port: Port, frontend: Frontend, address: Address, settings: Settings, *, record_class: type[Any] = Record
    ) -> None:
        self._port = port
        self._frontend = frontend
        self._address = address
        #: How a stream to the same server is opened, for a CancelRequest.
        self._channel = PLAIN
        self._settings = settings
        self._record_class = record_class
        self._command_timeout = settings.command_timeout
        self._levels = Levels()
        self._subscriptions: Subscriptions[Notification] = Subscriptions()
        #: Statements that are being prepared.
        self._preparing: dict[str, _Preparing] = {}
        #: Codecs of single queries, over those of the connection.
        self._layers: dict[tuple[CodecDeclaration, ...], Registry] = {}
        self._queries = 0
        #: The pool's: what stands for this connection while a task has it, and who is told that it has ended.
        self._proxy: Any = None
        self._on_end: Callable[[Any], None] | None = None
        #: How often it was given back to the pool; what was made on it before then is of no use any more.
        self._releases = 0
        # Weakly: the loop keeps the port while it is open, and a connection that its user has forgotten has to go.
        weak = ref(self)

        def on_news() -> None:
            connection = weak()
            if connection is not None:
                connection._news()

        async def on_cancel_due() -> None:
            connection = weak()
            if connection is not None:
                await connection._carry_out_cancel()

        port.on_news = on_news
        port.on_cancel_due = on_cancel_due

    def __del__(self) -> None:
        frontend: Frontend | None = getattr(self, "_frontend", None)  # None: a subclass's __init__ failed
        if frontend is not None and frontend.is_open:
            name = f"{type(self).__module__}.{type(self).__name__}"
            warnings.warn(f"unclosed connection <{name} {id(self):#x}>", ResourceWarning, 2, self)
            # The collector may run in any thread, and when the loop is gone; then the system closes the socket.
            with suppress(InterfaceError):
                self._port.guard()
                self.terminate()

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__name__} {'closed ' if self.is_closed() else ''}{id(self):#x}>"

    # queries

    async def execute(self, query: str, *args: object, timeout: float | None = None, codecs: Codecs = ()) -> str:
        """Run a statement and return its command tag, 'INSERT 0 1'.

        Args:
            query: `$1` and so on stand for the arguments.
            args: their values.
            timeout: seconds for all of it; default: the connection's `command_timeout`.
            codecs: for this query only, over those of the connection.

        Without arguments the text may hold several statements; the last one's tag is returned, and "" if there is none.
        Rows are discarded.

        Raises:
            PostgresError: the server's word.
            DataError: an argument cannot be encoded; nothing was sent.
            InterfaceError: the connection cannot be used for this; nothing was sent.
            OperationTimeoutError: `timeout` seconds have passed.
        """
        if args:
            return (await self._query(query, args, 0, timeout, None, codecs)).status or ""
        at = self._deadline(timeout)
        if at is None:
            return await self._script(query)
        async with TimeLimit(self, at):
            return await self._script(query)

    async def fetch(
        self,
        query: str,
        *args: object,
        timeout: float | None = None,
        record_class: type[Any] | None = None,
        codecs: Codecs = (),
    ) -> list[Any]:
        """Run a statement and return its rows.

        Args:
            query: one statement; `$1` and so on stand for the arguments.
            args: their values.
            timeout: seconds for all of it; default: the connection's `command_timeout`.
            record_class: a subclass of Record for these rows.
            codecs: for this query only, over those of the connection.
        Returns:
            A list of Record.
        Raises: as `execute`.
        """
        operation = None if codecs else self._execute_known(query, args, 0, timeout, record_class)
        if operation is None:
            operation = await self._query(query, args, 0, timeout, record_class, codecs)
        else:
            try:
                await self._port.wait(operation)
            except BaseException as error:
                await self._give_up(operation, error)
                raise
            if operation.error is not None:
                operation = await self._repeat(operation, query, args, 0)
        return operation.rows

    async def fetchrow(
        self,
        query: str,
        *args: object,
        timeout: float | None = None,
        record_class: type[Any] | None = None,
        codecs: Codecs = (),
    ) -> Any:
        """Run a statement and return its first row, or None. The server is asked for one row only.

        Raises: as `execute`.
        """
        operation = None if codecs else self._execute_known(query, args, 1, timeout, record_class)
        if operation is None:
            operation = await self._query(query, args, 1, timeout, record_class, codecs)
        else:
            try:
                await self._port.wait(operation)
            except BaseException as error:
                await self._give_up(operation, error)
                raise
            if operation.error is not None:
                operation = await self._repeat(operation, query, args, 1)
        rows = operation.rows
        return rows[0] if rows else None

    async def fetchval(
        self,
        query: str,
        *args: object,
        column: int | str = 0,
        timeout: float | None = None,
        codecs: Codecs = (),
    ) -> Any:
        """Run a statement and return one value of its first row, or None if there is no row.

        Args:
            column: index or name.
        Raises:
            IndexError, KeyError: the row has no such column. Else as `execute`.
        """
        operation = None if codecs else self._execute_known(query, args, 1, timeout, None)
        if operation is None:
            operation = await self._query(query, args, 1, timeout, None, codecs)
        else:
            try:
                await self._port.wait(operation)
            except BaseException as error:
                await self._give_up(operation, error)
                raise
            if operation.error is not None:
                operation = await self._repeat(operation, query, args, 1)
        rows = operation.rows
        return rows[0][column] if rows else None

    async def executemany(
        self, command: str, args: Iterable[Sequence[object]], *, timeout: float | None = None, codecs: Codecs = ()
    ) -> None:
        """Run a statement once for each element of `args`, all under one Sync: outside a transaction all or nothing.

        Args:
            args: sequences of arguments; taken lazily, some 64 KiB of messages ahead.
        Raises:
            DataError: an element is not a sequence, or an argument cannot be encoded; it names both. Outside a
                transaction nothing is kept; inside one, what was sent before stays.
            Else as `execute`, and whatever `args` raises.
        """
        at = self._deadline(timeout)
        if at is None:
            await self._many(command, args, codecs)
            return
        async with TimeLimit(self, at):
            await self._many(command, args, codecs)

    async def fetchmany(
        self,
        query: str,
        args: Iterable[Sequence[object]],
        *,
        timeout: float | None = None,
        record_class: type[Any] | None = None,
        codecs: Codecs = (),
    ) -> list[Any]:
        """As `executemany`, and return the rows of all executions in one list.

        Args:
            record_class: a subclass of Record for these rows.
        Raises: as `executemany`.
        """
        at = self._deadline(timeout)
        record_class = self._checked_record_class(record_class) or self._record_class
        if at is None:
            return await self._many(query, args, codecs, record_class)
        async with TimeLimit(self, at):
            return await self._many(query, args, codecs, record_class)

    # types

    @property
    def type_catalog(self) -> TypeCatalog:
        """What is known of the database's types; shared with the pool's other connections to it."""
        return self._frontend.registry.catalog

    async def set_type_codec(
        self,
        typename: str,
        *,
        schema: str = "public",
        encoder: Callable[[Any], Any],
        decoder: Callable[[Any], Any],
        format: Literal["text", "binary", "tuple"] = "text",
    ) -> None:
        """Use these functions for values of a type, on this connection, also inside of arrays, composites and ranges.

        Args:
            typename, schema: of the type; in pg_catalog it may be as in SQL, 'double precision'.
            encoder, decoder: value -> data and data -> value; NULL never reaches them.
            format: what data is: 'text' (str), 'binary' (bytes) or 'tuple' (of numbers or attributes, for some types).
        Raises:
            InterfaceError: the format is unknown, or the type does not support it.
            ValueError: there is no such type.
        """
        self._check_open()
        declaration = TypeCodec(typename, schema=schema, encoder=encoder, decoder=decoder, format=format)
        info = await self._type_named(typename, schema)
        self._frontend.registry.set_codec(info.oid, declaration)

    async def reset_type_codec(self, typename: str, *, schema: str = "public") -> None:
        """Use again what the type had before `set_type_codec`.

        Raises:
            ValueError: there is no such type.
        """
        self._check_open()
        info = await self._type_named(typename, schema)
        self._frontend.registry.remove(info.oid)

    async def set_builtin_type_codec(
        self, typename: str, *, schema: str = "public", codec_name: str, format: Literal["text", "binary"] | None = None
    ) -> None:
        """Use one of the library's codecs for a type, on this connection.

        Args:
            codec_name: a core type ('int', 'decimal', 'text'), or one of an extension ('pg_contrib.hstore').
            format: 'text' or 'binary'; None: binary if there is one.
        Raises:
            InterfaceError: the type is no scalar, or there is no such codec.
            ValueError: there is no such type.
        """
        self._check_open()
        info = await self._type_named(typename, schema)
        declaration = AliasCodec(typename, schema=schema, codec_name=codec_name, format=format)
        self._frontend.registry.set_codec(info.oid, declaration)

    def declare_codecs(self, *declarations: CodecDeclaration) -> None:
        """Use these codecs on this connection for the types that they name, whenever such a type is met."""
        self._port.guard()
        self._frontend.registry.declare(declarations)

    async def load_types(self, *names: str, schema: str = "public") -> None:
        """Learn these types now, so that the first statement that uses them need not ask.

        Raises:
            ValueError: there is no such type.
        """
        self._check_open()
        for name in names:
            await self._type_named(name, schema)

    async def reload_schema_state(self) -> None:
        """Forget what is known of the database's types, and all prepared statements: the schema has changed."""
        self._check_open()
        self._frontend.registry.catalog.clear()
        self._frontend.forget_all()
        await self._port.checkpoint()

    async def _type_named(self, typename: str, schema: str) -> TypeInfo:
        """A type by its name. The database is asked: a type that is known by this name may have another one by now.

        Raises:
            ValueError: there is no such type.
        """
        frontend = self._frontend
        oid = builtin_oid(typename) if schema == "pg_catalog" else None
        info = None if oid is None else builtin_info(oid)
        if info is not None:
            await self._port.checkpoint()
            return info
        self._check_alone()
        operation = frontend.introspect_name(schema, typename)
        await self._finish(operation)
        if operation.error is not None:
            raise self._failure(operation, "")
        frontend.learned(operation)
        asked = introspection.asked_oids(operation.rows)
        info = frontend.registry.catalog.info(next(iter(asked))) if asked else None
        if info is None:
            raise ValueError(f"unknown type: {schema}.{typename}")
        return info

    # transactions

    def transaction(
        self,
        *,
        isolation: str | None = None,
        readonly: bool = False,
        deferrable: bool = False,
        shared: bool = False,
    ) -> Transaction:
        """A transaction block, or a savepoint inside one; use it as `async with`, or by start(), commit(), rollback().

        Args:
            isolation: 'serializable', 'repeatable_read', 'read_committed' or 'read_uncommitted'.
            shared: let other tasks use the connection at the same time; what they do is part of this transaction.
        Raises:
            InterfaceError: the connection is closed.
            ValueError: an unknown isolation level.
        """
        self._check_open()
        return Transaction(self, isolation=isolation, readonly=readonly, deferrable=deferrable, shared=shared)

    def is_in_transaction(self) -> bool:
        """Whether a transaction block is open (also a failed one), or about to be by a BEGIN that is on its way."""
        return self._frontend.in_transaction

    # notifications

    async def add_listener(self, channel: str, callback: Callback) -> None:
        """Call `callback(connection, pid, channel, payload)` for each notification on this channel.

        Callbacks are kept by equality: the same one counts once.

        Raises:
            InterfaceError: `callback` is not callable, or nothing reads this connection while it is idle.
        """
        self._check_open()
        if not callable(callback):
            raise InterfaceError(f"expected a callable or an `async def` function, got {callback!r}")
        if not self._port.reads_when_idle:
            raise InterfaceError(
                "cannot call back: nobody reads this connection while it is idle",
                hint="Use `async with connect(...)` or a pool, or iterate over notifications().",
            )
        await self._listen(channel, callback)

    async def remove_listener(self, channel: str, callback: Callback) -> None:
        """Undo `add_listener`; does nothing for an unknown callback or on a closed connection."""
        if not self.is_closed():
            await self._unlisten(channel, callback)

    def notifications(self, channel: str, *, max_queued: int = 1000) -> Notifications:
        """Notifications on this channel, for `async for`.

        LISTEN goes out with `async with` or the first iteration, UNLISTEN when the block ends. A reader that does not
        keep up loses the oldest ones, and finds an `Overflow` in their place.

        Args:
            max_queued: how many are kept for this reader.
        """
        self._check_open()
        return Notifications(self, channel, max_queued)

    # state

    def is_closed(self) -> bool:
        """Whether the connection was closed, or is known to be lost."""
        self._port.poll()
        return not self._frontend.is_open

    def get_server_pid(self) -> int:
        """Process id of the server process of this connection."""
        return self._frontend.process_id or 0

    def get_server_version(self) -> ServerVersion:
        """The server's version, as it reports it.

        Raises:
            ValueError: it reports a text without a number.
        """
        return parse_server_version(self._frontend.parameters.get("server_version", "0"))

    def get_settings(self) -> ConnectionSettings:
        """What the server reports about the session, live."""
        return ConnectionSettings(self._frontend.parameters)

    @property
    def tls(self) -> TlsInfo | None:
        """Version, cipher, the server's certificate and ALPN of an encrypted connection; None: it is not encrypted."""
        return self._frontend.tls

    async def close(self, *, timeout: float | None = None) -> None:
        """Close the connection: cancel what runs, say goodbye, and wait for the transport.

        Operations of other tasks end with QueryCanceledError or ConnectionDoesNotExistError. Idempotent.

        Raises:
            TimeoutError: it took longer; the transport was aborted.
        """
        if timeout is not None:
            timeout = self._seconds(timeout)
        self._port.guard()
        seconds = CLOSE_SECONDS if timeout is None else timeout
        try:
            async with self._port.deadline(self._port.clock() + seconds):
                if self._frontend.is_open:
                    if self._frontend.in_flight and not self._frontend.cancel_under_way:
                        await cancelling.send_cancel_request(self._port, self._frontend, self._address, self._channel)
                    self._frontend.terminate()
                await self._port.close()
        except BaseException:
            self._port.abort()
            raise

    def terminate(self) -> None:
        """Close the connection now, without waiting.

        Raises:
            InterfaceError: called from another thread; nothing has happened.
        """
        self._port.guard_thread()
        if self._frontend.is_open:
            self._frontend.terminate()
            self._port.flush()
        self._port.abort()

    def get_reset_query(self) -> str:
        """SQL that brings the session back to where it started; a pool runs it when the connection is returned."""
        return capabilities.detect(self._frontend.parameters).reset_query

    async def reset(self, *, timeout: float | None = None) -> None:
        """Bring the session back to where it started: listeners, transaction, locks, cursors, settings."""
        at = self._deadline(timeout)
        async with TimeLimit(self, at):
            await self._reset(self.get_reset_query())

    async def _reset(self, query: str) -> None:
        """End listeners and the transaction, then run `query`."""
        self._check_open()
        self._end_subscriptions()
        session = self._frontend
        if session.transaction_status is not TransactionStatus.IDLE or not session.idle:
            # What is still on its way may begin a transaction; without one, ROLLBACK is only worth a warning.
            query = f"ROLLBACK;\n{query}"
        self._levels.reset()
        session.shared_transaction = False
        if query:
            await self._script(query, internal=True)

    # conversations

    def _execute_known(
        self,
        query: str,
        args: Sequence[object],
        max_rows: int,
        timeout: float | None,
        record_class: type[Any] | None,
    ) -> Operation | None:
        """The short way: a statement that is prepared, no time limit, nothing special; None: it is not for this one."""
        if timeout is not None or record_class is not None or self._command_timeout is not None:
            return None
        port, frontend = self._port, self._frontend
        port.guard()
        statement = frontend.cached(query, port.clock())
        if statement is None or frontend._barrier is not None:
            return None
        try:
            operation = frontend.execute(statement, args, max_rows)
        except DataError as error:
            if isinstance(error.__cause__, OutdatedTypeError):
                return None
            raise
        self._queries += 1
        return operation

    async def _repeat(self, operation: Operation, query: str, args: Sequence[object], max_rows: int) -> Operation:
        """Go on with an operation that went the short way and has an error: mend it, do it again, or raise it."""
        if isinstance(operation.error, RowsKept) and await self._decode_kept(operation, self._frontend.registry):
            return operation
        if not self._may_repeat(operation, self._frontend.cached(query, self._port.clock())):
            raise self._failure(operation, query)
        return await self._converse(query, args, max_rows, None, (), repeated=True)

    async def _query(
        self,
        query: str,
        args: Sequence[object],
        max_rows: int,
        timeout: float | None,
        record_class: type[Any] | None,
        codecs: Codecs,
    ) -> Operation:
        at = self._deadline(timeout)
        self._checked_record_class(record_class)
        if at is None:
            return await self._converse(query, args, max_rows, record_class, codecs)
        async with TimeLimit(self, at):
            return await self._converse(query, args, max_rows, record_class, codecs)

    async def _converse(
        self,
        query: str,
        args: Sequence[object],
        max_rows: int,
        record_class: type[Any] | None,
        codecs: Codecs,
        *,
        repeated: bool = False,
    ) -> Operation:
        """Prepare if need be, execute, and do both once more if what was known turned out to be outdated.

        Args:
            repeated: this is the second time.
        """
        port, frontend = self._port, self._frontend
        port.guard()
        if len(args) > MAX_ARGUMENTS:
            raise InterfaceError(f"the number of query arguments cannot exceed {MAX_ARGUMENTS}")
        asked_again = records_as_text = False
        while True:
            statement = frontend.cached(query, port.clock())
            if statement is None:
                statement = await self._prepare(query)
            if codecs:
                statement = self._with_codecs(statement, codecs)
            if records_as_text and statement.binary_records:
                statement.take_records_as_text()  # one that is prepared anew each time does not know it
            self._check_alone()
            try:
                operation = frontend.execute(statement, args, max_rows, record_class)
            except DataError as error:
                if asked_again or not await self._was_outdated(error):
                    raise
                asked_again = True
                continue
            self._queries += 1
            await self._finish(operation)
            if isinstance(operation.error, RowsKept) and await self._decode_kept(operation, statement.registry):
                return operation
            if operation.error is None:
                return operation
            if repeated or not self._may_repeat(operation, statement):
                raise self._failure(operation, query)
            repeated, records_as_text = True, statement.records_as_text

    async def _prepare(self, query: str) -> Statement:
        """A statement for this text; several tasks that ask for the same one share the preparation."""
        check_query(query)
        # Where only one task may go on, the others are refused at once, and not when this one is ready.
        preparing = self._preparing.get(query) if self._frontend.may_join else None
        if preparing is not None:
            statement = await self._prepared(query, preparing)
            if statement is not None:
                return statement
            # An error belongs to the task that asked first; this one gets an answer of its own.
        self._check_alone()
        frontend = self._frontend
        own = _Preparing(frontend.prepare(query, named=frontend.statements.cacheable(query)))
        if preparing is None:
            self._preparing[query] = own
        statement = await self._prepared(query, own)
        if statement is None:
            raise self._failure(own.operation, query)
        return statement

    async def _prepare_own(
        self, query: str, *, name: str | None, always_named: bool = False, record_class: type[Any] | None
    ) -> Statement:
        """A statement for whoever asks alone, to be released to the frontend when it is of no use any more.

        Args:
            name: None: one is made, if statements are cached at all.
            always_named: one is made in any case.
        """
        check_query(query)
        self._checked_record_class(record_class)
        self._check_open()
        self._check_alone()
        named = name is None and (always_named or self._frontend.statements.size > 0)
        own = _Preparing(self._frontend.prepare(query, named=named, name=name or ""))
        own.is_shared = False
        own.record_class = record_class
        statement = await self._prepared(query, own)
        if statement is None:
            raise self._failure(own.operation, query)
        return statement

    async def _prepared(self, query: str, preparing: "_Preparing") -> Statement | None:
        """Wait for a preparation, perhaps with other tasks; None if the server refused it.

        Raises: what ended the connection, an error of the question about types that were unknown, or what a codec
            says of a type that it cannot be for.
        """
        operation = preparing.operation
        preparing.users += 1
        try:
            await self._wait_together(preparing)
            if operation.error is None and preparing.statement is None:
                await self._learn_types_of(preparing)
                if preparing.statement is None:
                    preparing.statement = self._frontend.prepared(
                        query,
                        operation,
                        self._port.clock(),
                        record_class=preparing.record_class,
                        keep=preparing.is_shared,
                    )
        except BaseException:
            if preparing.users == 1:
                self._no_longer(query, preparing)
                if preparing.statement is None:
                    self._frontend.drop(operation)
            raise
        finally:
            preparing.users -= 1
        self._no_longer(query, preparing)
        if not self._frontend.is_open and operation.error is not None:
            raise self._failure(operation, query)
        return preparing.statement

    async def _wait_together(self, shared: "_Shared") -> None:
        """Wait for an operation that others may wait for as well; the last one that goes away gives it up."""
        shared.waiting += 1
        try:
            await self._port.wait(shared.operation)
        except BaseException as error:
            shared.waiting -= 1
            if not shared.waiting:
                await self._give_up(shared.operation, error)
            raise
        shared.waiting -= 1

    async def _learn_types_of(self, preparing: "_Preparing") -> None:
        """Ask the catalogue about the types of a statement that nobody knows yet; the tasks that wait for it ask once.

        Raises:
            PostgresError: the server refused the question.
        """
        while missing := self._frontend.missing_types(preparing.operation) - preparing.absent:
            question = preparing.question
            if question is None:
                question = preparing.question = self._ask(missing)
            try:
                await self._wait_together(question)
            finally:
                if preparing.question is question and (question.operation.settled or not question.waiting):
                    preparing.question = None
            if not question.is_answered or not self._frontend.is_open:
                preparing.absent |= self._learned(question)
            # Else somebody has taken the answer; an error belongs to him alone, and this task asks once more.

    def _ask(self, oids: frozenset[int]) -> "_Question":
        frontend = self._frontend
        # In a transaction the server may answer from a snapshot that is older than the types.
        return _Question(frontend.introspect(oids), oids, is_lasting=not frontend.in_transaction)

    def _learned(self, question: "_Question") -> frozenset[int]:
        """Take the answer about types; those that the database did not tell of, although there may be such.

        Raises:
            PostgresError: the server refused the question.
        """
        operation = question.operation
        if operation.error is not None:
            error = self._failure(operation, "")
            if not question.is_answered:
                error.add_note("The catalogue was asked about types that the statement uses and nobody knew.")
                question.is_answered = True
            raise error
        question.is_answered = True
        return self._frontend.learned(operation, question.oids, nameless=question.is_lasting)

    async def _learn_types(self, oids: frozenset[int]) -> frozenset[int]:
        question = self._ask(oids)
        await self._finish(question.operation)
        return self._learned(question)

    async def _was_outdated(self, error: DataError) -> bool:
        """Whether an argument was refused for what was known of its type, and something else is known of it now: that
        it has other attributes."""
        outdated = error.__cause__
        frontend = self._frontend
        if not isinstance(outdated, OutdatedTypeError) or frontend.transaction_status is TransactionStatus.FAILED:
            return False
        catalog = frontend.registry.catalog
        generation = catalog.generation
        await self._learn_types(frozenset([outdated.oid]))
        return catalog.generation != generation

    async def _decode_kept(self, operation: Operation, registry: Registry) -> bool:
        """Learn the types that the rest of an operation's rows needs, and decode it; False: an error remains.

        Raises:
            PostgresError: the server refused the question about types.
        """
        try:
            await self._learn_and_decode(operation, registry)
        except BaseException as error:
            # The statement itself has come to its end: it is not to be done again because of a question.
            error.__dict__[_WRITTEN] = True
            if isinstance(error, InterfaceError | PostgresError | InternalClientError):
                error.safe_to_retry = False
            raise
        return operation.error is None

    async def _learn_and_decode(self, operation: Operation, registry: Registry) -> None:
        frontend, catalog = self._frontend, registry.catalog
        assert operation.row_plan is not None
        columns = frozenset([codec.oid for codec in operation.row_plan.codecs])
        absent: frozenset[int] = frozenset()
        asked: set[int] = set()
        decoded = -1
        while isinstance(kept := operation.error, RowsKept):
            reason = kept.reason
            needed = columns | reason.oids if isinstance(reason, UnknownTypeError) else columns
            wanted = catalog.missing(needed) - absent
            if (
                isinstance(reason, OutdatedTypeError)
                and reason.oid not in asked
                and frontend.is_current(operation, registry)
            ):
                asked.add(reason.oid)
                wanted |= {reason.oid}
            if not wanted and decoded == len(operation.rows):
                # Whatever can be known of its types is known, and the value still contradicts that.
                operation.error = _undecodable(reason)
                operation.rows = []
                return
            while wanted:
                absent |= await self._learn_types(wanted)
                wanted = catalog.missing(needed) - absent
            decoded = len(operation.rows)
            frontend.decode_kept(operation, kept, registry, absent)

    def _no_longer(self, query: str, preparing: "_Preparing") -> None:
        if self._preparing.get(query) is preparing:
            del self._preparing[query]

    def _with_codecs(self, statement: Statement, codecs: Codecs) -> Statement:
        """A statement with codecs of a single query."""
        return statement.with_codecs(self._codec_layer(codecs), self._frontend.record_class)

    def _codec_layer(self, codecs: Codecs) -> Registry:
        """The connection's codecs with those of a single query on top."""
        layer = self._layers.get(codecs) if isinstance(codecs, tuple) else None
        if layer is None:
            codecs = tuple(codecs)
            if not codecs:
                return self._frontend.registry
            layer = self._layers.get(codecs)
            if layer is None:
                if len(self._layers) >= _MAX_LAYERS:
                    self._layers.clear()
                layer = self._layers[codecs] = Registry(self._frontend.registry)
                layer.declare(codecs)
        return layer

    async def _describe(self, query: str) -> Preparation:
        """A statement's description as it is now, with everything known of its types; nothing is kept on the server.

        Raises:
            PostgresError: the server refused the statement.
        """
        check_query(query)
        self._port.guard()
        self._check_alone()
        operation = self._frontend.prepare(query, named=False)
        await self._finish(operation)
        if operation.error is not None:
            raise self._failure(operation, query)
        absent: frozenset[int] = frozenset()
        while missing := self._frontend.missing_types(operation) - absent:
            absent |= await self._learn_types(missing)
        return operation

    def _row_plan(
        self, registry: Registry, fields: tuple[FieldDescription, ...], record_class: type[Any] | None
    ) -> RowPlan:
        """How rows become records of this class, or of the connection's.

        Raises:
            InterfaceError: it is no class of records.
        """
        record_class = self._checked_record_class(record_class)
        return plan_rows(registry, fields, record_class or self._frontend.record_class)

    async def _script(self, query: str, *, internal: bool = False) -> str:
        check_query(query)
        self._port.guard()
        self._check_alone()
        operation = self._frontend.simple_query(query, internal=internal)
        self._queries += 1
        await self._finish(operation)
        if operation.error is not None:
            raise self._failure(operation, query)
        return operation.status or ""

    async def _many(
        self,
        command: str,
        args: Iterable[Sequence[object]],
        codecs: Codecs,
        record_class: type[Any] | None = None,
        *,
        repeated: bool = False,
    ) -> list[Any]:
        """Prepare if need be, execute for each element, and do both once more if what was known turned out to be
        outdated and the elements can be had again.

        Args:
            record_class: of the rows; None: they are not wanted.
            repeated: this is the second time.
        Returns:
            The rows.
        """
        port, frontend = self._port, self._frontend
        port.guard()
        elements = iter(args)
        repeated = repeated or not isinstance(args, Sequence)
        statement = frontend.cached(command, port.clock()) or await self._prepare(command)
        if codecs:
            statement = self._with_codecs(statement, codecs)
        try:
            operation, failure = await self._batch(statement, elements, record_class)
        except DataError as error:
            if not await self._was_outdated(error) or repeated:
                raise
            return await self._many(command, args, codecs, record_class, repeated=True)
        if operation is None:
            return []
        if isinstance(operation.error, RowsKept):
            await self._decode_kept(operation, statement.registry)
        if operation.error is not None:
            if self._may_repeat(operation, statement) and not repeated and failure is None:
                return await self._many(command, args, codecs, record_class, repeated=True)
            failed = self._failure(operation, command)
            if failure is not None:
                failed.__cause__ = failure
            raise failed
        if failure is not None:
            raise failure
        return operation.rows

    async def _batch(
        self, statement: Statement, elements: Iterator[Sequence[object]], record_class: type[Any] | None
    ) -> tuple[Batch | None, BaseException | None]:
        """Execute a statement for each element: the settled operation, and what the user's side raised meanwhile.

        Args:
            record_class: of the rows; None: they are not wanted.
        Returns:
            None for the operation if there are no elements.
        Raises:
            DataError, InterfaceError, and what `elements` raises: before anything was sent.
        """
        port = self._port
        self._check_alone()
        data, count, exhausted = statement.many(elements, 0, first=True)
        if not count:
            return None, None
        plan = None if record_class is None else statement.rows_as(record_class)
        operation = self._frontend.batch(statement, data, count, complete=exhausted, owner=port.task(), row_plan=plan)
        self._queries += 1
        try:
            failure = None if exhausted else await self._feed(operation, statement, elements, count)
            await port.wait(operation)
        except BaseException as error:
            await self._give_up(operation, error)
            raise
        return operation, failure

    async def _feed(
        self, operation: Batch, statement: Statement, elements: Iterator[Sequence[object]], index: int
    ) -> BaseException | None:
        """Hand over the rest of a batch as the transport takes it, and end it; what the user's side raised."""
        session = self._frontend
        while not operation.written and not operation.settled:
            await self._port.progress(operation)
            operation.attention = False
        exhausted = False
        while not exhausted and not operation.refused and not operation.settled:
            await self._port.outbox_low()
            try:
                data, count, exhausted = statement.many(elements, index, first=False)
            except BaseException as error:
                session.give_up(operation)
                return error
            index += count
            session.extend(operation, data, count)
        session.finish(operation)
        return None

    async def _finish(self, operation: Operation) -> None:
        """Wait until it is settled; if that is cancelled, see to what is owed."""
        try:
            await self._port.wait(operation)
        except BaseException as error:
            await self._give_up(operation, error)
            raise

    async def _give_up(self, operation: Operation, error: BaseException, *, rolls_back: bool = False) -> None:
        """The task no longer waits for this operation. First the state changes, then what is owed is carried out.

        Args:
            rolls_back: a transaction block may be open that nobody will end.
        """
        owed = self._frontend.abandon(operation)
        if operation.written:
            error.__dict__[_WRITTEN] = True
        if rolls_back and self._frontend.is_open:
            await self._owe_rollback(error)
        elif isinstance(error, GeneratorExit):
            # The coroutine is being thrown away: nothing may be awaited any more.
            if owed in (Owed.CANCEL, Owed.DRAIN):
                self._port.abort()
        elif owed is Owed.CANCEL:
            await self._port.owe(self._carry_out_cancel, CANCEL_SECONDS)

    def _forget_stream(self) -> None:
        """End a stream() or a COPY whose loop was left without another word."""
        exclusive = self._frontend.exclusive
        if isinstance(exclusive, RowStream | Copy):
            self._frontend.abandon(exclusive)
            self._frontend.news = True
            self._port.flush()

    async def _owe_rollback(self, error: BaseException, savepoint: str | None = None, mark: int = 0) -> None:
        """A transaction block is left by a cancellation: whatever is submitted from now on comes after its rollback.

        Args:
            savepoint: only this is undone, by this SQL.
            mark: where it stands in the subscriptions.
        """
        if isinstance(error, GeneratorExit):
            self._port.abort()
            return
        if savepoint is None:
            operation = self._frontend.rollback()
        else:
            operation = self._frontend.simple_query(savepoint, internal=True)
        self._port.flush()

        async def carry_out() -> None:
            try:
                await cancelling.cancel_abandoned(self)
                await self._port.wait(operation)
                await self._restore_subscriptions(mark, ended=savepoint is None, committed=False)
            except BaseException:
                self.terminate()
                raise

        await self._port.owe(carry_out, CANCEL_SECONDS)

    async def _carry_out_cancel(self) -> None:
        """Cancel what runs, all of it abandoned; when this fails or takes too long, the connection is given up.

        Raises:
            TimeoutError: it took too long.
        """
        # Not every port bounds what it does because of `cancel_due`, and a server that neither ends the statement nor
        # closes the connection of a CancelRequest would keep what comes after it from being written for ever.
        async with self._port.deadline(self._port.clock() + CANCEL_SECONDS):
            await cancelling.cancel_abandoned(self)

    # helpers

    def _check_open(self) -> None:
        self._port.guard()
        if not self._frontend.is_open:
            raise self._frontend.closed_error()

    def _check_alone(self) -> None:
        """A task whose own group is open would wait for itself."""
        exclusive = self._frontend.exclusive
        if exclusive is not None and not exclusive.abandoned and exclusive.owner == self._port.task():
            raise InterfaceError(
                "cannot perform operation: this task is in the middle of another one on the same connection",
                hint="An executemany() whose arguments come from an iterator, a COPY, or a stream() outside of a "
                "transaction keeps the connection to itself until it ends.",
            )

    def _checked_record_class(self, record_class: type[Any] | None) -> type[Any] | None:
        """Raises InterfaceError: it is no class of records."""
        if record_class is not None:
            check_record_class(record_class)
        return record_class

    def _seconds(self, timeout: object) -> float:
        # NaN is neither early nor late: it would mix up all the timers of a loop.
        if isinstance(timeout, bool) or not isinstance(timeout, int | float) or timeout != timeout:
            raise ValueError(f"invalid timeout value: expected non-negative float (got {timeout!r})")
        return float(timeout)

    def _deadline(self, timeout: float | None) -> float | None:
        """When an operation with this time limit must end."""
        if timeout is None:
            timeout = self._command_timeout
            if timeout is None:
                return None
        seconds = self._seconds(timeout)
        if seconds <= 0:
            raise OperationTimeoutError(
                "the time limit of the operation has passed before it began",
                outcome=Outcome.CANCELLED,
                connection_usable=True,
            )
        return self._port.clock() + seconds

    def _limit(self, at: float | None) -> "TimeLimit":
        """A block that has to end by this time of the port's clock."""
        return TimeLimit(self, at)

    def _may_repeat(self, operation: Operation, statement: Statement | None) -> bool:
        """Take note of what an error says about a statement; whether that helps, and nothing has happened on the
        server.

        Args:
            statement: None if it was forgotten meanwhile.
        """
        if not self._frontend.heed(operation.error, statement):
            return False
        return self._frontend.transaction_status is TransactionStatus.IDLE and not self._frontend.in_transaction

    def _failure(self, operation: Operation, query: str) -> BaseException:
        """The operation's error as it is raised to the user."""
        error = operation.error
        assert error is not None
        if isinstance(error, RowsKept):  # of rows that are none of a statement's of the user
            return _undecodable(error.reason)
        if isinstance(error, PostgresError) and error.sqlstate is not None and error.query is None:
            error.query = query
            if error.sqlstate in ("42601", "42P18") and error.hint is None:
                # Told by the server's function, since its text is translated: a syntax error found after parsing.
                several = error.sqlstate == "42601" and error.server_source_function == "exec_parse_message"
                error.hint = SEVERAL_STATEMENTS_HINT if several else percent_placeholder_hint(query)
        return error

    # notifications

    async def _listen(self, channel: str, subscriber: Hashable) -> None:
        action = self._subscriptions.listen(channel, subscriber)
        if action is not None:
            try:
                await self._carry_out(action)
            except BaseException:
                self._subscriptions.unlisten(channel, subscriber)
                raise

    async def _unlisten(self, channel: str, subscriber: Hashable) -> None:
        action = self._subscriptions.unlisten(channel, subscriber)
        if action is not None:
            await self._carry_out(action)

    def _forget_listener(self, channel: str, subscriber: Hashable) -> None:
        """Without telling the server, where nothing may be awaited: what it still sends goes to nobody."""
        action = self._subscriptions.unlisten(channel, subscriber)
        if action is not None:
            self._subscriptions.failed(action)

    async def _carry_out(self, action: Listen | Unlisten, *, internal: bool = False) -> None:
        try:
            await self._script(action.sql, internal=internal)
        except BaseException:
            self._subscriptions.failed(action)
            raise
        self._subscriptions.confirmed(action, in_transaction=self._frontend.in_transaction)

    async def _restore_subscriptions(self, mark: int, *, ended: bool, committed: bool) -> None:
        """A transaction or savepoint is over: LISTEN again for what a rollback has undone."""
        if ended:
            due = self._subscriptions.transaction_ended(committed)
        else:
            due = [] if committed else self._subscriptions.rolled_back_to(mark)
        for action in due:
            # Nobody asked for this one: it may be beside another task's operation, in a transaction, too.
            await self._carry_out(action, internal=True)

    def _news(self) -> None:
        """The engine has something to tell that is no answer."""
        frontend = self._frontend
        while (event := frontend.next_event()) is not None:
            if isinstance(event, NotificationReceived):
                self._notify(Notification(event.pid, event.channel, event.payload))
        if not self._frontend.is_open:
            self._end_subscriptions()
            if self._on_end is not None:
                self._on_end(self)

    def _end_subscriptions(self) -> int:
        """Nobody listens any more; readers are told. Returns how many subscriptions there were."""
        ended = self._subscriptions.clear()
        for _, subscriber in ended:
            if isinstance(subscriber, ReaderQueue):
                subscriber.end(self._frontend)
        return len(ended)

    def _notify(self, notification: Notification) -> None:
        delivery = self._subscriptions.dispatch(notification.channel, notification)
        if delivery is None:
            return
        for queue in delivery.queues:
            cast(ReaderQueue, queue).wake(self._frontend)
        for callback in delivery.callbacks:
            self._port.deliver(cast(Callback, callback), self if self._proxy is None else self._proxy, *notification)


class _Shared:
    """An operation, and how many tasks wait for it."""

    __slots__ = ("operation", "waiting")

    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        self.waiting = 0


class _Question(_Shared):
    """About the types `oids`. What a lasting answer does not tell of, the database does not have."""

    __slots__ = ("is_answered", "is_lasting", "oids")

    def __init__(self, operation: Operation, oids: frozenset[int], *, is_lasting: bool) -> None:
        super().__init__(operation)
        self.oids = oids
        self.is_lasting = is_lasting
        #: Somebody has taken the answer.
        self.is_answered = False


class _Preparing(_Shared):
    """A preparation, the question about its types while it is under way, and the statement, which the first of those
    who wait makes that goes on.

    Attributes:
        users: how many tasks are to have the statement.
        is_shared: whoever asks for this text is to have it, and it is kept in the cache.
        record_class: of its rows; None: the connection's.
        absent: types of which a question had no answer, and which are text in this statement.
    """

    __slots__ = ("absent", "is_shared", "question", "record_class", "statement", "users")

    operation: Preparation

    def __init__(self, operation: Preparation) -> None:
        super().__init__(operation)
        self.question: _Question | None = None
        self.absent: frozenset[int] = frozenset()
        self.statement: Statement | None = None
        self.is_shared = True
        self.record_class: type[Any] | None = None
        self.users = 0


class TimeLimit:
    """A block in which everything has to be done by a time.

    Raises:
        OperationTimeoutError: it was not; what was going on was cancelled.
    """

    __slots__ = ("_connection", "_inner")

    def __init__(self, connection: Connection, at: float | None) -> None:
        self._connection = connection
        self._inner = connection._port.deadline(at)

    async def __aenter__(self) -> None:
        await self._inner.__aenter__()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self._inner.__aexit__(exc_type, exc, traceback)
        except TimeoutError as error:
            written = exc is not None and _WRITTEN in exc.__dict__
            raise OperationTimeoutError(
                "the time limit of the operation has passed",
                outcome=Outcome.UNKNOWN if written else Outcome.CANCELLED,
                connection_usable=not self._connection.is_closed(),
            ) from error


def check_query(query: object) -> None:
    """Raises TypeError: not a str."""
    if not isinstance(query, str):
        raise TypeError(f"query is expected to be a str, got {type(query).__name__}")


def check_connection_class(connection_class: object) -> None:
    """Raises InterfaceError: not a subclass of Connection."""
    if not isinstance(connection_class, type) or not issubclass(connection_class, Connection):
        raise InterfaceError(
            f"connection_class is expected to be a subclass of asyncpg.Connection, got {connection_class!r}"
        )


def check_record_class(record_class: object) -> None:
    """Raises InterfaceError: not a subclass of Record, or one that makes its instances differently."""
    if not isinstance(record_class, type) or not issubclass(record_class, Record):
        raise InterfaceError("record_class is expected to be a subclass of asyncpg.Record")
    if record_class.__new__ is not Record.__new__ or record_class.__init__ is not Record.__init__:
        raise InterfaceError("record_class must not redefine __new__ or __init__")


def _undecodable(reason: UnknownTypeError | OutdatedTypeError) -> InvalidValueError:
    """What the user is told about a value that still contradicts all that can be known of its types."""
    # The last of the kernel's notes says which column it was, those before where in the value.
    *within, column = getattr(reason, "__notes__", ("of a result",))
    error = InvalidValueError(f"cannot decode a value {column}: {reason}")
    for note in within:
        error.add_note(note)
    return error
