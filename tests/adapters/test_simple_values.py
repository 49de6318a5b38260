"""Statements without the extended protocol come to the same, on a real server, whatever their arguments are."""

import ipaddress
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pgsansio import InterfaceError, PostgresError
from pgsansio.types import BitString, Box, Point, Range
from tests.support.clients import Client

# The loop plays no part in it.
pytestmark = [pytest.mark.anyio, pytest.mark.server, pytest.mark.parametrize("anyio_backend", ["asyncio"])]


#: What PostgreSQL's text can hold.
TEXTS = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"))
#: What would get out of its quotes, or of a comment, if anything could.
ESCAPES = st.sampled_from(
    ["' || 1/0 --", "\\' || 1/0 --", "*/ || 1/0 --", "\n|| 1/0 --", '" 1/0', "$$ 1/0", "') || 1/0 --", "$1"]
)
HOSTILE = ESCAPES | st.text("'\"\\$1-/*;E e\n\x01ü,{}()[]nul") | TEXTS
DATES = st.dates(date(1, 1, 2), date(9999, 12, 30))
MOMENTS = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29))
ZONES = st.sampled_from([UTC, timezone(timedelta(hours=-11, minutes=-30))])
NUMBERS = st.decimals(allow_nan=False, places=5) | st.sampled_from(
    [Decimal("NaN"), Decimal("Infinity"), Decimal("1e-20")]
)
INT8 = st.integers(-(2**63), 2**63 - 1)

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "text": HOSTILE,
    "varchar": HOSTILE,
    "boolean": st.booleans(),
    "int8": INT8,
    "numeric": NUMBERS | INT8,
    "float8": st.floats() | INT8,
    "bytea": st.binary(),
    "date": DATES,
    "timestamp": MOMENTS,
    "timestamptz": st.builds(lambda moment, zone: moment.replace(tzinfo=zone), MOMENTS, ZONES),
    "time": st.times(),
    "timetz": st.times(timezones=ZONES),
    "interval": st.timedeltas(timedelta(days=-(10**6)), timedelta(days=10**6)),
    "uuid": st.uuids(),
    "inet": st.ip_addresses(),
    "cidr": st.sampled_from([ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("::/0")]),
    "varbit": st.text("01").map(BitString),
    "point": st.builds(Point, st.floats(allow_nan=False), st.floats(allow_nan=False)),
    "int8range": st.builds(lambda low, size: Range(low, low + size), st.integers(-9, 9), st.integers(0, 9)),
    "tstzrange": st.builds(lambda moment: Range(moment.replace(tzinfo=UTC), None), MOMENTS),
    "jsonb": st.sampled_from(['{"a": "\'$1"}', "null"]),
}
LISTS = {
    **{f"{name}[]": st.lists(st.none() | values, max_size=4) for name, values in VALUES.items()},
    "box[]": st.lists(st.builds(lambda size: Box((size, size), (0, 0)), st.integers(1, 9)), max_size=3),
    "text[]": st.lists(st.lists(st.none() | HOSTILE, min_size=2, max_size=2), min_size=1, max_size=3),
}
TYPED = st.one_of(
    [st.tuples(st.just(name), st.none() | values) for name, values in [*VALUES.items(), *LISTS.items()]]
)  # fmt: skip


@pytest.fixture
async def both(client: Client) -> AsyncIterator[tuple[Any, Any]]:
    utc = {"timezone": "UTC"}
    async with (
        client.connect(statement_mode="simple", server_settings=utc) as simple,
        client.connect(server_settings=utc) as extended,
    ):
        yield simple, extended


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(typed=st.lists(TYPED, min_size=1, max_size=4))
async def test_any_value(both: tuple[Any, Any], typed: list[tuple[str, object]]) -> None:
    simple, extended = both
    query = f"SELECT {', '.join(f'${number}::{name}' for number, (name, _) in enumerate(typed, 1))}"
    values = [value for _, value in typed]
    # By their texts, for NaN; and 0 is no -0.
    assert repr(await simple.fetch(query, *values)) == repr(await extended.fetch(query, *values))


#: Parts of a SELECT list, in which $1 and $2 are parameters or not.
PLAIN = st.sampled_from(
    [
        "$1::text", "$2::text", "$1::text||$2::text", "($1)::text", "-$3::int", "- $3::int", "1-$3::int",
        "'$1'", "E'\\'$1'", "e'\\\\'", "E'a'\n'\\'$2'", "'a'\n'$1'", "'\\'", "'a''$1'", "U&'\\0061$1'",
        "'' \"$1\"", "1 AS \"a\"\"$2\"", "1 AS a$1", "1 AS é$1", "$$ $1 $$", "$a$ $1 $$ $a$", "$é$'$1'$é$",
        "/* $1 /* ' */ $2 */ 2", "3 -- $1 '\n", "4 --/* $1\n", "B'1'", "x'1F'", "N'$1'", "5/* -- */",
        "2*/**/3", "2- --\n-1", "coalesce($1,$2)", "$1::text COLLATE \"C\"", "ARRAY[$1::text,$2]",
        "(ARRAY[$1::text,$2])[1]", "E'\\\\' || '\\' || $1::text", "$1::text/*$2*/||'--'", "$3::int%2", "'a' /* */",
    ]
)  # fmt: skip
JUNK = st.text("'\"\\$12-/*E e\n(x")
#: What is junk is a syntax error, mostly.
PARTS = st.integers(0, 19).flatmap(lambda number: PLAIN if number else JUNK)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.lists(PARTS, min_size=1, max_size=5), texts=st.tuples(HOSTILE, HOSTILE), number=st.integers(-9, 9))
async def test_any_place(both: tuple[Any, Any], parts: list[str], texts: tuple[str, str], number: int) -> None:
    """What the server takes for a parameter, and nothing else, is one here as well."""
    simple, extended = both
    query = f"SELECT {', '.join(parts)}\n, $1::text, $2::text, $3::int"
    outcomes: list[object] = []
    for connection in (extended, simple):
        try:
            outcomes.append(await connection.fetch(query, *texts, number))
        except (PostgresError, InterfaceError) as error:
            outcomes.append(error)
    if isinstance(outcomes[0], list):
        assert outcomes[0] == outcomes[1]
        assert list(outcomes[0][0].keys()) == list(outcomes[1][0].keys())
    else:
        assert not isinstance(outcomes[1], list)
