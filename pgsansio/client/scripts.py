"""Scripts: several statements in one text, each with its result."""

from typing import Any

from pgsansio.client.callbacks import CallbackMethods
from pgsansio.client.core import TimeLimit, check_query
from pgsansio.client.preparing import Preparations
from pgsansio.engine.operations import RowsKept, Script
from pgsansio.enums import Outcome
from pgsansio.errors import PostgresError
from pgsansio.policy.keywords import split_statements
from pgsansio.types import Result

__all__ = ["ScriptMethods"]


class ScriptMethods(Preparations, CallbackMethods):
    """execute_script."""

    __slots__ = ()

    async def execute_script(
        self, script: str, *, timeout: float | None = None, record_class: type[Any] | None = None
    ) -> list[Result]:
        """Run all statements of a script and return their results, in order; empty statements have none.

        The simple protocol is used: no arguments, and values come as text, so that members of anonymous records stay
        str. A script is one transaction, of which nothing is kept if it fails, unless it holds BEGIN and COMMIT of its
        own or runs in a transaction block. An error has a note with the number of its statement.

        Args:
            timeout: seconds for all of it; default: the connection's `command_timeout`.
            record_class: a subclass of Record for all rows.
        Raises:
            InvalidValueError: a value cannot be decoded; the script was carried out.
            InterfaceError: COPY from or to the client is no matter for a script. Else as `execute`.
        """
        async with self._logged(script, (), timeout), TimeLimit(self, self._deadline(timeout)):
            return await self._execute_script(script, record_class)

    async def _execute_script(self, script: str, record_class: type[Any] | None) -> list[Result]:
        check_query(script)
        self._checked_record_class(record_class)
        self._port.guard()
        self._check_alone()
        await self._begin_now()
        operation = self._frontend.script(script, record_class)
        self._queries += 1
        await self._finish(operation)
        if operation.error is not None:
            error = self._failure(operation, script)
            if operation.outcome is Outcome.FAILED:
                error.add_note(f"This is about statement {_failed_statement(operation, script)} of the script.")
            raise error
        results: list[Result] = []
        for number, statement in enumerate(operation.statements, 1):
            if isinstance(statement.error, RowsKept):
                await self._decode_kept(statement, self._frontend.registry)
            if statement.error is not None:
                error = self._failure(statement, script)
                error.add_note(f"This is about statement {number} of the script.")
                raise error
            results.append(Result(statement.rows, statement.status or ""))
        return results


def _failed_statement(operation: Script, script: str) -> int:
    """Which statement of the script has failed, from 1."""
    completed = len(operation.statements)
    error = operation.error
    position = error.position if isinstance(error, PostgresError) else None
    if completed or position is None or not (position.isascii() and position.isdecimal()) or len(position) > 10:
        return completed + 1
    # The server parses the whole text before it does anything, so an error of syntax may be in any statement of it.
    return max(1, len(split_statements(script[: int(position) - 1] + "x")))
