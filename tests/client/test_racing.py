"""Several addresses of one name: which are tried when, which of them wins, and what is left open."""

import math
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from pgsansio.client.port import Address
from pgsansio.errors import (
    CannotConnectNowError,
    ClientConfigurationError,
    InvalidPasswordError,
    OperationTimeoutError,
)
from pgsansio.messages.startup import SSLRequest
from pgsansio.policy.conninfo import Settings, TcpAddress
from pgsansio.testing.peer import Deaf, Peer
from pgsansio.testing.script import ScriptedBackend, error, expect, hang_up, login, send
from tests.support.manual_net import Net, rejecting

NEVER = math.inf
REFUSED = ConnectionRefusedError(111, "refused")


def test_the_first_that_opens_at_once_is_alone() -> None:
    net = Net({"name": ["a", "b", "c"]})
    connection = net.connect("host=name")
    assert (net.tried, net.seconds, connection._address) == (["a"], 0, TcpAddress("a", 5432))
    assert connection._asked == TcpAddress("name", 5432)
    net.loop.finish(connection.close())
    assert net.is_over


@pytest.mark.parametrize(
    ("delays", "tried", "winner", "seconds"),
    [
        ({"a": NEVER}, "ab", "b", 0.25),
        ({"a": NEVER, "b": NEVER}, "abc", "c", 0.5),
        ({"a": 0.4, "b": NEVER}, "ab", "a", 0.4),
        ({"a": 0.4, "b": 0.1}, "ab", "b", 0.35),
        ({"a": 9, "b": 9, "c": 8}, "abc", "c", 8.5),
        ({"a": 0.2, "b": 0}, "a", "a", 0.2),
    ],
)
def test_the_next_begins_while_one_is_slow(delays: dict[str, float], tried: str, winner: str, seconds: float) -> None:
    net = Net({"name": ["a", "b", "c"]}, delays=delays)
    connection = net.connect("host=name")
    assert (net.tried, connection._address) == (list(tried), TcpAddress(winner, 5432))
    assert net.seconds == pytest.approx(seconds)
    # Those that came too late are closed, and nobody waits for them.
    assert net.open == [winner]
    assert not net.loop.tasks
    connection.terminate()
    assert net.is_over


def test_one_that_fails_makes_way_at_once() -> None:
    net = Net({"name": ["a", "b", "c"]}, servers={"a": REFUSED, "b": REFUSED})
    assert net.connect("host=name")._address == TcpAddress("c", 5432)
    assert (net.tried, net.seconds) == (["a", "b", "c"], 0)
    net = Net({"name": ["a", "b", "c"]}, servers={"a": REFUSED}, delays={"a": 0.3, "b": NEVER})
    net.connect("host=name")
    assert (net.tried, net.seconds) == (["a", "b", "c"], pytest.approx(0.3))


def test_families_take_turns() -> None:
    found = ["fd00::1", "fd00::2", "10.0.0.1", "10.0.0.2"]
    net = Net({"name": found}, servers=dict.fromkeys(found, REFUSED))
    with pytest.raises(ConnectionRefusedError):
        net.connect("host=name")
    assert net.tried == ["fd00::1", "10.0.0.1", "fd00::2", "10.0.0.2"]


def test_two_that_open_at_the_same_moment() -> None:
    net = Net({"name": ["a", "b"]}, delays={"a": 0.5, "b": 0.25})
    task = net.start("host=name")
    while sum(child.can_go_on for child in net.loop.tasks[1:]) < 2:
        assert net.loop.step()
    for child in net.loop.tasks[1:]:
        while not child.done:
            child.resume()
        net.loop.tasks.remove(child)
    assert net.open == ["a", "b"]
    net.loop.run(task)
    assert net.open == ["a"]
    task.result().terminate()
    assert net.is_over


def test_none_opens() -> None:
    one, two, three = (ConnectionRefusedError(111, name) for name in "abc")
    net = Net({"name": ["a", "b", "c"]}, servers={"a": one, "b": two, "c": three}, delays={"a": 0.7, "b": 0.1})
    with pytest.raises(ConnectionRefusedError) as caught:
        net.connect("host=name")
    assert caught.value is one
    assert caught.value.attempts == (two, three, one)  # type: ignore[attr-defined]
    assert isinstance(caught.value.__cause__, BaseExceptionGroup)
    assert net.is_over


def test_a_winner_that_cannot_serve_makes_way_for_the_others() -> None:
    starting = rejecting("57P03")
    net = Net({"name": ["a", "b", "c"]}, servers={"b": starting, "c": starting}, delays={"a": 0.3})
    # b was open first; a was cut off, and is tried again.
    assert net.connect("host=name")._address == TcpAddress("a", 5432)
    assert net.tried == ["a", "b", "a", "c", "a"]
    net = Net({"name": ["a", "b", "c"]}, servers={"a": REFUSED, "b": starting, "c": starting})
    with pytest.raises(CannotConnectNowError) as caught:
        net.connect("host=name")
    assert [type(one) for one in caught.value.attempts] == [
        ConnectionRefusedError,
        CannotConnectNowError,
        CannotConnectNowError,
    ]
    assert net.is_over


def test_a_wrong_password_is_the_end() -> None:
    net = Net({"name": ["a", "b"]}, servers={"a": rejecting("28P01")}, delays={"b": NEVER})
    with pytest.raises(InvalidPasswordError) as caught:
        net.connect("host=name")
    assert caught.value.attempts == (caught.value,)
    assert net.tried == ["a"]
    assert net.is_over


def test_the_time_of_each_address_begins_with_its_opening() -> None:
    net = Net({"name": ["a", "b"]}, delays={"a": NEVER, "b": NEVER})
    with pytest.raises(OperationTimeoutError, match="connecting to 'b', port 5432 has passed") as caught:
        net.connect("host=name connect_timeout=5")
    assert net.seconds == 5.25
    assert len(caught.value.attempts) == 2
    # What opening took is not there for the conversation.
    net = Net({"name": ["deaf", "b"]}, delays={"deaf": 3, "b": 4})
    net.connect("host=name connect_timeout=5")
    assert (net.tried, net.seconds) == (["deaf", "b", "b"], 5 + 4)


def test_the_limit_of_all_cuts_the_race_off() -> None:
    net = Net({"name": ["a", "b", "c"]}, servers={"c": REFUSED}, delays={"a": NEVER, "b": NEVER})
    with pytest.raises(OperationTimeoutError, match=r"^the time limit for connecting has passed$") as caught:
        net.connect("host=name", timeout=7)
    assert caught.value.attempts == (REFUSED, caught.value)
    assert net.seconds == 7
    assert net.is_over


def test_without_tasks_they_are_tried_in_turn() -> None:
    net = Net({"name": ["a", "b", "c"]}, servers={"a": REFUSED}, delays={"b": NEVER}, tasks=False)
    assert net.connect("host=name connect_timeout=5")._address == TcpAddress("c", 5432)
    assert (net.tried, net.seconds) == (["a", "b", "c"], 5)
    assert len(net.loop.ports) == 1
    net = Net({"name": ["a", "b"]}, servers={"a": rejecting("57P03"), "b": REFUSED}, tasks=False)
    with pytest.raises(CannotConnectNowError) as caught:
        net.connect("host=name")
    assert [type(one) for one in caught.value.attempts] == [CannotConnectNowError, ConnectionRefusedError]


def test_what_is_tried_again_is_tried_at_the_same_address() -> None:
    rejected = [expect(lambda message: True), send(error("28000", "no entry", "FATAL")), hang_up()]
    for mode, script in (("allow", rejected), ("prefer", [expect(SSLRequest), hang_up()])):
        peers = iter([ScriptedBackend(script), ScriptedBackend([expect(lambda message: True)])])
        net = Net({"name": ["a", "b"]}, servers={"b": lambda peers=peers: next(peers)}, delays={"a": NEVER}, tls=True)
        net.start(f"host=name sslmode={mode}", timeout=20)
        net.loop.run()
        assert [host for host, _ in net.peers][:2] == (["b", "b"] if mode == "allow" else ["b"])
    # So is an older version of the protocol.
    versions = iter([ScriptedBackend([expect(lambda message: True), hang_up()]), ScriptedBackend(login())])
    net = Net({"name": ["a", "b"]}, servers={"b": lambda: next(versions)}, delays={"a": NEVER})
    connection = net.connect("host=name max_protocol_version=3.2")
    assert connection._address == TcpAddress("b", 5432)
    assert net.tried == ["a", "b", "b"]


def test_hooks_are_called_for_each_round() -> None:
    called: list[Address] = []

    async def around(asked: Address, settings: Settings, attempt: Callable[[], Awaitable[Any]]) -> Any:
        called.append(asked)
        return await attempt()

    net = Net({"name": ["a", "b", "c"]}, servers={"a": REFUSED, "b": rejecting("57P03")})
    net.connect("host=name", around=around)
    assert called == [TcpAddress("name", 5432)] * 2


def test_options_that_the_system_refuses_are_the_end() -> None:
    wrong = ClientConfigurationError("keepalives_idle")
    for servers, tried in ({"a": wrong}, ["a"]), ({"a": REFUSED, "b": wrong}, ["a", "b"]):
        net = Net({"name": ["a", "b", "c"]}, servers=servers, delays={"c": NEVER})
        with pytest.raises(ClientConfigurationError) as caught:
            net.connect("host=name")
        assert caught.value is wrong
        assert net.tried == tried
        assert net.is_over


def test_every_stream_has_the_options_of_its_socket() -> None:
    servers: Iterator[Peer] = iter([ScriptedBackend(login()), Deaf()])
    net = Net({"name": ["a", "b"]}, servers={"a": lambda: next(servers), "b": Deaf}, delays={"a": 0.5, "b": 0.5})
    connection = net.connect("host=name tcp_user_timeout=9000 keepalives_idle=7")
    net.loop.start(connection.fetch("SELECT 1"))
    net.loop.start(connection.cancel())
    net.loop.run()
    assert net.tried == ["a", "b", "a"]
    for port in net.loop.ports:
        assert port.tcp_options == connection._settings.tcp
        assert port.tcp_options is not None
        assert (port.tcp_options.tcp_user_timeout, port.tcp_options.keepalives_idle) == (9000, 7)


RACES: list[dict[str, Any]] = [
    {"delays": {"a": 0.3, "b": 0.1}},
    {"delays": {"a": 0.5, "b": 0.25}},
    {"delays": {"a": NEVER, "b": 0.3}, "servers": {"b": rejecting("57P03")}},
    {"delays": {"a": 0.3}, "servers": {"a": REFUSED, "b": rejecting("57P03"), "c": REFUSED}},
    {"delays": {"a": 0.3}, "servers": {"a": REFUSED, "b": rejecting("57P03")}, "tasks": False},
]


@pytest.mark.parametrize("how", ["cancel", "cancel for good", "close"])
@pytest.mark.parametrize("race", RACES)
def test_stopped_at_every_moment(race: dict[str, Any], how: str) -> None:
    moment = 0
    while True:
        net = Net({"name": ["a", "b", "c"]}, **race)
        task = net.start("host=name target_session_attrs=any connect_timeout=5")
        for _ in range(moment):
            if not task.done:
                net.loop.step()
        if task.done:
            break
        net.stop(task, how)
        assert not hasattr(task.error, "attempts")
        assert net.is_over, (moment, net.open)
        moment += 1
    assert moment > 10


@pytest.mark.parametrize("race", RACES)
def test_cut_off_at_every_moment(race: dict[str, Any]) -> None:
    moment = 0
    while True:
        net = Net({"name": ["a", "b", "c"]}, **race)
        task = net.start("host=name connect_timeout=5")
        for _ in range(moment):
            if not task.done:
                net.loop.step()
        if task.done:
            break
        for port in net.loop.ports:
            port.lose(ConnectionResetError(104, "reset"))
        net.loop.run(task)
        if task.error is None:
            task.result().terminate()
        else:
            assert task.error.attempts[-1] is task.error or len(task.error.attempts) > 1  # type: ignore[attr-defined]
        assert net.is_over, (moment, net.open)
        moment += 1
    assert moment > 10
