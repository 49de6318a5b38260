"""Where the value of a connection parameter comes from, and what an error about it says.

Each parameter is looked for in the same order: keyword argument, connection string, service file, environment variable.
An empty text counts as not given.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import UnionType
from typing import Final, Protocol, TypeVar, cast, runtime_checkable

from pgsansio.errors import ClientConfigurationError
from pgsansio.policy.connection_string import ConnectionString, mentions_secret
from pgsansio.types.secret import Secret, hide

__all__ = [
    "VARIABLES",
    "Given",
    "Layer",
    "PathLike",
    "Sources",
    "check_text",
    "check_type",
    "choice",
    "integer",
    "path_text",
    "shown_value",
]

T = TypeVar("T")

#: Environment variables that say something of a connection.
VARIABLES: Final = frozenset(
    {
        *("PGHOST", "PGHOSTADDR", "PGPORT", "PGUSER", "PGPASSWORD", "PGPASSFILE", "PGDATABASE", "PGLOADBALANCEHOSTS"),
        *("PGSERVICE", "PGSERVICEFILE", "PGSYSCONFDIR", "PGTARGETSESSIONATTRS", "PGCONNECT_TIMEOUT", "APPDATA"),
        *("PGSSLMODE", "PGSSLNEGOTIATION", "PGSSLCERT", "PGSSLKEY", "PGSSLROOTCERT", "PGSSLCRL", "PGSSLCRLDIR"),
        *("PGSSLCERTMODE", "PGSSLSNI", "PGSSLMINPROTOCOLVERSION", "PGSSLMAXPROTOCOLVERSION", "SSLKEYLOGFILE"),
        *("PGREQUIREAUTH", "PGCHANNELBINDING", "PGREQUIREPEER", "PGMINPROTOCOLVERSION", "PGMAXPROTOCOLVERSION"),
        *("PGGSSENCMODE", "PGGSSLIB", "PGGSSDELEGATION", "PGKRBSRVNAME"),
        *("PGAPPNAME", "PGOPTIONS", "PGDATESTYLE", "PGTZ", "PGGEQO"),
    }
)
_INTEGER_DIGITS_MAX: Final = 10
_SHOWN_MAX: Final = 200
_INTEGER_MAX: Final = 2**31 - 1


@runtime_checkable
class PathLike(Protocol):
    """What can name a file: as os.PathLike[str]."""

    def __fspath__(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Given:
    """A value and where it came from, for error messages."""

    #: Of a password, perhaps.
    value: str = field(repr=False)
    origin: str

    @property
    def shown(self) -> str:
        """The value for an error text."""
        return "'***'" if mentions_secret(self.value) else repr(self.value)


@dataclass(frozen=True, slots=True)
class Layer:
    """The words of one text, and what errors call it."""

    string: ConnectionString
    origin: str


class Sources:
    """Where the values of parameters are looked for.

    Args:
        layers: texts, the one that wins first.
        environment: variables; there are passwords among them.
        keywords: keyword arguments by libpq's words; a bool is 1 or 0, None and "" are not given.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        environment: Mapping[str, str] | Secret[Mapping[str, str]],
        keywords: Mapping[str, object] | None = None,
    ) -> None:
        self.layers = tuple(layers)
        self._environment = hide(environment).use(_variables).reveal()
        #: By word, the first that is given.
        self._given: dict[str, Given] = {}
        for layer in reversed(self.layers):
            self._given.update(_of_layer(layer))
        self._given.update(_of_keywords(keywords or {}))

    def find(
        self, name: str, keyword: str | None = None, *, word: str | None = None, variable: str = ""
    ) -> Given | None:
        """The first that is given: keyword argument `name`, word of the texts (by default `name`), variable."""
        if keyword is not None:
            check_type(name, keyword, str, "a str")
            if keyword:
                return Given(keyword, f"the keyword argument {name}")
        given = self._given.get(word or name)
        return self.variable(variable) if given is None and variable in self._environment else given

    def variable(self, name: str) -> Given | None:
        """The environment variable of this name."""
        value = self._environment.get(name)
        return Given(value, f"the environment variable {name}") if value else None


def _variables(environment: Mapping[str, str]) -> Secret[Mapping[str, str]]:
    # Of os.environ, where to ask for one that is not there costs as much as to go on to the next few.
    return Secret({name: environment[name] for name in environment if name in VARIABLES})


def _of_layer(layer: Layer) -> dict[str, Given]:
    return {word: Given(value, layer.origin) for word, value in layer.string.words.items() if value}


def _of_keywords(keywords: Mapping[str, object]) -> dict[str, Given]:
    given = {word: Given(_text(word, value), f"the keyword argument {word}") for word, value in keywords.items()}
    return {word: each for word, each in given.items() if each.value}


def _text(word: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, Secret):
        return cast("Secret[object]", value).use(lambda revealed: _text(word, revealed))
    if isinstance(value, bool):
        return str(int(value))
    value = path_text(value)
    check_type(word, value, str | int | float, "a str")
    return str(value) if isinstance(value, str) else shown_value(value)


def shown_value(value: object) -> str:
    """The repr of anything at all, shortened, for an error text."""
    try:
        text = repr(value)
    except Exception:  # a number of thousands of digits has none, nor has what somebody's own class does not like
        return f"a value of {type(value).__name__}"
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}..."


def path_text(value: object) -> object:
    """The text of a path; anything else as it is."""
    # (To ask whether something is of a protocol takes longer than all the rest.)
    if value is None or isinstance(value, str):
        return value
    return value.__fspath__() if isinstance(value, PathLike) else value


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
    if not _is_encodable(given.value):  # not in an `except` block: the other error has the text
        raise ClientConfigurationError(f"{name} in {given.origin} cannot be encoded as UTF-8{shown}")
    return given.value


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def choice(name: str, given: Given, choices: Mapping[str, T]) -> T:
    """What the value stands for.

    Raises:
        ClientConfigurationError: it is none of the choices.
    """
    if given.value not in choices:  # a KeyError would have the value, and stay behind this error
        raise ClientConfigurationError(
            f"{name} is expected to be one of {', '.join(map(repr, choices))}, got {given.shown} from {given.origin}"
        )
    return choices[given.value]


def integer(name: str, given: Given, unit: str = "") -> int:
    """The number that the value is, white space around it allowed, as libpq does.

    Args:
        unit: for the error: "in seconds".
    Raises:
        ClientConfigurationError: it is none, or does not fit into 32 bits.
    """
    text = given.value.strip()
    digits = text[1:] if text[:1] in ("-", "+") else text
    if digits.isascii() and digits.isdecimal() and len(digits) <= _INTEGER_DIGITS_MAX:
        number = int(text)
        if -_INTEGER_MAX <= number <= _INTEGER_MAX:
            return number
    expected = f"an integer, {unit}" if unit else "an integer"
    raise ClientConfigurationError(f"{name} in {given.origin} is expected to be {expected}, got {given.shown}")
