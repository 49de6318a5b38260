"""Connection strings, keyword arguments and environment variables -> `Settings`.

Each parameter is looked for in the same order: keyword argument, connection string, environment variable, default. An
empty text counts as not given (but for the keyword argument `password`). Nothing is read here: the environment, the
user's name and the home directory are arguments, and the password file is named, not opened.

What concerns TLS is decided in `tls_settings`.

Source: manual, "Parameter Key Words" and "Environment Variables" of libpq's "Database Connection Control Functions".
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Protocol, TypeAlias, TypeVar, cast, runtime_checkable

from pgsansio.errors import ClientConfigurationError
from pgsansio.policy.authentication_rules import AuthenticationRules, resolve_authentication
from pgsansio.policy.connection_string import ConnectionString, parse_dsn, read, redact_dsn
from pgsansio.policy.encryption_mode import SSLMode
from pgsansio.policy.parameter_sources import Given, Sources, check_text, check_type, choice
from pgsansio.policy.tls_settings import TLS_WORDS, TlsSettings, resolve_tls

__all__ = [
    "UNSET",
    "Address",
    "PasswordSource",
    "SSLMode",
    "SessionAttribute",
    "Settings",
    "TcpAddress",
    "UnixAddress",
    "Unset",
    "parse_dsn",
    "redact_dsn",
    "resolve_settings",
    "start_up_parameters",
]

#: A password, or what is called for one at every attempt to connect (it may return an awaitable).
PasswordSource: TypeAlias = str | Callable[[], str] | Callable[[], Awaitable[str]]


@runtime_checkable
class PathLike(Protocol):
    """What can name a file: as os.PathLike[str]."""

    def __fspath__(self) -> str: ...


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
class TcpAddress:
    """A name or address, and a port."""

    host: str
    port: int

    @property
    def passfile_host(self) -> str:
        """The host to look for in a password file."""
        return self.host


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """The path of a socket, and the port that its name stands for."""

    path: str
    port: int

    @property
    def passfile_host(self) -> str:
        """The host to look for in a password file."""
        return "localhost"


Address: TypeAlias = TcpAddress | UnixAddress


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that is needed to connect, checked and complete."""

    #: To be tried in this order; at least one.
    addresses: tuple[Address, ...]
    user: str
    database: str
    #: None: look into `passfile`.
    password: PasswordSource | None = field(repr=False)
    #: The password file to look into; it need not exist. None: none is needed, or nobody knows where it would be.
    passfile: str | None
    #: To be sent at start-up, in this order, beside client_encoding.
    server_settings: Mapping[str, str] = field(hash=False)
    tls: TlsSettings
    authentication: AuthenticationRules
    target_session_attrs: SessionAttribute
    #: Seconds for connecting, all attempts together; None: no limit.
    connect_timeout: float | None
    #: Seconds for an operation that sets no limit of its own; None: no limit.
    command_timeout: float | None
    statement_cache_size: int
    #: Seconds; 0: no limit.
    max_cached_statement_lifetime: float
    #: Characters; 0: no limit.
    max_cacheable_statement_size: int
    #: Kerberos service name, and the library for it: gssapi or sspi.
    krbsrvname: str
    gsslib: str

    @property
    def sslmode(self) -> SSLMode:
        """How much is asked of TLS."""
        return self.tls.mode


DEFAULT_PORT: Final = 5432
DEFAULT_CONNECT_TIMEOUT: Final = 60.0

#: Where servers of the usual packages put their sockets, then TCP (as asyncpg does).
_UNIX_HOSTS: Final = ("/run/postgresql", "/var/run/postgresql", "/tmp", "/private/tmp", "localhost")

#: The server drops a longer StartupMessage without a word: MAX_STARTUP_PACKET_LENGTH, without the length word.
_STARTUP_BYTES_MAX: Final = 10000

#: Words that have a place in `Settings`.
_OWN_WORDS: Final = TLS_WORDS | {
    *("user", "password", "dbname", "passfile", "target_session_attrs", "krbsrvname", "gsslib", "connect_timeout"),
    *("fallback_application_name", "require_auth", "channel_binding"),
}

#: libpq's words that ask for what this version cannot do, and the values that ask for nothing. A server would refuse
#: them as unknown settings; ignoring them could make a connection less safe than its string says.
_UNSUPPORTED_WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "service": (),
    "servicefile": (),
    "hostaddr": (),
    "load_balance_hosts": ("disable",),
    "requirepeer": (),
    "gssdelegation": ("0",),
    "requiressl": ("0",),
    "sslcompression": ("0",),
    "min_protocol_version": ("3.0",),
    "max_protocol_version": ("3.0", "3.2", "latest"),
    "keepalives": ("1",),
    "keepalives_idle": ("0",),
    "keepalives_interval": ("0",),
    "keepalives_count": ("0",),
    "tcp_user_timeout": ("0",),
    "scram_client_key": (),
    "scram_server_key": (),
    "oauth_issuer": (),
    "oauth_client_id": (),
    "oauth_client_secret": (),
    "oauth_scope": (),
}

#: What a `key=value` string may ask of the server. (In a URI, any word that is not known here is a server setting.)
_SERVER_WORDS: Final = frozenset({"application_name", "client_encoding", "options", "replication"})

N = TypeVar("N", int, float)


def resolve_settings(
    dsn: str | None = None,
    *,
    host: str | Sequence[str] | None = None,
    port: int | str | Sequence[int | str] | None = None,
    user: str | None = None,
    password: PasswordSource | None = None,
    passfile: str | PathLike | None = None,
    service: str | None = None,
    servicefile: str | PathLike | None = None,
    database: str | None = None,
    timeout: float | Unset | None = UNSET,
    statement_cache_size: int = 100,
    max_cached_statement_lifetime: float = 300,
    max_cacheable_statement_size: int = 1024 * 15,
    command_timeout: float | None = None,
    ssl: object = None,
    direct_tls: bool | None = None,
    require_auth: str | None = None,
    channel_binding: str | None = None,
    server_settings: Mapping[str, str] | None = None,
    target_session_attrs: str | SessionAttribute | None = None,
    krbsrvname: str | None = None,
    gsslib: str | None = None,
    environment: Mapping[str, str],
    os_user: str | None,
    home: str | None,
    platform: str,
) -> Settings:
    """Decide on all parameters of a connection.

    Args:
        dsn: a URI or libpq's `key=value` words.
        timeout: as `connect_timeout` of `Settings`; not given: the word connect_timeout of the DSN, else 60.
        environment, os_user, home: of the process; None where there is none.
        platform: as sys.platform.
        (The others are the keyword arguments of `connect`.)
    Raises:
        ClientConfigurationError: a value is not possible, or asks for what this version cannot do; the text names the
            parameter, where it came from, and what is possible.
    """
    check_type("dsn", dsn, str | None, "a str")
    for name, value in (("service", service), ("servicefile", servicefile)):
        if value is not None:
            raise _unsupported(name, f"the keyword argument {name}", ())
    parsed = read(dsn) if dsn else ConnectionString()
    sources = Sources(parsed, environment)
    settings_of_dsn = _server_settings_of(parsed)

    addresses = _resolve_addresses(host, port, parsed, sources, platform)

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

    source, passfile_path = _resolve_password(password, passfile, sources, home, platform)

    settings = _checked_server_settings(settings_of_dsn, server_settings, parsed.words.get("fallback_application_name"))
    krbsrvname_given = sources.find("krbsrvname", krbsrvname, variable="PGKRBSRVNAME")
    result = Settings(
        addresses=addresses,
        user=user_given.value,
        database=database_given.value,
        password=source,
        passfile=passfile_path,
        server_settings=settings,
        tls=resolve_tls(
            ssl,
            direct_tls,
            sources,
            over_tcp=any(isinstance(address, TcpAddress) for address in addresses),
            home=home,
        ),
        authentication=resolve_authentication(sources, require_auth=require_auth, channel_binding=channel_binding),
        target_session_attrs=_resolve_session_attribute(target_session_attrs, sources),
        connect_timeout=_resolve_timeout(timeout, sources),
        command_timeout=_checked_command_timeout(command_timeout),
        statement_cache_size=_checked_limit("statement_cache_size", statement_cache_size),
        max_cached_statement_lifetime=_checked_limit("max_cached_statement_lifetime", max_cached_statement_lifetime),
        max_cacheable_statement_size=_checked_limit("max_cacheable_statement_size", max_cacheable_statement_size),
        krbsrvname="postgres" if krbsrvname_given is None else krbsrvname_given.value,
        gsslib=_resolve_gsslib(gsslib, sources, platform),
    )
    size = 5 + sum(len(name.encode()) + len(value.encode()) + 2 for name, value in start_up_parameters(result))
    if size > _STARTUP_BYTES_MAX:
        raise ClientConfigurationError(
            f"user, database and server_settings take {size} bytes at start-up; "
            f"the server accepts at most {_STARTUP_BYTES_MAX}"
        )
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


def _unsupported(word: str, origin: str, harmless: Sequence[str]) -> ClientConfigurationError:
    allowed = f"the only values are {', '.join(map(repr, harmless))}" if harmless else "leave it out"
    return ClientConfigurationError(f"{word} from {origin} is not supported by this version: {allowed}")


def _server_settings_of(parsed: ConnectionString) -> dict[str, str]:
    settings: dict[str, str] = {}
    for word, value in parsed.words.items():
        if word in _UNSUPPORTED_WORDS:
            if value not in _UNSUPPORTED_WORDS[word]:
                raise _unsupported(word, "the DSN", _UNSUPPORTED_WORDS[word])
        elif word not in _OWN_WORDS:
            if not parsed.is_uri and word not in _SERVER_WORDS:
                raise ClientConfigurationError(
                    f"the DSN has an unknown keyword: {word!r}",
                    hint="Settings of the server are given as server_settings, or as options=-c name=value.",
                )
            settings[word] = value
    return settings


def _checked_server_settings(
    of_dsn: Mapping[str, str], keyword: object, fallback_application_name: str | None
) -> dict[str, str]:
    wrong = ClientConfigurationError("server_settings is expected to be None or a Dict[str, str]")
    if not isinstance(keyword, Mapping | None):
        raise wrong
    settings = dict(of_dsn)
    origins = dict.fromkeys(of_dsn, "the DSN")
    for name, value in (cast("Mapping[object, object]", keyword) or {}).items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise wrong
        settings[name] = value
        origins[name] = "the keyword argument server_settings"
    if fallback_application_name is not None:
        settings.setdefault("application_name", fallback_application_name)

    for name, value in list(settings.items()):
        origin = origins.get(name, "the DSN")
        check_text("the name of a server setting", Given(name, origin))
        check_text(f"server setting {name!r}", Given(value, origin))
        if not name:
            raise ClientConfigurationError(f"the name of a server setting in {origin} is empty")
        if name in ("user", "database"):
            raise ClientConfigurationError(f"{name} cannot be a server setting, as in {origin}: it is a parameter")
        if name.lower() == "client_encoding":
            # All text is UTF-8 here, both ways.
            if value.lower().replace("-", "").replace("_", "") not in ("utf8", "unicode"):
                raise ClientConfigurationError(
                    f"client_encoding is expected to be 'UTF8', got {Given(value, origin).shown} from {origin}"
                )
            del settings[name]
    return settings


def _resolve_addresses(
    host: str | Sequence[str] | None,
    port: int | str | Sequence[int | str] | None,
    parsed: ConnectionString,
    sources: Sources,
    platform: str,
) -> tuple[Address, ...]:
    hosts: Sequence[object]
    origin = "the keyword argument host"
    if host:
        hosts = host.split(",") if isinstance(host, str) else _sequence("host", host)
    elif parsed.hosts:
        hosts, origin = parsed.hosts, "the DSN"
    elif (variable := sources.variable("PGHOST")) is not None:
        hosts, origin = variable.value.split(","), variable.origin
    else:
        hosts = ("localhost",) if platform == "win32" else _UNIX_HOSTS
    names: list[str] = []
    for name in hosts:
        check_type("host", name, str, "a str or a list of str")
        names.append(check_text("host", Given(cast("str", name), origin)))
        if not name:
            raise ClientConfigurationError(f"host in {origin} has an empty name")
    ports = _resolve_ports(port, parsed, sources, len(names))
    return tuple(map(_address, names, ports))


def _address(host: str, port: int) -> Address:
    if not host.startswith("/"):
        return TcpAddress(host, port)
    if ".s.PGSQL." not in host:
        host = f"{host.rstrip('/')}/.s.PGSQL.{port}"
    return UnixAddress(host, port)


def _sequence(name: str, value: object) -> Sequence[object]:
    check_type(name, value, list | tuple, "one value or a list")
    return cast("Sequence[object]", value)


def _resolve_ports(
    port: int | str | Sequence[int | str] | None, parsed: ConnectionString, sources: Sources, count: int
) -> list[int]:
    given: Sequence[object]
    origin = "the keyword argument port"
    if port:
        if isinstance(port, str):
            given = port.split(",")
        else:
            given = [port] if isinstance(port, int) else _sequence("port", port)
    elif parsed.ports:
        given, origin = parsed.ports, "the DSN"
    elif (variable := sources.variable("PGPORT")) is not None:
        given, origin = variable.value.split(","), variable.origin
    else:
        given = [DEFAULT_PORT]
    ports = [_port(value, origin) for value in given]
    if len(ports) == 1:
        return ports * count
    if len(ports) != count:
        raise ClientConfigurationError(f"could not match {len(ports)} port numbers to {count} hosts")
    return ports


def _port(value: object, origin: str) -> int:
    if isinstance(value, str):
        text = value.strip()
        if not text:
            return DEFAULT_PORT  # as libpq: "5433,,5434"
        number = int(text) if text.isascii() and text.isdecimal() and len(text) <= 5 else 0
    else:
        number = value if isinstance(value, int) and not isinstance(value, bool) else 0
    if not 1 <= number <= 65535:
        # Out of a DSN the value is not shown: it may be a part of a password with a slash in it.
        shown = "" if origin == "the DSN" else f", got {value!r}"
        raise ClientConfigurationError(f"port in {origin} is expected to be an integer from 1 to 65535{shown}")
    return number


def _resolve_password(
    password: object, passfile: object, sources: Sources, home: str | None, platform: str
) -> tuple[PasswordSource | None, str | None]:
    if callable(password):
        return cast("PasswordSource", password), None
    if isinstance(password, str):
        return check_text("password", Given(password, "the keyword argument password"), secret=True), None
    check_type("password", password, type(None), "a str or a callable")
    given = sources.find("password", variable="PGPASSWORD")
    if given is not None:
        return check_text("password", given, secret=True), None

    if isinstance(passfile, PathLike):
        passfile = passfile.__fspath__()
    found = sources.find("passfile", cast("str | None", passfile), variable="PGPASSFILE")
    if found is not None:
        return None, check_text("passfile", found)
    if platform == "win32":
        folder = sources.variable("APPDATA")
        return None, None if folder is None else f"{folder.value}\\postgresql\\pgpass.conf"
    return None, f"{home}/.pgpass" if home else None


def _resolve_session_attribute(keyword: object, sources: Sources) -> SessionAttribute:
    if isinstance(keyword, SessionAttribute):
        return keyword
    given = sources.find("target_session_attrs", cast("str | None", keyword), variable="PGTARGETSESSIONATTRS")
    if given is None:
        return SessionAttribute.any
    return choice("target_session_attrs", given, {attribute.value: attribute for attribute in SessionAttribute})


def _resolve_timeout(keyword: object, sources: Sources) -> float | None:
    if keyword is not UNSET:
        if keyword is None:
            return None
        if isinstance(keyword, bool) or not isinstance(keyword, int | float) or keyword != keyword:
            raise ClientConfigurationError(f"timeout is expected to be a number of seconds or None, got {keyword!r}")
        return float(keyword)
    given = sources.find("connect_timeout")
    if given is None:
        return DEFAULT_CONNECT_TIMEOUT
    text = given.value.strip()
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 10):
        raise ClientConfigurationError(
            f"connect_timeout in {given.origin} is expected to be an integer, in seconds, got {given.shown}"
        )
    seconds = int(text)
    return float(seconds) if seconds > 0 else None  # as libpq: zero and less wait for ever


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
        try:
            seconds = float(value)
        except ValueError:
            seconds = 0.0
        if seconds > 0:
            return seconds
    raise ClientConfigurationError(f"invalid command_timeout value: expected greater than 0 float (got {value!r})")


def _checked_limit(name: str, value: N) -> N:
    given = cast("object", value)
    if isinstance(given, bool) or not isinstance(given, int | float) or not given >= 0:
        raise ClientConfigurationError(f"{name} is expected to be greater or equal to 0, got {value!r}")
    return value
