"""The password and the token of a connection, from where the user keeps them. They stay hidden all the way."""

from typing import cast

from pgsansio.client.port import Address, Port
from pgsansio.errors import ClientConfigurationError
from pgsansio.policy import passfile
from pgsansio.policy.conninfo import Settings
from pgsansio.types.secret import Secret, SecretFunction

__all__ = ["find_password", "find_token"]


async def find_password(port: Port, asked: Address, settings: Settings) -> Secret[str] | None:
    """The password for this address; None: there is none.

    Raises:
        ClientConfigurationError: the user's function returns no text.
        Else what the function raises.
    """
    password = settings.password
    if isinstance(password, SecretFunction):
        return Secret(cast(object, await port.call_user(password))).use(_as_password)
    if password is not None or settings.passfile is None:
        return password
    text = Secret(await port.read_file(settings.passfile, private=True))
    if text.reveal() is None:
        return None

    def look_up(text: str | None) -> Secret[str] | None:
        assert text is not None
        found = passfile.lookup(text, asked.passfile_host, asked.port, settings.database, settings.user)
        return None if found is None else Secret(found)

    return text.use(look_up)


async def find_token(port: Port, source: Secret[str] | SecretFunction) -> Secret[str]:
    """
    Raises:
        ClientConfigurationError: the user's function returns no text.
        Else what the function raises.
    """
    if isinstance(source, SecretFunction):
        return Secret(cast(object, await port.call_user(source))).use(_as_token)
    return source


def _as_password(given: object) -> Secret[str] | None:
    return None if given is None else Secret(_checked_text("password", given))


def _as_token(given: object) -> Secret[str]:
    return Secret(_checked_text("oauth_token", given))


def _checked_text(name: str, given: object) -> str:
    if not isinstance(given, str):
        # Its own idea of a text may be a password's repr, or as many asterisks.
        raise ClientConfigurationError(f"{name} is expected to return a str, got {type(given).__name__}")
    return given
