"""What connection strings, keyword arguments and variables come to."""

import os
import pathlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from asyncpg import connect_utils
from hypothesis import assume, given
from hypothesis import strategies as st

from pgsansio.enums import StatementMode
from pgsansio.errors import ClientConfigurationError
from pgsansio.policy.conninfo import (
    SessionAttribute,
    Settings,
    TcpAddress,
    UnixAddress,
    parse_dsn,
    redact_dsn,
    resolve_settings,
    start_up_parameters,
)
from pgsansio.types.secret import Secret


def resolve(dsn: str | None = None, *, env: dict[str, str] | None = None, **keywords: Any) -> Settings:
    process: dict[str, Any] = {"os_user": "me", "home": "/home/me", "platform": "linux"}
    return resolve_settings(dsn, environment=env or {}, **(process | keywords))


def tcp(*pairs: tuple[str, int]) -> tuple[TcpAddress, ...]:
    return tuple(TcpAddress(host, port) for host, port in pairs)


# Texts


@pytest.mark.checklist("DSN-1", "DSN-2", "DSN-3", "DSN-4", "DSN-5")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("postgresql://", {}),
        ("postgres://", {}),
        ("POSTGRES://h", {"host": "h"}),
        ("postgresql://u@h/db", {"user": "u", "host": "h", "dbname": "db"}),
        ("postgresql://u:p@h:1/db", {"user": "u", "password": "p", "host": "h", "port": "1", "dbname": "db"}),
        ("postgresql://u%40:p%3A%2F@h/a%20b", {"user": "u@", "password": "p:/", "host": "h", "dbname": "a b"}),
        ("postgresql://:p@h", {"password": "p", "host": "h"}),
        ("postgresql://u:@h", {"user": "u", "host": "h"}),
        ("postgresql://u:a#b@h", {"user": "u", "password": "a#b", "host": "h"}),
        ("postgresql://u:50%@h", {"user": "u", "password": "50%", "host": "h"}),
        ("postgresql://a:1,b,c:3/", {"host": "a,b,c", "port": "1,,3"}),
        ("postgresql://a,b", {"host": "a,b"}),
        ("postgresql://[::1]:5,[fe80::1%25eth0],c", {"host": "::1,fe80::1%eth0,c", "port": "5,,"}),
        ("postgresql://%2Ftmp:7/db", {"host": "/tmp", "port": "7", "dbname": "db"}),
        ("postgresql://:7/db", {"port": "7", "dbname": "db"}),
        ("postgresql:///db?host=/tmp", {"dbname": "db", "host": "/tmp"}),
        ("postgresql:///a/b", {"dbname": "a/b"}),
        ("postgresql://h?user=a@b", {"host": "h", "user": "a@b"}),
        ("postgresql://h?a=1&a=2&b=", {"host": "h", "a": "2"}),
        ("postgresql://h?application_name=a+b%2Bc", {"host": "h", "application_name": "a b+c"}),
        ("postgresql://h?a=1;b=2", {"host": "h", "a": "1;b=2"}),
        ("postgresql://h?database=x", {"host": "h", "dbname": "x"}),
        ("postgresql://h?database=x&dbname=y", {"host": "h", "dbname": "y"}),
        ("postgresql://h/z?database=x&dbname=y&user=v", {"host": "h", "dbname": "z", "user": "v"}),
        ("postgresql://u@h:1/db?host=x&port=2&user=v", {"user": "u", "host": "h", "port": "1", "dbname": "db"}),
        ("postgresql://h?port=2", {"host": "h", "port": "2"}),
        ("postgresql://?host=a:3,b:4", {"host": "a,b", "port": "3,4"}),
        ("postgresql://?host=::1", {"host": "::1"}),
        ("postgresql://?host=[::1]:6", {"host": "::1", "port": "6"}),
        ("postgresql://?host=a,b&port=7,8", {"host": "a,b", "port": "7,8"}),
        ("postgresql://:9?host=a", {"host": "a", "port": "9"}),
        ("", {}),
        (" \n", {}),
        ("host=h port = 5 user\n=\tu", {"host": "h", "port": "5", "user": "u"}),
        ("  dbname='a b' ", {"dbname": "a b"}),
        (r"dbname='it\'s' password=a\ b\\c", {"dbname": "it's", "password": "a b\\c"}),
        ("user=u\\", {"user": "u"}),
        (r"user=u\'v", {"user": "u'v"}),
        ("user=u'v", {"user": "u'v"}),
        ("user='' dbname=d host=", {"dbname": "d"}),
        ("host= user=u", {"host": "user=u"}),  # so does libpq
        ("user='a'dbname=b", {"user": "a", "dbname": "b"}),
        ("user=a user=b", {"user": "b"}),
        ("database=d", {"dbname": "d"}),
        ("host=a,b port=1,2", {"host": "a,b", "port": "1,2"}),
        ("password=postgresql://x", {"password": "postgresql://x"}),
    ],
)
def test_parse_dsn(text: str, words: dict[str, str]) -> None:
    assert parse_dsn(text) == words


@pytest.mark.checklist("DSN-1", "DSN-3", "DSN-5")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("http://h", 'invalid DSN: scheme is expected to be either "postgresql" or "postgres", got \'http\''),
        ("HTTP://h?a=b", "got 'http'"),
        ("localhost", "got ''"),
        ("/tmp/db", "got ''"),
        ("postgresql:db", "got 'postgresql'"),
        ("postgresql://[::1/db", "invalid IPv6 address in the connection URI: '\\[::1'"),
        ("postgresql://[::1]x", "invalid IPv6 address in the connection URI"),
        ("postgresql://[]", "invalid IPv6 address in the connection URI"),
        ("postgresql://h?a", "query parameter #1 is expected to be name=value"),
        ("postgresql://h?a=1&", "query parameter #2"),
        ("postgresql://%ff@h", "user is not UTF-8 after percent-decoding"),
        ("postgresql://h?a=%ff", "a is not UTF-8 after percent-decoding"),
        ("postgresql://h?%ff=a", "query parameter name is not UTF-8"),
        ("postgresql://\ud800", "cannot be encoded as UTF-8"),
        ("user=a b", "word #2 is expected to be keyword=value"),
        ("user='a", "word #1 is expected to be keyword=value"),
        ("user='a\\'", "word #1 is expected to be keyword=value"),
        ("user=a =b", "word #2 is expected to be keyword=value"),
    ],
)
def test_parse_dsn_refuses(text: str, message: str) -> None:
    with pytest.raises(ClientConfigurationError, match=message):
        parse_dsn(text)


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("postgresql://u:p@h/db", "postgresql://u:***@h/db"),
        ("postgresql://u@h:5/db", "postgresql://u@h:5/db"),
        ("postgresql://h/db?password=p&x=1&%70assword=q", "postgresql://h/db?password=***&x=1&%70assword=***"),
        ("postgresql://u:a@b/c?d@h/db?x=1", "postgresql://u:***@h/db?x=1"),
        ("http://u:p@h", "http://u:***@h"),
        ("u:p@h", "u:***@h"),
        ("host=h password=p user=u", "host=h password=*** user=u"),
        (r"password = 'a \' b' sslpassword=c\ d x=y", "password = *** sslpassword=*** x=y"),
        ("host= password=p", "host= ***"),
        ("user=u password='p", "user=u ***"),
        ("password='p", " ***"),
        ("user=u password p", "user=u ***"),
        ("", ""),
    ],
)
def test_redact_dsn(text: str, redacted: str) -> None:
    assert redact_dsn(text) == redacted


@pytest.mark.parametrize(
    "text",
    [
        "user password=S3CR3T",
        "postgres:///db?port=5433u host5db password=S3CR3T",
        "postgres:///db port=1 password = S3CR3T",
        "x?y password=S3CR3T",
    ],
)
def test_redact_dsn_hides_passwords_of_what_is_no_dsn(text: str) -> None:
    assert "S3CR3T" not in redact_dsn(text)


@pytest.mark.parametrize(
    "dsn",
    [
        "connect_timeout= password=S3CR3T",
        "sslmode= password=S3CR3T",
        "client_encoding= password=S3CR3T",
        "postgresql:///db?target_session_attrs=standby password=S3CR3T",
        "user=\0 password=S3CR3T",
        "user= password=S3CR3T\0",
    ],
)
def test_errors_do_not_show_a_password_that_slipped_into_another_word(dsn: str) -> None:
    with pytest.raises(ClientConfigurationError) as raised:
        resolve(dsn)
    assert "S3CR3T" not in str(raised.value)


@given(st.text())
def test_any_text_is_a_connection_string_or_an_error(text: str) -> None:
    redact_dsn(text)
    for dsn in (text, f"postgresql://{text}", f"user={text}"):
        redact_dsn(dsn)
        try:
            resolve(dsn)
        except ClientConfigurationError:
            pass


@given(
    st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from(["", "@", "/", ":", "?", "'", "\\", " ", "="])
)
def test_passwords_are_read_back_and_redacted(noise: str, mark: str) -> None:
    password = f"{noise}{mark}S3CR3T"
    uri = f"postgresql://u:{quote(password, safe='')}@h/db"
    words = "password='" + password.replace("\\", "\\\\").replace("'", "\\'") + "' user=u"
    queried = f"postgresql://u@h/db?password={quote(password, safe='')}"
    for dsn in (uri, words, queried):
        assert parse_dsn(dsn)["password"] == password
        assert "S3CR3T" not in redact_dsn(dsn)
    assert "S3CR3T" not in redact_dsn(f"postgresql://u:{password}@h/db")  # not encoded, as it should have been


# Hosts and ports


@pytest.mark.checklist("HOST-1", "HOST-3", "DSN-7")
@pytest.mark.parametrize(
    ("dsn", "keywords", "env", "expected"),
    [
        ("postgresql://a:1,b/db", {}, {}, tcp(("a", 1), ("b", 5432))),
        ("postgresql://a:1,b/db", {}, {"PGHOST": "x", "PGPORT": "9"}, tcp(("a", 1), ("b", 5432))),
        ("postgresql://a,b/db", {"port": 5}, {}, tcp(("a", 5), ("b", 5))),
        ("postgresql://a:1,b:2/db", {"port": [5, 6]}, {}, tcp(("a", 5), ("b", 6))),
        ("postgresql://a:1/db", {"host": "c"}, {}, tcp(("c", 1))),
        ("postgresql://a,b/db", {}, {"PGPORT": "5,6"}, tcp(("a", 5), ("b", 6))),
        ("postgresql:///db", {}, {"PGHOST": "x,y", "PGPORT": "7"}, tcp(("x", 7), ("y", 7))),
        ("postgresql://:8/db", {}, {"PGHOST": "x"}, tcp(("x", 8))),
        ("host=a,b port=1,", {}, {}, tcp(("a", 1), ("b", 5432))),
        (None, {"host": "a"}, {"PGHOST": "x", "PGPORT": "9"}, tcp(("a", 9))),
        (None, {"host": "a,b", "port": "1,2"}, {}, tcp(("a", 1), ("b", 2))),
        (None, {"host": ["a", "b"], "port": 3}, {}, tcp(("a", 3), ("b", 3))),
        (None, {"host": ("a", "b"), "port": ("3", 4)}, {}, tcp(("a", 3), ("b", 4))),
        (None, {"host": "::1", "port": "65535"}, {}, tcp(("::1", 65535))),
        (None, {"host": "a", "port": 0}, {}, tcp(("a", 5432))),
        (None, {"host": "", "port": ""}, {"PGHOST": "x"}, tcp(("x", 5432))),
        (None, {"host": "/tmp", "port": 6}, {}, (UnixAddress("/tmp/.s.PGSQL.6", 6),)),
        (None, {"host": "/tmp/"}, {}, (UnixAddress("/tmp/.s.PGSQL.5432", 5432),)),
        (None, {"host": "/x/.s.PGSQL.99"}, {}, (UnixAddress("/x/.s.PGSQL.99", 5432),)),
        (None, {"host": ["/a,b", "c"]}, {}, (UnixAddress("/a,b/.s.PGSQL.5432", 5432), TcpAddress("c", 5432))),
        ("postgresql://%2Fa%2Cb:7/", {}, {}, (UnixAddress("/a,b/.s.PGSQL.7", 7),)),
    ],
)
def test_addresses(dsn: str | None, keywords: dict[str, Any], env: dict[str, str], expected: object) -> None:
    assert resolve(dsn, env=env, **keywords).addresses == expected


@pytest.mark.checklist("HOST-2")
def test_default_addresses() -> None:
    assert resolve(port=7).addresses == (
        UnixAddress("/run/postgresql/.s.PGSQL.7", 7),
        UnixAddress("/var/run/postgresql/.s.PGSQL.7", 7),
        UnixAddress("/tmp/.s.PGSQL.7", 7),
        UnixAddress("/private/tmp/.s.PGSQL.7", 7),
        TcpAddress("localhost", 7),
    )
    assert resolve(platform="win32").addresses == tcp(("localhost", 5432))
    assert {address.passfile_host for address in resolve().addresses} == {"localhost"}
    assert TcpAddress("h", 1).passfile_host == "h"


@pytest.mark.checklist("HOST-3")
@pytest.mark.parametrize(
    ("dsn", "keywords", "env", "message"),
    [
        (None, {"host": "a", "port": [1, 2]}, {}, "could not match 2 port numbers to 1 hosts"),
        (None, {"host": "a,b,c"}, {"PGPORT": "1,2"}, "could not match 2 port numbers to 3 hosts"),
        (None, {"port": [1, 2]}, {}, "could not match 2 port numbers to 5 hosts"),
        (None, {"port": "x"}, {}, "port in the keyword argument port is expected to be .* 1 to 65535, got 'x'"),
        (None, {"port": 65536}, {}, "from 1 to 65535, got 65536"),
        (None, {"port": -1}, {}, "from 1 to 65535, got -1"),
        (None, {"port": True}, {}, "from 1 to 65535, got True"),
        (None, {"port": [None]}, {}, "from 1 to 65535, got None"),
        (None, {"port": 5.5}, {}, "port is expected to be one value or a list, got float"),
        (None, {"port": "\u0665"}, {}, "from 1 to 65535"),
        (None, {"port": "9" * 5000}, {}, "from 1 to 65535"),
        (None, {}, {"PGPORT": "5_4"}, "port in the environment variable PGPORT is expected .* got '5_4'"),
        ("postgresql://u:secret/x@h", {}, {}, "port in the DSN is expected to be an integer from 1 to 65535$"),
        (None, {"host": "a,,b"}, {}, "host in the keyword argument host has an empty name"),
        ("postgresql://a,,b", {}, {}, "host in the DSN has an empty name"),
        (None, {}, {"PGHOST": "a,"}, "host in the environment variable PGHOST has an empty name"),
        (None, {"host": ["a", 5]}, {}, "host is expected to be a str or a list of str, got int"),
        (None, {"host": {"a"}}, {}, "host is expected to be one value or a list, got set"),
        (None, {"host": "a\0b"}, {}, "host in the keyword argument host has a NUL character"),
    ],
)
def test_impossible_addresses(dsn: str | None, keywords: dict[str, Any], env: dict[str, str], message: str) -> None:
    with pytest.raises(ClientConfigurationError, match=message):
        resolve(dsn, env=env, **keywords)


# User, database, password


@pytest.mark.checklist("CON-1", "CON-2", "DSN-4")
@pytest.mark.parametrize(
    ("dsn", "keywords", "env", "user", "database"),
    [
        (None, {}, {}, "me", "me"),
        (None, {}, {"PGUSER": "e", "PGDATABASE": "f"}, "e", "f"),
        (None, {}, {"PGUSER": "e"}, "e", "e"),
        ("postgresql://u@h/d", {}, {"PGUSER": "e", "PGDATABASE": "f"}, "u", "d"),
        ("postgresql://u@h/d", {"user": "k", "database": "l"}, {"PGUSER": "e"}, "k", "l"),
        ("postgresql://u@h/", {}, {"PGDATABASE": "f"}, "u", "f"),
        ("user=u dbname=d", {}, {}, "u", "d"),
        ("user=u database=d", {}, {}, "u", "d"),
        (None, {"user": "", "database": ""}, {"PGUSER": ""}, "me", "me"),
    ],
)
def test_user_and_database(
    dsn: str | None, keywords: dict[str, Any], env: dict[str, str], user: str, database: str
) -> None:
    settings = resolve(dsn, env=env, **keywords)
    assert (settings.user, settings.database) == (user, database)


@pytest.mark.checklist("CON-1")
def test_no_user_at_all() -> None:
    with pytest.raises(ClientConfigurationError, match="could not determine user name to connect with"):
        resolve(os_user=None)
    assert resolve(os_user=None, user="u").user == "u"


@pytest.mark.checklist("CON-3", "CON-4")
def test_password_and_its_file() -> None:
    def ask() -> str:
        return "asked"

    env = {"PGPASSWORD": "env", "PGPASSFILE": "/env"}
    dsn = "postgresql://:dsn@h"

    def both(settings: Settings) -> tuple[object, str | None]:
        return settings.password and settings.password.reveal(), settings.passfile

    assert both(resolve(dsn, env=env, password="keyword")) == ("keyword", None)
    assert both(resolve(dsn, env=env, password="")) == ("", None)
    assert both(resolve(dsn, env=env, password=ask)) == (ask, None)
    assert both(resolve(dsn, env=env, passfile="/keyword")) == ("dsn", None)
    assert both(resolve(env=env)) == ("env", None)
    del env["PGPASSWORD"]
    assert both(resolve(env=env)) == (None, "/env")
    assert both(resolve("postgresql://?passfile=/dsn", env=env)) == (None, "/dsn")
    assert both(resolve("passfile=/dsn", env=env, passfile="/keyword")) == (None, "/keyword")
    assert both(resolve(passfile=pathlib.PurePosixPath("/keyword"))) == (None, "/keyword")
    assert both(resolve()) == (None, "/home/me/.pgpass")
    assert both(resolve(home=None)) == (None, None)
    assert both(resolve(platform="win32")) == (None, None)
    assert both(resolve(platform="win32", env={"APPDATA": "C:\\x"})) == (None, "C:\\x\\postgresql\\pgpass.conf")


@pytest.mark.parametrize("wrong", [5, b"secret", ["x"]])
def test_impossible_passwords(wrong: object) -> None:
    with pytest.raises(ClientConfigurationError, match="password is expected to be a str or a callable") as caught:
        resolve(password=wrong)
    assert "secret" not in str(caught.value)


def test_the_password_is_never_shown() -> None:
    assert "secret" not in repr(resolve(password="secret"))
    for keywords in ({"password": "secret\0"}, {"env": {"PGPASSWORD": "secret\ud800"}}):
        with pytest.raises(ClientConfigurationError, match="password in the ") as caught:
            resolve(**keywords)  # type: ignore[arg-type]
        assert "secret" not in str(caught.value)


# The start-up packet


@pytest.mark.checklist("CON-9", "CON-13", "DSN-6")
def test_start_up_parameters() -> None:
    settings = resolve(
        "postgresql://u@h/d?application_name=a&search_path=s&options=-c%20geqo=off",
        server_settings={"search_path": "t", "jit": "off"},
        env={"PGCLIENTENCODING": "LATIN1"},
    )
    assert start_up_parameters(settings) == (
        ("user", "u"),
        ("database", "d"),
        ("client_encoding", "UTF8"),
        ("application_name", "a"),
        ("search_path", "t"),
        ("options", "-c geqo=off"),
        ("jit", "off"),
    )
    assert start_up_parameters(resolve()) == (("user", "me"), ("database", "me"), ("client_encoding", "UTF8"))


@pytest.mark.parametrize(
    ("dsn", "expected"),
    [
        ("postgresql://?fallback_application_name=f", {"application_name": "f"}),
        ("fallback_application_name=f application_name=a", {"application_name": "a"}),
        (
            "application_name=a options='-c x=y' replication=database",
            {"application_name": "a", "options": "-c x=y", "replication": "database"},
        ),
        ("client_encoding=utf-8", {}),
        ("postgresql://?Client_Encoding=UNICODE", {}),
        ("sslmode=disable sslrootcert=x sslcert=y sslkey=z krbsrvname=k gsslib=sspi target_session_attrs=any", {}),
    ],
)
def test_server_settings_of_connection_strings(dsn: str, expected: dict[str, str]) -> None:
    assert resolve(dsn).server_settings == expected


@pytest.mark.checklist("CON-9")
@pytest.mark.parametrize("wrong", [5, "a=b", [("a", "b")], {"a": 1}, {1: "a"}, {"a": None}])
def test_server_settings_are_texts(wrong: object) -> None:
    with pytest.raises(ClientConfigurationError, match=r"server_settings is expected to be None or a Dict\[str, str\]"):
        resolve(server_settings=wrong)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"user": "u\0x"}, "user in the keyword argument user has a NUL character: 'u\\\\x00x'"),
        ({"dsn": "postgresql:///a%00b"}, "database in the DSN has a NUL character"),
        ({"env": {"PGUSER": "a\ud800"}}, "user in the environment variable PGUSER cannot be encoded as UTF-8"),
        (
            {"server_settings": {"jit": "x\0user\0a"}},
            "server setting 'jit' in the keyword argument server_settings has a",
        ),
        ({"server_settings": {"a\0b": "x"}}, "the name of a server setting in .* has a NUL"),
        ({"dsn": "postgresql://?a=%00"}, "server setting 'a' in the DSN has a NUL"),
        ({"server_settings": {"": "x"}}, "name of a server setting in the keyword argument server_settings is empty"),
        ({"server_settings": {"user": "x"}}, "user cannot be a server setting"),
        ({"server_settings": {"database": "x"}}, "database cannot be a server setting"),
        ({"server_settings": {"client_encoding": "latin1"}}, "is expected to be 'UTF8', got 'latin1' from the keyword"),
        ({"server_settings": {"a": "x" * 10000}}, "take 10[0-9]+ bytes at start-up; the server accepts at most 10000"),
        ({"user": 5}, "user is expected to be a str, got int"),
        ({"database": b"x"}, "database is expected to be a str, got bytes"),
        ({"dsn": 5}, "dsn is expected to be a str, got int"),
        ({"dsn": "foo=bar"}, "the DSN has an unknown keyword: 'foo'"),
        ({"dsn": "scram_client_key=x"}, "scram_client_key from the DSN is not supported by this version: leave it out"),
        ({"dsn": "requiressl=1"}, "requiressl from the DSN is not .* version: the only values are '0'"),
        ({"dsn": "gssdelegation=2"}, "gssdelegation is expected to be one of '0', '1', got '2' from the DSN"),
        ({"service": 5}, "service is expected to be a str, got int"),
        ({"servicefile": 5}, "servicefile is expected to be a str, got int"),
        ({"passfile": b"x"}, "passfile is expected to be a str, got bytes"),
    ],
)
def test_refused(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(ClientConfigurationError, match=message):
        resolve(**keywords)


def test_a_start_up_packet_of_exactly_the_limit_is_accepted() -> None:
    empty = sum(len(name) + len(value) + 2 for name, value in start_up_parameters(resolve())) + 5
    assert resolve(server_settings={"a": "x" * (10000 - empty - 3)})
    with pytest.raises(ClientConfigurationError, match="take 10001 bytes"):
        resolve(server_settings={"a": "x" * (10000 - empty - 2)})


def test_words_that_ask_for_nothing_unusual_are_accepted() -> None:
    settings = resolve("channel_binding=prefer gssencmode=disable keepalives=1 load_balance_hosts=disable sslsni=1")
    assert settings.server_settings == {}


# The rest


@pytest.mark.checklist("HOST-6")
def test_target_session_attrs() -> None:
    assert resolve().target_session_attrs is SessionAttribute.any
    env = {"PGTARGETSESSIONATTRS": "standby"}
    assert resolve(env=env).target_session_attrs is SessionAttribute.standby
    assert resolve("target_session_attrs=primary", env=env).target_session_attrs is SessionAttribute.primary
    assert resolve(target_session_attrs="read-write", env=env).target_session_attrs is SessionAttribute.read_write
    attribute = SessionAttribute.prefer_standby
    assert resolve(target_session_attrs=attribute).target_session_attrs is attribute
    with pytest.raises(
        ClientConfigurationError,
        match="target_session_attrs is expected to be one of 'any', 'primary', 'standby', 'prefer-standby', "
        "'read-write', 'read-only', got 'x' from the environment variable PGTARGETSESSIONATTRS",
    ):
        resolve(env={"PGTARGETSESSIONATTRS": "x"})


def test_statement_mode() -> None:
    cached = StatementMode.CACHED
    assert resolve().statement_mode is None
    for mode in StatementMode:
        assert resolve(statement_mode=mode).statement_mode is resolve(statement_mode=mode.value).statement_mode is mode
    message = (
        "statement_mode is expected to be one of 'cached', 'unnamed', 'simple', "
        "got 'named' from the keyword argument statement_mode"
    )
    with pytest.raises(ClientConfigurationError, match=message):
        resolve(statement_mode="named")
    with pytest.raises(ClientConfigurationError, match="got '' from the keyword"):
        resolve(statement_mode="")
    with pytest.raises(ClientConfigurationError, match="statement_mode is expected to be a str, got int"):
        resolve(statement_mode=1)
    # Connections for replication have no other protocol.
    for word in ("database", "true", "on", "1", "yes"):
        assert resolve("postgresql://?replication=" + word).statement_mode is StatementMode.SIMPLE
        assert resolve(server_settings={"replication": word}).statement_mode is StatementMode.SIMPLE
        assert resolve(statement_mode="cached", server_settings={"replication": word}).statement_mode is cached
    for word in ("false", "OFF", "no", "0", "f"):
        assert resolve("postgresql://?replication=" + word).statement_mode is None
    # A keyword only: in a URI it is a setting of the server, as every other word that nobody knows.
    assert resolve("postgresql://?statement_mode=simple").statement_mode is None


@pytest.mark.checklist("AUTH-4")
def test_gss_words() -> None:
    assert (resolve().krbsrvname, resolve().gsslib) == ("postgres", "gssapi")
    assert resolve(platform="win32").gsslib == "sspi"
    settings = resolve("krbsrvname=k gsslib=sspi", env={"PGKRBSRVNAME": "e", "PGGSSLIB": "gssapi"})
    assert (settings.krbsrvname, settings.gsslib) == ("k", "sspi")
    assert not resolve("gssdelegation=0", env={"PGGSSDELEGATION": "1"}).gssdelegation
    assert resolve("gssdelegation=1").gssdelegation
    with pytest.raises(ClientConfigurationError, match="gsslib parameter must be either 'gssapi' or 'sspi', got 'x'"):
        resolve(gsslib="x")


@pytest.mark.checklist("CON-6")
@pytest.mark.parametrize(
    ("dsn", "keywords", "env", "together", "each"),
    [
        (None, {}, {}, 60.0, None),
        (None, {"timeout": 5}, {}, 5.0, None),
        (None, {"timeout": None}, {}, None, None),
        ("connect_timeout=7", {}, {"PGCONNECT_TIMEOUT": "8"}, None, 7.0),
        (None, {}, {"PGCONNECT_TIMEOUT": "8"}, None, 8.0),
        (None, {"connect_timeout": 0.5}, {"PGCONNECT_TIMEOUT": "8"}, None, 0.5),
        (None, {"connect_timeout": " 2 ", "timeout": 3}, {}, 3.0, 2.0),
        ("postgresql://?connect_timeout=7", {"timeout": 5}, {}, 5.0, 7.0),
        ("connect_timeout=0", {}, {}, None, None),
        ("connect_timeout=-1", {"timeout": 5}, {}, 5.0, None),
    ],
)
def test_connect_timeout(
    dsn: str | None, keywords: dict[str, Any], env: dict[str, str], together: float | None, each: float | None
) -> None:
    settings = resolve(dsn, env=env, **keywords)
    assert (settings.connect_timeout, settings.attempt_timeout) == (together, each)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"timeout": "5"}, "timeout is expected to be a number of seconds or None, got '5'"),
        ({"timeout": True}, "timeout is expected to be a number"),
        ({"timeout": float("nan")}, "timeout is expected to be a number"),
        ({"dsn": "connect_timeout=x"}, "connect_timeout in the DSN is expected to be a number of seconds, got 'x'"),
        ({"dsn": "connect_timeout=--1"}, "connect_timeout in the DSN is expected to be a number of seconds"),
        ({"dsn": f"connect_timeout={'9' * 5000}"}, "connect_timeout in the DSN is expected to be a number of seconds"),
    ],
)
def test_impossible_timeouts(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(ClientConfigurationError, match=message):
        resolve(**keywords)


@pytest.mark.checklist("CON-7")
@pytest.mark.parametrize("wrong", [0, -1, True, "x", [], float("nan")])
def test_impossible_command_timeouts(wrong: object) -> None:
    with pytest.raises(ValueError, match="invalid command_timeout value: expected greater than 0 float"):
        resolve(command_timeout=wrong)


@pytest.mark.checklist("CON-7")
def test_command_timeout() -> None:
    assert resolve().command_timeout is None
    assert resolve(command_timeout=3).command_timeout == 3.0
    assert resolve(command_timeout="3.5").command_timeout == 3.5


@pytest.mark.checklist("CON-8")
@pytest.mark.parametrize(
    "name", ["statement_cache_size", "max_cached_statement_lifetime", "max_cacheable_statement_size"]
)
@pytest.mark.parametrize("wrong", [None, True, -1, "5", float("nan")])
def test_impossible_limits(name: str, wrong: object) -> None:
    with pytest.raises(ValueError, match=f"{name} is expected to be greater or equal to 0, got {wrong!r}"):
        resolve(**{name: wrong})


@pytest.mark.checklist("CON-8")
def test_limits() -> None:
    settings = resolve(statement_cache_size=0, max_cached_statement_lifetime=1.5)
    assert (settings.statement_cache_size, settings.max_cached_statement_lifetime) == (0, 1.5)
    assert settings.max_cacheable_statement_size == 15360
    assert hash(settings) == hash(resolve(statement_cache_size=0, max_cached_statement_lifetime=1.5))


# Beside asyncpg


@pytest.fixture(scope="module", autouse=True)
def _no_variables() -> Iterator[None]:
    """asyncpg reads the environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("PG"):
                patch.delenv(name)
        yield


NAMES = st.text(st.sampled_from("abz09_-. é%@:/+"), min_size=1)
HOSTS = st.lists(
    st.tuples(st.sampled_from(["a", "b.c", "::1", "/tmp", "10.0.0.1"]), st.none() | st.integers(1, 65535)), max_size=3
)


@pytest.mark.checklist("DSN-2", "DSN-3", "DSN-4", "DSN-6")
@given(
    st.none() | NAMES, st.none() | NAMES, HOSTS, NAMES, st.dictionaries(st.sampled_from(["jit", "x.y", "geqo"]), NAMES)
)
def test_uris_mean_what_they_mean_to_asyncpg(
    user: str | None,
    password: str | None,
    hosts: list[tuple[str, int | None]],
    database: str,
    options: dict[str, str],
) -> None:
    userinfo = ""
    if user is not None:
        userinfo = quote(user, safe="") + ("" if password is None else f":{quote(password, safe='')}") + "@"
    hostspec = ",".join(
        (f"[{name}]" if name == "::1" else quote(name, safe="")) + ("" if port is None else f":{port}")
        for name, port in hosts
    )
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in options.items())
    dsn = f"postgresql://{userinfo}{hostspec}/{quote(database, safe='')}?{query}"
    others: Any = dict.fromkeys(
        [
            *("host", "port", "password", "database", "direct_tls", "server_settings"),
            *("target_session_attrs", "krbsrvname", "gsslib", "service", "servicefile"),
        ]
    )
    keyword_user = None if user else "me"
    try:
        urlsplit(dsn)
    except ValueError:
        # Newer releases of Python refuse several hosts with a bracketed one among them, and asyncpg with them.
        assume(False)
    addresses, expected = connect_utils._parse_connect_dsn_and_args(
        dsn=dsn, user=keyword_user, ssl=False, passfile="/nonexistent", **others
    )
    settings = resolve(dsn, user=keyword_user, ssl=False)
    assert [
        address.path if isinstance(address, UnixAddress) else (address.host, address.port)
        for address in settings.addresses
    ] == addresses
    assert (settings.user, settings.database) == (expected.user, expected.database)
    assert settings.password == (None if expected.password is None else Secret(expected.password))
    assert settings.server_settings == (expected.server_settings or {})
