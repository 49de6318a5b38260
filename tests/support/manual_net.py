"""A net of hosts on a `VirtualLoop`: names with addresses, some of which are far away, refuse, or say what they like.

    net = Net({"name": ["far1", "near"]}, delays={"far1": 7})
    connection = net.connect("host=name")

An address lets everybody in, unless it is among `servers`, or its name begins with "deaf": such a one takes connections
and hears nothing.
"""

import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pgsansio.client import Connection, connecting
from pgsansio.client.port import Address
from pgsansio.engine.driven import Engine
from pgsansio.policy.conninfo import Settings, TcpAddress, resolve_settings
from pgsansio.testing.loop import Cancelled, FakeTls, Stop, Task, VirtualLoop, VirtualPort
from pgsansio.testing.peer import Deaf, Peer
from pgsansio.testing.script import ScriptedBackend, Step, error, expect, hang_up, login, send

__all__ = ["START", "Net", "rejecting", "standby"]

#: When a loop's time begins.
START = 1000


def rejecting(sqlstate: str) -> Callable[[], Peer]:
    """A server that says this at start-up."""
    return lambda: ScriptedBackend([expect(lambda message: True), send(error(sqlstate, "not now", "FATAL")), hang_up()])


def standby(is_standby: bool, *, read_only: bool = False, then: Iterable[Step] = ()) -> Callable[[], Peer]:
    """A server that says what it is."""
    names = {"in_hot_standby": is_standby, "default_transaction_read_only": read_only}
    parameters = {name: "on" if value else "off" for name, value in names.items()}
    return lambda: ScriptedBackend([*login(parameters={"client_encoding": "UTF8", **parameters}), *then])


class Net:
    """Hosts, and the loop of those who connect to them.

    Attributes:
        tried: the addresses in the order in which opening began.
        looked_up: names, in order.
        peers: who was connected to at which address, in order.
        made: connections, in order.
    """

    def __init__(
        self,
        names: Mapping[str, list[str] | None] | None = None,
        *,
        servers: Mapping[str, Callable[[], Peer] | Exception] | None = None,
        delays: Mapping[str, float] | None = None,
        tasks: bool = True,
        inline: bool = False,
        tls: bool = False,
    ) -> None:
        """
        Args:
            names: addresses; None: there is never an answer. What is not there is its own address.
            servers: at addresses. An error is that of opening.
            delays: seconds until an address is open, or says that it will not be; infinite: never.
            tasks: whether the loop has any.
        """
        self.names = names or {}
        self.servers = servers or {}
        self.delays = delays or {}
        self.looked_up: list[str] = []
        self.tried: list[str] = []
        self.peers: list[tuple[str, Any]] = []
        self.made: list[Connection] = []
        self.nonces = iter(range(10_000))
        self.loop = VirtualLoop(self._peer, inline=inline)
        self.loop.tls = FakeTls() if tls else None
        net = self

        class Port(VirtualPort):
            has_tasks = tasks

            async def resolve(self, host: str, port: int) -> list[TcpAddress]:
                net.looked_up.append(host)
                found = net.names.get(host, [host])
                await Stop("resolve", lambda: found is not None)
                return [TcpAddress(address, port) for address in found or ()]

            async def open_stream(self, address: Address, engine: Engine) -> None:
                assert isinstance(address, TcpAddress)
                net.tried.append(address.host)
                delay = net.delays.get(address.host, 0)
                if delay:
                    at = net.loop.now + delay
                    with contextlib.suppress(TimeoutError):
                        async with self.deadline(at):
                            await Stop("opening", lambda: net.loop.now >= at)
                await super().open_stream(address, engine)

            def nonce(self) -> str:
                return f"{next(net.nonces):030}"

        self.port: Callable[[], VirtualPort] = lambda: Port(self.loop)

    def _peer(self, address: Address) -> Peer:
        assert isinstance(address, TcpAddress)
        host = address.host
        made = self.servers.get(host, Deaf if host.startswith("deaf") else lambda: ScriptedBackend(login()))
        if isinstance(made, Exception):
            raise made
        peer = made()
        self.peers.append((host, peer))
        return peer

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return self.loop.now - START

    @property
    def is_over(self) -> bool:
        """No task goes on, and no connection is open, when all has come to rest."""
        self.loop.run()
        return not self.loop.tasks and not self.open and not self.loop.failures

    @property
    def open(self) -> list[str]:
        """Where connections lead to that are open."""
        return [host for (host, _), port in zip(self.peers, self.loop.ports, strict=True) if port.connected]

    def start(self, dsn: str, **keywords: Any) -> Task:
        around = keywords.pop("around", None)
        settings = self.settings(dsn, **keywords)
        return self.loop.start(connecting.connect(self.port, settings, self._make, around=around))

    def stop(self, task: Task, how: str) -> None:
        """Cancel it ("cancel"), again and again ("cancel for good"), or throw it away ("close")."""
        if how == "close":
            task.close()
            self.loop.tasks.remove(task)
            return
        task.cancel(for_good=how == "cancel for good")
        self.loop.run(task)
        if task.error is None:  # it came too late
            connection: Connection = task.result()
            connection.terminate()
        else:
            assert isinstance(task.error, Cancelled)

    def _make(self, *arguments: Any) -> Connection:
        # Kept, so that none is closed by having been forgotten.
        self.made.append(Connection(*arguments))
        return self.made[-1]

    def connect(self, dsn: str, **keywords: Any) -> Connection:
        task = self.start(dsn, **keywords)
        self.loop.run(task)
        return task.result()  # type: ignore[no-any-return]

    @staticmethod
    def settings(dsn: str, **keywords: Any) -> Settings:
        """With a password, and without TLS unless `dsn` has another `sslmode`."""
        if "sslmode" not in dsn:
            dsn += " sslmode=disable"
        keywords = {"password": "p"} | keywords
        return resolve_settings(dsn, environment={}, os_user="u", home=None, platform="linux", **keywords)
