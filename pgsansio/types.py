"""What the user holds in the end and what is neither a row nor a value in it."""

import re
from typing import Final, NamedTuple

__all__ = ["Attribute", "Notification", "ServerVersion", "Type", "parse_server_version"]


class Type(NamedTuple):
    """A type of the database."""

    oid: int
    #: As in pg_type, for example int4; arrays are named int4[].
    name: str
    #: scalar, array, composite, range or multirange; an enum is a scalar, a domain what it is based on.
    kind: str
    schema: str


class Attribute(NamedTuple):
    """A column of a statement's result, or of a composite type."""

    name: str
    type: Type


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
