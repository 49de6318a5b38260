"""The listener that connects again, on a loop that the test steps."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from pgsansio.client import Connection, ReconnectingListener, connecting
from pgsansio.client.port import Address, ConcurrentPort
from pgsansio.errors import AdminShutdownError, InterfaceError, InvalidPasswordError, OperationTimeoutError
from pgsansio.messages.backend import ErrorResponse, NotificationResponse
from pgsansio.policy.conninfo import Settings, resolve_settings
from pgsansio.testing.loop import Cancelled, Task, VirtualLoop
from pgsansio.testing.peer import Deaf
from pgsansio.types import Gap, Notification
from tests.support.toy_server import ToyCluster, ToyServer

SETTINGS: Settings = resolve_settings(
    "postgresql://u@db.example/d", environment={}, os_user="u", home=None, platform="linux"
)


class World:
    """A listener, and servers that may refuse to be connected to."""

    def __init__(self, *channels: str, inline: bool = False, **options: Any) -> None:
        self.cluster = ToyCluster()
        self.loop = VirtualLoop(self.make_peer, inline=inline)
        #: Raised by the next attempts to connect.
        self.errors: list[BaseException] = []
        world = self

        class Listener(ReconnectingListener):
            @staticmethod
            async def _connect_here(**arguments: Any) -> Connection:
                assert arguments == {"dsn": "d"}
                if world.errors:
                    raise world.errors.pop(0)
                return await connecting.connect(world.loop.port, SETTINGS, Connection)

            def _make_home(self) -> ConcurrentPort:
                return world.loop.port()

        defaults: dict[str, Any] = {
            "max_queued": 10, "heartbeat": None, "max_delay": 30.0, "max_attempts": None, "give_up_after": None
        }  # fmt: skip
        self.listener = Listener(channels or ("jobs",), {"dsn": "d"}, **defaults | options)
        self.items: list[Any] = []

    def make_peer(self, address: Address) -> ToyServer:
        return self.cluster(address)

    @property
    def server(self) -> ToyServer:
        return self.cluster.sessions[-1]

    def notify(self, channel: str, payload: str = "") -> None:
        self.server.backend.send(NotificationResponse(7, channel, payload))

    def lose(self) -> None:
        """The last connection that was opened is cut."""
        self.loop.ports[-1].lose()

    def enter(self) -> None:
        self.loop.finish(self.listener.__aenter__())

    def leave(self) -> None:
        self.loop.finish(self.listener.__aexit__(None, None, None))
        self.check_rest()

    def next(self) -> Any:
        return self.loop.finish(self.listener.__anext__())

    def check_rest(self) -> None:
        """Nothing is left of it."""
        self.loop.run()
        assert not self.loop.tasks
        assert not self.loop.failures
        assert not any(port.connected for port in self.loop.ports)
        assert all(server.hung_up for server in self.cluster.servers)


class DeadPeer(Deaf):
    """A server whose machine is gone."""

    def receive_eof(self) -> None:
        pass


def test_notifications_and_a_gap() -> None:
    world = World("jobs", "news")
    world.enter()
    assert world.listener.connected
    assert world.listener.channels == ("jobs", "news")
    assert world.server.state.channels == {"jobs", "news"}
    world.notify("jobs", "1")
    world.notify("news", "2")
    assert [world.next(), world.next()] == [Notification(7, "jobs", "1"), Notification(7, "news", "2")]
    world.server.backend.send(ErrorResponse({"S": "FATAL", "V": "FATAL", "C": "57P01", "M": "shut down"}))
    world.server.hung_up = True
    world.errors = [ConnectionRefusedError(), ConnectionRefusedError()]
    began = world.loop.now
    gap = world.next()
    assert isinstance(gap, Gap)
    assert isinstance(gap.error, AdminShutdownError)
    assert gap.attempts == 3
    assert gap.seconds == pytest.approx(world.loop.now - began)
    assert 0.35 <= gap.seconds <= 0.7
    # It listens to everything when it says so.
    assert world.server.state.channels == {"jobs", "news"}
    world.notify("jobs", "3")
    assert world.next() == Notification(7, "jobs", "3")
    world.leave()


def test_what_was_brought_before_the_loss_comes_first() -> None:
    world = World()
    world.enter()
    world.notify("jobs", "1")
    world.notify("jobs", "2")
    world.loop.run()
    world.lose()
    assert [world.next().payload, world.next().payload] == ["1", "2"]
    assert isinstance(world.next(), Gap)
    world.leave()


def test_the_first_attempt_is_the_only_one() -> None:
    world = World()
    world.errors = [ConnectionRefusedError("nobody is there")]
    with pytest.raises(ConnectionRefusedError):
        world.enter()
    with pytest.raises(InterfaceError, match="only once"):
        world.enter()
    world.check_rest()


def test_it_is_not_begun() -> None:
    world = World()
    with pytest.raises(InterfaceError, match="the listener has not begun"):
        world.next()
    with pytest.raises(InterfaceError, match="the listener has not begun"):
        world.loop.finish(world.listener.add("news"))


@pytest.mark.parametrize("channel", ["", "x" * 64, "a\0b", 5])
def test_names_that_cannot_be(channel: Any) -> None:
    with pytest.raises(InterfaceError, match="channel name"):
        World(channel)
    world = World()
    world.enter()
    with pytest.raises(InterfaceError, match="channel name"):
        world.loop.finish(world.listener.add(channel))
    assert world.listener.channels == ("jobs",)
    world.leave()


@pytest.mark.parametrize("heartbeat", [0, -1, float("nan")])
def test_a_heartbeat_that_cannot_be(heartbeat: float) -> None:
    with pytest.raises(ValueError, match="heartbeat is expected to be greater than zero"):
        World(heartbeat=heartbeat)


def test_an_error_that_will_not_pass() -> None:
    world = World()
    world.enter()
    world.lose()
    error = InvalidPasswordError("wrong")
    world.errors = [ConnectionRefusedError(), error]
    for _ in range(2):
        with pytest.raises(InvalidPasswordError) as caught:
            world.next()
        assert caught.value is error
    assert error.__notes__ == ["The connection was lost; it was tried 2 times to connect again."]
    assert not world.listener.connected
    world.leave()


@pytest.mark.parametrize("options", [{"max_attempts": 3}, {"give_up_after": 0.71}])
def test_giving_up(options: dict[str, Any]) -> None:
    world = World(**options)
    world.enter()
    world.lose()
    world.errors = [ConnectionRefusedError(str(number)) for number in range(20)]
    with pytest.raises(ConnectionRefusedError):
        world.next()
    assert 3 <= 20 - len(world.errors) <= 4
    world.leave()


def test_channels_come_and_go() -> None:
    world = World()
    world.enter()
    add, remove = world.listener.add, world.listener.remove
    world.loop.finish(add("news"))
    world.loop.finish(add("news"))
    assert world.server.state.channels == {"jobs", "news"}
    world.notify("news")
    assert world.next().channel == "news"
    world.loop.finish(remove("jobs"))
    world.loop.finish(remove("jobs"))
    assert world.server.state.channels == {"news"}
    # Nobody has noticed the loss yet, then nobody has connected again.
    world.lose()
    world.loop.finish(add("a"))
    world.loop.finish(remove("news"))
    with pytest.raises(Cancelled):
        cancelled(world, world.listener.__anext__())
    world.loop.finish(add("b"))
    world.loop.finish(remove("a"))
    assert world.listener.channels == ("b",)
    assert isinstance(world.next(), Gap)
    assert world.server.state.channels == {"b"}
    world.leave()
    with pytest.raises(InterfaceError, match="the listener is closed"):
        world.loop.finish(add("c"))


def cancelled(world: World, work: Awaitable[Any]) -> Any:
    """Cancelled at its first await but one."""

    async def run() -> Any:
        return await work

    task = world.loop.start(run())
    task.resume()
    task.resume()
    task.cancel()
    world.loop.run(task)
    return task.result()


def test_channels_that_change_while_it_connects() -> None:
    """Whatever moment they change at, it listens to those that are wanted when it says that it does."""
    moment = 0
    while True:
        world = World("jobs", "old")
        world.enter()
        world.lose()
        task = world.loop.start(world.listener.__anext__())
        for _ in range(moment):
            if not task.done:
                world.loop.step()
        finished = task.done
        changes = [world.loop.start(world.listener.add("new")), world.loop.start(world.listener.remove("old"))]
        world.loop.run(task)
        for change in changes:
            world.loop.run(change)
            change.result()
        assert isinstance(task.result(), Gap)
        assert world.server.state.channels == {"jobs", "new"}
        world.notify("new")
        assert world.next().channel == "new"
        world.leave()
        if finished:
            assert moment > 5
            return
        moment += 1


def test_a_heartbeat_that_is_answered() -> None:
    world = World(heartbeat=20.0)
    world.enter()
    task = world.loop.start(world.listener.__anext__())
    began = world.loop.now
    while world.loop.now < began + 70:
        world.loop.step()
    world.notify("jobs")
    world.loop.run(task)
    assert task.result() == Notification(7, "jobs", "")
    assert len(world.cluster.sessions) == 1
    world.leave()


@pytest.mark.parametrize("inline", [False, True], ids=["background", "inline"])
def test_a_heartbeat_that_is_not_answered(inline: bool) -> None:
    world = World(heartbeat=20.0, inline=inline)
    world.enter()
    dead = world.server
    world.loop.ports[-1].peer = DeadPeer()
    began = world.loop.now
    gap = world.next()
    assert isinstance(gap, Gap)
    assert isinstance(gap.error, OperationTimeoutError)
    assert world.loop.now - began > 30
    dead.hung_up = True
    world.leave()


def test_two_tasks_that_iterate() -> None:
    world = World()
    world.enter()
    task = world.loop.start(world.listener.__anext__())
    world.loop.run()
    with pytest.raises(InterfaceError, match="another task does"):
        world.next()
    world.notify("jobs")
    world.loop.run(task)
    assert task.result().channel == "jobs"
    world.leave()


@pytest.mark.parametrize("is_lost", [False, True])
def test_leaving_ends_the_iteration_of_another_task(is_lost: bool) -> None:
    world = World()
    world.enter()
    if is_lost:
        world.lose()
        world.errors = [ConnectionRefusedError()] * 100
    task = world.loop.start(world.listener.__anext__())
    for _ in range(10):
        world.loop.step(time_passes=False)
    began = world.loop.now
    world.loop.finish(world.listener.__aexit__(None, None, None))
    world.loop.run(task)
    for end in (task.result, world.next):
        with pytest.raises(StopAsyncIteration):
            end()
    # Nobody waits for the next attempt.
    assert world.loop.now == began
    world.check_rest()


def test_leaving_while_another_task_connects() -> None:
    """At each moment of it."""
    moment = 0
    while True:
        world = World("jobs", "news")
        world.enter()
        world.lose()
        task = world.loop.start(world.listener.__anext__())
        for _ in range(moment):
            if not task.done:
                world.loop.step()
        finished = task.done
        world.loop.finish(world.listener.__aexit__(None, None, None))
        world.loop.run(task)
        if finished:
            assert isinstance(task.result(), Gap)
            assert moment > 8
            world.check_rest()
            return
        # The last answer may have come already.
        assert isinstance(task.error, StopAsyncIteration) or (task.error is None and isinstance(task.result(), Gap))
        world.check_rest()
        moment += 1


def test_a_cancelled_attempt_is_not_made_again_at_once() -> None:
    world = World()
    world.enter()
    world.lose()
    task = world.loop.start(world.listener.__anext__())
    while len(world.loop.ports) < 2:
        world.loop.step()
    task.cancel()
    world.loop.run(task)
    assert isinstance(task.error, Cancelled)
    cancelled_at = world.loop.now
    gap = world.next()
    assert world.loop.now >= cancelled_at + 0.05
    assert gap.attempts == 1
    world.leave()


# Cancelled


async def listens(world: World) -> None:
    async with world.listener as items:
        async for item in items:
            world.items.append(item)
            if isinstance(item, Gap):
                return


def moments(inline: bool, work: Callable[[World], Awaitable[None]]) -> Iterator[tuple[World, Task]]:
    """A listener that notices a loss, and connects again at the second attempt; stopped one step later each time."""
    moment = 0
    while True:
        world = World("jobs", "news", inline=inline)
        task = world.loop.start(work(world))
        is_lost = False
        for _ in range(moment):
            if not task.done and not world.loop.step(time_passes=is_lost):
                world.lose()
                world.errors = [ConnectionRefusedError()]
                is_lost = True
        if task.done:
            task.result()
            world.check_rest()
            assert moment > 18
            return
        yield world, task
        moment += 1


@pytest.mark.parametrize("for_good", [False, True], ids=["once", "for_good"])
@pytest.mark.parametrize("inline", [False, True], ids=["background", "inline"])
def test_cancelled(inline: bool, for_good: bool) -> None:
    for world, task in moments(inline, listens):
        task.cancel(for_good=for_good)
        world.loop.run(task)
        assert task.error is None or isinstance(task.error, Cancelled)
        world.check_rest()


@pytest.mark.parametrize("inline", [False, True], ids=["background", "inline"])
def test_thrown_away(inline: bool) -> None:
    for world, task in moments(inline, listens):
        task.close()
        world.loop.tasks.remove(task)
        world.check_rest()


@pytest.mark.parametrize("inline", [False, True], ids=["background", "inline"])
def test_an_iteration_that_was_cancelled_is_taken_up_again(inline: bool) -> None:
    moment = 0
    while True:
        world = World("jobs", inline=inline)
        world.enter()
        world.notify("jobs", "1")
        world.loop.run()
        world.lose()
        world.errors = [ConnectionRefusedError()]
        items: list[Any] = []

        async def read(world: World = world, items: list[Any] = items) -> None:
            async for item in world.listener:
                items.append(item)
                if isinstance(item, Gap):
                    return

        task = world.loop.start(read())
        for _ in range(moment):
            if not task.done:
                world.loop.step()
        finished = task.done
        if not finished:
            task.cancel()
            world.loop.run(task)
            if not (items and isinstance(items[-1], Gap)):
                world.loop.finish(read())
        assert [type(item) for item in items] == [Notification, Gap]
        assert items[1].attempts >= 1
        assert world.server.state.channels == {"jobs"}
        world.leave()
        if finished:
            assert moment > 8
            return
        moment += 1


def test_each_moment_of_a_loss() -> None:
    """The connection is cut while it listens, is asked for a heartbeat, and connects: it goes on."""
    moment = 0
    while True:
        world = World("jobs", "news", heartbeat=5.0)
        world.enter()
        world.lose()
        task = world.loop.start(world.listener.__anext__())
        for _ in range(moment):
            if not task.done:
                world.loop.step()
        if task.done:
            world.leave()
            assert moment > 8
            return
        world.lose()
        world.loop.run(task)
        assert isinstance(task.result(), Gap)
        assert world.server.state.channels == {"jobs", "news"}
        world.leave()
        moment += 1
