"""Hosts: their order, and when another one is worth trying."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgsansio.errors import error_from_fields
from pgsansio.policy.conninfo import SessionAttribute
from pgsansio.policy.hosts import accepts, another_host_may_do, in_random_order, needs_query


@given(st.lists(st.integers()), st.text())
def test_nothing_is_lost_and_nothing_is_new(items: list[int], chance: str) -> None:
    assert Counter(in_random_order(items, chance)) == Counter(items)
    assert in_random_order(items, chance) == in_random_order(items, chance)


def test_each_order_is_as_likely_as_any_other() -> None:
    counts = Counter(in_random_order("abc", str(number)) for number in range(6000))
    assert len(counts) == 6
    # 1000 each are expected; one that is off by more than 6 standard deviations has no chance.
    assert all(820 < count < 1180 for count in counts.values()), counts


@pytest.mark.parametrize(
    ("sqlstate", "message", "may"),
    [
        ("57P03", "the database system is starting up", True),
        ("57P01", "terminating connection due to administrator command", True),
        ("53300", "sorry, too many clients already", True),
        ("08P01", "no more connections allowed (max_client_conn)", True),
        ("08P01", "client connections exceeded (max_user_client_connections)", True),
        ("08P01", "query_wait_timeout", True),
        ("08P01", "server login has been failing, try again later (server_login_retry)", True),
        ("08P01", "SASL authentication failed", False),
        ("08P01", "unsupported startup parameter: geqo", False),
        ("28P01", "password authentication failed", False),
        ("3D000", "no more connections allowed", False),
    ],
)
def test_what_a_server_says_of_itself(sqlstate: str, message: str, may: bool) -> None:
    error = error_from_fields({"V": "FATAL", "C": sqlstate, "M": message, "D": "a detail"})
    assert another_host_may_do(error) is may


PRIMARY, STANDBY, READ_ONLY = ("off", "off"), ("on", "off"), ("off", "on")


@pytest.mark.parametrize(
    ("word", "accepted"),
    [
        ("any", {PRIMARY, STANDBY, READ_ONLY}),
        ("primary", {PRIMARY, READ_ONLY}),
        ("standby", {STANDBY}),
        ("prefer_standby", {STANDBY}),
        ("read_write", {PRIMARY}),
        ("read_only", {STANDBY, READ_ONLY}),
    ],
)
def test_which_servers_will_do(word: str, accepted: set[tuple[str, str]]) -> None:
    attribute = SessionAttribute[word]
    for kind in (PRIMARY, STANDBY, READ_ONLY):
        reported = dict(zip(("in_hot_standby", "default_transaction_read_only"), kind, strict=True))
        assert accepts(attribute, reported) == (kind in accepted)
        assert not needs_query(attribute, reported)
    assert needs_query(attribute, {"in_hot_standby": "off"}) == (word != "any")
