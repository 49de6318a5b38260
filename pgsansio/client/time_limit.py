"""Time limits of what is done to connect."""

from collections.abc import AsyncGenerator, Awaitable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Final, TypeVar

from pgsansio.client.port import Address, Port
from pgsansio.enums import Outcome
from pgsansio.errors import OperationTimeoutError
from pgsansio.policy.conninfo import TcpAddress

__all__ = ["is_late", "limited", "shown", "time_limit"]

T = TypeVar("T")

_NO_LIMIT: Final = nullcontext()


def time_limit(
    port: Port, at: float | None, what: str, address: Address | None = None
) -> AbstractAsyncContextManager[None]:
    """A block that ends at this time, by the port's clock; None: when it likes.

    Args:
        what: is done in it; {} stands for the address.
    Raises:
        OperationTimeoutError: it was not over by then.
    """
    return _NO_LIMIT if at is None else _time_limit(port, at, what if address is None else what.format(shown(address)))


def limited(port: Port, at: float | None, what: str, address: Address, work: Awaitable[T]) -> Awaitable[T]:
    """This work, which is begun when what is returned is awaited, in a block as of `time_limit`."""
    return work if at is None else _limited(time_limit(port, at, what, address), work)


def is_late(port: Port, at: float | None, error: Exception) -> bool:
    """Whether this error, raised inside of a block with this deadline, is the deadline's.

    A port without tasks raises it where it waits. Other TimeoutErrors are the network's, of an earlier deadline, or of
    a function of the user's with a limit of its own.
    """
    is_plain = isinstance(error, TimeoutError) and error.errno is None and not isinstance(error, OperationTimeoutError)
    return is_plain and at is not None and port.clock() >= at


def shown(address: Address) -> str:
    """For the texts of errors."""
    return f"{address.host!r}, port {address.port}" if isinstance(address, TcpAddress) else repr(address.path)


async def _limited(limit: AbstractAsyncContextManager[None], work: Awaitable[T]) -> T:
    async with limit:
        return await work


@asynccontextmanager
async def _time_limit(port: Port, at: float, what: str) -> AsyncGenerator[None]:
    is_its_own = False
    try:
        async with port.deadline(at):
            try:
                yield
            except TimeoutError as error:
                is_its_own = not is_late(port, at, error)
                raise
    except TimeoutError as error:
        if is_its_own:
            raise
        raise OperationTimeoutError(f"the time limit for {what} has passed", outcome=Outcome.CANCELLED) from error
