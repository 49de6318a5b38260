"""The names under which a connection keeps its prepared statements on the server.

A name is derived from the statement's text and the parameter types that it is told. Behind a pooler that hands each
transaction to another server session, and knows nothing of prepared statements, a name may turn out to be missing, or
to be there already by another client's doing; but it never stands for another text.
"""

import re
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Final

__all__ = ["StatementNames", "own_name_in"]

_PREFIX: Final = "__pgsansio_"
#: 96 bits: of 10^9 texts some two have the same name with a probability below 10^-11.
_DIGEST_BYTES: Final = 12
_NAME: Final = re.compile(rf"{_PREFIX}[0-9a-f]{{{2 * _DIGEST_BYTES}}}(?:_\d+)?")


def own_name_in(text: str | None) -> str | None:
    """The first name of this library's making in a message of the server's, whatever language it is in."""
    found = None if text is None else _NAME.search(text)
    return None if found is None else found[0]


class StatementNames:
    """Which names of its own a connection has given, from Parse until the server has acknowledged their Close."""

    __slots__ = ("_closing", "_held", "_taken")

    def __init__(self) -> None:
        self._taken: set[str] = set()
        #: Of those, the ones whose Close is on its way.
        self._closing: set[str] = set()
        #: Those that the server has acknowledged, and that nothing has discarded since.
        self._held: set[str] = set()

    def take(self, query: str, parameter_oids: Sequence[int]) -> str:
        """A name that is free, now taken: that of the text and these types, with a number behind it if need be."""
        content = "\0".join([query, *map(str, parameter_oids)])
        digest = blake2b(content.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES).hexdigest()
        name = first = f"{_PREFIX}{digest}"
        count = 0
        while name in self._taken:
            count += 1
            name = f"{first}_{count}"
        self._taken.add(name)
        return name

    def parsed(self, name: str) -> None:
        """The server has acknowledged it."""
        if name in self._taken:
            self._held.add(name)

    def is_held(self, name: str) -> bool:
        """Whether the server must know it, if it is the one that it was prepared on."""
        return name in self._held

    def to_close(self, names: Iterable[str]) -> tuple[str, ...]:
        """Those of `names` whose Close is due, each once; it is on its way from now on.

        Not those that were closed already: their names may stand for other statements by now. A user's names are taken
        as they come.
        """
        due = [
            name
            for name in dict.fromkeys(names)
            if (name in self._taken and name not in self._closing) or not _NAME.fullmatch(name)
        ]
        self._closing.update(due)
        self._held.difference_update(due)
        return tuple(due)

    def not_closed(self, names: Iterable[str]) -> None:
        """Their Close was not carried out."""
        self._closing.difference_update(names)

    def free(self, names: Iterable[str]) -> None:
        """The server does not have them: they were closed, or never made."""
        for kept in (self._taken, self._closing, self._held):
            kept.difference_update(names)

    def discarded(self) -> None:
        """The server has been told to forget prepared statements: nobody knows which it has."""
        self._held.clear()

    def clear(self) -> None:
        """None of them is used again, or closed."""
        for kept in (self._taken, self._closing, self._held):
            kept.clear()
