"""sslmode and everything else that is asked of TLS -> `TlsSettings`. No file is read here.

Source: manual, "Parameter Key Words" and "SSL Support" of libpq; where asyncpg differs (what is verified in the modes
"require" and weaker, where the client's key may be), asyncpg.
"""

from dataclasses import dataclass, field
from typing import Final, cast

from pgsansio.errors import ClientConfigurationError
from pgsansio.policy.encryption_mode import SSLMode
from pgsansio.policy.parameter_sources import Given, Sources, check_text, check_type, choice
from pgsansio.types.secret import Secret

__all__ = ["SYSTEM_ROOTS", "TLS_VERSIONS", "TLS_WORDS", "TlsFile", "TlsSettings", "resolve_tls"]

#: The words of a connection string that are read here.
TLS_WORDS: Final = frozenset(
    {
        *("sslmode", "sslnegotiation", "sslcert", "sslkey", "sslpassword", "sslrootcert", "sslcrl", "sslcrldir"),
        *("sslcertmode", "sslsni", "sslkeylogfile", "ssl_min_protocol_version", "ssl_max_protocol_version"),
        *("gssencmode",),
    }
)

#: From the oldest to the newest.
TLS_VERSIONS: Final = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
_DEFAULT_MINIMUM: Final = "TLSv1.2"

#: sslrootcert: the authorities that this machine trusts.
SYSTEM_ROOTS: Final = "system"


@dataclass(frozen=True, slots=True)
class TlsFile:
    """A file (or folder) that TLS needs."""

    path: str
    #: The parameter that names it.
    parameter: str
    #: Where its path comes from; None: it is where libpq keeps it, and need not exist.
    origin: str | None

    def __str__(self) -> str:
        return f"{self.parameter} {self.path!r} from {self.origin or 'the default'}"


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """All that decides about a connection's encryption."""

    mode: SSLMode
    #: The handshake begins at once, without SSLRequest.
    direct: bool = False
    #: The user's own ssl.SSLContext; what follows does not matter then.
    context: object | None = None
    #: Trust what the machine trusts, instead of `root`.
    system_roots: bool = False
    #: Certificates of authorities. None: nobody knows where they would be.
    root: TlsFile | None = None
    #: What they have revoked.
    crl: TlsFile | None = None
    crl_dir: TlsFile | None = None
    #: The client's certificate and its key; the key may be in the certificate's file.
    certificate: TlsFile | None = None
    key: TlsFile | None = None
    #: Of the key; "" if there is none, so that OpenSSL never asks the terminal.
    password: Secret[str] = field(default=Secret(""), repr=False)
    #: Of `TLS_VERSIONS`; None: what OpenSSL is configured for.
    minimum_version: str | None = _DEFAULT_MINIMUM
    maximum_version: str | None = None
    #: Send the host's name to the server (SNI).
    send_server_name: bool = True
    #: Where the secrets of sessions are written, to decrypt recorded traffic with.
    key_log: TlsFile | None = None


def resolve_tls(
    ssl: object, direct_tls: bool | None, sources: Sources, *, over_tcp: bool, home: str | None
) -> TlsSettings:
    """Decide on all that concerns encryption.

    Args:
        ssl, direct_tls: the keyword arguments of `connect`.
        over_tcp: whether any address is not a Unix socket.
        home: the folder in which .postgresql would be; None where there is none.
    Raises:
        ClientConfigurationError: a value is not possible; the text names the parameter and where it came from.
    """
    root = sources.find("sslrootcert", variable="PGSSLROOTCERT")
    is_system = root is not None and root.value == SYSTEM_ROOTS
    mode, origin = _resolve_mode(ssl, sources, SSLMode.prefer if over_tcp else SSLMode.disable)
    if is_system and origin is None and over_tcp:
        mode = SSLMode.verify_full  # as libpq
    check_type("direct_tls", direct_tls, int | None, "a bool")  # as asyncpg, which also takes 0 and 1
    direct = bool(direct_tls)
    _check_alone("direct_tls", direct_tls, "sslnegotiation", sources)
    negotiation = sources.find("sslnegotiation", variable="PGSSLNEGOTIATION")
    if direct_tls is None and negotiation is not None:
        direct = choice("sslnegotiation", negotiation, {"postgres": False, "direct": True})
    if direct and mode < SSLMode.require:
        raise ClientConfigurationError("direct TLS requires sslmode=require, verify-ca, or verify-full")
    _refuse_gss(sources)
    if is_system and SSLMode.disable < mode < SSLMode.verify_full and not hasattr(ssl, "wrap_bio"):
        # Anybody can have a certificate of an authority that everybody trusts.
        raise ClientConfigurationError(
            f"weak sslmode {mode.word!r} may not be used with sslrootcert=system from {cast('Given', root).origin}",
            hint="Use verify-full.",
        )
    minimum, maximum = _resolve_versions(sources)
    send_server_name = _resolve_server_name(sources, mode)
    with_certificate = _resolve_certificate_mode(sources)
    password = sources.find("sslpassword")
    key_log = sources.find("sslkeylogfile", variable="SSLKEYLOGFILE")
    # Like asyncpg: True trusts the machine's authorities, unless others are named.
    system_roots = is_system or (ssl is True and root is None)
    return TlsSettings(
        mode=mode,
        direct=direct,
        context=ssl if hasattr(ssl, "wrap_bio") else None,
        system_roots=system_roots,
        root=None if system_roots else _file("sslrootcert", root, home, "root.crt"),
        crl=_file("sslcrl", sources.find("sslcrl", variable="PGSSLCRL"), home, "root.crl"),
        crl_dir=_file("sslcrldir", sources.find("sslcrldir", variable="PGSSLCRLDIR"), None, ""),
        certificate=_file("sslcert", sources.find("sslcert", variable="PGSSLCERT"), home, "postgresql.crt")
        if with_certificate
        else None,
        key=_file("sslkey", sources.find("sslkey", variable="PGSSLKEY"), home, "postgresql.key"),
        password=Secret("" if password is None else check_text("sslpassword", password, secret=True)),
        minimum_version=minimum,
        maximum_version=maximum,
        send_server_name=send_server_name,
        key_log=_file("sslkeylogfile", key_log, None, ""),
    )


def _resolve_mode(ssl: object, sources: Sources, default: SSLMode) -> tuple[SSLMode, str | None]:
    """The mode, and where it comes from; None: nobody has asked for one."""
    origin = "the keyword argument ssl"
    _check_alone("ssl", None if ssl == "" else ssl, "sslmode", sources)
    if isinstance(ssl, SSLMode):
        return ssl, origin
    if ssl is True:
        return SSLMode.verify_full, origin
    if ssl is False:
        return SSLMode.disable, origin
    if hasattr(ssl, "wrap_bio"):  # an ssl.SSLContext; the module itself is not for here
        return SSLMode.require, origin
    check_type("ssl", ssl, str | None, "a bool, an ssl.SSLContext or a str")
    given = sources.find("ssl", cast("str | None", ssl), word="sslmode", variable="PGSSLMODE")
    if given is None:
        return default, None
    choices = {mode.word: mode for mode in SSLMode}
    if given.value not in choices:
        raise ClientConfigurationError(
            f"`sslmode` parameter must be one of: {', '.join(choices)} (got {given.shown} from {given.origin})"
        )
    return choices[given.value], given.origin


def _check_alone(name: str, value: object, word: str, sources: Sources) -> None:
    """
    Raises:
        ClientConfigurationError: both of two keyword arguments are given that say the same: whichever wins, what the
            other one asks for is not done.
    """
    given = sources.find(word)
    if value is not None and given is not None and given.origin == f"the keyword argument {word}":
        raise ClientConfigurationError(
            f"{name} and {word} {given.shown} are both given as keyword arguments: leave one out"
        )


def _refuse_gss(sources: Sources) -> None:
    given = sources.find("gssencmode", variable="PGGSSENCMODE")
    if given is not None and choice("gssencmode", given, {"disable": False, "prefer": False, "require": True}):
        raise ClientConfigurationError(
            f"gssencmode 'require' from {given.origin} is not supported by this version: "
            "the only values are 'disable', 'prefer'"
        )


def _resolve_versions(sources: Sources) -> tuple[str, str | None]:
    known = {version.lower(): version for version in TLS_VERSIONS}

    def find(name: str, variable: str) -> str | None:
        given = sources.find(name, variable=variable)
        if given is None:
            return None
        version = known.get(given.value.lower())
        if version is None:
            raise ClientConfigurationError(
                f"{name} is expected to be one of {', '.join(map(repr, TLS_VERSIONS))}, "
                f"got {given.shown} from {given.origin}"
            )
        return version

    minimum = find("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION")
    maximum = find("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION")
    if minimum is None:
        # Somebody who allows no more than an old version wants that one.
        minimum = _DEFAULT_MINIMUM if maximum is None else min(_DEFAULT_MINIMUM, maximum, key=TLS_VERSIONS.index)
    elif maximum is not None and TLS_VERSIONS.index(minimum) > TLS_VERSIONS.index(maximum):
        raise ClientConfigurationError(
            f"ssl_min_protocol_version {minimum!r} is higher than ssl_max_protocol_version {maximum!r}"
        )
    return minimum, maximum


def _resolve_certificate_mode(sources: Sources) -> bool:
    """Whether the server may see the client's certificate."""
    given = sources.find("sslcertmode", variable="PGSSLCERTMODE")
    if given is None:
        return True
    mode = choice("sslcertmode", given, {"disable": False, "allow": True, "require": None})
    if mode is None:
        raise ClientConfigurationError(
            f"sslcertmode 'require' from {given.origin} is not possible: "
            "Python's ssl module does not tell whether the server has asked for a certificate",
            hint="The method 'cert' of pg_hba.conf demands one.",
        )
    return mode


def _resolve_server_name(sources: Sources, mode: SSLMode) -> bool:
    given = sources.find("sslsni", variable="PGSSLSNI")
    if given is None or choice("sslsni", given, {"0": False, "1": True}):
        return True
    if mode is SSLMode.verify_full:
        raise ClientConfigurationError(
            f"sslsni '0' from {given.origin} cannot be used with sslmode verify-full: "
            "Python's ssl module cannot check a host's name without sending it"
        )
    return False


def _file(parameter: str, given: Given | None, home: str | None, default: str) -> TlsFile | None:
    if given is not None:
        return TlsFile(check_text(parameter, given), parameter, given.origin)
    return TlsFile(f"{home}/.postgresql/{default}", parameter, None) if home else None
