"""Settings that are kept for the next connection: the same as decided anew, and without any secret."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest

from pgsansio.client import run
from pgsansio.client.parameters import Process, find_settings
from pgsansio.errors import ClientConfigurationError
from pgsansio.policy.conninfo import UNSET, Settings, resolve_settings
from pgsansio.policy.known_settings import KnownSettings
from pgsansio.types.secret import Secret, SecretFunction, hide_arguments

HERE: dict[str, Any] = {"environment": {"PGPORT": "5433"}, "os_user": "me", "home": "/home/me", "platform": "linux"}
SECRET = "s3cr%t"


def decided(arguments: Mapping[str, Any]) -> Settings:
    return resolve_settings(**arguments, **HERE)


def known(*before: dict[str, Any]) -> KnownSettings:
    found = KnownSettings()
    for arguments in before:
        found.keep(hide_arguments(arguments), decided(arguments))
    return found


def secrets_in(value: object) -> bool:
    """Whether any text in it, however deep, has the secret."""
    if isinstance(value, Secret):
        return secrets_in(value.reveal())  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]
    if isinstance(value, str):
        return SECRET in value or SECRET.replace("%", "%25") in value
    if isinstance(value, Mapping):
        return secrets_in([*value.items()])  # pyright: ignore[reportUnknownArgumentType]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return any(secrets_in(getattr(value, field.name)) for field in dataclasses.fields(value))
    if isinstance(value, list | tuple):
        return any(map(secrets_in, value))  # pyright: ignore[reportUnknownArgumentType]
    return callable(value) and not isinstance(value, type)


ALIKE: list[dict[str, Any]] = [
    {},
    {"dsn": None},
    {"dsn": "postgresql://u@h/d", "host": None, "timeout": UNSET},
    {"dsn": "postgres://h1:1,h2:2/d?application_name=a&target_session_attrs=standby"},
    {"dsn": "host=h user=u dbname=d sslmode=require"},
    {"host": "/run/sockets", "port": 5999, "user": "ü", "ssl": True, "timeout": 0.5, "statement_mode": "unnamed"},
    {"server_settings": {"jit": "off", "application_name": "a"}, "keepalives": True, "connect_timeout": 3},
]
WITH_PASSWORD: list[dict[str, Any]] = [
    {"dsn": "postgresql://u:s3cr%25t@h/d", "timeout": None},
    {"dsn": "postgres://:s3cr%25t@[::1]:1/d?sslmode=disable"},
    {"dsn": "postgresql://u:a:s3cr%25t@h"},
    {"dsn": "postgresql://u@h/d", "password": SECRET},
    {"host": "h", "password": SECRET},
    {"host": "h", "password": ""},
]


@pytest.mark.parametrize("arguments", ALIKE + WITH_PASSWORD, ids=str)
def test_what_is_known_is_what_would_be_decided(arguments: dict[str, Any]) -> None:
    kept = known(arguments)
    assert kept.find(hide_arguments(arguments)) == decided(arguments)
    assert not secrets_in(list(kept._settings.items()))
    assert kept.find(hide_arguments({**arguments, "user": "another"})) is None


@pytest.mark.parametrize("arguments", ALIKE, ids=str)
def test_one_object_serves_all(arguments: dict[str, Any]) -> None:
    kept = known(arguments)
    assert kept.find(hide_arguments(arguments)) is kept.find(hide_arguments(arguments))


@pytest.mark.parametrize("arguments", WITH_PASSWORD[:3], ids=str)
def test_the_password_is_the_one_of_now(arguments: dict[str, Any]) -> None:
    later = {"dsn": arguments["dsn"].replace("s3cr%25t", "x%C3%BC")}
    found = known({"dsn": arguments["dsn"]}).find(hide_arguments(later))
    assert found == decided(later)
    assert found is not None
    assert found.password == Secret("a:xü" if "a:" in arguments["dsn"] else "xü")


def test_a_function_is_the_one_of_now() -> None:
    def password() -> str:
        return SECRET

    found = known({"host": "h", "password": "x"}).find(hide_arguments({"host": "h", "password": password}))
    assert found == decided({"host": "h", "password": SecretFunction(password)})


@pytest.mark.parametrize(
    "arguments",
    [
        {"dsn": f"host=h password={SECRET}"},
        {"dsn": f"postgresql://h/d?password={SECRET.replace('%', '%25')}"},
        {"dsn": "postgresql://u:s3cr%25t@h/d?password=other"},
        {"dsn": "postgresql://u:s3cr%25t@h/d?sslpassword=other"},
        {"dsn": "postgresql://u:s3cr%25t@h/d?%70assword=other"},
        {"dsn": "postgresql://u:s3cr%25t@x@h/d"},
        {"dsn": "postgresql://u:s3cr%25t@h", "password": "x"},
        {"host": "h", "oauth_token": SECRET},
        {"host": "h", "sslpassword": SECRET},
        {"host": ["h"]},
        {"server_settings": dict.fromkeys("a", type("Text", (str,), {})("b"))},
        {"passfile": type("Path", (), {"__fspath__": lambda _: "/x", "__repr__": lambda _: "a path"})()},
        {"ssl": type("Context", (), {"wrap_bio": None, "__repr__": lambda _: "a context"})()},
    ],
    ids=str,
)
def test_what_is_not_kept(arguments: dict[str, Any]) -> None:
    kept = known(arguments)
    assert kept.find(hide_arguments(arguments)) is None
    assert not kept._settings


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ({"ssl": True, "host": "h"}, {"ssl": 1, "host": "h"}),
        ({"statement_cache_size": 1}, {"statement_cache_size": True}),
        ({"keepalives": 0}, {"keepalives": False}),
        ({"timeout": UNSET}, {"timeout": None}),
        ({"user": "x"}, {"database": "x"}),
        ({"dsn": "postgresql://u:p@h"}, {"dsn": "postgresql://u@h"}),
        ({"dsn": "postgresql://u:p@h"}, {"dsn": "postgresql://u@h", "password": "p"}),
        ({"dsn": "postgresql://u:1@h"}, {"dsn": "postgresql://u:1/x@h"}),
        ({"dsn": "postgresql://u:1@h"}, {"dsn": "postgresql://u:%00@h"}),
        ({"server_settings": {"a": "b", "c": "d"}}, {"server_settings": {"c": "d", "a": "b"}}),
        ({"dsn": "x=1"}, {"dsn": b"x=1"}),
    ],
    ids=str,
)
def test_what_only_looks_the_same(before: dict[str, Any], now: dict[str, Any]) -> None:
    try:
        kept = known(before)
    except ClientConfigurationError:
        kept = known()
    assert kept.find(hide_arguments(now)) is None


def test_a_dict_may_change() -> None:
    settings = {"jit": "off"}
    kept = known({"server_settings": settings})
    settings["jit"] = "on"
    assert kept.find({"server_settings": settings}) is None
    found = kept.find({"server_settings": {"jit": "off"}})
    assert found is not None
    assert found.server_settings == {"jit": "off"}
    with pytest.raises(TypeError):
        found.server_settings["jit"] = "on"  # type: ignore[index]


def test_a_password_that_is_none_is_refused_all_the_same() -> None:
    kept = known({"host": "h", "password": "x"})
    with pytest.raises(ClientConfigurationError, match="password is expected to be a str or a callable, got int"):
        kept.find(hide_arguments({"host": "h", "password": 1}))


def test_the_oldest_goes() -> None:
    kept = known(*[{"host": f"h{number}"} for number in range(65)])
    assert kept.find({"host": "h0"}) is None
    assert kept.find({"host": "h1"}) is not None


def test_connecting_again_finds_it(tmp_path: Any) -> None:
    def finding(process: Process) -> Settings:
        class Port:
            def clock(self) -> float:
                return 0.0

        return run(find_settings(Port(), process, hide_arguments({"dsn": "postgresql://h/d"})))  # type: ignore[arg-type]

    process = Process({}, "me", None, "linux")
    assert finding(process) is finding(process)
    assert finding(process) is not finding(Process({}, "me", None, "linux"))
