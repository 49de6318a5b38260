"""What arguments have come to before, for who connects again with the same ones.

How this works. Whoever opens a connection for each request asks for the same thing each time, and what it comes to
depends on the arguments and the process alone. So settings are kept by what was asked for, but without the password,
which is no part of the key and is put in again: nothing that is kept here is a secret. Nor is what a file has decided,
or an argument that may change (a list, an object of somebody's own).
"""

import re
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from pgsansio.enums import StatementMode
from pgsansio.policy.connection_string import decoded, redact_dsn
from pgsansio.policy.conninfo import SessionAttribute, Settings, SSLMode, Unset, with_password
from pgsansio.types.secret import Secret

__all__ = ["KnownSettings"]

_SIZE: Final = 64

#: Exactly these: an instance of a subclass may be equal to anything.
_PLAIN: Final = frozenset({type(None), bool, int, float, str, Unset, StatementMode, SessionAttribute, SSLMode})

#: The beginning of a URI and the password in it, where there can be no doubt about its end.
_CREDENTIALS: Final = re.compile(r"(postgres(?:ql)?://[^:/?@]*):([!-.0->A-~]+)(?=@[^@]*\Z)")

#: The connection string without its password; where that is; the names, values and types of the other arguments.
_Key: TypeAlias = tuple[str | None, str | None, tuple[str, ...], tuple[object, ...], tuple[type, ...]]


class KnownSettings:
    """The settings of one process, the newest ones, by what was asked for."""

    __slots__ = ("_settings",)

    def __init__(self) -> None:
        self._settings: dict[_Key, Settings] = {}

    def find(self, arguments: Mapping[str, Any]) -> Settings | None:
        """What these arguments of `resolve_settings`, secrets hidden, come to; None: nobody has asked for it before.

        Raises:
            ClientConfigurationError: the password is none.
        """
        asked = _asked(arguments)
        if asked is None:
            return None
        key, password = asked
        settings = self._settings.get(key)
        return settings if settings is None or password is None else with_password(settings, password)

    def keep(self, arguments: Mapping[str, Any], settings: Settings) -> None:
        """Take note of what they have come to; if there are too many, the oldest goes."""
        asked = _asked(arguments)
        if asked is None or settings.oauth_token is not None or settings.tls.password != Secret(""):
            return
        key, password = asked
        if not Secret(key[0]).use(_is_without_secrets):
            return
        if password is not None:
            settings = with_password(settings, None)
        elif settings.password is not None:
            return
        # A new dictionary, since other threads may be at it.
        self._settings = dict([*self._settings.items(), (key, settings)][-_SIZE:])


def _asked(arguments: Mapping[str, Any]) -> tuple[_Key, Secret[Any] | None] | None:
    """A key and the password; None: nothing is to be kept."""
    values = dict(arguments)
    dsn: Secret[Any] | None = values.pop("dsn", None)
    password: Secret[Any] | None = values.pop("password", None)
    settings: tuple[object, ...] = ()
    if type(values.get("server_settings")) is dict:
        given = values.pop("server_settings")
        settings = (*given, *given.values())
    plain = (*values.values(), *settings)
    types = tuple(map(type, plain))
    if not _PLAIN.issuperset(types):
        return None
    place, text = None if password is None else "keyword", None
    if dsn is not None:
        parted = dsn.use(_parted)
        if parted is None:
            return None
        text, found = parted
        if found is not None:
            if password is not None:
                return None
            place, password = "dsn", found
    return (text, place, tuple(values), plain, types), password


def _parted(dsn: object) -> tuple[str, Secret[str] | None] | None:
    """A connection string without its password, and that; None: something is wrong with it."""
    if type(dsn) is not str:
        return None
    found = _CREDENTIALS.match(dsn)
    if found is None:
        return dsn, None
    password = decoded("password", found[2])
    return None if "\0" in password else (found[1] + dsn[found.end() :], Secret(password))


def _is_without_secrets(dsn: str | None) -> bool:
    """Whether there is nothing left in it that might be one."""
    return dsn is None or redact_dsn(dsn) == dsn
