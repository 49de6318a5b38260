"""Preparing statements, and learning the types that they need.

How this works. Several tasks that ask for the same text share one preparation (`_Preparing`), and one question to the
catalogue about the types in it that nobody knows yet (`_Question`); the first of them that goes on makes the statement.
Rows whose types turn out to be unknown or outdated are kept by the engine, and decoded when their types were learned.
"""

from typing import Any

from pgsansio.client.core import WRITTEN, ConnectionCore, check_query, undecodable
from pgsansio.codecs.registry import Registry
from pgsansio.engine.operations import DescribedAgain, FirstExecution, Operation, Preparation, RowsKept
from pgsansio.enums import TransactionStatus
from pgsansio.errors import (
    DataError,
    InterfaceError,
    InternalClientError,
    InvalidCachedStatementError,
    InvalidValueError,
    PostgresError,
)
from pgsansio.kernel import row_plan
from pgsansio.kernel.contract import OutdatedTypeError, UnknownTypeError
from pgsansio.messages.data_row import column_values, with_column
from pgsansio.statement import Statement

__all__ = ["Preparations"]


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


class Preparations(ConnectionCore):
    """Statements that are being prepared, and questions about types."""

    __slots__ = ()

    #  statements

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
        if statement is None and self._may_prepare_unnamed(query, own.operation):
            own = _Preparing(frontend.prepare(query, named=False))
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
        if statement is None and name is None and self._may_prepare_unnamed(query, own.operation):
            own = _Preparing(self._frontend.prepare(query, named=False))
            own.is_shared = False
            own.record_class = record_class
            statement = await self._prepared(query, own)
        if statement is None:
            raise self._failure(own.operation, query)
        return statement

    def _may_prepare_unnamed(self, query: str, operation: Preparation) -> bool:
        """Whether a statement was only refused for the name that it was to have, and nothing has happened."""
        if isinstance(operation.error, InvalidCachedStatementError):
            # It was new here: a pooler that tracks statements has one of the same text, whose table was changed.
            self._frontend.descriptions.do_without_name(query)
        return self._may_repeat(operation, None)

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

    def _no_longer(self, query: str, preparing: "_Preparing") -> None:
        if self._preparing.get(query) is preparing:
            del self._preparing[query]

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

    #  types

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
            error.__dict__[WRITTEN] = True
            if isinstance(error, InterfaceError | PostgresError | InternalClientError):
                error.safe_to_retry = False
            raise
        return operation.error is None

    async def _have_converted(self, operation: FirstExecution | DescribedAgain, kept: RowsKept) -> None:
        """Have the server turn columns into the formats that their types' codecs want, and that were not asked for.

        The statement cannot be executed again for that: it may have changed something.

        Raises:
            InvalidValueError: the server cannot.
            UnsupportedClientFeatureError: no format suits all parts of a type.
        """
        frontend, plan = self._frontend, operation.row_plan
        registry = frontend.registry
        assert plan is not None
        unsure, operation.unsure = operation.unsure, frozenset()
        for index, codec in enumerate(plan.codecs):
            oid, given = codec.oid, codec.format
            if oid not in unsure or registry.reads_alike(oid, given):
                continue
            preferred = registry.codec(oid) or registry.text_codec(oid, codec.name)
            if preferred.format is given:
                continue
            values = column_values(kept.data, index)
            if values:
                batch = frontend.convert(oid, values, given, preferred.format)
                await self._finish(batch)
                if batch.error is not None:
                    error = InvalidValueError(
                        f"cannot decode a value of column {plan.names[index]!r}: there is no codec for type "
                        f"{preferred.name} in {given.name.lower()}, and the server does not turn it into "
                        f"{preferred.format.name.lower()}: {batch.error}"
                    )
                    error.hint = "The statement is known now: the next time the column is asked for in another format."
                    raise error from batch.error
                kept.data = with_column(kept.data, index, [row[0] for row in batch.rows])
            plan = row_plan(plan.names, (*plan.codecs[:index], preferred, *plan.codecs[index + 1 :]), plan.record_class)
            operation.row_plan = plan

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
                operation.error = undecodable(reason)
                operation.rows = []
                return
            while wanted:
                absent |= await self._learn_types(wanted)
                wanted = catalog.missing(needed) - absent
            decoded = len(operation.rows)
            if isinstance(operation, FirstExecution | DescribedAgain):
                await self._have_converted(operation, kept)
            frontend.decode_kept(operation, kept, registry, absent)
