"""Several hosts: when the next one is tried, which of them will do, and what is told when none does."""

import math
from collections.abc import Callable
from typing import Any

import pytest

from pgsansio.errors import (
    ClientConfigurationError,
    ConnectionDoesNotExistError,
    OperationTimeoutError,
    PostgresError,
    ProtocolError,
    TargetServerAttributeNotMatched,
    UndefinedFunctionError,
)
from pgsansio.messages.backend import BindComplete, ParameterDescription, ParseComplete
from pgsansio.messages.startup import StartupMessage
from pgsansio.policy.tls_settings import TlsSettings
from pgsansio.testing.loop import Stop, VirtualPort
from pgsansio.testing.peer import Peer
from pgsansio.testing.script import (
    ScriptedBackend,
    Step,
    error,
    expect,
    expect_first_execution,
    hang_up,
    login,
    ready,
    row,
    row_description,
    selected,
    send,
    send_bytes,
)
from tests.support.manual_net import Net, rejecting, standby

NEVER = math.inf
REFUSED = ConnectionRefusedError(111, "refused")
BOOL = 16


def saying(*steps: Step) -> Callable[[], Peer]:
    return lambda: ScriptedBackend([expect(StartupMessage), *steps])


# When the next one is tried


@pytest.mark.checklist("HOST-4")
@pytest.mark.parametrize(
    "first",
    [
        REFUSED,
        OSError(113, "no route"),
        rejecting("57P03"),
        rejecting("53300"),
        rejecting("53200"),
        rejecting("57P01"),
        rejecting("57P02"),
        saying(hang_up()),
        lambda: ScriptedBackend([*login()[:-1], hang_up()]),
    ],
    ids=["refused", "no route", "57P03", "53300", "53200", "57P01", "57P02", "hangs up", "hangs up late"],
)
def test_another_host_may_do(first: Any) -> None:
    for mode in ("disable", "allow", "prefer"):
        net = Net(servers={"a": first})
        assert net.connect(f"host=a,b sslmode={mode}").host == "b"
        assert net.open == ["b"]


@pytest.mark.checklist("HOST-4")
@pytest.mark.parametrize(
    "first",
    [
        rejecting("28P01"),
        rejecting("28000"),
        rejecting("3D000"),
        rejecting("42501"),
        saying(send_bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n")),
    ],
    ids=["password", "authorization", "database", "privilege", "protocol"],
)
def test_another_host_would_say_the_same(first: Any) -> None:
    net = Net(servers={"a": first})
    with pytest.raises((PostgresError, ProtocolError)) as caught:
        net.connect("host=a,b")
    assert net.tried == ["a"]
    assert caught.value.attempts == (caught.value,)
    assert net.is_over


@pytest.mark.parametrize("mode", ["allow", "prefer"])
@pytest.mark.parametrize("sqlstate", ["57P03", "53300", "57P01"])
def test_what_a_server_says_of_itself_is_said_once(mode: str, sqlstate: str) -> None:
    net = Net(servers={"a": rejecting(sqlstate)}, tls=True)
    # Its SSLRequest is refused by hanging up, or there is none.
    if mode == "prefer":
        net.servers = {"a": lambda: Refusing(sqlstate)}
    with pytest.raises(PostgresError) as caught:
        net.connect(f"host=a sslmode={mode}")
    assert (caught.value.sqlstate, net.tried) == (sqlstate, ["a"])
    assert caught.value.attempts == (caught.value,)


class Refusing(ScriptedBackend):
    """Accepts TLS, which `FakeTls` leaves as it is, and then nobody."""

    def __init__(self, sqlstate: str) -> None:
        super().__init__([expect(StartupMessage), send(error(sqlstate, "not now", "FATAL")), hang_up()])
        self._answer = b""

    def receive_data(self, data: bytes) -> None:
        if len(data) == 8:  # SSLRequest
            self._answer = b"S"
        else:
            super().receive_data(data)

    def data_to_send(self) -> bytes:
        answer, self._answer = self._answer, b""
        return answer or super().data_to_send()


def test_every_attempt_is_told_once_and_in_order() -> None:
    net = Net(
        {"b": ["b1", "b2"], "nowhere": []},
        servers={"a": REFUSED, "b1": rejecting("57P03"), "b2": REFUSED, "c": saying(hang_up())},
    )
    with pytest.raises(ConnectionDoesNotExistError) as caught:
        net.connect("host=a,b,c sslmode=disable")
    assert [type(one).__name__ for one in caught.value.attempts] == [
        "ConnectionRefusedError",
        "CannotConnectNowError",
        "ConnectionRefusedError",
        "ConnectionDoesNotExistError",
    ]
    assert isinstance(caught.value.__cause__, BaseExceptionGroup)
    assert caught.value.__cause__.exceptions == caught.value.attempts


def test_a_password_that_cannot_be_had_is_had_for_no_address() -> None:
    asked: list[int] = []

    def password() -> str:
        asked.append(1)
        if len(asked) == 1:
            raise ConnectionError("the vault is closed")
        return "p"

    net = Net({"a": ["a1", "a2"]})
    assert net.connect("host=a,b", password=password).host == "b"
    assert (net.tried, len(asked)) == (["b"], 2)


def test_asking_for_the_password_has_its_time() -> None:
    async def never() -> str:
        await Stop("never", lambda: False)
        return "p"

    net = Net()
    with pytest.raises(OperationTimeoutError, match="finding what connecting to 'a', port 5432 needs has passed"):
        net.connect("host=a connect_timeout=5", password=never)
    assert (net.seconds, net.tried) == (5, [])


@pytest.mark.parametrize("limits", ["", " connect_timeout=5"])
def test_a_function_with_a_time_limit_of_its_own(limits: str) -> None:
    late = TimeoutError("the vault does not answer")

    def password() -> str:
        raise late

    net = Net()
    with pytest.raises(TimeoutError) as caught:
        net.connect(f"host=a,b{limits}", password=password)
    assert caught.value is late
    assert caught.value.attempts == (late,)  # type: ignore[attr-defined]


@pytest.mark.parametrize("given", [b"S3CR3T", 5, ["S3CR3T"]])
def test_a_password_that_is_no_text(given: Any) -> None:
    with pytest.raises(ClientConfigurationError, match=r"^password is expected to return a str, got \w+$"):
        Net().connect("host=a,b", password=lambda: given)


def test_what_the_other_way_needs_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    async def tls_context(self: VirtualPort, settings: TlsSettings) -> object:
        raise ClientConfigurationError("no such file")

    monkeypatch.setattr(VirtualPort, "tls_context", tls_context)
    net = Net(servers={"a": rejecting("28000")}, tls=True)
    with pytest.raises(ClientConfigurationError) as caught:
        net.connect("host=a,b sslmode=allow")
    assert [type(one).__name__ for one in caught.value.attempts] == [
        "InvalidAuthorizationSpecificationError",
        "ClientConfigurationError",
    ]
    assert net.is_over


@pytest.mark.parametrize("host", ["10.0.0.1", "fd00::1", "fe80::1%eth0"])
def test_an_address_is_not_looked_up(host: str) -> None:
    net = Net()
    assert net.connect(f"host={host}").host == host
    assert (net.tried, net.looked_up) == ([host], [])


# Which of them will do


SERVERS = {
    "primary": standby(False),
    "frozen": standby(False, read_only=True),
    "standby": standby(True),
    "down": REFUSED,
}


@pytest.mark.checklist("HOST-6")
@pytest.mark.parametrize(
    ("attribute", "hosts", "expected"),
    [
        ("any", "down,standby,primary", "standby"),
        ("primary", "down,standby,frozen,primary", "frozen"),
        ("standby", "primary,frozen,standby", "standby"),
        ("read-write", "standby,frozen,primary", "primary"),
        ("read-only", "primary,frozen,standby", "frozen"),
        ("prefer-standby", "primary,frozen,standby", "standby"),
        ("prefer-standby", "primary,down", "primary"),
    ],
)
def test_target_session_attrs(attribute: str, hosts: str, expected: str) -> None:
    net = Net(servers=SERVERS)
    connection = net.connect(f"host={hosts} target_session_attrs={attribute}")
    assert connection.host == expected
    # Rejected hosts are let go at once, and nobody is connected to twice.
    assert net.open == [expected]
    assert len(net.tried) == len(set(net.tried))
    assert not net.loop.tasks
    net.loop.run()
    assert all(peer.hung_up for host, peer in net.peers if host != expected)


@pytest.mark.checklist("HOST-6")
def test_all_addresses_of_a_name_are_asked() -> None:
    net = Net({"db": ["primary", "frozen", "standby"]}, servers=SERVERS)
    assert net.connect("host=db target_session_attrs=standby")._address.host == "standby"  # type: ignore[union-attr]
    assert net.open == ["standby"]


@pytest.mark.checklist("HOST-6")
def test_none_will_do() -> None:
    net = Net(servers=SERVERS)
    with pytest.raises(TargetServerAttributeNotMatched, match="None of the hosts match the target attribute") as caught:
        net.connect("host=primary,frozen target_session_attrs=standby")
    assert [str(one) for one in caught.value.attempts] == [
        f"the server at '{host}', port 5432 is not what target_session_attrs='standby' asks for"
        for host in ("primary", "frozen")
    ]
    assert net.is_over
    # As with asyncpg, an error of one of them is told first.
    with pytest.raises(ConnectionRefusedError) as other:
        net.connect("host=down,primary target_session_attrs=standby")
    assert len(other.value.attempts) == 2  # type: ignore[attr-defined]


@pytest.mark.checklist("HOST-6")
def test_each_that_will_do_is_as_likely_as_the_others() -> None:
    net = Net(servers=dict.fromkeys("abc", standby(False)))
    chosen = [net.connect("host=a,b,c target_session_attrs=prefer-standby").host for _ in range(150)]
    # 50 of each are expected; one that is off by more than 5 standard deviations has no chance.
    assert all(20 < chosen.count(host) < 80 for host in "abc")
    assert len(net.tried) == 450
    assert len(net.open) == 150


def test_what_will_do_is_taken_when_the_time_is_over() -> None:
    net = Net(servers=SERVERS, delays={"far": NEVER})
    connection = net.connect("host=primary,far target_session_attrs=prefer-standby", timeout=7)
    assert (connection.host, net.seconds) == ("primary", 7)
    assert net.open == ["primary"]
    assert not net.loop.tasks


def test_what_would_do_is_let_go_when_something_is_wrong() -> None:
    net = Net(servers={**SERVERS, "strict": rejecting("28P01")})
    with pytest.raises(PostgresError):
        net.connect("host=primary,strict target_session_attrs=prefer-standby")
    assert net.is_over


ROLE = "SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('default_transaction_read_only') = 'on'"


def older(is_standby: bool) -> Callable[[], Peer]:
    """A server before 14, which has to be asked."""
    columns = row_description(("a", BOOL), ("b", BOOL))
    prepared = [ParseComplete(), ParameterDescription(()), columns, BindComplete()]
    answer = send(*prepared, row(b"\x01" if is_standby else b"\x00", b"\x00"), selected(), ready())
    return lambda: ScriptedBackend([*login(), *expect_first_execution(ROLE), answer])


@pytest.mark.checklist("HOST-6")
def test_older_servers_are_asked_what_they_are() -> None:
    net = Net(servers={"a": older(False), "b": older(True)})
    assert net.connect("host=a,b target_session_attrs=prefer-standby").host == "b"
    assert net.connect("host=a,b target_session_attrs=read-write").host == "a"
    with pytest.raises(TargetServerAttributeNotMatched):
        net.connect("host=b target_session_attrs=primary")


def test_a_server_that_does_not_know_what_it_is() -> None:
    refusing = lambda: ScriptedBackend(  # noqa: E731
        [*login(), *expect_first_execution(ROLE), send(error("42883", "no such function"), ready())]
    )
    net = Net(servers={"a": refusing, "b": standby(True)})
    assert net.connect("host=a,b target_session_attrs=standby").host == "b"
    with pytest.raises(TargetServerAttributeNotMatched) as caught:
        net.connect("host=a target_session_attrs=standby")
    assert isinstance(caught.value.attempts[0], UndefinedFunctionError)


@pytest.mark.parametrize("kind", [standby, older])
@pytest.mark.parametrize("how", ["cancel", "cancel for good", "close"])
def test_stopped_at_every_moment(how: str, kind: Callable[[bool], Callable[[], Peer]]) -> None:
    moment = 0
    servers = {"primary": kind(False), "standby": kind(True), **dict.fromkeys("abc", kind(False))}
    while True:
        net = Net({"name": ["a", "b", "c"]}, servers=servers)
        task = net.start("host=primary,name,standby target_session_attrs=prefer-standby connect_timeout=5", timeout=9)
        for _ in range(moment):
            if not task.done:
                net.loop.step()
        if task.done:
            break
        net.stop(task, how)
        assert net.is_over, (moment, net.open)
        moment += 1
    assert moment > 20
