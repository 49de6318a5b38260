"""What an abandoned operation costs: nothing, patience, or a CancelRequest.

A CancelRequest names a backend, not a statement: it hits whatever runs when it arrives. So it may be sent only when
everything that is in flight is abandoned, and nothing may be written after it until the server has closed the
connection that carried it. An operation that was neither cancelled nor at fault never pays.
"""

import enum
from collections.abc import Iterable

__all__ = ["Owed", "owed_for"]


class Owed(enum.Enum):
    """What has to happen for an operation that nobody waits for any more."""

    #: It was settled already.
    NOTHING = "nothing"
    #: Not a byte was written: it is dropped, and the connection is as it was.
    DROP = "drop"
    #: Others are in flight: its result is discarded, and nothing new is written until it has ended.
    DRAIN = "drain"
    #: Only abandoned operations are in flight: cancel them.
    CANCEL = "cancel"


def owed_for(settled: bool, written: bool, in_flight_abandoned: Iterable[bool], cancel_under_way: bool) -> Owed:
    """What is owed for an operation that was just abandoned.

    Args:
        settled, written: of that operation.
        in_flight_abandoned: for each operation in flight, that one included, whether it is abandoned.
        cancel_under_way: a CancelRequest for this connection has been sent and its end not been seen.
    """
    if settled:
        return Owed.NOTHING
    if not written:
        return Owed.DROP
    if cancel_under_way or not all(in_flight_abandoned):
        return Owed.DRAIN
    return Owed.CANCEL
