"""What a server says of itself and of what happens in it."""

import re
from typing import Final, NamedTuple

__all__ = ["Notification", "ServerVersion", "parse_server_version"]


class Notification(NamedTuple):
    """What NOTIFY sent."""

    #: Process id of the server process that sent it.
    pid: int
    channel: str
    #: "" if there was none.
    payload: str


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
