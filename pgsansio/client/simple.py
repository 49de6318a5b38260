"""Statements without the extended protocol: each goes as text, with its arguments written into it (`statement_mode`).

How this works. A statement is a script of one, whose rows come as text and are decoded by the codecs for that; types
that are unknown are learned afterwards, as those of any other statement. The elements of `executemany` are scripts of
many statements, which a server carries out as one transaction; more than go into one script are put into a block.
"""

import re
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, cast

from pgsansio.client.core import check_query
from pgsansio.client.elements import Arguments, Elements
from pgsansio.client.type_methods import Codecs, TypeMethods
from pgsansio.codecs.registry import Registry
from pgsansio.engine.operations import Operation, RowsKept
from pgsansio.errors import PostgresError, ProtocolError, UnsupportedClientFeatureError
from pgsansio.simple_statement import SimpleStatement

if TYPE_CHECKING:
    from pgsansio.client.connection import Connection

__all__ = ["SimpleStatements", "check_extended"]

#: The server says it: int() would take its time for thousands of digits.
_POSITION: Final = re.compile("[0-9]{1,10}", re.ASCII)


def check_extended(connection: "Connection", method: str, instead: str) -> None:
    """
    Args:
        method: what was called.
        instead: what can be done in its place.
    Raises:
        UnsupportedClientFeatureError: the connection does without the extended protocol.
    """
    if connection._frontend.is_simple:
        raise UnsupportedClientFeatureError(
            f"{method} needs the extended protocol, which statement_mode='simple' does without", hint=instead
        )


class SimpleStatements(TypeMethods):
    """How statements are carried out as text."""

    __slots__ = ()

    async def _execute_simply(
        self, query: str, args: Sequence[object], record_class: type[Any] | None, codecs: Codecs
    ) -> Operation:
        """Execute a statement: the completed operation. Raises as `Connection.execute`."""
        check_query(query)
        frontend, registry = self._frontend, self._codec_layer(codecs)
        statement = SimpleStatement(query, registry, frontend.parameters)
        pieces = statement.pieces(args)
        self._check_alone()
        operation = frontend.script("".join(pieces), record_class, registry=registry, kind=statement.kind)
        await self._carry_out_script(operation, query, lambda position: statement.position_of(position, pieces))
        if not operation.statements:
            return operation  # an empty text
        # One statement; a rule can make several of it, of which the last one counts.
        result = operation.statements[-1]
        await self._decode_text(result, registry, query)
        return result

    async def _many_simply(
        self, command: str, args: Arguments, codecs: Codecs, record_class: type[Any] | None
    ) -> list[Any]:
        """Execute a statement for each element.

        Args:
            record_class: of the rows; None: they are not wanted.
        Returns:
            The rows.
        """
        check_query(command)
        frontend, registry = self._frontend, self._codec_layer(codecs)
        statement = SimpleStatement(command, registry, frontend.parameters)
        rows: list[Any] = []
        async with Elements(self._port, args) as elements:
            self._check_alone()
            data, index, exhausted = await elements.take(statement, 0, first=True)
            if not index:
                await self._port.checkpoint()
                return rows
            block: AbstractAsyncContextManager[None] = nullcontext()
            if not exhausted and not frontend.in_transaction:
                block = cast("Connection", self).transaction()
            async with block:
                await self._run_batch(data, statement, registry, record_class, rows)
                while not exhausted:
                    data, count, exhausted = await elements.take(statement, index, first=False)
                    index += count
                    if count:
                        await self._run_batch(data, statement, registry, record_class, rows)
        return rows

    async def _run_batch(
        self,
        data: bytes,
        statement: SimpleStatement,
        registry: Registry,
        record_class: type[Any] | None,
        rows: list[Any],
    ) -> None:
        frontend, query = self._frontend, statement.query
        # Whatever they are, they are several.
        kind = replace(statement.kind, several=True)
        if record_class is None:
            operation: Operation = frontend.simple_query(data.decode(), kind=kind)
            await self._carry_out_script(operation, query)
            return
        script = frontend.script(data.decode(), record_class, registry=registry, kind=kind)
        await self._carry_out_script(script, query)
        for result in script.statements:
            await self._decode_text(result, registry, query)
            rows += result.rows

    async def _types_of_columns(self, query: str) -> list[int]:
        """The types of a query's columns, with everything known of them.

        Args:
            query: to which LIMIT can be added.
        Raises:
            PostgresError: the server refused it. ProtocolError: it says nothing of columns.
        """
        operation = self._frontend.script(f"{query} LIMIT 0")
        await self._carry_out_script(operation, query)
        plan = operation.statements[0].row_plan if operation.statements else None
        if plan is None:
            raise ProtocolError("the answer to a SELECT is no description of its columns")
        oids = [codec.oid for codec in plan.codecs]
        absent: frozenset[int] = frozenset()
        while missing := self._frontend.registry.catalog.missing(oids) - absent:
            absent |= await self._learn_types(missing)
        return oids

    async def _carry_out_script(
        self, operation: Operation, query: str, position_in_query: Callable[[int], int] | None = None
    ) -> None:
        """Wait for it.

        Args:
            position_in_query: where in the query a position in the script is; None: no one knows.
        Raises: as `Connection.execute`.
        """
        self._queries += 1
        await self._finish(operation)
        if operation.error is None:
            return
        error = self._failure(operation, query)
        if isinstance(error, PostgresError):
            position = error.position
            error.position = None
            if position_in_query is not None and position is not None and _POSITION.fullmatch(position):
                error.position = str(position_in_query(int(position)))
        raise error

    async def _decode_text(self, result: Operation, registry: Registry, query: str) -> None:
        """Decode what is left of the rows of a statement that was carried out. Raises what a value is refused with."""
        if isinstance(result.error, RowsKept):
            await self._decode_kept(result, registry)
        if result.error is not None:
            raise self._failure(result, query)
