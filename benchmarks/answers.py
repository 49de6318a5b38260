"""What is right: every client has to answer every case as it should before it is measured."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from benchmarks.cases import Case, Shape
from benchmarks.tables import BATCH, COPIED, RECORD, SCHEMA, point, scalar_rows, text_rows, wide_rows

__all__ = ["check"]

Query = Callable[[str], Awaitable[Sequence[tuple[Any, ...]]]]


def same(found: object, right: object) -> bool:
    """Whether this is the same value, of whatever class a client makes it: an UUID may be a str."""
    return found == right or (found is not None and str(found) == str(right))


def _same_rows(found: Sequence[Sequence[Any]], right: Sequence[Sequence[Any]]) -> bool:
    return len(found) == len(right) and all(
        len(row) == len(other) and all(map(same, row, other)) for row, other in zip(found, right, strict=True)
    )


def _triples(rows: int) -> Iterable[tuple[Any, ...]]:
    return ((i, i, f"row {i}") for i in range(1, rows + 1))


def _right_rows(case: Case) -> list[tuple[Any, ...]]:
    match case.name:
        case "int4":
            return [(i,) for i in range(1, 1001)]
        case "bytea":
            return [(b"a" * 1000,)] * 100
        case "arrays":
            return [(list(range(1, 1001)),)] * 10
        case "wide":
            return wide_rows()
        case "scalars":
            return scalar_rows()
        case "text":
            return text_rows()
        case _:
            return list(_triples(case.rows))


async def check(case: Case, answer: Any, plain: Callable[[Any], Sequence[tuple[Any, ...]]], query: Query) -> int:
    """See that an operation's answer is right; returns its rows.

    Args:
        answer: of the first operation on this connection, as the client gives it; a lookup's is of the key 1.
        plain: makes tuples of rows of such an answer.
        query: what the table holds is asked with this.
    Raises:
        AssertionError: it is wrong.
    """
    rows = case.rows
    match case.shape:
        case Shape.VALUE:
            right = answer == 2
        case Shape.ROW | Shape.TRANSACTION | Shape.TASKS | Shape.POOL:
            right = _same_rows(plain([answer]), [point(1)])
        case Shape.ROWS | Shape.MEMORY:
            found = plain(answer)
            if case.name == "pg_type":
                rows = len(found)
                right = rows > 100 and any(row[0] == "int4" and row[3] == 4 and row[4] is True for row in found)
            else:
                right = _same_rows(found, _right_rows(case))
        case Shape.CURSOR | Shape.STREAM:
            count, last = answer
            right = count == rows and _same_rows(plain([last]), [(rows, rows, f"row {rows}")])
        case Shape.COPY_RAW:
            right = answer == COPIED * (sum(len(str(value)) for value in RECORD) + len(RECORD))
        case Shape.COPY_TYPED:
            count, last = answer
            right = count == COPIED and _same_rows(plain([last]), [RECORD])
        case Shape.COPY_IN | Shape.MANY:
            written = COPIED if case.shape is Shape.COPY_IN else BATCH
            # With names, since some clients make dicts of rows.
            columns = "count(*) AS n, count(DISTINCT filled) AS different, min(d) AS d, min(e) AS e, min(g) AS g"
            asked = f"SELECT {columns} FROM {SCHEMA}.filled"
            right = _same_rows(await query(asked), [(written, 1, RECORD[3], RECORD[4], RECORD[6])])
        case Shape.CONNECT:
            right = True  # or it would have raised
        case Shape.NOTIFY:
            right = answer == "news"
    if not right:
        raise AssertionError(f"wrong answer to the case {case.name!r}")
    return rows
