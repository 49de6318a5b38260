"""Which version of the protocol is asked for when a server has refused another one.

A server that knows only an older minor version is to say so (NegotiateProtocolVersion) and go on. Some refuse instead,
with an error or by hanging up, before they say anything else: poolers such as PgBouncer 1.18, servers before 9.3.21,
and others that speak the protocol. They are asked again.

Source: manual, "Message Flow", Start-up.
"""

from typing import Final

from pgsansio.errors import ConnectionDoesNotExistError, PostgresError
from pgsansio.messages.startup import PROTOCOL_3_0
from pgsansio.policy.encryption_mode import Stage

__all__ = ["version_to_try_next"]

#: protocol_violation, feature_not_supported.
_REFUSALS: Final = ("08P01", "0A000")


def version_to_try_next(asked: int, minimum: int, stage: Stage, *, heard: bool, error: BaseException) -> int | None:
    """The version for one more attempt, or None: that would not help, or is not allowed.

    Args:
        asked, minimum: major << 16 | minor: of the attempt that failed, and the oldest that will do.
        stage: how far the attempt came.
        heard: the server had said something that is no error: it has not refused the version.
        error: what ended it.
    """
    if stage is not Stage.AUTHENTICATION or heard or not asked > PROTOCOL_3_0 >= minimum:
        return None
    if isinstance(error, ConnectionDoesNotExistError):
        return PROTOCOL_3_0
    if isinstance(error, PostgresError) and error.sqlstate in _REFUSALS:
        return PROTOCOL_3_0
    return None
