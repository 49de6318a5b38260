"""libpq's words beyond asyncpg's: from each place that may have them, and what they come to."""

import pathlib
from typing import Any

import pytest

from pgsansio.errors import ClientConfigurationError
from pgsansio.messages.startup import PROTOCOL_3_0, PROTOCOL_3_2
from pgsansio.policy.authentication_rules import ChannelBinding
from pgsansio.policy.conninfo import Settings, TcpAddress, UnixAddress
from pgsansio.policy.encryption_mode import SSLMode
from pgsansio.policy.libpq_words import LIBPQ_WORDS
from pgsansio.policy.tcp_options import SocketOption, TcpOptions, socket_options
from tests.policy.test_conninfo import resolve


def look(settings: Settings, word: str) -> object:
    """What became of a word."""
    tls = settings.tls
    return {
        "hostaddr": [getattr(address, "hostaddr", None) for address in settings.addresses],
        "connect_timeout": settings.attempt_timeout,
        "load_balance_hosts": settings.random_order,
        "application_name": settings.server_settings.get("application_name"),
        "fallback_application_name": settings.server_settings.get("application_name"),
        "options": settings.server_settings.get("options"),
        "client_encoding": settings.server_settings.get("client_encoding"),
        "keepalives": settings.tcp.keepalives,
        "keepalives_idle": settings.tcp.keepalives_idle,
        "keepalives_interval": settings.tcp.keepalives_interval,
        "keepalives_count": settings.tcp.keepalives_count,
        "tcp_user_timeout": settings.tcp.tcp_user_timeout,
        "gssencmode": "disable",
        "gssdelegation": settings.gssdelegation,
        "sslmode": tls.mode,
        "sslnegotiation": tls.direct,
        "sslcert": str(tls.certificate and tls.certificate.path),
        "sslkey": str(tls.key and tls.key.path),
        "sslpassword": tls.password.reveal(),
        "sslrootcert": str(tls.root and tls.root.path),
        "sslcrl": str(tls.crl and tls.crl.path),
        "sslcrldir": str(tls.crl_dir and tls.crl_dir.path),
        "sslcertmode": tls.certificate is None,
        "sslsni": tls.send_server_name,
        "sslkeylogfile": str(tls.key_log and tls.key_log.path),
        "ssl_min_protocol_version": tls.minimum_version,
        "ssl_max_protocol_version": tls.maximum_version,
        "min_protocol_version": settings.min_protocol_version,
        "max_protocol_version": settings.max_protocol_version,
        "require_auth": settings.authentication.require_auth,
        "channel_binding": settings.authentication.channel_binding,
        "requirepeer": settings.authentication.required_peer,
    }[word]


#: Word, its text, what it comes to, and its variable.
WORDS: list[tuple[str, str, object, str]] = [
    ("hostaddr", "10.0.0.1", ["10.0.0.1"], "PGHOSTADDR"),
    ("connect_timeout", "3", 3.0, "PGCONNECT_TIMEOUT"),
    ("load_balance_hosts", "random", True, "PGLOADBALANCEHOSTS"),
    ("load_balance_hosts", "disable", False, "PGLOADBALANCEHOSTS"),
    ("application_name", "n", "n", "PGAPPNAME"),
    ("fallback_application_name", "n", "n", ""),
    ("options", "-c a=b", "-c a=b", "PGOPTIONS"),
    ("client_encoding", "UTF8", None, ""),
    ("keepalives", "0", False, ""),
    ("keepalives", "1", True, ""),
    ("keepalives_idle", "5", 5, ""),
    ("keepalives_interval", "-5", 0, ""),
    ("keepalives_count", "+5", 5, ""),
    ("tcp_user_timeout", "500", 500, ""),
    ("gssencmode", "prefer", "disable", "PGGSSENCMODE"),
    ("gssdelegation", "1", True, "PGGSSDELEGATION"),
    ("sslmode", "allow", SSLMode.allow, "PGSSLMODE"),
    ("sslnegotiation", "postgres", False, "PGSSLNEGOTIATION"),
    ("sslcert", "/x", "/x", "PGSSLCERT"),
    ("sslkey", "/x", "/x", "PGSSLKEY"),
    ("sslpassword", "x", "x", ""),
    ("sslrootcert", "/x", "/x", "PGSSLROOTCERT"),
    ("sslcrl", "/x", "/x", "PGSSLCRL"),
    ("sslcrldir", "/x", "/x", "PGSSLCRLDIR"),
    ("sslcertmode", "disable", True, "PGSSLCERTMODE"),
    ("sslsni", "0", False, "PGSSLSNI"),
    ("sslkeylogfile", "/x", "/x", "SSLKEYLOGFILE"),
    ("ssl_min_protocol_version", "tlsv1.3", "TLSv1.3", "PGSSLMINPROTOCOLVERSION"),
    ("ssl_max_protocol_version", "TLSv1.2", "TLSv1.2", "PGSSLMAXPROTOCOLVERSION"),
    ("min_protocol_version", "3.2", PROTOCOL_3_2, "PGMINPROTOCOLVERSION"),
    ("max_protocol_version", "latest", PROTOCOL_3_2, "PGMAXPROTOCOLVERSION"),
    ("require_auth", "!none", "!none", "PGREQUIREAUTH"),
    ("channel_binding", "require", ChannelBinding.REQUIRE, "PGCHANNELBINDING"),
    ("requirepeer", "postgres", "postgres", "PGREQUIREPEER"),
]


def test_each_word_is_here() -> None:
    assert {word for word, *_ in WORDS} == LIBPQ_WORDS


@pytest.mark.parametrize(("word", "text", "expected", "variable"), WORDS)
def test_each_place(word: str, text: str, expected: object, variable: str) -> None:
    assert look(resolve(host="h", **{word: text}), word) == expected
    assert look(resolve(f"host=h {word}='{text}'"), word) == expected
    assert look(resolve(f"postgresql://h?{word}={text.replace('+', '%2B')}"), word) == expected
    texts = {"/home/me/.pg_service.conf": f"[s]\nhost=h\n{word}={text}\n"}
    assert look(resolve(service="s", service_texts=texts), word) == expected
    if variable:
        assert look(resolve(env={"PGHOST": "h", variable: text}), word) == expected
        # A keyword that is not given is no keyword.
        assert look(resolve(env={"PGHOST": "h", variable: text}, **{word: None}), word) == expected
        assert look(resolve(env={"PGHOST": "h", variable: text}, **{word: ""}), word) == expected


@pytest.mark.parametrize(("word", "text", "expected", "variable"), WORDS)
def test_the_stronger_place_wins(word: str, text: str, expected: object, variable: str) -> None:
    assert look(resolve(f"postgresql://h?{word}=%00", host="h", **{word: text}), word) == expected
    if variable:
        assert look(resolve(f"host=h {word}='{text}'", env={variable: "\0"}), word) == expected


def test_values_of_other_types() -> None:
    settings = resolve(host="h", keepalives=False, sslsni=False, keepalives_idle=7, sslcert=pathlib.PurePosixPath("/c"))
    assert (settings.tcp.keepalives, settings.tls.send_server_name) == (False, False)
    assert settings.tcp.keepalives_idle == 7
    assert settings.tls.certificate is not None
    assert settings.tls.certificate.path == "/c"


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"dsn": "load_balance_hosts=x"}, "is expected to be one of 'disable', 'random', got 'x' from the DSN"),
        ({"env": {"PGLOADBALANCEHOSTS": "x"}}, "got 'x' from the environment variable PGLOADBALANCEHOSTS"),
        (
            {"keepalives": "yes"},
            "keepalives in the keyword argument keepalives is expected to be an integer, got 'yes'",
        ),
        ({"keepalives_idle": []}, "keepalives_idle is expected to be a str, got list"),
        ({"keepalives_idle": 1.5}, "keepalives_idle in .* is expected to be an integer, in seconds, got '1.5'"),
        ({"dsn": "keepalives_interval=1s"}, "in the DSN is expected to be an integer, in seconds, got '1s'"),
        ({"dsn": "keepalives_count=\u0665"}, "in the DSN is expected to be an integer, got"),
        (
            {"tcp_user_timeout": 2**31},
            "tcp_user_timeout in .* is expected to be an integer, in milliseconds, got '2147",
        ),
        ({"tcp_user_timeout": "9" * 5000}, "tcp_user_timeout in .* is expected to be an integer"),
        (
            {"min_protocol_version": "3.1"},
            "one of '3.0', '3.2', 'latest', got '3.1' from the keyword argument min_proto",
        ),
        ({"env": {"PGMAXPROTOCOLVERSION": "4"}}, "max_protocol_version is expected .* variable PGMAXPROTOCOLVERSION"),
        (
            {"min_protocol_version": "3.2", "dsn": "max_protocol_version=3.0"},
            "min_protocol_version '3.2' from the keyword argument min_protocol_version is higher than "
            "max_protocol_version '3.0' from the DSN",
        ),
        (
            {"client_encoding": "latin1"},
            "expected to be 'UTF8', got 'latin1' from the keyword argument client_encoding",
        ),
        ({"gssencmode": "require"}, "gssencmode 'require' from the keyword argument gssencmode is not supported"),
        ({"application_name": "\0"}, "'application_name' in the keyword argument application_name has a NUL"),
        ({"hostaddr": "localhost"}, "hostaddr in the keyword argument hostaddr .* an IPv4 or IPv6 address, got 'local"),
        ({"hostaddr": "127.1"}, "hostaddr in .* is expected to be an IPv4 or IPv6 address"),
        ({"hostaddr": "::1,", "host": "a"}, "could not match 2 hostaddr values from .* hostaddr to 1 hosts"),
        ({"hostaddr": "::1,"}, "host in the keyword argument hostaddr has an empty name"),
        ({"hostaddr": 5}, "hostaddr is expected to be one value or a list, got int"),
        ({"hostaddr": [5]}, "hostaddr is expected to be a str or a list of str, got int"),
        ({"sslpassword": "S3CR3T\0"}, "sslpassword in the keyword argument sslpassword has a NUL character$"),
        ({"sslpassword": ["S3CR3T"]}, "sslpassword is expected to be a str, got list"),
    ],
)
def test_refused(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(ClientConfigurationError, match=message) as caught:
        resolve(**keywords)
    assert "S3CR3T" not in str(caught.value)


def test_no_such_keyword() -> None:
    with pytest.raises(TypeError, match=r"connect\(\) got an unexpected keyword argument 'sslcompression'"):
        resolve(sslcompression="0")


# hostaddr


@pytest.mark.parametrize(
    ("dsn", "keywords", "env", "expected"),
    [
        (None, {"hostaddr": "::1"}, {}, [("::1", "::1")]),
        (None, {"hostaddr": ["::1", "10.0.0.1"], "host": ["a", "b"]}, {}, [("a", "::1"), ("b", "10.0.0.1")]),
        ("host=a,b hostaddr=,10.0.0.1", {}, {}, [("a", None), ("b", "10.0.0.1")]),
        ("host=/tmp hostaddr=10.0.0.1", {}, {}, [("/tmp", "10.0.0.1")]),
        ("host=a", {"hostaddr": "::1"}, {}, [("a", "::1")]),
        ("hostaddr=::1", {}, {"PGHOST": "a"}, [("a", "::1")]),
        (None, {}, {"PGHOST": "a", "PGHOSTADDR": "fe80::1%eth0"}, [("a", "fe80::1%eth0")]),
        # The address is another host's.
        ("host=a", {}, {"PGHOSTADDR": "::1"}, [("a", None)]),
        ("host=a hostaddr=::1", {"host": "b"}, {}, [("b", None)]),
    ],
)
def test_hostaddr(dsn: str | None, keywords: dict[str, Any], env: dict[str, str], expected: object) -> None:
    addresses = resolve(dsn, env=env, **keywords).addresses
    assert [(address.host, address.hostaddr) for address in addresses if isinstance(address, TcpAddress)] == expected
    assert len(addresses) == len(expected)  # type: ignore[arg-type]
    assert all(address.passfile_host == address.host for address in addresses if isinstance(address, TcpAddress))


def test_a_socket_beside_an_address() -> None:
    addresses = resolve("host=/tmp,b hostaddr=,::1 port=1,2").addresses
    assert addresses == (UnixAddress("/tmp/.s.PGSQL.1", 1), TcpAddress("b", 2, "::1"))


# Settings of the server


@pytest.mark.parametrize(
    ("dsn", "keywords", "env", "expected"),
    [
        (None, {}, {"PGAPPNAME": "e", "PGOPTIONS": "-c a=b"}, {"application_name": "e", "options": "-c a=b"}),
        (
            None,
            {},
            {"PGTZ": "UTC", "PGDATESTYLE": "ISO, DMY", "PGGEQO": "off"},
            {"datestyle": "ISO, DMY", "timezone": "UTC", "geqo": "off"},
        ),
        (None, {}, {"PGTZ": "default", "PGDATESTYLE": "DEFAULT"}, {}),
        ("postgresql://?TimeZone=Asia/Tokyo", {}, {"PGTZ": "UTC"}, {"TimeZone": "Asia/Tokyo"}),
        (None, {"server_settings": {"TIMEZONE": "x"}}, {"PGTZ": "UTC"}, {"TIMEZONE": "x"}),
        ("application_name=d", {"application_name": "k"}, {"PGAPPNAME": "e"}, {"application_name": "k"}),
        (
            "application_name=d",
            {"application_name": "k", "server_settings": {"application_name": "s"}},
            {},
            {"application_name": "s"},
        ),
        (None, {"fallback_application_name": "f"}, {}, {"application_name": "f"}),
        (None, {"fallback_application_name": "f"}, {"PGAPPNAME": "e"}, {"application_name": "e"}),
        (
            None,
            {"fallback_application_name": "f", "server_settings": {"Application_Name": "s"}},
            {},
            {"Application_Name": "s"},
        ),
        (None, {"options": "-c a=k"}, {"PGOPTIONS": "-c a=e"}, {"options": "-c a=k"}),
        (None, {"client_encoding": "utf-8"}, {"PGCLIENTENCODING": "latin1"}, {}),
    ],
)
def test_server_settings(
    dsn: str | None, keywords: dict[str, Any], env: dict[str, str], expected: dict[str, str]
) -> None:
    assert resolve(dsn, env=env, **keywords).server_settings == expected


# The versions of the protocol


def test_a_lower_limit_asks_for_what_it_demands() -> None:
    settings = resolve()
    assert (settings.min_protocol_version, settings.max_protocol_version) == (PROTOCOL_3_0, PROTOCOL_3_0)
    settings = resolve(min_protocol_version="3.2")
    assert (settings.min_protocol_version, settings.max_protocol_version) == (PROTOCOL_3_2, PROTOCOL_3_2)
    settings = resolve(max_protocol_version="3.2")
    assert (settings.min_protocol_version, settings.max_protocol_version) == (PROTOCOL_3_0, PROTOCOL_3_2)


# Sockets


NODELAY = SocketOption("nodelay", "IPPROTO_TCP", ("TCP_NODELAY",), 1)


def test_socket_options() -> None:
    assert socket_options(TcpOptions()) == [NODELAY, SocketOption("keepalives", "SOL_SOCKET", ("SO_KEEPALIVE",), 1)]
    assert socket_options(TcpOptions(keepalives=False, keepalives_idle=1)) == [NODELAY]
    assert socket_options(TcpOptions(True, 1, 2, 3, 4)) == [
        NODELAY,
        SocketOption("keepalives", "SOL_SOCKET", ("SO_KEEPALIVE",), 1),
        SocketOption("keepalives_idle", "IPPROTO_TCP", ("TCP_KEEPIDLE", "TCP_KEEPALIVE"), 1),
        SocketOption("keepalives_interval", "IPPROTO_TCP", ("TCP_KEEPINTVL",), 2),
        SocketOption("keepalives_count", "IPPROTO_TCP", ("TCP_KEEPCNT",), 3),
        SocketOption("tcp_user_timeout", "IPPROTO_TCP", ("TCP_USER_TIMEOUT",), 4),
    ]
