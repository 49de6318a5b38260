"""What a server says of itself and of what happens in it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

__all__ = [
    "ConnectionParameters",
    "Gap",
    "LoggedQuery",
    "Notification",
    "PreparedTransaction",
    "ServerVersion",
    "parse_server_version",
]


class Notification(NamedTuple):
    """What NOTIFY sent."""

    #: Process id of the server process that sent it.
    pid: int
    channel: str
    #: "" if there was none.
    payload: str


@dataclass(frozen=True, slots=True)
class Gap:
    """What a reconnecting listener yields when it listens again: anything may have been notified meanwhile."""

    #: Without a connection that listens, as far as that was noticed.
    seconds: float
    #: What ended the connection.
    error: BaseException
    #: How often it was tried to connect, the last time with success.
    attempts: int


class PreparedTransaction(NamedTuple):
    """A transaction that waits for its end after the first phase of a two-phase commit ("pg_prepared_xacts")."""

    gid: str
    prepared_at: datetime
    #: Who has prepared it.
    owner: str
    database: str


class ConnectionParameters(NamedTuple):
    """What a connection was made with; never a password."""

    user: str
    database: str
    server_settings: Mapping[str, str]
    #: 'prefer', 'verify-full', ...
    sslmode: str
    #: 'any', 'primary', ...
    target_session_attrs: str


class LoggedQuery(NamedTuple):
    """A query that has ended, as query loggers are told of it."""

    query: str
    #: Its arguments; of `executemany` and `fetchmany` the iterable that was passed.
    args: Any
    #: Seconds; None: it had no time limit.
    timeout: float | None
    #: Seconds it took, from the call to its end.
    elapsed: float
    #: What it raised, a cancellation among it; None: it has succeeded.
    exception: BaseException | None
    #: Host and port, or the path of a Unix socket.
    conn_addr: tuple[str, int] | str
    conn_params: ConnectionParameters


class ServerVersion(NamedTuple):
    """The server's version. From 10 on `minor` is 0 and the bug-fix release is `micro`, as asyncpg has it."""

    major: int
    minor: int
    micro: int
    #: final, beta, rc, devel, ...
    releaselevel: str
    #: The number behind the level, 0 for final releases.
    serial: int


# Found anywhere, since forks put their name in front ("Postgres-XL 9.2.1"), distributions their own release behind. The
# digits are limited because int() refuses thousands of them.
_VERSION: Final = re.compile(
    r"(?P<major>[0-9]{1,9})(\.(?P<minor>[0-9]{1,9}))?(\.(?P<micro>[0-9]{1,9}))?\.?((?P<level>[a-z]+)(?P<serial>[0-9]{1,9})?)?"
)


def parse_server_version(text: str) -> ServerVersion:
    """The version in the parameter server_version: "16.4 (Debian 16.4-1)", "10beta2", "10devel", "9.6.1".

    Raises:
        ValueError: there is no number in it.
    """
    match = _VERSION.search(text)
    if match is None:
        raise ValueError(f'Unable to parse Postgres version from "{text}"')
    major, minor, micro, serial = (int(match[name] or 0) for name in ("major", "minor", "micro", "serial"))
    level = match["level"] or "final"
    if major >= 10:
        return ServerVersion(major, 0, minor, level, serial)
    return ServerVersion(major, minor, micro, level, serial)
