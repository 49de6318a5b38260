"""The arguments of `connect()` -> `Settings`, with what its process, its files and its user's functions add."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from pgsansio.client.port import Port
from pgsansio.client.time_limit import time_limit
from pgsansio.errors import ClientConfigurationError
from pgsansio.policy.conninfo import UNSET, Settings, resolve_settings, resolve_timeout
from pgsansio.policy.known_settings import KnownSettings
from pgsansio.policy.libpq_words import LIBPQ_WORDS
from pgsansio.policy.servicefile import ServiceFilesNeeded
from pgsansio.types.secret import Secret, SecretFunction, hide, hide_arguments, hide_source

__all__ = ["Process", "find_settings"]


@dataclass(frozen=True, slots=True)
class Process:
    """What parameters are looked for in, besides arguments and files; None where there is none."""

    environment: Mapping[str, str] = field(repr=False)
    #: The account's name.
    os_user: str | None
    home: str | None
    #: As sys.platform.
    platform: str
    #: What was asked for in it.
    known: KnownSettings = field(default_factory=KnownSettings, repr=False, compare=False)


async def find_settings(
    port: Port,
    process: Process,
    arguments: Mapping[str, Any],
    connect_parameters: Callable[[], Any] | None = None,
) -> Settings:
    """Decide on all parameters of a connection.

    Args:
        port: reads the service files, if a service is asked for, and calls the user's function.
        arguments: as of `resolve_settings`, without what `process` has, and with their secrets hidden.
        connect_parameters: a function of the user's, hidden, or None; it returns arguments that replace these.
    Raises:
        ClientConfigurationError: as `resolve_settings`; or the function returns something else.
        OperationTimeoutError: `timeout` of the arguments has passed.
        Else what the user's function raises.
    """
    seconds = resolve_timeout(arguments.get("timeout", UNSET))
    at = None if seconds is None else port.clock() + seconds
    asked = arguments
    if connect_parameters is not None:
        if not isinstance(connect_parameters, SecretFunction):
            raise ClientConfigurationError("connect_parameters is expected to be a function or None")
        async with time_limit(port, at, "finding the parameters of a connection"):
            returned = Secret(cast(object, await port.call_user(connect_parameters)))
        asked = {**arguments, **_of_user(returned, arguments)}
    known = process.known.find(asked)
    if known is not None:
        return known
    others = dict(asked)
    dsn = others.pop("dsn", None)
    environment = hide(process.environment)

    def resolve(texts: Mapping[str, Any] | None = None) -> Settings:
        return resolve_settings(
            dsn,
            **others,
            environment=environment,
            os_user=process.os_user,
            home=process.home,
            platform=process.platform,
            service_texts=texts,
        )

    try:
        settings = resolve()
    except ServiceFilesNeeded as error:
        files = error.request.files
    else:
        process.known.keep(asked, settings)
        return settings
    async with time_limit(port, at, "reading the service files of a connection"):
        texts = {file.path: hide_source(await port.read_file(file.path)) for file in files}
    return resolve(texts)


def _of_user(returned: Secret[object], arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    known = {*arguments, *LIBPQ_WORDS}

    def checked(returned: object) -> dict[str, Any]:
        if not isinstance(returned, Mapping):
            raise ClientConfigurationError(
                "connect_parameters is expected to return a dict of connect()'s arguments, "
                f"got {type(returned).__name__}"
            )
        names = cast("Mapping[str, Any]", returned)
        for name in names:
            if name not in known:
                raise ClientConfigurationError(
                    f"connect_parameters returned {name!r}, which is none of the arguments that say how to connect"
                )
        return hide_arguments(names)

    return returned.use(checked)
