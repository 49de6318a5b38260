"""Runs of ParameterStatus: read or known, they say the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgsansio.engine.reports import MAX_PARAMETERS, KnownReports
from pgsansio.errors import ProtocolError
from pgsansio.messages.backend import ParameterStatus

READY = b"Z\0\0\0\5I"
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=9)


def run(**parameters: str) -> bytes:
    return b"".join(ParameterStatus(name, value).encode() for name, value in parameters.items())


def taken(known: KnownReports, data: bytes, start: int = 0) -> tuple[int, dict[str, str]]:
    parameters: dict[str, str] = {}
    size = known.take(parameters, bytearray(data), start, len(data))
    return size, parameters


@given(st.lists(st.dictionaries(TEXTS, TEXTS, max_size=3), max_size=20), st.integers(0, 3))
def test_a_known_run_says_what_was_read(sessions: list[dict[str, str]], before: int) -> None:
    known = KnownReports()
    for reported in sessions * 2:
        data = b"x" * before + run(**reported) + READY
        assert taken(known, data, before) == (len(data) - before - len(READY), reported)


def test_parameters_are_each_session_s_own() -> None:
    known, data = KnownReports(), run(a="1", b="2") + READY
    _, first = taken(known, data)
    _, second = taken(known, data)
    first["a"] = second["b"] = "changed"
    assert taken(known, data)[1] == {"a": "1", "b": "2"}


def test_what_is_known_may_go_on() -> None:
    known, data = KnownReports(), run(a="1")
    assert taken(known, data + READY) == (len(data), {"a": "1"})
    longer = data + run(b="2")
    parameters: dict[str, str] = {}
    size = known.take(parameters, bytearray(longer), 0, len(longer))
    size += known.take(parameters, bytearray(longer), size, len(longer))
    assert (size, parameters) == (len(longer), {"a": "1", "b": "2"})


@pytest.mark.parametrize("cut", range(len(run(a="1", b="2"))))
def test_incomplete_messages_wait(cut: int) -> None:
    known, data = KnownReports(), run(a="1", b="2")
    one = len(run(a="1"))
    expected = (one, {"a": "1"}) if cut >= one else (0, {})
    for _ in range(2):
        assert taken(known, data[:cut]) == expected
        taken(known, data + READY)


def test_what_lies_behind_the_end_is_not_looked_at() -> None:
    known, data = KnownReports(), run(a="1") + READY
    taken(known, data)
    assert known.take({}, bytearray(data), 0, len(data) - len(READY) - 1) == 0


def test_what_is_refused_is_refused_again() -> None:
    known = KnownReports()
    for _ in range(2):
        with pytest.raises(ProtocolError, match="client_encoding is 'LATIN1'"):
            taken(known, run(a="1", client_encoding="LATIN1") + READY)
        with pytest.raises(ProtocolError, match="more than 1000 parameters"):
            taken(known, run(**{f"p{number}": "" for number in range(MAX_PARAMETERS + 1)}))
        with pytest.raises(ProtocolError, match="ParameterStatus"):
            taken(known, b"S\0\0\0\6ab" + READY)


@pytest.mark.parametrize("data", [READY, b"S\0\0\0\3", b"S\0\1\0\0", b"S\0\0\0", b""])
def test_anything_else_is_left_to_others(data: bytes) -> None:
    assert taken(KnownReports(), data) == (0, {})


def test_few_and_short_runs_are_kept() -> None:
    known = KnownReports()
    for number in range(20):
        taken(known, run(a=str(number)) + READY)
        taken(known, run(a="x" * 5000) + READY)
    assert [parameters["a"] for _, parameters in known._runs] == [str(number) for number in range(19, 11, -1)]
