"""Connection strings, keyword arguments, service files and environment variables -> `Settings`.

Each parameter is looked for in the same order: keyword argument, connection string, service file, environment variable,
default. An empty text counts as not given (but for the keyword argument `password`). Nothing is read here: the
environment, the user's name, the home directory and the texts of service files are arguments, and the password file is
named, not opened.

What concerns TLS is decided in `tls_settings`, and other things in modules of their own.

Source: manual, "Parameter Key Words" and "Environment Variables" of libpq's "Database Connection Control Functions".
"""

import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import Enum
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Final, TypeAlias, TypeVar, Unpack, cast

from pgsansio.enums import StatementMode
from pgsansio.errors import ClientConfigurationError
from pgsansio.messages.startup import PROTOCOL_3_0, PROTOCOL_3_2
from pgsansio.policy.addresses import Address, TcpAddress, UnixAddress, resolve_addresses
from pgsansio.policy.authentication_rules import AuthenticationRules, resolve_authentication
from pgsansio.policy.connection_string import parse_dsn, read, redact_dsn
from pgsansio.policy.encryption_mode import SSLMode
from pgsansio.policy.libpq_words import LibpqWords, check_words
from pgsansio.policy.parameter_sources import (
    Given,
    Layer,
    PathLike,
    Sources,
    check_text,
    check_type,
    choice,
    path_text,
    shown_value,
)
from pgsansio.policy.server_settings import resolve_server_settings
from pgsansio.policy.servicefile import ServiceFilesNeeded, find_service, wanted_service
from pgsansio.policy.tcp_options import TcpOptions, resolve_tcp
from pgsansio.policy.tls_settings import TlsSettings, resolve_tls
from pgsansio.types.secret import Secret, SecretFunction, hide, hide_arguments, hide_source

__all__ = [
    "UNSET",
    "Address",
    "LibpqWords",
    "PasswordSource",
    "PathLike",
    "SSLMode",
    "SessionAttribute",
    "Settings",
    "TcpAddress",
    "UnixAddress",
    "Unset",
    "parse_dsn",
    "redact_dsn",
    "resolve_settings",
    "resolve_timeout",
    "start_up_parameters",
    "with_password",
]

#: A password, or what is called for one at every attempt to connect (it may return an awaitable).
PasswordSource: TypeAlias = str | Callable[[], str] | Callable[[], Awaitable[str]]


class Unset(Enum):
    """Not given, where None means something else."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET


class SessionAttribute(Enum):
    """target_session_attrs: which of several hosts will do."""

    any = "any"
    primary = "primary"
    standby = "standby"
    prefer_standby = "prefer-standby"
    read_write = "read-write"
    read_only = "read-only"


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that is needed to connect, checked and complete."""

    #: To be tried in this order, unless `random_order`; at least one.
    addresses: tuple[Address, ...]
    #: load_balance_hosts.
    random_order: bool
    user: str
    database: str
    #: A text, or what is called for one at every attempt to connect; None: look into `passfile`.
    password: Secret[str] | SecretFunction | None = field(repr=False)
    #: The password file to look into; it need not exist. None: none is needed, or nobody knows where it would be.
    passfile: str | None
    #: A bearer token, or what is called for one where a server asks for it; None: there is none.
    oauth_token: Secret[str] | SecretFunction | None = field(repr=False)
    #: To be sent at start-up, in this order, beside client_encoding.
    server_settings: Mapping[str, str] = field(hash=False)
    tls: TlsSettings
    authentication: AuthenticationRules
    target_session_attrs: SessionAttribute
    #: Seconds for connecting, all attempts together; None: no limit.
    connect_timeout: float | None
    #: Seconds for one address, and for looking up one name; None: no limit.
    attempt_timeout: float | None
    tcp: TcpOptions
    #: Versions of the protocol, as in StartupMessage: what is asked for, and what is the least that will do.
    max_protocol_version: int
    min_protocol_version: int
    #: Seconds for an operation that sets no limit of its own; None: no limit.
    command_timeout: float | None
    #: None: whatever the server turns out to be good for.
    statement_mode: StatementMode | None
    statement_cache_size: int
    #: Seconds; 0: no limit.
    max_cached_statement_lifetime: float
    #: Characters; 0: no limit.
    max_cacheable_statement_size: int
    #: Kerberos service name, and the library for it: gssapi or sspi.
    krbsrvname: str
    gsslib: str
    #: Whether the server may act in our name towards others.
    gssdelegation: bool

    @property
    def sslmode(self) -> SSLMode:
        """How much is asked of TLS."""
        return self.tls.mode


DEFAULT_CONNECT_TIMEOUT: Final = 60.0

#: The server drops a longer StartupMessage without a word: MAX_STARTUP_PACKET_LENGTH, without the length word.
_STARTUP_BYTES_MAX: Final = 10000

N = TypeVar("N", int, float)


def resolve_settings(
    dsn: str | Secret[str] | None = None,
    *,
    host: str | Sequence[str] | None = None,
    port: int | str | Sequence[int | str] | None = None,
    user: str | None = None,
    password: PasswordSource | Secret[Any] | None = None,
    passfile: str | PathLike | None = None,
    service: str | None = None,
    servicefile: str | PathLike | None = None,
    database: str | None = None,
    timeout: float | Unset | None = UNSET,
    statement_mode: str | StatementMode | None = None,
    statement_cache_size: int = 100,
    max_cached_statement_lifetime: float = 300,
    max_cacheable_statement_size: int = 1024 * 15,
    command_timeout: float | None = None,
    ssl: object = None,
    direct_tls: bool | None = None,
    server_settings: Mapping[str, str] | None = None,
    target_session_attrs: str | SessionAttribute | None = None,
    krbsrvname: str | None = None,
    gsslib: str | None = None,
    oauth_token: PasswordSource | Secret[Any] | None = None,
    environment: Mapping[str, str] | Secret[Mapping[str, str]],
    os_user: str | None,
    home: str | None,
    platform: str,
    service_texts: Mapping[str, str | Secret[str] | None] | None = None,
    **words: Unpack[LibpqWords],
) -> Settings:
    """Decide on all parameters of a connection.

    Args:
        dsn: a URI or libpq's `key=value` words.
        timeout: as `connect_timeout` of `Settings`; not given: 60, or no limit if `attempt_timeout` is given.
        environment, os_user, home: of the process; None where there is none.
        platform: as sys.platform.
        service_texts: by path, of the files of a service; None: nobody has looked for them.
        (The others are the keyword arguments of `connect`.)
    Raises:
        TypeError: there is no such keyword argument.
        ServiceFilesNeeded: a service is asked for, and there are no `service_texts`.
        ClientConfigurationError: a value is not possible, or asks for what this version cannot do; the text names the
            parameter, where it came from, and what is possible.
    """
    check_words(words)
    # First of all, so that no error has the plain values in its frames.
    string: Secret[str] | None = hide_source(dsn)
    given_password: Secret[Any] | None = hide_source(password)
    token: Secret[Any] | None = hide_source(oauth_token)
    words = cast("LibpqWords", hide_arguments(words))
    environment = hide(environment)
    texts = None
    if service_texts is not None:
        texts = {path: None if text is None else hide(text) for path, text in service_texts.items()}
    del dsn, password, oauth_token, service_texts
    # A list, perhaps: it is looked for with the hosts.
    hostaddr = words.pop("hostaddr", None)
    sources = _sources(string, environment, words)
    request = wanted_service(sources, service=service, servicefile=servicefile, home=home, platform=platform)
    if request is not None:
        if texts is None:
            raise ServiceFilesNeeded(request)
        found = find_service(request, texts)
        sources = Sources((*sources.layers, found), environment, words)
    settings = resolve_server_settings(server_settings, sources)
    # A port in a DSN may be a part of a password with a slash in it.
    addresses = Secret(sources).use(lambda sources: resolve_addresses(host, port, hostaddr, sources, platform))
    balancing = sources.find("load_balance_hosts", variable="PGLOADBALANCEHOSTS")
    attempt_timeout, is_limited = _resolve_attempt_timeout(sources)
    min_version, max_version = _resolve_protocol_versions(sources)

    user_given = sources.find("user", user, variable="PGUSER")
    if user_given is None and os_user:
        user_given = Given(os_user, "the operating system")
    if user_given is None:
        raise ClientConfigurationError(
            "could not determine user name to connect with",
            hint="Give it as the keyword argument user, in the DSN, or in the environment variable PGUSER.",
        )
    check_text("user", user_given)
    database_given = sources.find("database", database, word="dbname", variable="PGDATABASE") or user_given
    check_text("database", database_given)

    source, passfile_path = _resolve_password(given_password, passfile, sources, home, platform)
    krbsrvname_given = sources.find("krbsrvname", krbsrvname, variable="PGKRBSRVNAME")
    result = Settings(
        addresses=addresses,
        random_order=balancing is not None
        and choice("load_balance_hosts", balancing, {"disable": False, "random": True}),
        user=user_given.value,
        database=database_given.value,
        password=source,
        passfile=passfile_path,
        oauth_token=None if token is None or token == Secret("") else _checked_source("oauth_token", token),
        server_settings=MappingProxyType(settings),
        tls=resolve_tls(
            ssl,
            direct_tls,
            sources,
            over_tcp=any(isinstance(address, TcpAddress) for address in addresses),
            home=home,
        ),
        authentication=resolve_authentication(sources),
        target_session_attrs=_resolve_session_attribute(target_session_attrs, sources),
        connect_timeout=resolve_timeout(timeout, None if is_limited else DEFAULT_CONNECT_TIMEOUT),
        attempt_timeout=attempt_timeout,
        tcp=resolve_tcp(sources),
        max_protocol_version=max_version,
        min_protocol_version=min_version,
        command_timeout=_checked_command_timeout(command_timeout),
        statement_mode=_resolve_statement_mode(statement_mode, settings.get("replication")),
        statement_cache_size=_checked_limit("statement_cache_size", statement_cache_size),
        max_cached_statement_lifetime=_checked_limit("max_cached_statement_lifetime", max_cached_statement_lifetime),
        max_cacheable_statement_size=_checked_limit("max_cacheable_statement_size", max_cacheable_statement_size),
        krbsrvname="postgres" if krbsrvname_given is None else check_text("krbsrvname", krbsrvname_given),
        gsslib=_resolve_gsslib(gsslib, sources, platform),
        gssdelegation=_resolve_gssdelegation(sources),
    )
    size = 5 + sum(len(name.encode()) + len(value.encode()) + 2 for name, value in start_up_parameters(result))
    if size > _STARTUP_BYTES_MAX:
        raise ClientConfigurationError(
            f"user, database and server_settings take {size} bytes at start-up; "
            f"the server accepts at most {_STARTUP_BYTES_MAX}"
        )
    return result


_FIELDS: Final = tuple(each.name for each in fields(Settings))
_values_of: Final = attrgetter(*_FIELDS)


def with_password(settings: Settings, password: Secret[Any] | None) -> Settings:
    """These settings as they are if this password is given, or a function that is called for it; None: neither.

    Raises:
        ClientConfigurationError: it is none, as the keyword argument.
    """
    source = None if password is None else _checked_source("password", password)
    # As `dataclasses.replace`, which takes ten times as long.
    result = object.__new__(Settings)
    for name, value in zip(_FIELDS, _values_of(settings), strict=True):
        object.__setattr__(result, name, value)
    object.__setattr__(result, "password", source)
    object.__setattr__(result, "passfile", None)
    return result


def start_up_parameters(settings: Settings) -> tuple[tuple[str, str], ...]:
    """Names and values of the StartupMessage, in order.

    Nothing is added that was not asked for: poolers refuse parameters they do not know.
    """
    return (
        ("user", settings.user),
        ("database", settings.database),
        ("client_encoding", "UTF8"),
        *settings.server_settings.items(),
    )


def _sources(dsn: Secret[str] | None, environment: Secret[Mapping[str, str]], words: LibpqWords) -> Sources:
    return Sources([] if dsn is None else [Layer(read(dsn), "the DSN")], environment, words)


def _resolve_password(
    password: Secret[Any] | None, passfile: object, sources: Sources, home: str | None, platform: str
) -> tuple[Secret[str] | SecretFunction | None, str | None]:
    if password is not None:
        return _checked_source("password", password), None
    given = sources.find("password", variable="PGPASSWORD")
    if given is not None:
        return Secret(check_text("password", given, secret=True)), None

    found = sources.find("passfile", cast("str | None", path_text(passfile)), variable="PGPASSFILE")
    if found is not None:
        return None, check_text("passfile", found)
    if platform == "win32":
        folder = sources.variable("APPDATA")
        return None, None if folder is None else f"{folder.value}\\postgresql\\pgpass.conf"
    return None, f"{home}/.pgpass" if home else None


def _checked_source(name: str, source: Secret[Any]) -> Secret[str] | SecretFunction:
    if isinstance(source, SecretFunction):
        return source

    def checked(value: object) -> Secret[str]:
        check_type(name, value, str, "a str or a callable")
        return Secret(check_text(name, Given(cast("str", value), f"the keyword argument {name}"), secret=True))

    return source.use(checked)


def _resolve_session_attribute(keyword: object, sources: Sources) -> SessionAttribute:
    if isinstance(keyword, SessionAttribute):
        return keyword
    given = sources.find("target_session_attrs", cast("str | None", keyword), variable="PGTARGETSESSIONATTRS")
    if given is None:
        return SessionAttribute.any
    return choice("target_session_attrs", given, {attribute.value: attribute for attribute in SessionAttribute})


#: What the server takes for false; it takes beginnings of these, too.
_FALSE: Final = ("false", "no", "off", "0")


def _resolve_statement_mode(keyword: object, replication: str | None) -> StatementMode | None:
    if keyword is None and replication and not any(word.startswith(replication.lower()) for word in _FALSE):
        return StatementMode.SIMPLE  # a walsender has no other protocol
    if keyword is None or isinstance(keyword, StatementMode):
        return keyword
    check_type("statement_mode", keyword, str, "a str")
    given = Given(cast("str", keyword), "the keyword argument statement_mode")
    return choice("statement_mode", given, {mode.value: mode for mode in StatementMode})


def resolve_timeout(keyword: object, default: float | None = DEFAULT_CONNECT_TIMEOUT) -> float | None:
    """Seconds for connecting, by the keyword argument `timeout`; None: no limit.

    Raises:
        ClientConfigurationError: it is no number of seconds.
    """
    if keyword is UNSET:
        return default
    if keyword is None:
        return None
    if isinstance(keyword, int | float) and not isinstance(keyword, bool):
        seconds = _number(keyword)
        if seconds == seconds:
            return seconds
    raise ClientConfigurationError(f"timeout is expected to be a number of seconds or None, got {shown_value(keyword)}")


def _number(value: float | str) -> float:
    """NaN: it is none, or too large for any use."""
    try:
        return float(value)
    except (ValueError, OverflowError):
        return math.nan


_SECONDS: Final = re.compile(r"\s*[+-]?[0-9]{1,9}(?:\.[0-9]{1,9})?\s*")


def _resolve_attempt_timeout(sources: Sources) -> tuple[float | None, bool]:
    """connect_timeout, and whether it is given."""
    given = sources.find("connect_timeout", variable="PGCONNECT_TIMEOUT")
    if given is None:
        return None, False
    if _SECONDS.fullmatch(given.value) is None:
        raise ClientConfigurationError(
            f"connect_timeout in {given.origin} is expected to be a number of seconds, got {given.shown}"
        )
    seconds = float(given.value)
    return seconds if seconds > 0 else None, True  # as libpq: zero and less wait for ever


_PROTOCOL_VERSIONS: Final = {"3.0": PROTOCOL_3_0, "3.2": PROTOCOL_3_2, "latest": PROTOCOL_3_2}


def _resolve_protocol_versions(sources: Sources) -> tuple[int, int]:
    """The lowest that will do, and the one to ask for."""
    lowest = sources.find("min_protocol_version", variable="PGMINPROTOCOLVERSION")
    highest = sources.find("max_protocol_version", variable="PGMAXPROTOCOLVERSION")
    minimum = PROTOCOL_3_0 if lowest is None else choice("min_protocol_version", lowest, _PROTOCOL_VERSIONS)
    # Servers and poolers that refuse newer versions, when they should negotiate, are still around.
    maximum = minimum if highest is None else choice("max_protocol_version", highest, _PROTOCOL_VERSIONS)
    if lowest is not None and highest is not None and minimum > maximum:
        raise ClientConfigurationError(
            f"min_protocol_version {lowest.shown} from {lowest.origin} is higher than "
            f"max_protocol_version {highest.shown} from {highest.origin}"
        )
    return minimum, maximum


def _resolve_gssdelegation(sources: Sources) -> bool:
    given = sources.find("gssdelegation", variable="PGGSSDELEGATION")
    return given is not None and choice("gssdelegation", given, {"0": False, "1": True})


def _resolve_gsslib(keyword: str | None, sources: Sources, platform: str) -> str:
    given = sources.find("gsslib", keyword, variable="PGGSSLIB")
    if given is None:
        return "sspi" if platform == "win32" else "gssapi"
    if given.value not in ("gssapi", "sspi"):
        raise ClientConfigurationError(
            f"gsslib parameter must be either 'gssapi' or 'sspi', got {given.shown} from {given.origin}"
        )
    return given.value


def _checked_command_timeout(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        seconds = _number(value)
        if seconds > 0:
            return seconds
    raise ClientConfigurationError(
        f"invalid command_timeout value: expected greater than 0 float (got {shown_value(value)})"
    )


def _checked_limit(name: str, value: N) -> N:
    given = cast("object", value)
    if isinstance(given, bool) or not isinstance(given, int | float) or not _number(given) >= 0:
        raise ClientConfigurationError(f"{name} is expected to be greater or equal to 0, got {shown_value(value)}")
    return value
