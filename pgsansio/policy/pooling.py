"""What the start of a session tells of a pooler between it and the server.

A pooler that lends a server session for one transaction at a time either keeps track of prepared statements (PgBouncer
since 1.21, where it is set up so) or does not, and then names of prepared statements are of no use. PgBouncer tells
which since 1.26. Others only give themselves away by a key for cancelling that is random, where the server has the
number of a process; then a question helps: one that tracks statements has given them names of its own on the server.
"""

from collections.abc import Mapping
from typing import Final

from pgsansio.enums import StatementMode

__all__ = ["PROBE", "PROBE_NAME", "is_console", "is_process_id", "lends_sessions", "mode_found", "mode_told"]

#: The highest that Linux gives (PID_MAX_LIMIT); other systems stay far below.
_MAX_PROCESS_ID: Final = 1 << 22

PROBE_NAME: Final = "__pgsansio_probe"
#: To be prepared under that name: as many rows as the server has statements of this name.
PROBE: Final = f"SELECT FROM pg_catalog.pg_prepared_statements WHERE name = '{PROBE_NAME}'"


def is_console(parameters: Mapping[str, str]) -> bool:
    """Whether this is PgBouncer's own console, which reports a version like "1.26.0/bouncer"."""
    return parameters.get("server_version", "").endswith("/bouncer")


def mode_told(parameters: Mapping[str, str]) -> StatementMode | None:
    """How statements are to be sent by what a pooler reports of itself; None: nothing is reported."""
    if is_console(parameters):
        return StatementMode.SIMPLE
    pool_mode = parameters.get("pgbouncer.pool_mode")
    if pool_mode is None:
        return None
    kept = parameters.get("pgbouncer.max_prepared_statements", "0")
    if pool_mode == "session" or kept.strip("0"):
        return StatementMode.CACHED
    return StatementMode.UNNAMED


def lends_sessions(parameters: Mapping[str, str]) -> bool:
    """Whether a pooler has told that it lends a session of the server for a transaction, or for a statement."""
    return parameters.get("pgbouncer.pool_mode", "session") != "session"


def is_process_id(number: int | None) -> bool:
    """Whether BackendKeyData with this number can be a server's own; so can one that did not come."""
    return number is None or 0 < number <= _MAX_PROCESS_ID


def mode_found(tag: bytes | bytearray | None) -> StatementMode:
    """How statements are to be sent, by the command tag of `PROBE` behind what may be a pooler.

    Where the server knows the name as it was given the pooler may be one that keeps a server session for each client,
    or one that does not: what is right with both is UNNAMED.
    """
    return StatementMode.CACHED if tag == b"SELECT 0" else StatementMode.UNNAMED
