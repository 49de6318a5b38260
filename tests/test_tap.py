"""Tap: every message both ways, however the bytes come, and nothing changed."""

from hypothesis import given
from hypothesis import strategies as st

from pgsansio.engine.driven import CancelExchange
from pgsansio.enums import TransactionStatus
from pgsansio.frontend import Frontend
from pgsansio.messages.authentication import AuthenticationCleartextPassword, AuthenticationOk, PasswordMessage
from pgsansio.messages.backend import CommandComplete, ReadyForQuery
from pgsansio.messages.frontend import Query
from pgsansio.messages.startup import BackendKeyData, CancelRequest, StartupMessage
from pgsansio.messages.tags import Direction
from pgsansio.messages.trace import describe_frame
from pgsansio.tap import Tap

F, B = Direction.FRONTEND, Direction.BACKEND
STARTUP = StartupMessage((("user", "ann"),))


class Reported(list[tuple[Direction, int, bytes]]):
    def __call__(self, direction: Direction, tag: int, body: bytes) -> None:
        self.append((direction, tag, body))


def give(tap: Tap, data: bytes) -> None:
    """What a transport does with received bytes."""
    room = tap.get_buffer()
    room[: len(data)] = data
    tap.bytes_received(len(data))


def begun() -> tuple[Frontend, Tap, Reported]:
    frontend, reported = Frontend(), Reported()
    tap = Tap(frontend, reported)
    frontend.start_up(STARTUP.parameters, user="ann", password="hunter2!", nonce="n" * 24)
    return frontend, tap, reported


def answers() -> bytes:
    return (
        AuthenticationOk().encode()
        + BackendKeyData(7, b"\1\2\3\4").encode()
        + ReadyForQuery(TransactionStatus.IDLE).encode()
    )


def test_a_session_both_ways() -> None:
    frontend, tap, reported = begun()
    assert tap.data_to_send() == STARTUP.encode()
    give(tap, AuthenticationCleartextPassword().encode())
    assert tap.data_to_send() == PasswordMessage("hunter2!").encode()
    give(tap, answers())
    assert frontend.process_id == 7
    operation = frontend.simple_query("select 1")
    assert tap.data_to_send() == Query("select 1").encode()
    assert tap.data_to_send() == b""
    give(tap, CommandComplete("SELECT 1").encode() + ReadyForQuery(TransactionStatus.IDLE).encode())
    assert operation in tap.completed()
    assert operation.status == "SELECT 1"
    lines = [describe_frame(*entry) for entry in reported]
    assert lines == [
        "F StartupMessage parameters=(('user', 'ann')) protocol_version=196608",
        "B AuthenticationCleartextPassword",
        "F AuthenticationResponse (9 bytes, <hidden>)",
        "B AuthenticationOk",
        "B BackendKeyData process_id=7 secret_key=<hidden>",
        "B ReadyForQuery status=IDLE",
        "F Query query='select 1'",
        "B CommandComplete command_tag='SELECT 1'",
        "B ReadyForQuery status=IDLE",
    ]


@given(st.lists(st.integers(1, len(answers())), max_size=8))
def test_cuts_do_not_matter(places: list[int]) -> None:
    frontend, tap, reported = begun()
    position = 0
    for place in [*sorted(places), len(answers())]:
        give(tap, answers()[position:place])
        position = place
    assert [(direction, chr(tag)) for direction, tag, _ in reported] == [(B, "R"), (B, "K"), (B, "Z")]
    assert frontend.process_id == 7


def test_it_says_what_its_engine_says() -> None:
    frontend, tap, _ = begun()
    assert (tap.news, tap.ended, tap.cancel_due, tap.busy, tap.reading_paused) == (False,) * 5
    tap.receive_eof()
    assert tap.ended
    assert tap.news
    assert not frontend.is_open


def test_a_lost_connection() -> None:
    frontend, tap, _ = begun()
    error = OSError("gone")
    tap.connection_lost(error)
    assert frontend.failure is error


def test_a_cancel_request_has_no_type() -> None:
    reported = Reported()
    request = CancelRequest(7, b"\1\2\3\4")
    tap = Tap(CancelExchange(request.encode()), reported)
    tap.data_to_send()
    assert [describe_frame(*entry) for entry in reported] == ["F CancelRequest process_id=7 secret_key=<hidden>"]


def test_what_has_no_length_is_reported_as_one() -> None:
    _, tap, reported = begun()
    give(tap, b"Z\0\0\0\3junk")
    assert reported == [(B, ord("Z"), b"junk")]
    assert tap.ended
