"""listen(): notifications on trio, across losses of the connection."""

from typing import Any

from pgsansio.client.port import ConcurrentPort
from pgsansio.client.reconnecting import ReconnectingListener
from pgsansio.types.secret import hide_arguments
from pgsansio_trio.connection import connect
from pgsansio_trio.port import TrioPort

__all__ = ["Listener", "listen"]


class Listener(ReconnectingListener):
    """What `listen()` makes, for trio.

    Iteration yields Notification, Overflow in the place of those that the reader was too slow for, and `Gap` when the
    connection was lost and all channels are listened to again. One task iterates; others may `add` and `remove`
    channels. An iteration that was cancelled can be taken up again.
    """

    _connect_here = staticmethod(connect)

    def _make_home(self) -> ConcurrentPort:
        return TrioPort()


def listen(
    *channels: str,
    dsn: str | None = None,
    max_queued: int = 1000,
    heartbeat: float | None = 60.0,
    max_delay: float = 30.0,
    max_attempts: int | None = None,
    give_up_after: float | None = None,
    **connect_kwargs: Any,
) -> Listener:
    """Notifications on these channels over a connection of their own, which is made again when it is lost.

    `async with listen("jobs", dsn=...) as notifications:`, and in it `async for item in notifications:`. Entering the
    block connects, once. After a loss the iteration connects again and yields a Gap.

    Args:
        channels: at the start; see `Listener.add`.
        dsn, connect_kwargs: as for `connect()`.
        max_queued: notifications kept for a reader that does not keep up.
        heartbeat: seconds without a notification after which the server is asked whether it is still there; None:
            never. It has 10 seconds to answer.
        max_delay: seconds between two attempts to connect, at most; it begins with 0.1 s, and doubles each time.
        max_attempts: to connect again after a loss; None: any number.
        give_up_after: seconds after a loss; None: never.
    Raises:
        InterfaceError: there can be no channel of such a name.
        ValueError: a number is not greater than zero.
        From the iteration: the error of the last attempt, if there is to be no other one: `max_attempts` or
        `give_up_after` is reached, or it would fail for the same reason again (a password, a name, a certificate).
    """
    return Listener(
        channels,
        hide_arguments({"dsn": dsn, **connect_kwargs}),
        max_queued=max_queued,
        heartbeat=heartbeat,
        max_delay=max_delay,
        max_attempts=max_attempts,
        give_up_after=give_up_after,
    )
