"""What `classify` sees in a text of SQL."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgsansio.policy.keywords import (
    BARRIER_KEYWORDS,
    classify,
    is_closed,
    parameters_of,
    percent_placeholder_hint,
    replace_parameters,
    split_statements,
)


@pytest.mark.parametrize(
    ("sql", "keyword"),
    [
        ("", ""),
        ("  \n\t", ""),
        ("select 1", "SELECT"),
        ("SELECT", "SELECT"),
        ("-- a comment\nSeLeCt 1", "SELECT"),
        ("--a\r\n  --b\rcopy t from stdin", "COPY"),
        ("/* a /* nested */ comment */ begin", "BEGIN"),
        ("/*/ not closed by its own slash */ begin", "BEGIN"),
        ("/***/begin/**/", "BEGIN"),
        ("/* never /* closed */ begin", ""),
        ("-- never closed begin", ""),
        ("((values (1)))", "VALUES"),
        (" ; ;(; begin", "BEGIN"),
        ("(/* a */(--b\nselect 1))", "SELECT"),
        ("'begin'", ""),
        ('"begin"', ""),
        ("$$begin$$", ""),
        ("1", ""),
        ("$1", ""),
        ("begin_work", "BEGIN_WORK"),
        ("set$1", "SET$1"),
        ("\u017fet x = 1", "\u017fet"),
        ("\u00a0begin", "\u00a0begin"),
        ("begin;select", "BEGIN"),
        ("begin'x'", "BEGIN"),
    ],
)
def test_first_keyword(sql: str, keyword: str) -> None:
    assert classify(sql).keyword == keyword


@pytest.mark.parametrize("word", sorted(BARRIER_KEYWORDS))
def test_barrier_keywords(word: str) -> None:
    assert classify(f"/* x */ ({word.lower()} y").barrier
    assert classify(f"{word};").simple_barrier
    assert not classify(f"select {word if word != 'COPY' else 'x'}").simple_barrier
    assert not classify(f"{word}x y").barrier


@pytest.mark.parametrize(
    ("sql", "several"),
    [
        ("select 1", False),
        ("select 1;", False),
        (";;select 1;; ; -- ;\n;/* ; */", False),
        ("select 1;select 2", True),
        ("select 1;/* */ 'x'", True),
        ("select 1; ;\n2", True),
        ("select ';'", False),
        ("select 'a'';''b'", False),
        ('select ";"";"', False),
        ("select $$;$$", False),
        ("select $a$;$$;$a$", False),
        ("select $a$;$b$;$a$;2", True),
        ("select $\u00e4$;$\u00e4$", False),
        ("select a$b$;c$b$", True),
        ("select a$$;c$$", True),
        ("select $1;$2", True),
        ("select $1$;", False),
        (r"select E'\';'", False),
        (r"select e'a\\';b", True),
        (r"select '\';b", True),
        (r"select nameE'\';b", True),
        (r"select N'\';b", True),
        (r"select u&'\';b", True),
        (r"select E'a''\';b'", False),
        ("select E'a'\n'\\';b'", False),
        ("select E'a' -- ;'\n  --'\n '\\';b'", False),
        ("select E'a' '\\';b", True),
        ("select E'a' --x\n;b", True),
        ("select 'E'\n'\\';b", True),
        ("select 'x'E'\\';'", False),
        ("select $$x$$E'\\';'", False),
        ("select E'never closed;", False),
        ("select E'\\", False),
        ("select 'never closed;b", False),
        ('select "never closed;b', False),
        ("select $a$never closed;b", False),
        ("select 1 -- ;b", False),
        ("select 1 /* ;b */", False),
        ("select 1 /* /* */ ;b", False),
        ("select 1 /* /* */ */ ;b", True),
        ("select 1 @--;b", False),
        ("select 1 -;b", True),
        ("create function f() returns int begin atomic select 1; end", True),
    ],
)
def test_several_statements(sql: str, several: bool) -> None:
    assert classify(sql).several is several


@pytest.mark.parametrize(
    ("sql", "begins", "ends"),
    [
        ("begin", True, False),
        ("start transaction", True, False),
        ("BEGIN; COMMIT", True, True),
        ("select 1; begin", True, False),
        ("select 'a'; commit", False, True),
        ("end", False, True),
        ("abort", False, True),
        ("rollback", False, True),
        ("rollback work", False, True),
        ("rollback transaction;", False, True),
        ("rollback to a", False, False),
        ("rollback work to savepoint a", False, False),
        ("rollback /* x */ transaction --\n to a", False, False),
        ("rollback prepared 'x'", False, False),
        ("commit prepared 'x'", False, False),
        ("commit and chain", True, True),
        ("commit work and chain", True, True),
        ("commit and no chain", False, True),
        ("commit work and no chain", False, True),
        ("rollback 'x' to a", False, True),
        ("prepare transaction 'x'", False, True),
        ("prepare x as select 1", False, False),
        ("savepoint begin", False, False),
        ("select begin, commit", False, False),
        ("do $$ begin commit; end $$", False, False),
        ("", False, False),
    ],
)
def test_transaction_boundaries(sql: str, begins: bool, ends: bool) -> None:
    kind = classify(sql)
    assert (kind.begins_transaction, kind.ends_transaction) == (begins, ends)


@pytest.mark.parametrize(
    ("sql", "mentions"),
    [
        ("copy t to stdout", True),
        ("select 1;Copy t from stdin", True),
        ("select 'copy'", True),  # the careful side
        ("select copyx, xcopy, copy_, _copy, copy1, $copy", False),
        ("select (copy)", True),
        ("select 1", False),
    ],
)
def test_copy_is_found_anywhere(sql: str, mentions: bool) -> None:
    kind = classify(sql)
    assert kind.mentions_copy is mentions
    assert kind.simple_barrier is mentions or kind.several


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("select %s", "%s"),
        ("select * from t where a = %s and b = %s", "%s"),
        ("values (%(name)s)", "%(name)s"),
        ("select '%s', %(a_1)s", "%(a_1)s"),
        ("select '%s'", None),
        ('select "%s"', None),
        ("select 1 -- %s", None),
        ("select 1 /* %s */", None),
        ("select $$%s$$", None),
        ("select E'\\'%s'", None),
        ("select a %same", None),
        ("select a %s1", None),
        ("select %(a b)s", None),
        ("select 5 % 2", None),
        ("select %d", None),
    ],
)
def test_percent_placeholders(sql: str, found: str | None) -> None:
    hint = percent_placeholder_hint(sql)
    assert hint == (None if found is None else f"parameters are written $1, $2, ... here, not {found}")


PIECES = st.sampled_from(
    [
        *("'", "''", '"', "$", "$$", "$a$", "--", "/*", "*/", "\n", " ", ";", "(", "E", "e'", "\\", "\\'", "a", "%s"),
        *("copy", "begin", "commit", "to", "\x00", "\u00a0", "\ud800", "1"),
    ]
)


@given(st.lists(PIECES).map("".join) | st.text())
def test_never_raises_and_a_space_behind_changes_nothing(sql: str) -> None:
    kind = classify(sql)
    percent_placeholder_hint(sql)
    assert classify(sql + " ") == kind or sql.endswith(("\\", "$", "-", "/", "*"))


@given(st.lists(PIECES).map("".join))
def test_a_dollar_quote_hides_everything(sql: str) -> None:
    kind = classify(f"select $quoted${sql}$quoted$")
    assert (kind.keyword, kind.several, kind.begins_transaction, kind.ends_transaction) == (
        "SELECT",
        False,
        False,
        False,
    )


@pytest.mark.parametrize(
    "piece",
    [
        "'",
        "''",
        "e'",
        "e'a'\n",
        "e'' -- x\n",
        "$",
        "$a",
        "$$",
        "$a$b",
        "--",
        "-",
        "/*",
        "*/",
        "/*/",
        ";",
        "(",
        "a ",
        "e'a'--\n",
        "e'a' ' --",
        '"',
        "\\",
        "%(",
    ],
)
def test_time_is_linear(piece: str) -> None:
    # Quadratic behaviour would take minutes here.
    classify(piece * 100_000)
    percent_placeholder_hint(piece * 100_000)
    split_statements(piece * 100_000)


@pytest.mark.parametrize(
    ("sql", "statements"),
    [
        ("", []),
        (" ;;\n-- nothing\n", []),
        (";;E; ;'a'", ["E", "'a'"]),
        # What only Python takes for space is a character like others to the server.
        ("\x1c;\xa0;a\x85", ["\x1c", "\xa0", "a\x85"]),
        ("select 1", ["select 1"]),
        ("select 1;\n select 2 ;\n", ["select 1", "select 2"]),
        ("select ';'; -- a;b\n select $$;$$ /* x; */; 'c'", ["select ';'", "-- a;b\n select $$;$$ /* x; */", "'c'"]),
        (
            "create rule r as on insert to t do (select 1; select 2); select ')'; (select 3)",
            ["create rule r as on insert to t do (select 1; select 2)", "select ')'", "(select 3)"],
        ),
        (
            "create function f() returns int begin\tATOMIC select case when true then 1 end; select 2; end; select 3",
            [
                "create function f() returns int begin\tATOMIC select case when true then 1 end; select 2; end",
                "select 3",
            ],
        ),
        ("begin; select case 1 when 1 then 2 end; end; (", ["begin", "select case 1 when 1 then 2 end", "end", "("]),
        ("select ); select beginatomic; begin_ atomic; x", ["select )", "select beginatomic", "begin_ atomic", "x"]),
    ],
)
def test_split(sql: str, statements: list[str]) -> None:
    assert split_statements(sql) == statements


@given(st.text(alphabet="ab;'\"$-/*()\n eE\\"))
def test_splitting_loses_nothing_but_semicolons_and_space(sql: str) -> None:
    statements = split_statements(sql)
    position = 0
    for statement in statements:
        position = sql.index(statement, position) + len(statement)
    assert classify(sql).several == (len(statements) > 1) or "(" in sql


@pytest.mark.parametrize(
    ("sql", "replaced"),
    [
        ("SELECT $1, $2, $1", "SELECT <a>, <b>, <a>"),
        ("SELECT $3, $0, $12, $99999999999", "SELECT $3, $0, $12, $99999999999"),
        ("SELECT '$1', $$ $1 $$, \"$1\", E'\\'$1' -- $1", "SELECT '$1', $$ $1 $$, \"$1\", E'\\'$1' -- $1"),
        ("/* $1 /* */ $1 */ $1", "/* $1 /* */ $1 */ <a>"),
        ("a$1, ($1)[$2]", "a$1, (<a>)[<b>]"),
        ("$1a $1_2 a$1 1$1 $1$2 $1é é$1 $1$ $1$$", "$1a $1_2 a$1 1$1 $1$2 $1é é$1 $1$ $1$$"),
        ("-$1--$1\n$1", "-<a>--$1\n<a>"),
        ("'a'$1\"b\"$2/**/$1", "'a'<a>\"b\"<b>/**/<a>"),
        ("U&'\\0061$1' e'\\\\' || $1", "U&'\\0061$1' e'\\\\' || <a>"),
        ("E'a'\n'\\'$1' || $1 -- 'x\n, $2", "E'a'\n'\\'$1' || <a> -- 'x\n, <b>"),
        ("$a$ $1 $b$ $a$ $1", "$a$ $1 $b$ $a$ <a>"),
        ("$$ $$$1, $2", "$$ $$<a>, <b>"),
        ("$01, $1.5, $1::int", "<a>, <a>.5, <a>::int"),
        ("", ""),
    ],
)
def test_replace_parameters(sql: str, replaced: str) -> None:
    assert replace_parameters(sql, ["<a>", "<b>"]) == replaced


def test_where_parameters_are() -> None:
    assert parameters_of("SELECT $2, '$1', $1::int /* $3 */, $65535, $65536, $0, $00001, $000001") == [
        (7, 9, 2), (17, 19, 1), (35, 41, 65535), (55, 61, 1)
    ]  # fmt: skip


@given(st.text(alphabet="a$12\"'\\-/*\ne é"))
def test_parameters_are_where_they_are_said_to_be(sql: str) -> None:
    position = 0
    for start, end, number in parameters_of(sql):
        assert position <= start < end
        assert sql[start:end] == f"${sql[start + 1 : end]}"
        assert int(sql[start + 1 : end]) == number
        position = end
    assert replace_parameters(sql, []) == sql


@pytest.mark.parametrize(
    ("sql", "closed"),
    [
        ("", True), ("SELECT 1", True), ("SELECT 1 -- '", True), ("SELECT 'a'", True), ("/* /* */ */", True),
        ("E'a\\''", True), ("$a$ $a$", True), ('"a"', True), ("E'a'", True), ("a$", True),
        ("'", False), ("E'\\'", False), ("/*", False), ("/* /* */", False), ("/*/", False), ('"', False), ("$$", False),
        ("$a$ $b$", False), ("'a''", False), ("E'a'\n'b", False),
    ],
)  # fmt: skip
def test_is_closed(sql: str, closed: bool) -> None:
    assert is_closed(sql) is closed
