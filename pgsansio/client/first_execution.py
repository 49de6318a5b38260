"""Executing a statement that is not prepared: both in one round trip, where enough is known.

How this works. Parse, Describe, Bind and Execute go out together. For arguments that needs the parameters' types, which
another connection of the pool may have learned; columns are asked for in the formats that it has found, or all of them
in binary. What comes back is decoded by its own description. What is thought to be known is a hint: where the server
contradicts it, nothing has happened, and outside of a transaction the statement goes the long way.
"""

from collections.abc import Sequence
from typing import Any, Final

from pgsansio.client.core import check_query
from pgsansio.client.type_methods import TypeMethods
from pgsansio.codecs.descriptions import Description
from pgsansio.engine.operations import FirstExecution, Operation, RowsKept
from pgsansio.enums import TransactionStatus
from pgsansio.errors import DataError, InterfaceError, InvalidValueError, PostgresError

__all__ = ["FirstExecutions"]

_PROTOCOL_VIOLATION: Final = "08P01"
_UNDEFINED_FUNCTION: Final = "42883"
#: The server's function that finds none; None: of a server that does not say.
_NO_OUTPUT: Final = ("getTypeBinaryOutputInfo", None)
#: Of a wrong number of parameters, a value that is none of its type in binary, and an unknown type.
_NOT_AS_KNOWN: Final = (_PROTOCOL_VIOLATION, "22P03", "XX000")
_SYNTAX_OR_ACCESS: Final = "42"


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
        description = frontend.descriptions.get(query)
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
        finally:
            self._introduced.discard(query)
        if isinstance(operation.error, RowsKept):
            await self._decode_kept(operation, frontend.registry)
        if self._goes_the_long_way(query, operation, description):
            return None
        if operation.error is not None:
            raise self._failure(operation, query)
        return operation

    def _may_be_first(self, query: str, args: Sequence[object], description: Description | None) -> bool:
        frontend = self._frontend
        if query in self._preparing or query in self._introduced:
            return False  # another task is about to have it prepared
        if description is None:
            # If a column has no binary form it is executed once more, which inside of a transaction is too late.
            return not args and not frontend.in_transaction
        return not frontend.missing_types(description)

    def _goes_the_long_way(self, query: str, operation: FirstExecution, description: Description | None) -> bool:
        """Take note of what came of it. Whether it was refused for what was assumed, and may be executed once more."""
        frontend, error = self._frontend, operation.error
        is_described = operation.row_plan is not None
        if not isinstance(error, PostgresError) or isinstance(error, InvalidValueError):
            is_wrong = False
        elif description is None:
            is_wrong = is_described and _contradicts_the_unknown(error)
        else:
            is_wrong = _contradicts(error)
        is_misled = is_wrong and description is not None
        if is_misled:
            frontend.descriptions.forget(query)
        if is_misled or not is_described or frontend.missing_types(operation):
            frontend.drop(operation)
        elif frontend.is_open:
            frontend.prepared(query, operation, self._port.clock())
        is_outside = frontend.transaction_status is TransactionStatus.IDLE and not frontend.in_transaction
        return is_wrong and is_outside and frontend.is_open


def _contradicts(error: PostgresError) -> bool:
    """Whether a statement may have been refused for what another connection has learned of it."""
    code = error.sqlstate or ""
    return code.startswith(_SYNTAX_OR_ACCESS) or code in _NOT_AS_KNOWN


def _contradicts_the_unknown(error: PostgresError) -> bool:
    """Whether a statement was refused since it has parameters, or a column that has no binary form."""
    if error.sqlstate == _UNDEFINED_FUNCTION:
        return error.server_source_function in _NO_OUTPUT
    return error.sqlstate == _PROTOCOL_VIOLATION
