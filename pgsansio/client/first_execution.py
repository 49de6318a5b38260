"""Executing a statement that is not prepared: both in one round trip, where enough is known.

How this works. Parse, Describe, Bind and Execute go out together. For arguments that needs the parameters' types, which
another connection of the pool may have learned; columns are asked for in the formats that it has found, or all of them
in binary. What comes back is decoded by its own description. What is thought to be known is a hint: where the server
contradicts it, nothing has happened, and outside of a transaction the statement goes the long way.
"""

from collections.abc import Sequence
from typing import Any, Final

from pgsansio.client.core import check_query, misled
from pgsansio.client.type_methods import TypeMethods
from pgsansio.codecs.descriptions import Description
from pgsansio.engine.operations import FirstExecution, Operation, RowsKept
from pgsansio.errors import (
    DataError,
    DuplicatePreparedStatementError,
    InterfaceError,
    InvalidCachedStatementError,
    InvalidValueError,
    PostgresError,
    UnsupportedClientFeatureError,
)
from pgsansio.frontend.statements import NOT_AS_KNOWN, contradicts, has_no_output
from pgsansio.policy.keywords import classify

__all__ = ["FirstExecutions"]

#: First words of statements that change nothing.
_READING: Final = ("SELECT", "TABLE", "VALUES")
_PROTOCOL_VIOLATION: Final = "08P01"


class FirstExecutions(TypeMethods):
    """First executions."""

    __slots__ = ()

    async def _execute_first(
        self, query: str, args: Sequence[object], max_rows: int, record_class: type[Any] | None
    ) -> Operation | None:
        """Prepare and execute a statement, if that can be done at once.

        Returns:
            The completed operation. None: it has to be prepared first, and nothing has happened.
        Raises: as `Connection.execute`.
        """
        check_query(query)
        frontend = self._frontend
        description = frontend.description(query, self._port.clock())
        if not self._may_be_first(query, args, description):
            return None
        self._check_alone()
        try:
            operation = frontend.first_execution(query, args, max_rows, record_class, description)
        except (DataError, InterfaceError):
            return None  # by what the server says of it, it will be right, or wrong for a better reason
        frontend.submit_preparation(operation)
        self._queries += 1
        self._introduced.add(query)
        try:
            await self._finish(operation)
            if isinstance(operation.error, RowsKept):
                await self._decode_kept(operation, frontend.registry)
            failure = operation.error
            goes_on = self._goes_the_long_way(query, operation, description)
        except InvalidValueError as unreadable:
            # Of what the server cannot turn into text: it is asked for as text the next time, which is now, if the
            # statement only reads. (Functions in it may have effects; such types are those of a few catalogues.)
            self._goes_the_long_way(query, operation, description)
            is_unconverted = isinstance(unreadable.__cause__, PostgresError)
            if is_unconverted and not frontend.in_transaction and classify(query).keyword in _READING:
                return None
            raise
        except BaseException:
            frontend.drop(operation)
            raise
        finally:
            self._introduced.discard(query)
        if goes_on:
            return None
        if failure is not None:
            error = self._failure(operation, query)
            is_told_of = description is not None and not operation.is_executing
            if is_told_of and isinstance(failure, PostgresError) and failure.sqlstate in NOT_AS_KNOWN:
                raise misled(query) from error
            raise error
        return operation

    def _may_be_first(self, query: str, args: Sequence[object], description: Description | None) -> bool:
        frontend = self._frontend
        if query in self._preparing or query in self._introduced:
            return False  # another task is about to have it prepared
        if description is None:
            # If a column has no binary form it is executed once more, which inside of a transaction is too late. And
            # what a codec of the user's wants as text would have to be converted, each value of it.
            return not args and not frontend.in_transaction and not frontend.registry.has_declarations
        return not frontend.missing_types(description)

    def _goes_the_long_way(self, query: str, operation: FirstExecution, description: Description | None) -> bool:
        """Take note of what came of it. Whether it was refused for what was assumed, and may be executed once more."""
        frontend, error = self._frontend, operation.error
        if not isinstance(error, PostgresError) or isinstance(error, InvalidValueError):
            is_wrong = False
        elif isinstance(error, DuplicatePreparedStatementError | InvalidCachedStatementError):
            frontend.drop(operation)
            return self._may_prepare_unnamed(query, operation)
        elif description is None:
            is_wrong = operation.is_described and _contradicts_the_unknown(error, operation)
        else:
            is_wrong = _contradicts(error, operation)
        is_misled = is_wrong and description is not None
        if is_misled:
            frontend.descriptions.forget(query)
        is_known = operation.is_described and not frontend.missing_types(operation)
        if is_misled or not is_known or not frontend.is_open or isinstance(error, UnsupportedClientFeatureError):
            frontend.drop(operation)
        else:
            frontend.executed_first(query, operation, description, self._port.clock())
            if is_wrong:
                frontend.heed(operation, operation.statement)  # what is asked for as text next time
        return is_wrong and self._is_outside() and frontend.is_open


def _contradicts(error: PostgresError, operation: FirstExecution) -> bool:
    """Whether a statement was refused, before it was executed, perhaps for what another connection has learned."""
    return has_no_output(error) if operation.is_executing else contradicts(error)


def _contradicts_the_unknown(error: PostgresError, operation: FirstExecution) -> bool:
    """Whether a statement was refused since it has parameters, or a column that has no binary form."""
    return has_no_output(error) or (error.sqlstate == _PROTOCOL_VIOLATION and not operation.is_executing)
