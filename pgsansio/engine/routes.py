"""The tables as the loop that reads wants them: plain dictionaries, one for each state of a session.

A *row* says what each message leads to: from its type byte to the function that takes it, and the row that follows.
The steps of an operation are rows. `states.SESSION` says what is in them; `session`, whose the functions are, fills
them.
"""

from collections.abc import Sequence
from typing import Final

from pgsansio.engine.states import SESSION, Awaiting
from pgsansio.kernel.contract import Row

__all__ = ["BEGIN", "IDLE", "RESET", "ROWS", "SIMPLE", "STEPS", "in_simple_protocol"]

ROWS: Final[dict[Awaiting, Row]] = {state: {} for state in SESSION}
IDLE: Final = ROWS[Awaiting.NOTHING]
#: Of an operation that has brought a BEGIN along.
BEGIN: Final = ROWS[Awaiting.BEGIN]


def STEPS(*states: Awaiting) -> tuple[Row, ...]:
    """A route: the answers that an operation awaits, in order."""
    return tuple(ROWS[state] for state in states)


#: Of a text in the simple protocol.
SIMPLE: Final = STEPS(Awaiting.SIMPLE_QUERY)
#: Of what resets a session, which ends by itself soon.
RESET: Final = STEPS(Awaiting.RESET)


def in_simple_protocol(steps: Sequence[Row]) -> bool:
    """Whether an operation with these is one of the simple protocol, which has no Sync."""
    return steps[0] is SIMPLE[0] or steps[0] is RESET[0]
