"""Which queries may share a connection with others."""

from typing import Final

from pgsansio.policy.keywords import classify

__all__ = ["OneShots"]

#: What begins a statement that leaves nothing behind in the session, unless a function that it calls does.
_KEYWORDS: Final = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "VALUES", "WITH"})

#: Texts that are remembered, and how long they may be.
_MAX_TEXTS: Final = 1000
_MAX_TEXT_SIZE: Final = 15360


class OneShots:
    """Tells which queries may share a connection, and remembers what it has told."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[str, bool] = {}

    def fits(self, query: object) -> bool:
        """Whether it is one statement that needs nothing of its session and leaves nothing in it."""
        if not isinstance(query, str):
            return False
        found = self._known.get(query)
        if found is None:
            kind = classify(query)
            found = kind.keyword in _KEYWORDS and not kind.several
            if len(query) <= _MAX_TEXT_SIZE:
                if len(self._known) >= _MAX_TEXTS:
                    self._known.clear()
                self._known[query] = found
        return found
