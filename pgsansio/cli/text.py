"""Values, results, errors and tables as text for a terminal.

Everything that comes from a server is made printable first: it could hold what a terminal obeys.
"""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from pgsansio.codecs.catalog import BY_NAME
from pgsansio.engine.operations import Operation
from pgsansio.errors import PostgresMessage, caret
from pgsansio.kernel import Record

__all__ = ["Column", "Table", "error_text", "plain_table", "printable", "result_table", "row_count", "value_text"]

_NUMBERS: Final = frozenset(
    BY_NAME[name].oid for name in ("int2", "int4", "int8", "oid", "float4", "float8", "numeric", "money")
)


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    #: Its values belong at the right edge: they are numbers.
    right: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Text in columns; every row has as many cells as there are columns, and nothing in it needs escaping any more."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]


def printable(text: str) -> str:
    """The same text on one line, with an escape sequence for each character that a terminal would obey."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def value_text(value: object) -> str:
    """A value as PostgreSQL would print it, nearly: NULL is `NULL`, and a text that reads so is quoted."""
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return f"'{value}'" if value == "NULL" else printable(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return f"\\x{value.hex()}"
    if isinstance(value, list):
        return "{" + ",".join(map(value_text, cast("list[object]", value))) + "}"
    if isinstance(value, Record | tuple):
        return "(" + ",".join(map(value_text, cast("Iterable[object]", value))) + ")"
    return printable(str(value))


def result_table(operation: Operation) -> Table | None:
    """The rows of an operation that has ended well; None if its statement has no result."""
    plan = operation.row_plan
    if plan is None or not plan.names:
        return None
    columns = tuple(
        Column(printable(name), codec.oid in _NUMBERS) for name, codec in zip(plan.names, plan.codecs, strict=True)
    )
    rows = cast("list[Sequence[Any]]", operation.rows)
    return Table(columns, tuple(tuple(map(value_text, row)) for row in rows))


def row_count(count: int) -> str:
    return f"({count} row{'' if count == 1 else 's'})"


def plain_table(table: Table) -> str:
    """The table in the manner of psql, in ASCII, without a newline at the end; lines have no blanks at theirs."""
    columns = range(len(table.columns))
    widths = [
        max(_width(table.columns[number].name), *(_width(row[number]) for row in table.rows), 0) for number in columns
    ]
    lines = [
        " | ".join(_padded(table.columns[number].name, widths[number], right=False) for number in columns),
        "-+-".join("-" * width for width in widths),
        *(
            " | ".join(_padded(row[number], widths[number], right=table.columns[number].right) for number in columns)
            for row in table.rows
        ),
    ]
    return "\n".join(f" {line}".rstrip() for line in lines)


def error_text(error: BaseException) -> str:
    """An error for standard error: what the server said with its SQLSTATE and the place in the statement, or our own.

    No newline at the end.
    """
    if not isinstance(error, PostgresMessage) or error.message is None:
        lines = [f"ERROR: {printable_lines(str(error) or type(error).__name__)}"]
    else:
        lines = [f"{printable(error.severity or 'ERROR')}: {printable(error.message)}"]
        lines[0] += f" (SQLSTATE {printable(error.sqlstate or 'unknown')}, {type(error).__name__})"
        place = caret(error.query, error.position) or caret(error.internal_query, error.internal_position)
        if place:
            lines.append(place)
        said: Mapping[str, str | None] = {
            "DETAIL": error.detail,
            "HINT": error.hint,
            "CONTEXT": error.context,
        }
        lines += [f"{name}: {printable_lines(text)}" for name, text in said.items() if text]
    attempts: Sequence[BaseException] = getattr(error, "attempts", ())
    if len(attempts) > 1:
        lines += ["Every attempt:", *(f"  {printable(str(attempt))}" for attempt in attempts)]
    return "\n".join(lines)


def printable_lines(text: str) -> str:
    """As `printable`, but lines stay lines."""
    return "\n".join(printable(line) for line in text.split("\n"))


def _width(text: str) -> int:
    """Columns of a terminal that a printable text takes."""
    return sum(
        0
        if unicodedata.category(char) in ("Mn", "Me")
        else 2
        if unicodedata.east_asian_width(char) in ("W", "F")
        else 1
        for char in text
    )


def _padded(text: str, width: int, *, right: bool) -> str:
    blanks = " " * (width - _width(text))
    return blanks + text if right else text + blanks
