"""What a server is asked to set at start-up, from every place that may ask for it.

Source: manual, "Parameter Key Words" and "Environment Variables" of libpq; words of a URI that nobody knows, asyncpg.
"""

from collections.abc import Mapping
from typing import Final, cast

from pgsansio.errors import ClientConfigurationError
from pgsansio.policy.parameter_sources import Given, Layer, Sources, check_text
from pgsansio.policy.tls_settings import TLS_WORDS
from pgsansio.types.secret import Secret

__all__ = ["resolve_server_settings"]

#: Words that have a place in `Settings`.
_OWN_WORDS: Final = TLS_WORDS | {
    *("user", "password", "dbname", "passfile", "target_session_attrs", "krbsrvname", "gsslib", "connect_timeout"),
    *("fallback_application_name", "require_auth", "channel_binding", "requirepeer", "service", "servicefile"),
    *("hostaddr", "load_balance_hosts", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"),
    *("tcp_user_timeout", "min_protocol_version", "max_protocol_version", "gssdelegation"),
}

#: libpq's words that ask for what this version cannot do, and the values that ask for nothing. A server would refuse
#: them as unknown settings; ignoring them could make a connection less safe than its string says.
_UNSUPPORTED_WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "requiressl": ("0",),
    "sslcompression": ("0",),
    "scram_client_key": (),
    "scram_server_key": (),
    "oauth_issuer": (),
    "oauth_client_id": (),
    "oauth_client_secret": (),
    "oauth_scope": (),
}

#: What a `key=value` string, or a service, may ask of the server. (In a URI, any word that is not known here is a
#: server setting.)
_SERVER_WORDS: Final = frozenset({"application_name", "client_encoding", "options", "replication"})

#: Variables that ask something of the server, where nobody else does. (PGCLIENTENCODING is ignored, as by asyncpg: it
#: is for programs that print.)
_VARIABLES: Final = {
    "application_name": "PGAPPNAME",
    "options": "PGOPTIONS",
    "datestyle": "PGDATESTYLE",
    "timezone": "PGTZ",
    "geqo": "PGGEQO",
}


def resolve_server_settings(keyword: object, sources: Sources) -> dict[str, str]:
    """The settings of the session, in the order to send them; client_encoding is not among them.

    Args:
        keyword: the argument `server_settings` of `connect`; it wins over everything else.
    Raises:
        ClientConfigurationError: a setting is not possible, or a text has a word that asks for what cannot be done.
    """
    found: dict[str, Given] = {}
    for layer in reversed(sources.layers):
        found.update(Secret(layer).use(_of_layer))  # its words have passwords and keys
    for word in ("application_name", "options", "client_encoding"):
        if (given := sources.find(word)) is not None:
            found[word] = given
    for name, value in _of_keyword(keyword).items():
        found[name] = Given(value, "the keyword argument server_settings")
    known = {name.lower() for name in found}  # as the server: TimeZone is timezone
    for name, variable in _VARIABLES.items():
        if name not in known and (given := sources.variable(variable)) is not None and given.value.lower() != "default":
            found[name] = given
    if "application_name" not in known and (given := sources.find("fallback_application_name")) is not None:
        found.setdefault("application_name", given)

    return {name: given.value for name, given in found.items() if not _is_our_encoding(name, given)}


def _of_layer(layer: Layer) -> dict[str, Given]:
    found: dict[str, Given] = {}
    for word, value in layer.string.words.items():
        if word in _UNSUPPORTED_WORDS:
            if value not in _UNSUPPORTED_WORDS[word]:
                raise _unsupported(word, layer.origin, _UNSUPPORTED_WORDS[word])
        elif word not in _OWN_WORDS:
            if not layer.string.is_uri and word not in _SERVER_WORDS:
                raise ClientConfigurationError(
                    f"{layer.origin} has an unknown keyword: {word!r}",
                    hint="Settings of the server are given as server_settings, or as options=-c name=value.",
                )
            found[word] = Given(value, layer.origin)
    return found


def _unsupported(word: str, origin: str, harmless: tuple[str, ...]) -> ClientConfigurationError:
    allowed = f"the only values are {', '.join(map(repr, harmless))}" if harmless else "leave it out"
    return ClientConfigurationError(f"{word} from {origin} is not supported by this version: {allowed}")


def _of_keyword(keyword: object) -> Mapping[str, str]:
    if isinstance(keyword, Mapping | None):
        settings = cast("Mapping[object, object]", keyword) or {}
        if all(isinstance(name, str) and isinstance(value, str) for name, value in settings.items()):
            return cast("Mapping[str, str]", settings)
    raise ClientConfigurationError("server_settings is expected to be None or a Dict[str, str]")


def _is_our_encoding(name: str, given: Given) -> bool:
    """Whether this asks for what is done anyway.

    Raises:
        ClientConfigurationError: it cannot be sent.
    """
    origin = given.origin
    check_text("the name of a server setting", Given(name, origin))
    check_text(f"server setting {name!r}", given)
    if not name:
        raise ClientConfigurationError(f"the name of a server setting in {origin} is empty")
    if name in ("user", "database"):
        raise ClientConfigurationError(f"{name} cannot be a server setting, as in {origin}: it is a parameter")
    if name.lower() != "client_encoding":
        return False
    # All text is UTF-8 here, both ways.
    if given.value.lower().replace("-", "").replace("_", "") not in ("utf8", "unicode"):
        raise ClientConfigurationError(f"client_encoding is expected to be 'UTF8', got {given.shown} from {origin}")
    return True
