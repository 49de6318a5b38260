"""What statements were described as, shared by the connections to one database.

A description is a hint: the search path, the role or the schema of another session may differ. Whoever uses one tells
the server which parameter types it has assumed, and decodes rows by what the server says of them this time. Since the
server takes the types of parameters as they are told, a hint lives no longer than a cached statement.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from pgsansio.enums import StatementMode
from pgsansio.messages.backend import FieldDescription

__all__ = ["Description", "Descriptions"]

_MAX_STATEMENTS: Final = 1000
_MAX_CHARACTERS: Final = 1 << 22


@dataclass(frozen=True, slots=True)
class Description:
    """Of one statement."""

    parameter_oids: tuple[int, ...]
    #: As Describe of a statement reports them; () for one without a result.
    fields: tuple[FieldDescription, ...]
    #: When the server has told the types of the parameters without being told them, by the clock that `get` is told.
    since: float = 0.0


class Descriptions:
    """Descriptions by the text of the statement: the most recently used ones, at most 1000, and 4 Mi characters.

    Attributes:
        nameless: texts of statements that are not to be prepared under a name.
        statement_mode: how statements are to be sent, where that was found out by what came of them.
    """

    __slots__ = ("_characters", "_entries", "nameless", "statement_mode")

    def __init__(self) -> None:
        self.statement_mode: StatementMode | None = None
        self.nameless: set[str] = set()
        self._entries: OrderedDict[str, Description] = OrderedDict()
        self._characters = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, query: str, now: float = 0.0, lifetime: float = 0.0) -> Description | None:
        """What is known of this statement; now the most recently used.

        Args:
            lifetime: seconds; what is older is forgotten. 0: no limit.
        """
        found = self._entries.get(query)
        if found is None:
            return None
        if lifetime and now - found.since >= lifetime:
            self.forget(query)
            return None
        self._entries.move_to_end(query)
        return found

    def put(self, query: str, description: Description) -> None:
        """Keep it, in the place of what was known."""
        self.forget(query)
        self._entries[query] = description
        self._characters += len(query)
        while len(self._entries) > _MAX_STATEMENTS or self._characters > _MAX_CHARACTERS:
            oldest, _ = self._entries.popitem(last=False)
            self._characters -= len(oldest)

    def forget(self, query: str) -> None:
        """It has turned out to be wrong, if it was known at all."""
        if self._entries.pop(query, None) is not None:
            self._characters -= len(query)

    def do_without_name(self, query: str) -> None:
        """A pooler answers for this text with a statement that the server can execute no more."""
        if len(self.nameless) >= _MAX_STATEMENTS:
            self.nameless.clear()
        self.nameless.add(query)

    def clear(self) -> None:
        """The database's schema has changed."""
        self._entries.clear()
        self._characters = 0
