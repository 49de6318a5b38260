"""Opening a stream to one of a host's addresses, whichever is the first that can be opened."""

import functools
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast

from pgsansio.client.port import Address, ConcurrentPort, Port
from pgsansio.policy.happy_eyeballs import HappyEyeballs

__all__ = ["open_first"]

StreamT = TypeVar("StreamT")


async def open_first(
    home: Port,
    make_port: Callable[[], Port],
    addresses: HappyEyeballs,
    open_at: Callable[[Port, Address], Awaitable[StreamT]],
    failures: list[BaseException],
) -> StreamT:
    """One round: what `open_at` returns for the address that opens first. No other stream stays open.

    Args:
        home: whose clock and tasks are used; opens nothing itself.
        addresses: one or more remain.
        open_at: opens a new port's stream to an address; raises OSError if that is not possible.
        failures: each of these OSErrors is added.
    Raises:
        OSError: none can be opened; the last one's error. Whatever else `open_at` raises.
    """
    addresses.begin(home.clock())
    if addresses.remaining > 1 and home.has_tasks:
        return await _race(cast(ConcurrentPort, home), make_port, addresses, open_at, failures)
    while (address := addresses.due(home.clock())) is not None:
        try:
            stream = await open_at(make_port(), address)
        except OSError as error:
            addresses.failed(address, home.clock())
            failures.append(error)
        else:
            addresses.opened(address)
            return stream
    raise failures[-1]


async def _race(
    home: ConcurrentPort,
    make_port: Callable[[], Port],
    addresses: HappyEyeballs,
    open_at: Callable[[Port, Address], Awaitable[StreamT]],
    failures: list[BaseException],
) -> StreamT:
    ports: list[Port] = []
    opened: list[tuple[Port, StreamT]] = []
    defects: list[Exception] = []
    changed = home.event()

    async def run(port: Port, address: Address) -> None:
        try:
            stream = await open_at(port, address)
        except OSError as error:
            addresses.failed(address, home.clock())
            failures.append(error)
        except Exception as error:
            defects.append(error)
        else:
            if addresses.opened(address):
                opened.append((port, stream))
        changed.set()

    kept: Port | None = None
    try:
        async with home.tasks() as start:
            while addresses.remaining and not opened and not defects:
                changed = home.event()
                while (address := addresses.due(home.clock())) is not None:
                    # Here and not in the task, which does not know where it all began.
                    ports.append(make_port())
                    start(functools.partial(run, ports[-1], address))
                try:
                    async with home.deadline(addresses.next_at):
                        await changed.wait()
                except TimeoutError:
                    continue  # another one is due
        if opened:
            kept, stream = opened[0]
            return stream
    finally:
        for port in ports:
            if port is not kept:
                port.abort()
    raise defects[0] if defects else failures[-1]
