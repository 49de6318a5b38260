"""A pool on a loop that the test steps, and what it stands on."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from pgsansio.client import Pool
from pgsansio.enums import TransactionStatus
from pgsansio.policy.conninfo import resolve_settings
from pgsansio.testing.loop import Task, VirtualLoop
from tests.support.toy_server import ToyCluster

__all__ = ["SETTINGS", "World", "check_goes_on", "moments", "use"]

SETTINGS = resolve_settings(
    "postgresql://u@db.example/d", environment={}, os_user="u", home=None, platform="linux", timeout=None
)


class World:
    """A pool that has started, and what it stands on."""

    def __init__(
        self,
        min_size: int = 1,
        max_size: int = 1,
        *,
        start: bool = True,
        has_checkpoints: bool = False,
        **arguments: Any,
    ) -> None:
        self.cluster = ToyCluster()
        self.loop = VirtualLoop(self.cluster, has_checkpoints=has_checkpoints)
        self.pool = self.loop.create_pool(min_size=min_size, max_size=max_size, timeout=None, **arguments)
        if start:
            self.loop.finish(self.pool._start())

    def start(self, work: Callable[[Pool], Awaitable[Any]]) -> Task:
        async def run() -> Any:
            return await work(self.pool)

        return self.loop.start(run())

    def check_close(self) -> None:
        """The pool can be closed, and nothing remains."""
        self.loop.finish(self.pool.close())
        self.check_nothing_remains()

    def check_nothing_remains(self) -> None:
        self.loop.run()
        assert not self.loop.tasks, [task.stop and task.stop.name for task in self.loop.tasks]
        assert not self.loop.failures
        assert not any(port.connected for port in self.loop.ports)
        assert all(server.hung_up for server in self.cluster.servers)
        assert self.pool.get_size() == 0
        assert not self.pool._tasks

    def settle(self) -> None:
        """Until nothing happens but by the clock."""
        while self.loop.step(time_passes=False):
            pass


async def use(pool: Pool) -> None:
    async with pool.acquire() as connection:
        assert await connection.fetchval("SELECT $1", 7) == 7


def moments(
    make_world: Callable[[], World], work: Callable[[Pool], Awaitable[Any]], others: int
) -> Iterator[tuple[World, Task, list[Task]]]:
    """This work, beside others that use the pool, stopped one step later each time until it is over."""
    moment = 0
    while True:
        world = make_world()
        task = world.start(work)
        bystanders = [world.start(use) for _ in range(others)]
        for _ in range(moment):
            if not task.done:
                world.loop.step()
        if task.done:
            task.result()
            world.loop.run()
            assert moment > 3
            return
        yield world, task, bystanders
        moment += 1


def check_goes_on(world: World, bystanders: list[Task]) -> None:
    """Those who wait get connections in their first state, and all of them come back."""
    for bystander in bystanders:
        world.loop.run(bystander)
        bystander.result()
    world.settle()
    for server in world.cluster.sessions:
        assert server.hung_up or server.status is TransactionStatus.IDLE
    statistics = world.pool._policy.statistics()
    assert (statistics.in_use, statistics.waiting, statistics.resetting, statistics.closing) == (0, 0, 0, 0)
    assert statistics.size <= world.pool.get_max_size()
    world.loop.finish(use(world.pool))
    world.check_close()
