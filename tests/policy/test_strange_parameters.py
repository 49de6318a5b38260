"""Every parameter, from every place, with every kind of value: it is taken, or refused by an error that says which."""

import contextlib
import inspect
import math
import pathlib
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from hypothesis import given, settings
from hypothesis import strategies as st

from pgsansio.errors import ClientConfigurationError
from pgsansio.policy.conninfo import Settings, resolve_settings, start_up_parameters
from pgsansio.policy.libpq_words import LIBPQ_WORDS
from pgsansio.policy.servicefile import ServiceFilesNeeded

PROCESS = {"environment", "os_user", "home", "platform", "service_texts", "words", "dsn"}
KEYWORDS = sorted({*inspect.signature(resolve_settings).parameters} - PROCESS)
WORDS = sorted(
    {
        *LIBPQ_WORDS,
        *("user", "password", "dbname", "host", "port", "passfile", "service", "servicefile", "target_session_attrs"),
        *("krbsrvname", "gsslib", "search_path", "replication"),
    }
)
VARIABLES = {
    "PGHOST": "host", "PGHOSTADDR": "hostaddr", "PGPORT": "port", "PGUSER": "user", "PGDATABASE": "database",
    "PGPASSWORD": "password", "PGPASSFILE": "passfile", "PGSERVICE": "service", "PGSERVICEFILE": "servicefile",
    "PGSSLMODE": "sslmode", "PGSSLNEGOTIATION": "sslnegotiation", "PGSSLROOTCERT": "sslrootcert",
    "PGSSLCERT": "sslcert", "PGSSLKEY": "sslkey", "PGSSLCRL": "sslcrl", "PGSSLCRLDIR": "sslcrldir",
    "PGSSLSNI": "sslsni", "PGSSLCERTMODE": "sslcertmode", "PGSSLMINPROTOCOLVERSION": "ssl_min_protocol_version",
    "PGSSLMAXPROTOCOLVERSION": "ssl_max_protocol_version", "SSLKEYLOGFILE": "sslkeylogfile",
    "PGGSSENCMODE": "gssencmode", "PGREQUIREAUTH": "require_auth", "PGCHANNELBINDING": "channel_binding",
    "PGTARGETSESSIONATTRS": "target_session_attrs", "PGLOADBALANCEHOSTS": "load_balance_hosts",
    "PGCONNECT_TIMEOUT": "connect_timeout", "PGAPPNAME": "application_name", "PGOPTIONS": "options",
    "PGMINPROTOCOLVERSION": "min_protocol_version", "PGMAXPROTOCOLVERSION": "max_protocol_version",
    "PGKRBSRVNAME": "krbsrvname", "PGGSSLIB": "gsslib", "PGTZ": "timezone",
}  # fmt: skip


class Path:
    """What __fspath__ gives need not be a text, nor anything at all."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __fspath__(self) -> Any:
        return self.value


class Text(str):
    __slots__ = ()


texts = st.one_of(
    st.text(st.characters(), max_size=12),
    st.sampled_from(
        [
            "", " ", "\0", "a\0b", "\ud800", "\udcff", "a,b", ",", ",,", "/", "/tmp", "::1", "[::1]", "@a", "*", "%",
            "0", "1", "-1", "65536", "9" * 5000, "1e3", "0x10", "\u0661", "nan", "inf", "x" * 20_000, "x," * 5000,
            "disable", "require", "verify-full", "system", "none", "!none", "!", "3.2", "TLSv1.3", "C:\\x", "a'b\\c",
        ]
    ),
)  # fmt: skip
scalars = st.one_of(
    texts,
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.binary(max_size=8),
    st.sampled_from(
        [
            *(10**5000, -(10**5000), 2**31, 2**63, math.nan, math.inf, 1j, object(), ..., int, len, Text("x")),
            *(Path("a"), Path(b"a"), Path(None), Path("\0"), pathlib.Path("a"), range(3), bytearray(b"x")),
        ]
    ),
)
values = st.one_of(
    scalars,
    st.lists(scalars, max_size=3),
    st.tuples(scalars, scalars),
    st.dictionaries(texts | st.integers(), scalars, max_size=3),
    st.sets(st.integers(), max_size=2),
)


def resolve(dsn: str | None = None, *, variables: Mapping[str, str] | None = None, **more: Any) -> Settings:
    more = {"environment": variables or {}, "os_user": "me", "home": "/home/me", "platform": "linux", **more}
    try:
        return resolve_settings(dsn, **more)
    except ServiceFilesNeeded as needed:
        # As `find_settings` does it; there are no files.
        texts = {file.path: None for file in needed.request.files}
        return resolve_settings(dsn, **more, service_texts=texts)


def checked(name: str, origin: str, *arguments: Any, **keywords: Any) -> None:
    """It can be used, or the error says which parameter it is, and where it came from."""
    try:
        found = resolve(*arguments, **keywords)
    except ClientConfigurationError as error:
        text = f"{error}"
        assert re.search(rf"{name}|start-up", text), text
        assert re.search(f"{origin}|start-up|{name}", text), text
    else:
        assert found.addresses
        for pair in start_up_parameters(found):
            assert "\0" not in "".join(pair)
            "".join(pair).encode()
        repr(found)


#: As asyncpg calls them in its errors, or the one of a pair that is wrong.
ALIASES = {
    "ssl": "ssl", "direct_tls": "direct_tls|direct TLS", "database": "database", "dbname": "database",
    "service": "service", "servicefile": "service", "host": "host|IPv6|address|port", "port": "port",
    "passfile": "passfile", "sslmode": "sslmode|direct|channel_binding", "sslnegotiation": "sslnegotiation|direct TLS",
    "sslrootcert": "sslrootcert", "sslsni": "sslsni", "server_settings": "server.setting|client_encoding|parameter",
    "application_name": "application_name", "hostaddr": "hostaddr", "timezone": "timezone|server setting",
    "search_path": "search_path", "replication": "replication", "fallback_application_name": "application_name",
}  # fmt: skip


def named(name: str) -> str:
    return ALIASES.get(name, name)


@settings(max_examples=300, deadline=None)
@given(name=st.sampled_from([*KEYWORDS, *sorted(LIBPQ_WORDS)]), value=values)
def test_keywords(name: str, value: Any) -> None:
    checked(named(name), "keyword argument", **{name: value})


@settings(max_examples=100, deadline=None)
@given(value=values)
def test_connection_strings_that_are_none(value: Any) -> None:
    checked("DSN|dsn|invalid|host|port|database|user|password|sslmode|keyword", "", value)


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from(WORDS), value=texts)
def test_words(name: str, value: str) -> None:
    encoded = quote(value.encode("utf-8", "surrogatepass"), safe="")
    checked(f"{named(name)}|UTF-8", "the DSN", f"postgresql://h/?{name}={encoded}")
    quoted = value.replace("\\", "\\\\").replace("'", "\\'")
    checked(f"{named(name)}|UTF-8", "the DSN", f"host=h {name}='{quoted}'")
    line = f"[s]\n{name}={value}\n"
    if name not in ("service", "servicefile"):
        checked(f"{named(name)}|service", "service", service="s", servicefile="/f", service_texts={"/f": line})


@settings(max_examples=100, deadline=None)
@given(name=st.sampled_from(sorted(VARIABLES)), value=texts)
def test_variables(name: str, value: str) -> None:
    checked(f"{named(VARIABLES[name])}|{name}", name, variables={name: value})


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_several_at_once(data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from([*KEYWORDS, *sorted(LIBPQ_WORDS)]), max_size=5, unique=True))
    with contextlib.suppress(ClientConfigurationError):
        resolve(**{name: data.draw(values) for name in names})
