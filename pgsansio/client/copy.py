"""COPY as a user calls it: tables and queries to and from files, functions, iterables and records."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from pgsansio.client.copy_ends import (
    Output,
    Records,
    RecordSource,
    Source,
    SourceReader,
    open_sink,
    open_source,
)
from pgsansio.client.copy_stream import CopyChunks, CopyRecords, Progress, RunningCopy
from pgsansio.client.simple import check_extended
from pgsansio.codecs.declaration import CodecDeclaration
from pgsansio.codecs.row_plan import with_formats
from pgsansio.engine.operations import CopyDirection, Preparation
from pgsansio.enums import Format
from pgsansio.errors import DataError, InterfaceError, UnsupportedServerFeatureError
from pgsansio.kernel.contract import RowPlan, argument_count_error
from pgsansio.policy import capabilities
from pgsansio.policy.copy_statement import (
    CopyTarget,
    copy_from_stdin,
    copy_query_to_stdout,
    copy_table_to_stdout,
    select_columns,
    select_rendered,
    select_with_text_columns,
)
from pgsansio.policy.keywords import replace_parameters
from pgsansio.policy.quoting import quote_identifier
from pgsansio.simple_statement import SimpleStatement

if TYPE_CHECKING:
    from pgsansio.client.connection import Connection

__all__ = ["CopyMethods", "CopyStreams"]

Codecs: TypeAlias = Iterable[CodecDeclaration]
Columns: TypeAlias = Iterable[str]

_BINARY: Final = {"format": "binary"}


class CopyMethods:
    """COPY of a whole table or query by one call."""

    __slots__ = ()

    async def copy_from_table(
        self,
        table_name: str,
        *,
        output: Output,
        columns: Columns | None = None,
        schema_name: str | None = None,
        timeout: float | None = None,
        format: str | None = None,
        oids: bool | None = None,
        delimiter: str | None = None,
        null: str | None = None,
        header: bool | str | None = None,
        quote: str | None = None,
        escape: str | None = None,
        force_quote: bool | Columns | None = None,
        encoding: str | None = None,
        progress: Progress | None = None,
    ) -> str:
        """Write a table to a file or function and return the command tag, 'COPY 100'.

        Args:
            output: a path; a file opened in binary mode; or a coroutine function that is called with bytes.
            columns: names; default: all.
            timeout: seconds for all of it; default: the connection's `command_timeout`.
            format: 'text' (default), 'csv' or 'binary'; it and what follows are as in the manual, "COPY".
            force_quote: names of columns; True: all.
            progress: called with (None, bytes so far) after each write.
        Raises:
            PostgresError: the server's word.
            OperationTimeoutError: `timeout` seconds have passed.
            TypeError: `output` is none of these. OSError: the file cannot be opened or written.
            Else what `output` raises. The connection can be used afterwards.
        """
        target = CopyTarget(table_name, schema_name, columns)
        statement = copy_table_to_stdout(
            target,
            {
                "format": format,
                "oids": oids,
                "delimiter": delimiter,
                "null": null,
                "header": header,
                "quote": quote,
                "escape": escape,
                "force_quote": force_quote,
                "encoding": encoding,
            },
        )
        connection = _connection(self)
        async with connection._logged(statement, (), timeout), connection._limit(connection._deadline(timeout)):
            return await _copy_out(connection, statement, output, progress)

    async def copy_from_query(
        self,
        query: str,
        *args: object,
        output: Output,
        timeout: float | None = None,
        format: str | None = None,
        oids: bool | None = None,
        delimiter: str | None = None,
        null: str | None = None,
        header: bool | str | None = None,
        quote: str | None = None,
        escape: str | None = None,
        force_quote: bool | Columns | None = None,
        encoding: str | None = None,
        progress: Progress | None = None,
    ) -> str:
        """Write the rows of a query to a file or function and return the command tag, 'COPY 100'.

        Args:
            query: one SELECT, VALUES, or INSERT, UPDATE, DELETE or MERGE with RETURNING.
            args: for `$1` and so on; they become literals in the text, which costs two round trips.
            Else as `copy_from_table`.
        Raises: as `copy_from_table`; DataError: an argument cannot be encoded.
        """
        connection = _connection(self)
        options = {
            "format": format,
            "oids": oids,
            "delimiter": delimiter,
            "null": null,
            "header": header,
            "quote": quote,
            "escape": escape,
            "force_quote": force_quote,
            "encoding": encoding,
        }
        statement = copy_query_to_stdout(query, options)
        async with connection._logged(statement, args, timeout), connection._limit(connection._deadline(timeout)):
            if args:
                statement = copy_query_to_stdout(await _with_literals(connection, query, args), options)
            return await _copy_out(connection, statement, output, progress)

    async def copy_to_table(
        self,
        table_name: str,
        *,
        source: Source,
        columns: Columns | None = None,
        schema_name: str | None = None,
        timeout: float | None = None,
        format: str | None = None,
        oids: bool | None = None,
        freeze: bool | None = None,
        delimiter: str | None = None,
        null: str | None = None,
        header: bool | str | None = None,
        quote: str | None = None,
        escape: str | None = None,
        force_quote: bool | Columns | None = None,
        force_not_null: bool | Columns | None = None,
        force_null: bool | Columns | None = None,
        encoding: str | None = None,
        where: str | None = None,
        default: str | None = None,
        on_error: str | None = None,
        reject_limit: int | None = None,
        log_verbosity: str | None = None,
        progress: Progress | None = None,
    ) -> str:
        """Fill a table from a file, bytes or an asynchronous iterable and return the command tag, 'COPY 100'.

        Args:
            source: a path; a file opened in binary mode; bytes, bytearray or memoryview; or an asynchronous iterable of
                these, as `copy_chunks_from_table()` of another connection. Pieces need not end where rows do.
            header: the first line is one of names, and skipped; 'match': and compared (PostgreSQL 15).
            where: an SQL condition for the rows that are kept (PostgreSQL 12).
            default: PostgreSQL 16. on_error, log_verbosity: PostgreSQL 17. reject_limit: PostgreSQL 18.
            progress: called with (None, bytes so far) after each piece was handed to the transport.
            Else as `copy_from_table`.
        Raises:
            PostgresError: the server's word.
            OperationTimeoutError: `timeout` seconds have passed.
            UnsupportedServerFeatureError: `where` is given and the server is too old.
            TypeError: `source` is none of these. OSError: the file cannot be opened or read.
            Else what `source` raises; nothing was copied then. The connection can be used afterwards.
        """
        connection = _connection(self)
        _check_where(connection, where)
        statement = copy_from_stdin(
            CopyTarget(table_name, schema_name, columns),
            {
                "format": format,
                "oids": oids,
                "freeze": freeze,
                "delimiter": delimiter,
                "null": null,
                "header": header,
                "quote": quote,
                "escape": escape,
                "force_quote": force_quote,
                "force_not_null": force_not_null,
                "force_null": force_null,
                "encoding": encoding,
                "default": default,
                "on_error": on_error,
                "reject_limit": reject_limit,
                "log_verbosity": log_verbosity,
            },
            where,
        )
        async with connection._logged(statement, (), timeout), connection._limit(connection._deadline(timeout)):
            return await _copy_in(connection, statement, await open_source(connection._port, source), progress)

    async def copy_records_to_table(
        self,
        table_name: str,
        *,
        records: Records,
        columns: Columns | None = None,
        schema_name: str | None = None,
        timeout: float | None = None,
        where: str | None = None,
        codecs: Codecs = (),
        progress: Progress | None = None,
    ) -> str:
        """Fill a table with records and return the command tag, 'COPY 100'.

        They are sent in binary, or as text if the codec of some column has no other form.

        Args:
            records: sequences of values, one for each column; an iterable or an asynchronous one, read some 50 KiB
                of data ahead of the transport.
            columns: names; default: all, which does not do for a table with generated columns.
            codecs: for this COPY only, over those of the connection.
            progress: called with (rows so far, bytes so far) after each batch was handed to the transport.
            Else as `copy_to_table`.
        Raises:
            DataError: a record has another number of values than there are columns, or one of its values cannot be
                encoded; nothing was copied.
            UnsupportedClientFeatureError: no format suits the codecs of all columns; nothing was sent.
            Else as `copy_to_table`.
        """
        connection = _connection(self)
        _check_where(connection, where)
        target = CopyTarget(table_name, schema_name, columns)
        timer = connection._logged(copy_from_stdin(target, _BINARY, where), (), timeout)
        async with timer, connection._limit(connection._deadline(timeout)):
            registry = connection._codec_layer(codecs)
            wire_format, found = registry.codecs_in_common(await _column_types(connection, select_columns(target)))
            source = RecordSource(connection._port, records, found, wire_format)
            timer.query = copy_from_stdin(target, _BINARY if wire_format is Format.BINARY else {}, where)
            try:
                return await _copy_in(connection, timer.query, source, progress, len(found))
            except DataError as error:
                # The record may be right, and what was known of a type old. It cannot be taken again, but the next one.
                await connection._was_outdated(error)
                raise


class CopyStreams:
    """COPY of a table or query that the caller's loop pulls."""

    __slots__ = ()

    def copy_chunks_from_table(
        self,
        table_name: str,
        *,
        columns: Columns | None = None,
        schema_name: str | None = None,
        timeout: float | None = None,
        format: str | None = None,
        delimiter: str | None = None,
        null: str | None = None,
        header: bool | None = None,
        quote: str | None = None,
        escape: str | None = None,
        force_quote: bool | Columns | None = None,
        encoding: str | None = None,
        progress: Progress | None = None,
    ) -> CopyChunks:
        """The data of a table, for `async for`.

        Args:
            timeout: seconds for all of it, from its beginning, with what the loop's body does.
            Else as `copy_from_table`.
        """
        statement = copy_table_to_stdout(
            CopyTarget(table_name, schema_name, columns),
            {
                "format": format,
                "delimiter": delimiter,
                "null": null,
                "header": header,
                "quote": quote,
                "escape": escape,
                "force_quote": force_quote,
                "encoding": encoding,
            },
        )

        async def make() -> str:
            return statement

        return CopyChunks(_connection(self), (statement, ()), make, timeout, progress)

    def copy_chunks_from_query(
        self,
        query: str,
        *args: object,
        timeout: float | None = None,
        format: str | None = None,
        delimiter: str | None = None,
        null: str | None = None,
        header: bool | None = None,
        quote: str | None = None,
        escape: str | None = None,
        force_quote: bool | Columns | None = None,
        encoding: str | None = None,
        progress: Progress | None = None,
    ) -> CopyChunks:
        """The data of a query's rows, for `async for`; arguments as `copy_from_query` and `copy_chunks_from_table`."""
        connection = _connection(self)
        options = {
            "format": format,
            "delimiter": delimiter,
            "null": null,
            "header": header,
            "quote": quote,
            "escape": escape,
            "force_quote": force_quote,
            "encoding": encoding,
        }

        async def make() -> str:
            text = await _with_literals(connection, query, args) if args else query
            return copy_query_to_stdout(text, options)

        return CopyChunks(connection, (copy_query_to_stdout(query, options), args), make, timeout, progress)

    def copy_records_from_table(
        self,
        table_name: str,
        *,
        columns: Columns | None = None,
        schema_name: str | None = None,
        timeout: float | None = None,
        record_class: type[Any] | None = None,
        batch_size: int = 1000,
        codecs: Codecs = (),
        progress: Progress | None = None,
    ) -> CopyRecords:
        """The rows of a table, for `async for`; views and partitioned tables, too. As `copy_records_from_query`."""
        query = select_columns(CopyTarget(table_name, schema_name, columns))
        return self.copy_records_from_query(
            query,
            timeout=timeout,
            record_class=record_class,
            batch_size=batch_size,
            codecs=codecs,
            progress=progress,
        )

    def copy_records_from_query(
        self,
        query: str,
        *args: object,
        timeout: float | None = None,
        record_class: type[Any] | None = None,
        batch_size: int = 1000,
        codecs: Codecs = (),
        progress: Progress | None = None,
    ) -> CopyRecords:
        """The rows of a query as Records, for `async for`: sent by COPY, of which nothing piles up in memory.

        Args:
            query, args: as `copy_from_query`.
            timeout: seconds for all of it, from its beginning, with what the loop's body does.
            record_class: a subclass of Record for these rows.
            batch_size: records that are decoded at a time.
            codecs: for these rows only, over those of the connection.
            progress: called with (rows so far, bytes so far) after each batch was decoded.
        """
        connection = _connection(self)
        check_extended(connection, "copy_records_from_...()", "Use copy_chunks_from_query(), or fetch().")

        async def make() -> tuple[str, RowPlan]:
            registry = connection._codec_layer(codecs)
            description = await connection._describe(query)
            text = query
            if args or description.parameter_oids:
                text = await _with_arguments(connection, query, args, codecs, description)
            fields = with_formats(registry, description.fields)
            plan = connection._row_plan(registry, fields, record_class)
            are_text = [field.format is Format.TEXT for field in fields]
            if any(are_text):
                text = select_with_text_columns(text, are_text)
            return copy_query_to_stdout(text, _BINARY), plan

        logged_as = copy_query_to_stdout(query, _BINARY), args
        return CopyRecords(connection, logged_as, make, batch_size, timeout, progress)


def _connection(methods: object) -> "Connection":
    return cast("Connection", methods)


def _check_where(connection: "Connection", where: str | None) -> None:
    if where and not capabilities.detect(connection._frontend.parameters).copy_where:
        raise UnsupportedServerFeatureError("the `where` parameter requires PostgreSQL 12 or later")


async def _copy_out(connection: "Connection", statement: str, output: object, progress: Progress | None) -> str:
    port = connection._port
    sink = await open_sink(port, output)
    try:
        copy = await RunningCopy.begin(connection, statement, CopyDirection.OUT)
        try:
            read, write = copy.read, sink.write
            while data := await read():
                await write(data)
                if progress is not None:
                    await port.call_user(progress, None, copy.size_bytes)
        except BaseException as error:
            await copy.give_up(error)
            raise
    except BaseException as error:
        await sink.close(error)
        raise
    await sink.close(None)
    return copy.operation.status or ""


async def _copy_in(
    connection: "Connection",
    statement: str,
    source: SourceReader,
    progress: Progress | None,
    column_count: int | None = None,
) -> str:
    """COPY FROM STDIN.

    Args:
        column_count: of the data; the server has to expect as many.
    """
    port = connection._port
    try:
        copy = await RunningCopy.begin(connection, statement, CopyDirection.IN)

        async def pull() -> bytes | memoryview | None:
            if copy.size_bytes:
                if progress is not None:
                    await port.call_user(
                        progress, source.rows if isinstance(source, RecordSource) else None, copy.size_bytes
                    )
            elif column_count not in (None, expected := len(copy.operation.column_formats)):
                raise InterfaceError(
                    f"the table has {column_count} columns, of which COPY takes {expected}",
                    hint="Name the columns, without those that are generated.",
                )
            return await source.read()

        try:
            await copy.write(pull)
        except BaseException as error:
            await copy.give_up(error)
            raise
    except BaseException as error:
        await source.close(error)
        raise
    await source.close(None)
    return copy.operation.status or ""


async def _column_types(connection: "Connection", query: str) -> list[int]:
    """Of the columns of a query to which LIMIT can be added, with everything known of the types."""
    if connection._frontend.is_simple:
        return await connection._types_of_columns(query)
    return [field.type_oid for field in (await connection._describe(query)).fields]


async def _with_literals(connection: "Connection", query: str, args: Sequence[object]) -> str:
    """The query with its arguments as literals. Raises as `_with_arguments`."""
    frontend = connection._frontend
    if frontend.is_simple:
        return SimpleStatement(query, frontend.registry, frontend.parameters).text(args)
    return await _with_arguments(connection, query, args, (), await connection._describe(query))


async def _with_arguments(
    connection: "Connection", query: str, args: Sequence[object], codecs: Codecs, description: Preparation
) -> str:
    """The query with its arguments as literals, which the server writes; each is of its parameter's type.

    Raises:
        InterfaceError: there are not as many as the query has parameters.
        DataError: one cannot be encoded.
    """
    oids = description.parameter_oids
    if len(oids) != len(args):
        raise argument_count_error(len(oids), len(args))
    # A type that the database does not tell of, yet, is left to the server to find once more.
    infos = [connection.type_catalog.info(oid) for oid in oids]
    casts = [
        f"::{quote_identifier(info.schema)}.{quote_identifier(info.name)}" if info is not None else "" for info in infos
    ]
    (row,) = (await connection._converse(select_rendered(casts), args, 1, None, codecs)).rows
    # In brackets: a subscript may follow.
    return replace_parameters(
        query, [f"({literal or 'NULL'}{suffix})" for literal, suffix in zip(row, casts, strict=True)]
    )
