"""What the start of a session tells of a pooler."""

import pytest

from pgsansio.enums import StatementMode
from pgsansio.policy.pooling import PROBE, PROBE_NAME, is_process_id, lends_sessions, mode_found, mode_told


@pytest.mark.parametrize(
    ("pool_mode", "kept", "expected"),
    [
        ("session", "0", StatementMode.CACHED),
        ("session", "200", StatementMode.CACHED),
        ("transaction", "0", StatementMode.UNNAMED),
        ("transaction", "200", StatementMode.CACHED),
        ("transaction", None, StatementMode.UNNAMED),
        ("statement", "0", StatementMode.UNNAMED),
        ("statement", "1", StatementMode.CACHED),
        ("one to come", "0", StatementMode.UNNAMED),
    ],
)
def test_what_pgbouncer_tells(pool_mode: str, kept: str | None, expected: StatementMode) -> None:
    parameters = {"server_version": "16.4", "pgbouncer.pool_mode": pool_mode}
    if kept is not None:
        parameters["pgbouncer.max_prepared_statements"] = kept
    assert mode_told(parameters) is expected
    assert lends_sessions(parameters) is (pool_mode != "session")


@pytest.mark.parametrize("more", [{}, {"pgbouncer.version": "1.26.1", "pgbouncer.pool_mode": "transaction"}])
def test_the_console_of_pgbouncer_has_no_extended_protocol(more: dict[str, str]) -> None:
    assert mode_told({"server_version": "1.26.1/bouncer", **more}) is StatementMode.SIMPLE


def test_a_server_tells_nothing() -> None:
    assert mode_told({"server_version": "16.4"}) is None
    assert not lends_sessions({"server_version": "16.4"})


@pytest.mark.parametrize("number", [1, 4321, 99_999, 4_194_304, None])
def test_numbers_of_processes(number: int | None) -> None:
    assert is_process_id(number)


# PgBouncer 1.18 gives any 32 bits, 1.24 and 1.26 give 31.
@pytest.mark.parametrize("number", [-1881136592, -1, 0, 4_194_305, 888143151, 2**31 - 1])
def test_numbers_of_no_process(number: int) -> None:
    assert not is_process_id(number)


def test_the_answer_to_the_probe() -> None:
    assert PROBE_NAME in PROBE
    assert mode_found(b"SELECT 0") is StatementMode.CACHED
    for tag in (b"SELECT 1", b"SELECT 2", b"", None):
        assert mode_found(tag) is StatementMode.UNNAMED
