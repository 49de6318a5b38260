"""The texts of COPY statements."""

from typing import Any

import pytest

from pgsansio.policy.copy_statement import (
    CopyTarget,
    copy_from_stdin,
    copy_query_to_stdout,
    copy_table_to_stdout,
    select_columns,
    select_rendered,
    select_with_text_columns,
)
from pgsansio.policy.quoting import quote_identifier, quote_literal


def test_names() -> None:
    assert quote_identifier('a "b"') == '"a ""b"""'
    assert str(CopyTarget("t", None, None)) == '"t"'
    assert str(CopyTarget("t", "", [])) == '"t"'
    assert str(CopyTarget("T", "s.x", ["a", 'B"'])) == '"s.x"."T" ("a", "B""")'
    assert select_columns(CopyTarget("t", "s", ("a", "b"))) == 'SELECT "a", "b" FROM "s"."t"'
    assert select_columns(CopyTarget("t", None, None)) == 'SELECT * FROM "t"'


@pytest.mark.parametrize(("text", "literal"), [("", "''"), ("it's", "'it''s'"), ("\\'", " E'\\\\'''")])
def test_literals(text: str, literal: str) -> None:
    assert quote_literal(text) == literal


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, ""),
        ({"format": None, "header": None}, ""),
        ({"format": "csv"}, " (FORMAT 'csv')"),
        ({"format": "x') TO PROGRAM 'rm"}, " (FORMAT 'x'') TO PROGRAM ''rm')"),
        ({"header": True, "oids": False, "freeze": True}, " (HEADER True, OIDS False, FREEZE True)"),
        ({"header": "match"}, " (HEADER 'match')"),
        ({"delimiter": "\t", "null": ""}, " (DELIMITER '\t', NULL '')"),
        ({"force_quote": True}, " (FORCE_QUOTE *)"),
        ({"force_quote": False}, ""),
        ({"force_null": ["a", 'b"'], "force_not_null": ("c",)}, ' (FORCE_NULL ("a", "b"""), FORCE_NOT_NULL ("c"))'),
        ({"reject_limit": 5}, " (REJECT_LIMIT 5)"),
    ],
)
def test_options(options: dict[str, Any], text: str) -> None:
    target = CopyTarget("t", None, None)
    assert copy_table_to_stdout(target, options) == f'COPY "t" TO STDOUT{text}'
    assert copy_query_to_stdout("SELECT 1 -- x", options) == f"COPY (\nSELECT 1 -- x\n) TO STDOUT{text}"
    assert copy_from_stdin(target, options) == f'COPY "t" FROM STDIN{text}'
    assert copy_from_stdin(target, options, "a > 1") == f'COPY "t" FROM STDIN{text} WHERE a > 1'


def test_what_is_refused() -> None:
    with pytest.raises(TypeError, match="columns is expected to be a list of column names, got 'ab'"):
        CopyTarget("t", None, "ab")
    with pytest.raises(TypeError, match="columns is expected to be a list of column names, got 5"):
        CopyTarget("t", None, 5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="force_null is expected to be a list of column names, got 'a'"):
        copy_query_to_stdout("TABLE t", {"force_null": "a"})
    with pytest.raises(TypeError, match="delimiter is expected to be a str, got b','"):
        copy_query_to_stdout("TABLE t", {"delimiter": b","})


def test_queries_for_values() -> None:
    assert select_rendered(['::"s"."t"', ""]) == (
        'SELECT pg_catalog.quote_literal($1::"s"."t"::pg_catalog.text), pg_catalog.quote_literal($2::pg_catalog.text)'
    )
    assert select_with_text_columns("TABLE t", [False, True]) == (
        "WITH q(c1, c2) AS (\nTABLE t\n) SELECT q.c1, "
        "CASE WHEN pg_catalog.num_nulls(q.c2) = 0 THEN pg_catalog.format('%s', q.c2) END FROM q"
    )
