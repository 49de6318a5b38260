"""What a server that speaks PostgreSQL's protocol can do, told by the parameters that it reports.

Amazon Redshift, CockroachDB and CrateDB each report a parameter of their own, and understand only a part of the SQL
with which a session is brought back to where it started. PgBouncer's console understands none, and has nothing
to be brought back.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from pgsansio.policy.pooling import is_console
from pgsansio.types import parse_server_version

__all__ = ["Capabilities", "detect"]

#: The first version of PostgreSQL whose COPY ... FROM takes WHERE ("Release Notes", 12).
_COPY_WHERE_SINCE: Final = 12


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What may be said to a server.

    Attributes:
        advisory_locks, close_all, notifications, reset_all: whether it knows pg_advisory_unlock_all(), CLOSE ALL,
            UNLISTEN * and RESET ALL.
        copy_where: whether COPY ... FROM takes a WHERE.
        reset_query: SQL that brings a session back to where it started; "" if the server knows none of it.
    """

    advisory_locks: bool = True
    close_all: bool = True
    notifications: bool = True
    reset_all: bool = True
    copy_where: bool = True

    reset_query: str = field(init=False)

    def __post_init__(self) -> None:
        statements = (
            (self.advisory_locks, "SELECT pg_advisory_unlock_all();"),
            (self.close_all, "CLOSE ALL;"),
            (self.notifications, "UNLISTEN *;"),
            (self.reset_all, "RESET ALL;"),
        )
        query = "\n".join([statement for known, statement in statements if known])
        object.__setattr__(self, "reset_query", query)


_POSTGRESQL: Final = Capabilities()
_OLD_POSTGRESQL: Final = Capabilities(copy_where=False)
_REDSHIFT: Final = Capabilities(advisory_locks=False, close_all=False, notifications=False, copy_where=False)
_BARE: Final = Capabilities(
    advisory_locks=False, close_all=False, notifications=False, reset_all=False, copy_where=False
)

#: Parameters that only these servers report: Redshift, CockroachDB, CrateDB.
_REPORTED_BY: Final = {"padb_revision": _REDSHIFT, "crdb_version": _BARE, "crate_version": _BARE}


def detect(parameters: Mapping[str, str]) -> Capabilities:
    """What the server that has reported these parameters can do; one that says nothing is a PostgreSQL of today."""
    for parameter, capabilities in _REPORTED_BY.items():
        if parameter in parameters:
            return capabilities
    if is_console(parameters):
        return _BARE
    return _of_version(parameters.get("server_version", ""))


@lru_cache(maxsize=64)
def _of_version(text: str) -> Capabilities:
    try:
        major = parse_server_version(text).major
    except ValueError:
        return _POSTGRESQL
    return _POSTGRESQL if major >= _COPY_WHERE_SINCE else _OLD_POSTGRESQL
