"""Values, tables and errors as text."""

import datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgsansio import errors
from pgsansio.cli.text import Column, Table, error_text, plain_table, printable, result_table, row_count, value_text
from pgsansio.cli.tour import seconds_text
from pgsansio.codecs.registry import Registry
from pgsansio.codecs.row_plan import plan_rows
from pgsansio.engine.operations import Operation
from pgsansio.enums import Format
from pgsansio.kernel import Record
from pgsansio.messages.backend import FieldDescription


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "NULL"),
        ("NULL", "'NULL'"),
        ("null", "null"),
        ("", ""),
        ("a\tb\n\x1b[31m\x9b\u202e", "a\\tb\\n\\x1b[31m\\x9b\\u202e"),
        ("grün 漢", "grün 漢"),
        ("\ud800", "\\ud800"),
        (True, "true"),
        (False, "false"),
        (7, "7"),
        (Decimal("1.50"), "1.50"),
        (b"\xca\xfe", "\\xcafe"),
        ([1, None, ["a"]], "{1,NULL,{a}}"),
        ((1, None), "(1,NULL)"),
        (datetime.date(2026, 1, 31), "2026-01-31"),
    ],
)
def test_values(value: object, text: str) -> None:
    assert value_text(value) == text


@given(st.text())
def test_nothing_a_terminal_obeys(text: str) -> None:
    assert printable(text).isprintable()
    assert value_text([text]).isprintable()


def described(*columns: tuple[str, int]) -> Operation:
    fields = [FieldDescription(name, 0, 0, oid, -1, -1, Format.BINARY) for name, oid in columns]
    return Operation(b"", (), 0, plan_rows(Registry(), fields, Record))


def test_results() -> None:
    operation = described(("n\n", 23), ("t", 25), ("x", 1700), ("r", 2206))
    operation.rows = [(1, "a", None, "integer")]
    columns = (Column("n\\n", True), Column("t"), Column("x", True), Column("r"))
    assert result_table(operation) == Table(columns, (("1", "a", "NULL", "integer"),))
    assert result_table(described()) is None
    assert result_table(Operation(b"", (), 0)) is None
    assert (row_count(0), row_count(1), row_count(2)) == ("(0 rows)", "(1 row)", "(2 rows)")


def test_a_table() -> None:
    table = Table((Column("id", True), Column("name"), Column("")), (("1", "漢字", "x"), ("100", "é", "")))
    assert plain_table(table).split("\n") == [
        " id  | name |",
        " ----+------+--",
        "   1 | 漢字 | x",
        " 100 | é    |",
    ]
    assert plain_table(Table((Column("a"),), ())) == " a\n -"


def test_an_error_of_the_server() -> None:
    fields = {
        "S": "ERROR",
        "C": "42P01",
        "M": 'relation "x\x1b" does not exist',
        "P": "15",
        "D": "a\nb\x1b",
        "H": "h",
        "W": "w",
    }
    error = errors.error_from_fields(fields, "select *\nfrom x")
    assert error_text(error).split("\n") == [
        'ERROR: relation "x\\x1b" does not exist (SQLSTATE 42P01, UndefinedTableError)',
        "LINE 2: from x",
        "             ^",
        "DETAIL: a",
        "b\\x1b",
        "HINT: h",
        "CONTEXT: w",
    ]


def test_an_error_inside_of_a_function() -> None:
    fields = {"S": "ERROR", "C": "42601", "M": "m", "p": "8", "q": "select syntax"}
    assert error_text(errors.error_from_fields(fields, "select f()")).split("\n") == [
        "ERROR: m (SQLSTATE 42601, PostgresSyntaxError)",
        "LINE 1: select syntax",
        "               ^",
    ]


def test_errors_of_our_own() -> None:
    assert error_text(errors.InterfaceError("no", hint="do")) == "ERROR: no\nHINT:  do"
    assert error_text(TimeoutError()) == "ERROR: TimeoutError"
    assert error_text(errors.DataError("a\x1b")) == "ERROR: a\\x1b"
    first, last = OSError("one"), OSError("two")
    assert error_text(errors.with_attempts(last, [first, last])) == "ERROR: two\nEvery attempt:\n  one\n  two"
    assert error_text(errors.with_attempts(last, [last])) == "ERROR: two"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1.234, "1.23 s"),
        (61.04, "61.0 s"),
        (0.1234, "123 ms"),
        (0.0456, "45.6 ms"),
        (2.5e-6, "2.50 us"),
        (1e-9, "0 us"),
    ],
)
def test_times(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text
