"""The value types, and the server's version against asyncpg's reading of it."""

import pytest
from asyncpg.serverversion import split_server_version_string
from asyncpg.types import ServerVersion as AsyncpgVersion
from hypothesis import given
from hypothesis import strategies as st

from pgsansio.types import Attribute, Notification, ServerVersion, Type, parse_server_version


@pytest.mark.checklist("CN-4")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("15.20 (Debian 15.20-0+deb12u1)", (15, 0, 20, "final", 0)),
        ("9.6.1", (9, 6, 1, "final", 0)),
        ("8.4", (8, 4, 0, "final", 0)),
        ("10", (10, 0, 0, "final", 0)),
        ("10beta2", (10, 0, 0, "beta", 2)),
        ("10devel", (10, 0, 0, "devel", 0)),
        ("18rc1", (18, 0, 0, "rc", 1)),
        ("9.6beta3", (9, 6, 0, "beta", 3)),
        ("PostgreSQL 10.1 on x86_64", (10, 0, 1, "final", 0)),
        ("Postgres-XL 9.2.1", (9, 2, 1, "final", 0)),
        ("11.2-YB-2.7.1.1-b0", (11, 0, 2, "final", 0)),
        ("15.12-YB-2025.1.0.0-b168", (15, 0, 12, "final", 0)),
        ("PostgreSQL 9.6.10 (Debian 9.6.10-2.pgdg16.04+1)", (9, 6, 10, "final", 0)),
        ("13.0.0", (13, 0, 0, "final", 0)),
    ],
)
def test_versions(text: str, expected: tuple[object, ...]) -> None:
    assert parse_server_version(text) == expected
    assert split_server_version_string(text) == expected


@pytest.mark.checklist("CN-4")
@given(
    st.sampled_from(["", "PostgreSQL ", "Postgres-XL ", "EnterpriseDB "]),
    st.lists(st.integers(0, 999), min_size=1, max_size=3),
    st.sampled_from(["", "beta2", "rc1", "devel", "alpha", "beta"]),
    st.sampled_from(["", " (Debian 1.2)", "-YB-1.2.3.0-b1", " on x86_64, 64-bit"]),
)
def test_reads_what_asyncpg_reads(front: str, numbers: list[int], level: str, rest: str) -> None:
    text = f"{front}{'.'.join(map(str, numbers))}{level}{rest}"
    assert parse_server_version(text) == split_server_version_string(text)


@pytest.mark.parametrize("text", ["", "PostgreSQL", "devel", "\u0661\u0662"])
def test_no_version(text: str) -> None:
    with pytest.raises(ValueError, match="Unable to parse Postgres version from"):
        parse_server_version(text)


@given(st.text())
def test_a_server_can_say_anything(text: str) -> None:
    try:
        parse_server_version(text)
    except ValueError as error:
        assert str(error).startswith("Unable to parse")  # noqa: PT017


def test_thousands_of_digits_are_no_trouble() -> None:
    assert parse_server_version("9" * 5000).major == 999_999_999


@pytest.mark.checklist("CN-4", "PS-3")
def test_they_are_tuples_as_in_asyncpg() -> None:
    assert ServerVersion._fields == AsyncpgVersion._fields
    int4 = Type(23, "int4", "scalar", "pg_catalog")
    assert Attribute("id", int4).type.oid == 23
    assert Notification(1, "c", "p")._fields == ("pid", "channel", "payload")
