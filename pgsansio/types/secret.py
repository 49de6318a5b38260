"""What nothing shows by accident: passwords, keys and tokens on their way through the library.

Tracebacks may be printed or sent somewhere with the variables of each of their frames. So a secret is wrapped where it
comes in and unwrapped where it is needed, and what goes wrong there leaves those frames behind.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, NoReturn, TypeVar, cast

__all__ = ["SECRET_ARGUMENTS", "Secret", "SecretFunction", "hide", "hide_arguments", "hide_source"]

T = TypeVar("T")
R = TypeVar("R")

#: Arguments of `connect()` that are secrets, or have some in them.
SECRET_ARGUMENTS: Final = frozenset({"dsn", "password", "sslpassword", "oauth_token", "connect_parameters"})


class Secret(Generic[T]):
    """A value whose repr is `***`; `reveal()` gives it.

    Two are equal if their values are. It cannot be pickled; a copy of it is itself.
    """

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value = value

    def reveal(self) -> T:
        """The value."""
        return self._value

    def use(self, function: Callable[[T], R]) -> R:
        """What this function makes of the value.

        Raises: what the function raises, without the frames and the errors that it has come through: they have seen the
            value.
        """
        failure: Exception
        try:
            return function(self._value)
        except Exception as error:
            failure = error
        failure.__traceback__ = failure.__context__ = failure.__cause__ = None
        try:
            raise failure
        finally:
            del failure  # which has this frame

    def __repr__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and bool(self._value == cast("Secret[object]", other)._value)

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret cannot be pickled")

    def __copy__(self) -> "Secret[T]":
        return self

    def __deepcopy__(self, memo: object) -> "Secret[T]":
        return self


class SecretFunction(Secret[Callable[..., Any]]):
    """A function that may have secrets in its repr, as a `functools.partial` and a method of a vault have."""

    __slots__ = ()

    def __call__(self, *arguments: object) -> Any:
        return self._value(*arguments)


def hide(value: T | Secret[T]) -> Secret[T]:
    """The secret that this is, or that it becomes."""
    return cast("Secret[T]", value) if isinstance(value, Secret) else Secret(value)


def hide_source(value: object) -> Any:
    """A password, or a function that is called for one, as a secret, whatever its type is; None stays None."""
    if value is None or isinstance(value, Secret):
        return cast(object, value)
    return SecretFunction(value) if callable(value) else Secret(value)


def hide_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `connect()` with those hidden that are secrets."""
    hidden = dict(arguments)
    for name in SECRET_ARGUMENTS:
        value = hidden.get(name)
        if value is not None:
            hidden[name] = hide_source(value)
    return hidden
