"""Which addresses are tried, in which order, and for how long."""

import math

import pytest

from pgsansio.errors import OperationTimeoutError
from pgsansio.policy.conninfo import TcpAddress
from pgsansio.testing.loop import Cancelled
from tests.support.manual_net import START, Net


def test_each_address_has_its_time() -> None:
    net = Net({"name": ["deaf1", "deaf2"]})
    connection = net.connect("host=name,deaf3,b connect_timeout=5")
    assert net.tried == ["deaf1", "deaf2", "deaf3", "b"]
    assert net.loop.now - START == 15
    assert connection.host == "b"
    assert sum(port.connected for port in net.loop.ports) == 1


def test_all_that_were_too_slow() -> None:
    net = Net()
    with pytest.raises(
        OperationTimeoutError, match="the time limit for connecting to 'deaf2', port 5432 has passed"
    ) as e:
        net.connect("host=deaf1,deaf2 connect_timeout=5")
    assert [str(error) for error in e.value.attempts] == [
        "the time limit for connecting to 'deaf1', port 5432 has passed",
        "the time limit for connecting to 'deaf2', port 5432 has passed",
    ]
    assert e.value.safe_to_retry
    assert not any(port.connected for port in net.loop.ports)


def test_looking_a_name_up_has_its_time() -> None:
    net = Net({"nowhere": None})
    connection = net.connect("host=nowhere,b connect_timeout=5")
    assert (connection.host, net.loop.now - START) == ("b", 5)
    with pytest.raises(OperationTimeoutError, match="the time limit for looking up 'nowhere' has passed"):
        net.connect("host=nowhere connect_timeout=5")


def test_the_limit_of_all_is_the_limit_of_each() -> None:
    net = Net()
    with pytest.raises(OperationTimeoutError, match=r"^the time limit for connecting has passed$") as caught:
        net.connect("host=deaf1,deaf2,b connect_timeout=5", timeout=7)
    assert net.loop.now - START == 7
    assert net.tried == ["deaf1", "deaf2"]
    assert len(caught.value.attempts) >= 1


def test_without_a_limit_it_waits_for_ever() -> None:
    for keywords in ({"timeout": None}, {"connect_timeout": 0}):
        net = Net()
        task = net.start("host=deaf1,b", **keywords)
        while net.loop.step():
            pass
        assert not task.done
        assert net.loop.now < math.inf
        task.cancel()
        net.loop.run()
        with pytest.raises(Cancelled):
            task.result()


def test_an_address_in_the_place_of_a_name() -> None:
    net = Net()
    connection = net.connect("host=name hostaddr=10.0.0.1 port=7")
    assert (net.tried, net.looked_up) == (["10.0.0.1"], [])
    assert connection._asked == TcpAddress("name", 7, "10.0.0.1")


def test_random_order() -> None:
    names = {"x": ["x1", "deaf"], "y": ["y1", "y2", "y3"], "z": ["z1"]}
    net = Net(names)  # type: ignore[arg-type]
    for _ in range(300):
        net.connect("host=x,y,z load_balance_hosts=random connect_timeout=1").terminate()
    first = set(net.tried)
    assert first == {"x1", "deaf", "y1", "y2", "y3", "z1"}
    net = Net(names)  # type: ignore[arg-type]
    for _ in range(5):
        net.connect("host=x,y,z load_balance_hosts=disable").terminate()
    assert net.tried == ["x1"] * 5
