"""Where the value of a connection parameter comes from, and what an error about it says.

Each parameter is looked for in the same order: keyword argument, connection string, environment variable. An empty
text counts as not given.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import UnionType
from typing import TypeVar

from pgsansio.errors import ClientConfigurationError
from pgsansio.policy.connection_string import ConnectionString, mentions_secret

__all__ = ["Given", "Sources", "check_text", "check_type", "choice"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Given:
    """A value and where it came from, for error messages."""

    value: str
    origin: str

    @property
    def shown(self) -> str:
        """The value for an error text."""
        return "'***'" if mentions_secret(self.value) else repr(self.value)


class Sources:
    """Where the values of parameters are looked for."""

    def __init__(self, dsn: ConnectionString, environment: Mapping[str, str]) -> None:
        self._words = dsn.words
        self._environment = environment

    def find(
        self, name: str, keyword: str | None = None, *, word: str | None = None, variable: str = ""
    ) -> Given | None:
        """The first that is given: keyword argument `name`, word of the string (by default `name`), variable."""
        if keyword is not None:
            check_type(name, keyword, str, "a str")
            if keyword:
                return Given(keyword, f"the keyword argument {name}")
        value = self._words.get(word or name)
        if value is not None:
            return Given(value, "the DSN")
        return self.variable(variable)

    def variable(self, name: str) -> Given | None:
        """The environment variable of this name."""
        value = self._environment.get(name)
        return Given(value, f"the environment variable {name}") if value else None


def check_type(name: str, value: object, types: type | UnionType, expected: str) -> None:
    """
    Raises:
        ClientConfigurationError: annotations do not stop anybody, and a wrong type would surface much later, and
            somewhere else.
    """
    if not isinstance(value, types):
        raise ClientConfigurationError(f"{name} is expected to be {expected}, got {type(value).__name__}")


def check_text(name: str, given: Given, *, secret: bool = False) -> str:
    """A text that can be sent as a String of the protocol, or name a file.

    Raises:
        ClientConfigurationError: with a NUL it would end early, and what follows would be taken for more parameters.
    """
    shown = "" if secret else f": {given.shown}"
    if "\0" in given.value:
        raise ClientConfigurationError(f"{name} in {given.origin} has a NUL character{shown}")
    try:
        given.value.encode()
    except UnicodeEncodeError:
        raise ClientConfigurationError(f"{name} in {given.origin} cannot be encoded as UTF-8{shown}") from None
    return given.value


def choice(name: str, given: Given, choices: Mapping[str, T]) -> T:
    """What the value stands for.

    Raises:
        ClientConfigurationError: it is none of the choices.
    """
    try:
        return choices[given.value]
    except KeyError:
        raise ClientConfigurationError(
            f"{name} is expected to be one of {', '.join(map(repr, choices))}, got {given.shown} from {given.origin}"
        ) from None
