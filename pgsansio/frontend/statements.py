"""Statements: preparing them, executing them, and what their errors say about them."""

from collections.abc import Sequence
from typing import Any, Final
from weakref import WeakSet, ref

from pgsansio.codecs.builtin import BUILTIN
from pgsansio.codecs.catalog import BY_NAME
from pgsansio.codecs.descriptions import Description, Descriptions
from pgsansio.codecs.registry import Registry
from pgsansio.codecs.row_plan import plan_rows
from pgsansio.codecs.type_catalog import with_parts
from pgsansio.codecs.type_info import TypeKind
from pgsansio.engine.operations import (
    BARRIER,
    DISCARDS_ROWS,
    EXCLUSIVE,
    FOLLOWS,
    SYNC,
    Batch,
    DescribedAgain,
    FirstExecution,
    Operation,
    Preparation,
)
from pgsansio.engine.routes import STEPS
from pgsansio.engine.session import is_refused_before
from pgsansio.engine.states import Awaiting
from pgsansio.enums import Format, StatementMode
from pgsansio.errors import (
    DuplicatePreparedStatementError,
    InvalidCachedStatementError,
    InvalidSQLStatementNameError,
    PostgresError,
)
from pgsansio.frontend.names import Names
from pgsansio.kernel import Record, row_plan
from pgsansio.kernel.contract import (
    Arguments,
    RowPlan,
    UnknownTypeError,
)
from pgsansio.messages.backend import FieldDescription
from pgsansio.messages.frontend import (
    Bind,
    Execute,
    Parse,
    Sync,
)
from pgsansio.policy.keywords import classify
from pgsansio.policy.statement_names import own_name_in
from pgsansio.statement import Statement

__all__ = ["NOT_AS_KNOWN", "Statements", "contradicts", "has_no_output", "plan_of"]

_AS_IT_COMES: Final = BUILTIN[BY_NAME["bytea"].oid, Format.BINARY]
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
_EXECUTE_ALL: Final = Execute("", 0).encode()
_PREPARE: Final = (
    Awaiting.PARSE_COMPLETE,
    Awaiting.PARAMETER_DESCRIPTION,
    Awaiting.ROW_DESCRIPTION,
    Awaiting.READY,
)
_FIRST: Final = (*_PREPARE[:-1], Awaiting.BIND_COMPLETE, Awaiting.EXECUTION, Awaiting.READY)
_BATCH: Final = STEPS(Awaiting.BATCH_BIND)


def _behind_closes(closing: Sequence[str], steps: Sequence[Awaiting]) -> tuple[Any, ...]:
    """These answers, behind those to Close of so many names."""
    return STEPS(*[Awaiting.CLOSE_COMPLETE] * len(closing), *steps)


def contradicts(error: PostgresError) -> bool:
    """Whether a statement that was refused before it was executed was perhaps refused for what was known of it."""
    code = error.sqlstate or ""
    return (code.startswith(_SYNTAX_OR_ACCESS) and code != _INSUFFICIENT_PRIVILEGE) or code in NOT_AS_KNOWN


def has_no_output(error: PostgresError) -> bool:
    """Whether a type has no binary output, or one that it is made of."""
    return error.sqlstate == _UNDEFINED_FUNCTION and error.server_source_function in _NO_BINARY_OUTPUT


def plan_of(statement: Statement, record_class: type[Any] | None) -> RowPlan:
    return statement.row_plan if record_class is None else statement.rows_as(record_class)


class Statements(Names):
    """The extended protocol with its statements.

    Attributes:
        registry: codecs of this connection.
        record_class: of rows, if an operation has none of its own.
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
        super().__init__(
            descriptions,
            statement_mode,
            statement_cache_size,
            max_cached_statement_lifetime,
            max_cacheable_statement_size,
        )
        self.registry = registry if registry is not None else Registry()
        # Weakly: it may be a layer of somebody's who keeps it.
        weak = ref(self)

        def on_change() -> None:
            alive = weak()
            if alive is not None:
                alive.forget_all()

        def on_outdated() -> None:
            alive = weak()
            if alive is not None:
                alive._outdated()

        self.registry.on_change, self.registry.on_outdated = on_change, on_outdated
        self.record_class = record_class

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
            plan_of(statement, record_class),
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

    def preparation(self, query: str, *, named: bool = True) -> Preparation:
        """Parse and Describe, to be given to `group`. It is in the cache's hands once `prepared` was called.

        Args:
            named: make a name for it, if it is worth keeping and names are of use.
        Raises:
            InterfaceError: the text holds a zero byte.
        """
        name, data, closing = self._opening(query, (), None if named and self.statements.cacheable(query) else "")
        return Preparation(data, _behind_closes(closing, _PREPARE[:-1]), 0, name, closing)

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
            if self._own is None:
                self._own = WeakSet()
            self._own.add(statement)
        return statement

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
            infos = with_parts(catalog, statement.parameter_oids)
            composites = [info.oid for info in infos if info.kind is TypeKind.COMPOSITE]
            catalog.forget(composites)
            return bool(composites)
        if contradicts(error) and is_refused_before(operation) and self.statements.peek(statement.query) is statement:
            # By the types of its parameters, or the number of its columns, which others may have by now.
            self.descriptions.forget(statement.query)
            self.forget(statement)
            return True
        return False

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
