"""The texts of COPY statements: names quoted, options written out, arguments put into a query.

Everything that comes from a caller is quoted, except what is SQL by its meaning: a query and a WHERE condition.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from pgsansio.policy.quoting import quote_identifier, quote_literal

__all__ = [
    "CopyTarget",
    "copy_from_stdin",
    "copy_query_to_stdout",
    "copy_table_to_stdout",
    "select_columns",
    "select_rendered",
    "select_with_text_columns",
]

#: Options that take a list of columns, or * for all of them.
_OF_COLUMNS = ("force_quote", "force_not_null", "force_null")


class CopyTarget:
    """A table, and those of its columns that are copied; none named: all of them.

    Raises:
        TypeError: `columns` is a text, which would be taken for the list of its characters.
    """

    __slots__ = ("columns", "table")

    def __init__(self, table_name: str, schema_name: str | None, columns: Iterable[str] | None) -> None:
        self.table = quote_identifier(table_name)
        if schema_name:
            self.table = f"{quote_identifier(schema_name)}.{self.table}"
        self.columns = _identifiers("columns", columns) if columns else ""

    def __str__(self) -> str:
        return f"{self.table} ({self.columns})" if self.columns else self.table


def copy_from_stdin(target: CopyTarget, options: Mapping[str, object], where: str | None = None) -> str:
    """COPY ... FROM STDIN (manual, "COPY").

    Args:
        options: by their names in lower case; those that are None are left out.
        where: a condition, as it is.
    """
    statement = f"COPY {target} FROM STDIN{_options(options)}"
    return f"{statement} WHERE {where}" if where else statement


def copy_table_to_stdout(target: CopyTarget, options: Mapping[str, object]) -> str:
    """COPY table TO STDOUT (manual, "COPY")."""
    return f"COPY {target} TO STDOUT{_options(options)}"


def copy_query_to_stdout(query: str, options: Mapping[str, object]) -> str:
    """COPY (query) TO STDOUT (manual, "COPY")."""
    # On lines of its own: it may end in a comment.
    return f"COPY (\n{query}\n) TO STDOUT{_options(options)}"


def select_columns(target: CopyTarget) -> str:
    """What has the columns of a COPY in its description."""
    return f"SELECT {target.columns or '*'} FROM {target.table}"


def select_rendered(casts: Sequence[str]) -> str:
    """A query whose row has each of its arguments as SQL's literal; NULL for NULL.

    Args:
        casts: '::type' for each argument.
    """
    return "SELECT " + ", ".join(
        [f"pg_catalog.quote_literal(${number}{suffix}::pg_catalog.text)" for number, suffix in enumerate(casts, 1)]
    )


def select_with_text_columns(query: str, are_text: Sequence[bool]) -> str:
    """A query with the same rows, in which these columns hold the text that their type's output function writes."""
    names = [f"c{number}" for number in range(1, len(are_text) + 1)]
    # Not a cast to text, which writes booleans, addresses and padded text in another way; format() writes NULL as ''.
    columns = [
        f"CASE WHEN pg_catalog.num_nulls(q.{name}) = 0 THEN pg_catalog.format('%s', q.{name}) END"
        if is_text
        else f"q.{name}"
        for name, is_text in zip(names, are_text, strict=True)
    ]
    # WITH, unlike a subquery, takes INSERT ... RETURNING, too.
    return f"WITH q({', '.join(names)}) AS (\n{query}\n) SELECT {', '.join(columns)} FROM q"


def _identifiers(what: str, names: object) -> str:
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise TypeError(f"{what} is expected to be a list of column names, got {names!r}")
    return ", ".join([quote_identifier(name) for name in cast(Iterable[str], names)])


def _options(options: Mapping[str, object]) -> str:
    parts: list[str] = []
    for name, value in options.items():
        if value is None:
            continue
        if name in _OF_COLUMNS:
            if value is False:
                continue
            written = "*" if value is True else f"({_identifiers(name, value)})"
        elif isinstance(value, bool | int):
            written = str(value)
        elif isinstance(value, str):
            written = quote_literal(value)
        else:
            raise TypeError(f"{name} is expected to be a str, got {value!r}")
        parts.append(f"{name.upper()} {written}")
    return f" ({', '.join(parts)})" if parts else ""
