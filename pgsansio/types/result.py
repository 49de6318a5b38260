"""What a statement has come to: its rows and its command tag."""

from dataclasses import dataclass
from typing import Any, Final

__all__ = ["Result", "affected_rows"]

#: Commands whose tag ends with a number of rows ("Message Formats", CommandComplete). CREATE TABLE AS says SELECT.
_COUNTING: Final = frozenset(("COPY", "DELETE", "FETCH", "INSERT", "MERGE", "MOVE", "SELECT", "UPDATE"))
#: Digits of the largest number of rows.
_MAX_DIGITS: Final = 20


@dataclass(frozen=True, slots=True)
class Result:
    """The rows of a statement, and what the server says that it has done."""

    #: Each a Record; empty for a statement that has none.
    rows: list[Any]
    #: The command tag, 'INSERT 0 5'; "" for an empty statement.
    status: str

    @property
    def affected(self) -> int | None:
        """How many rows the statement has inserted, changed, deleted, copied or given; None: it counts none."""
        return affected_rows(self.status)


def affected_rows(status: str) -> int | None:
    """The number of rows in a command tag.

    Args:
        status: as `execute` returns it: 'INSERT 0 5', 'UPDATE 3'.
    Returns:
        None for a command that does not count rows: 'CREATE TABLE'.
    Source: manual, "Message Formats", CommandComplete.
    """
    command, _, rest = status.partition(" ")
    number = rest.rpartition(" ")[2]
    if command not in _COUNTING or not (number.isascii() and number.isdecimal()) or len(number) > _MAX_DIGITS:
        return None
    return int(number)
