"""What was recorded is said again, and a client that differs is told where."""

import pytest

from pgsansio import ConnectionDoesNotExistError, ProtocolViolationError
from pgsansio.authentication.server import CleartextPassword
from pgsansio.client import Connection
from pgsansio.messages.tags import Direction
from pgsansio.testing import Entry, Recorder, Recording, Replayer, ScriptedServer, VirtualLoop
from pgsansio.testing.recording import Relay


def server() -> ScriptedServer:
    made = ScriptedServer(authentication=lambda: CleartextPassword("a secret"))
    made.answer("SELECT $1", parameters=["int4"], columns={"n": "int4"}, rows=lambda call: [(call.arguments[0],)])
    made.answer("SELECT forever", waits=True)
    return made


async def talk(connection: Connection, *numbers: int) -> list[int]:
    found = [await connection.fetchval("SELECT $1", number) for number in numbers]
    await connection.close()
    return found


def recorded() -> Recording:
    recorder = Recorder(server())
    loop = VirtualLoop(recorder)
    connection = loop.finish(loop.connect(password="a secret"))
    assert loop.finish(connection.fetchval("SELECT $1", 1)) == 1
    recorder.mark("the second\none")
    assert loop.finish(talk(connection, 2)) == [2]
    return recorder.recording


def test_there_and_back() -> None:
    recording = recorded()
    text = recording.to_text()
    assert Recording.from_text(text).sessions == recording.sessions
    assert "mark the second one" in text
    assert "# F Query" not in text


def test_no_secret_is_recorded() -> None:
    text = recorded().to_text()
    assert b"a secret".hex() not in text
    assert b"key!".hex() not in text
    assert [str(entry).split()[1] for entry in recorded().sessions[0][:3]] == [
        "StartupMessage",
        "AuthenticationOk",
        "ParameterStatus",
    ]


def test_a_replay() -> None:
    replayer = Replayer(recorded())
    loop = VirtualLoop(replayer)
    assert loop.finish(talk(loop.finish(loop.connect(user="another")), 1, 2)) == [1, 2]
    loop.run()
    replayer.check()


def test_a_difference() -> None:
    replayer = Replayer(recorded())
    loop = VirtualLoop(replayer)
    connection = loop.finish(loop.connect())
    with pytest.raises(ConnectionDoesNotExistError, match="behind the mark 'the second one'"):
        loop.finish(talk(connection, 1, 3))
    (difference,) = replayer.differences
    assert (difference.session, difference.mark) == (0, "the second one")
    assert difference.expected is not None
    assert difference.received is not None
    assert difference.expected.replace(b"\2", b"\3") != difference.expected
    with pytest.raises(AssertionError, match=r"session 0, entry \d+ behind the mark 'the second one': expected F Bind"):
        replayer.check()


def test_what_does_not_come() -> None:
    replayer = Replayer(recorded())
    with pytest.raises(AssertionError, match="1 sessions of the recording have not begun"):
        replayer.check()
    loop = VirtualLoop(replayer)
    connection = loop.finish(loop.connect())
    assert loop.finish(connection.fetchval("SELECT $1", 1)) == 1
    with pytest.raises(AssertionError, match=r"expected F Bind .*, received nothing"):
        replayer.check()
    connection.terminate()


def test_what_comes_too_much() -> None:
    replayer = Replayer(recorded())
    loop = VirtualLoop(replayer)
    loop.finish(talk(loop.finish(loop.connect()), 1, 2))
    with pytest.raises(ProtocolViolationError, match="expected nothing, received F StartupMessage"):
        loop.finish(loop.connect())
    with pytest.raises(AssertionError, match="session 1, entry 0: expected nothing"):
        replayer.check()


def test_cancel_connections_are_no_sessions() -> None:
    """They are recorded as little as replayed: when they come, and how often, is a matter of time."""
    recorder = Recorder(server())
    loop = VirtualLoop(recorder)
    connection = loop.finish(loop.connect(password="a secret"))
    with pytest.raises(TimeoutError):
        loop.finish(connection.execute("SELECT forever", timeout=5))
    assert loop.finish(talk(connection, 1)) == [1]
    assert len(recorder.recording.sessions) == 1

    replayer = Replayer(recorder.recording)
    loop = VirtualLoop(replayer)
    connection = loop.finish(loop.connect())
    with pytest.raises(Exception, match="canceling statement due to user request"):
        loop.finish(connection.execute("SELECT forever"))
    cancelling = replayer()
    cancelling.receive_data(bytes.fromhex("0000001004d2162e0000000000000000"))
    assert cancelling.hung_up
    assert loop.finish(talk(connection, 1)) == [1]
    replayer.check()


def test_encryption_is_refused() -> None:
    recorder = Recorder(server())
    for make in (recorder, Replayer(recorded())):
        peer = make(None)  # type: ignore[arg-type]
        peer.receive_data(bytes.fromhex("0000000804d2162f"))
        assert peer.data_to_send() == b"N"
    assert recorder.recording.sessions == []


@pytest.mark.parametrize(
    "text", ["", "another recording", "pgsansio recording 1\n> 00", "pgsansio recording 1\nsession\n? 00"]
)
def test_what_is_no_recording(text: str) -> None:
    with pytest.raises(ValueError, match="recording"):
        Recording.from_text(text)


def test_comments_and_empty_lines() -> None:
    recording = Recording.from_text("pgsansio recording 1\n# by hand\n\nsession\n> 5300000004\nmark x y\n")
    assert recording.sessions == [[Entry(Direction.FRONTEND, b"S\0\0\0\4"), Entry(None, mark="x y")]]


def test_a_relay() -> None:
    relay, calls = Relay(), []
    relay.receive_data(b"a")
    relay.on_heard, relay.on_news = lambda: calls.append("heard"), lambda: calls.append("news")
    relay.receive_data(b"b")
    assert relay.take() == b"ab"
    assert relay.take() == b""
    relay.answered(b"c")
    assert (relay.data_to_send(), relay.hung_up) == (b"c", False)
    relay.receive_eof()
    relay.answered(b"")
    assert relay.is_over
    assert relay.hung_up
    assert calls == ["heard", "news", "heard", "news"]
