"""What decides about a connection besides arguments: files, and functions of the user's."""

import inspect
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any

import pytest

from pgsansio.client import run
from pgsansio.client.parameters import Process, find_settings
from pgsansio.errors import ClientConfigurationError
from pgsansio.policy.conninfo import Settings, TcpAddress
from pgsansio.types.secret import Secret, hide_arguments, hide_source

USERS = "/home/me/.pg_service.conf"
SYSTEMS = "/etc/pg/pg_service.conf"


class Port:
    """Reads files out of a dict, and calls functions, in no time."""

    def __init__(self, files: dict[str, str]) -> None:
        self.files = files
        self.read: list[str] = []

    async def read_file(self, path: str, *, private: bool = False) -> str | None:
        assert not private
        self.read.append(path)
        return self.files.get(path)

    def clock(self) -> float:
        return 0.0

    def deadline(self, at: float | None) -> AbstractAsyncContextManager[None]:
        return nullcontext()

    async def call_user(self, function: Callable[..., Any]) -> Any:
        result = function()
        return await result if inspect.isawaitable(result) else result


def settings(port: Port, *arguments: Any, env: dict[str, str] | None = None, **keywords: Any) -> Settings:
    process = Process(environment=env or {}, os_user="me", home="/home/me", platform="linux")
    given: dict[str, Any] = {"dsn": None, "host": None, "user": None, "password": None, "service": None, **keywords}
    hidden = hide_arguments(given), *map(hide_source, arguments)
    found = run(find_settings(port, process, *hidden))  # type: ignore[arg-type]
    assert isinstance(found, Settings)
    return found


def test_no_file_is_read_that_nobody_asks_for() -> None:
    port = Port({})
    assert settings(port, dsn="postgresql://h", env={"PGSERVICEFILE": "/x", "PGSYSCONFDIR": "/etc/pg"}).user == "me"
    assert port.read == []


@pytest.mark.parametrize(
    ("keywords", "env"),
    [
        ({"service": "s"}, {}),
        ({"dsn": "service=s"}, {}),
        ({"dsn": "postgresql://?service=s"}, {}),
        ({}, {"PGSERVICE": "s"}),
    ],
)
def test_files_of_services(keywords: dict[str, Any], env: dict[str, str]) -> None:
    port = Port({SYSTEMS: "[s]\nhost=h\nuser=u\n"})
    found = settings(port, env={"PGSYSCONFDIR": "/etc/pg", **env}, **keywords)
    assert (found.addresses, found.user) == ((TcpAddress("h", 5432),), "u")
    assert port.read == [USERS, SYSTEMS]
    with pytest.raises(ClientConfigurationError, match=r"definition of service 's' from .* not found"):
        settings(Port({}), env=env, **keywords)


@pytest.mark.parametrize("is_async", [False, True])
def test_arguments_from_a_function(is_async: bool) -> None:
    def plainly() -> dict[str, Any]:
        return {"user": "given", "service": "s", "application_name": "a"}

    async def awaited() -> dict[str, Any]:
        return plainly()

    port = Port({USERS: "[s]\nhost=h\nuser=file\npassword=p\n"})
    found = settings(port, awaited if is_async else plainly, user="replaced", host="kept")
    assert (found.user, found.password, found.addresses) == ("given", Secret("p"), (TcpAddress("kept", 5432),))
    assert found.server_settings == {"application_name": "a"}


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ([("user", "u")], "connect_parameters is expected to return a dict of connect\\(\\)'s arguments, got list"),
        ("user=S3CR3T", "expected to return a dict of .*, got str"),
        ({"record_class": dict}, "connect_parameters returned 'record_class', which is none of the arguments that say"),
        ({"environment": {}}, "connect_parameters returned 'environment'"),
        ({5: "x"}, "connect_parameters returned 5"),
    ],
)
def test_what_a_function_may_not_return(returned: Any, message: str) -> None:
    with pytest.raises(ClientConfigurationError, match=message) as caught:
        settings(Port({}), lambda: returned)
    assert "S3CR3T" not in str(caught.value)


def test_what_a_function_raises_is_raised() -> None:
    def fail() -> dict[str, Any]:
        raise LookupError("no credentials")

    with pytest.raises(LookupError, match="no credentials"):
        settings(Port({}), fail)
