"""Connection strings as texts: which words they hold. What the words mean is decided in `conninfo`.

Two forms are read: URIs, with asyncpg's rules where it differs from libpq (`+` is a space in the query, empty values
count as not given, what stands before `?` wins), and libpq's `key=value` strings.

Source: manual, "Connection Strings".
"""

import re
from dataclasses import dataclass, field
from typing import Final, cast
from urllib.parse import unquote_to_bytes

from pgsansio.errors import ClientConfigurationError
from pgsansio.types.secret import Secret

__all__ = ["ConnectionString", "decoded", "mentions_secret", "of_words", "parse_dsn", "read", "redact_dsn"]

_REDACTED: Final = "***"
_SECRET_WORDS: Final = frozenset({"password", "sslpassword", "oauth_client_secret"})

_SCHEME: Final = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.-]*):")
_URI: Final = re.compile(r"\s*postgres(?:ql)?://", re.IGNORECASE)
_KEY_VALUE: Final = re.compile(r"\s*[A-Za-z_][A-Za-z0-9_]*\s*=")

# One word of a key=value string. White space is C's; a backslash takes the next character literally.
_SPACES: Final = r"[ \t\n\r\f\v]*+"
_WORD: Final = re.compile(
    rf"""{_SPACES}([^= \t\n\r\f\v]++){_SPACES}={_SPACES}
        (?: '((?:[^'\\]++|\\.)*+)' | ((?!')(?:[^\\ \t\n\r\f\v]++|\\.?)*+) )""",
    re.DOTALL | re.VERBOSE,
)
_END: Final = re.compile(rf"{_SPACES}\Z")
_ESCAPE: Final = re.compile(r"\\(.?)", re.DOTALL)
_SECRET_INSIDE: Final = re.compile(rf"(?:{'|'.join(sorted(_SECRET_WORDS))}){_SPACES}=")


@dataclass(frozen=True, slots=True)
class ConnectionString:
    """The words of one connection string."""

    #: By libpq's names, `database` turned into `dbname`; without host and port; none is empty.
    words: dict[str, str] = field(default_factory=dict, repr=False)
    #: In order; may be empty.
    hosts: tuple[str, ...] = field(default=(), repr=False)
    #: As written, "" where a host has none; empty if there is none at all.
    ports: tuple[str, ...] = field(default=(), repr=False)
    #: In a URI, words that nobody knows are settings for the server.
    is_uri: bool = False


def parse_dsn(text: str) -> dict[str, str]:
    """The words of a connection string by libpq's names, several hosts and ports joined by commas.

    Raises:
        ClientConfigurationError: it is not a connection string.
    """
    parsed = read(Secret(text))
    words = dict(parsed.words)
    if parsed.hosts:
        words["host"] = ",".join(parsed.hosts)
    if parsed.ports:
        words["port"] = ",".join(parsed.ports)
    return words


def read(text: Secret[str]) -> ConnectionString:
    """Read a connection string; one of white space only has no words.

    Raises:
        ClientConfigurationError: it is not a connection string. No password is shown.
    """
    return text.use(_read)


def _read(text: str) -> ConnectionString:
    if not isinstance(cast(object, text), str):
        raise ClientConfigurationError(f"dsn is expected to be a str, got {type(text).__name__}")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ClientConfigurationError("invalid DSN: it cannot be encoded as UTF-8") from None
    if not text.strip():
        return ConnectionString()
    prefix = _URI.match(text)
    if prefix is not None:
        return _read_uri(text[prefix.end() :])
    if _KEY_VALUE.match(text) is not None:
        return _read_key_values(text)
    scheme = _SCHEME.match(text)
    raise ClientConfigurationError(
        'invalid DSN: scheme is expected to be either "postgresql" or "postgres", '
        f"got {'' if scheme is None else scheme.group(1).lower()!r}",
        hint="A list of words such as host=localhost dbname=postgres is understood, too.",
    )


def _read_uri(rest: str) -> ConnectionString:
    """Read what stands behind `postgresql://`."""
    before, _, query = rest.partition("?")
    authority, _, path = before.partition("/")
    userinfo, at, hostspec = authority.partition("@")
    if not at:
        userinfo, hostspec = "", authority
    user, _, password = userinfo.partition(":")

    words = _read_query(query)
    queried_hosts, queried_ports = words.pop("host", ""), words.pop("port", "")
    database = words.pop("database", "")
    if database:
        words.setdefault("dbname", database)
    for word, encoded in (("user", user), ("password", password), ("dbname", path)):
        if encoded:
            words[word] = decoded(word, encoded)

    hosts = [_host_of_uri(host) for host in hostspec.split(",")] if hostspec else []
    hosts = [(decoded("host", name), decoded("port", port)) for name, port in hosts]
    names = tuple(name for name, _ in hosts)
    ports = tuple(port for _, port in hosts)
    if not any(names) and queried_hosts:
        hosts = [_host_of_query(host) for host in queried_hosts.split(",")]
        names = tuple(name for name, _ in hosts)
        if not any(ports):
            ports = tuple(port for _, port in hosts)
    if names == ("",):
        names = ()  # as in postgresql://:5433/db, which tells of the port only
    if not any(ports):
        ports = tuple(queried_ports.split(",")) if queried_ports else ()
    return ConnectionString(words, names, ports, is_uri=True)


def _read_query(query: str) -> dict[str, str]:
    words: dict[str, str] = {}
    if query:
        for number, pair in enumerate(query.split("&"), 1):
            encoded_name, equals, encoded = pair.partition("=")
            if not equals:
                # The text is not shown: it may be the end of a password with a question mark in it.
                raise ClientConfigurationError(
                    f"invalid DSN: query parameter #{number} is expected to be name=value", hint=_ENCODING_HINT
                )
            name = decoded("query parameter name", encoded_name)
            if encoded:
                words[name] = decoded(name, encoded.replace("+", " "))
    return words


_ENCODING_HINT: Final = "Special characters in a user name or a password must be percent-encoded."


def decoded(word: str, encoded: str) -> str:
    """The text of this word of a URI, which is written like this.

    Raises:
        ClientConfigurationError: it is none.
    """
    try:
        return unquote_to_bytes(encoded).decode()
    except UnicodeDecodeError:
        raise ClientConfigurationError(f"invalid DSN: {word} is not UTF-8 after percent-decoding") from None


def _host_of_uri(hostspec: str) -> tuple[str, str]:
    """Name and port of `name`, `name:port`, `[address]` or `[address]:port`, still encoded."""
    if not hostspec.startswith("["):
        name, _, port = hostspec.partition(":")
        return name, port
    address, bracket, rest = hostspec[1:].partition("]")
    if not bracket or not address or (rest and not rest.startswith(":")):
        # With another @ in it, it is the end of a password.
        shown = "'***'" if "@" in hostspec else repr(hostspec)
        raise ClientConfigurationError(f"invalid IPv6 address in the connection URI: {shown}")
    return address, rest[1:]


def _host_of_query(host: str) -> tuple[str, str]:
    """The same for the word `host`, where an IPv6 address may also stand without brackets."""
    if host.startswith("[") or (host.count(":") == 1 and not host.startswith("/")):
        return _host_of_uri(host)
    return host, ""


def _read_key_values(text: str) -> ConnectionString:
    words: dict[str, str] = {}
    position = 0
    while _END.match(text, position) is None:
        word = _WORD.match(text, position)
        if word is None:
            raise ClientConfigurationError(
                f"invalid DSN: word #{len(words) + 1} is expected to be keyword=value",
                hint="A value with spaces must be quoted by ', and each ' and \\ in a value preceded by \\.",
            )
        name, quoted, plain = word.groups()
        words[name] = _ESCAPE.sub(r"\1", plain if quoted is None else quoted)
        position = word.end()
    return of_words(words)


def of_words(words: dict[str, str]) -> ConnectionString:
    """A connection string of these words, as of one in libpq's form."""
    words = {name: value for name, value in words.items() if value}
    hosts, ports = words.pop("host", ""), words.pop("port", "")
    database = words.pop("database", "")
    if database:
        words.setdefault("dbname", database)
    return ConnectionString(
        words, tuple(hosts.split(",")) if hosts else (), tuple(ports.split(",")) if ports else (), is_uri=False
    )


def mentions_secret(value: str) -> bool:
    """Whether a value holds what looks like a password's word: `connect_timeout= password=x` has one value only."""
    return _SECRET_INSIDE.search(value) is not None


def redact_dsn(text: str) -> str:
    """`text` with passwords replaced by `***`, for logs and errors; never raises.

    When in doubt it hides more: a URI loses everything from the first colon of its user part to its last @, since a
    password that is not encoded may hold any character; a `key=value` string, what stands behind a word that cannot be
    read.
    """
    if "://" not in text.partition("=")[0] and _KEY_VALUE.match(text) is not None:
        return _redact_key_values(text)
    _, slashes, _ = text.partition("://")
    colon = text.find(":", text.index(slashes) + len(slashes))
    last_at = text.rfind("@")
    if 0 <= colon < last_at:
        text = f"{text[:colon]}:{_REDACTED}{text[last_at:]}"
    before, mark, query = text.partition("?")
    if (secret := _SECRET_INSIDE.search(before)) is not None:
        return before[: secret.end()] + _REDACTED  # the two forms mixed, or neither of them
    return before + mark + "&".join(map(_redact_pair, query.split("&")))


def _redact_pair(pair: str) -> str:
    name, equals, _ = pair.partition("=")
    decoded = unquote_to_bytes(name.encode(errors="replace")).decode(errors="replace")
    hidden = (equals and decoded in _SECRET_WORDS) or _SECRET_INSIDE.search(pair)
    return f"{name}={_REDACTED}" if hidden else pair


def _redact_key_values(text: str) -> str:
    pieces: list[str] = []
    position = 0
    while (word := _WORD.match(text, position)) is not None:
        name, quoted, plain = word.groups()
        # host= password=x is a host named "password=x", but hardly meant to be.
        if name in _SECRET_WORDS or _SECRET_INSIDE.search(plain if quoted is None else quoted) is not None:
            value = word.start(3) if quoted is None else word.start(2) - 1
            pieces += text[position:value], _REDACTED
        else:
            pieces.append(word.group())
        position = word.end()
    if _END.match(text, position) is None:
        pieces.append(f" {_REDACTED}")
    return "".join(pieces)
