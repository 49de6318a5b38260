"""Services: where they are looked for, and what their files say."""

import pathlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgsansio.errors import ClientConfigurationError
from pgsansio.policy.conninfo import Settings, TcpAddress, UnixAddress, resolve_settings
from pgsansio.policy.servicefile import ServiceFile, ServiceFilesNeeded, ServiceRequest
from pgsansio.types.secret import Secret

USERS = "/home/me/.pg_service.conf"
SYSTEMS = "/etc/pg/pg_service.conf"


def request(dsn: str | None = None, *, env: dict[str, str] | None = None, **keywords: Any) -> ServiceRequest | None:
    process: dict[str, Any] = {"os_user": "me", "home": "/home/me", "platform": "linux"}
    try:
        resolve_settings(dsn, environment=env or {}, **(process | keywords))
    except ServiceFilesNeeded as error:
        return error.request
    return None


def resolve(
    texts: dict[str, str | None], dsn: str | None = None, *, env: dict[str, str] | None = None, **keywords: Any
) -> Settings:
    process: dict[str, Any] = {"os_user": "me", "home": "/home/me", "platform": "linux"}
    return resolve_settings(dsn, environment=env or {}, service_texts=texts, **(process | keywords))


def of(text: str, **keywords: Any) -> Settings:
    """Settings of the service "s" of the user's file."""
    return resolve({USERS: text}, service="s", **keywords)


@pytest.mark.checklist("CON-5")
@pytest.mark.parametrize(
    ("dsn", "env", "keywords", "name", "paths"),
    [
        (None, {}, {"service": "k"}, "k", [USERS]),
        ("service=d", {"PGSERVICE": "e"}, {"service": "k"}, "k", [USERS]),
        ("service=d", {"PGSERVICE": "e"}, {}, "d", [USERS]),
        ("postgresql://h?service=d", {}, {}, "d", [USERS]),
        (None, {"PGSERVICE": "e"}, {}, "e", [USERS]),
        (None, {"PGSERVICE": "e", "PGSERVICEFILE": "/e"}, {}, "e", ["/e"]),
        ("servicefile=/d", {"PGSERVICE": "e", "PGSERVICEFILE": "/e"}, {}, "e", ["/d"]),
        ("servicefile=/d", {"PGSERVICE": "e"}, {"servicefile": pathlib.PurePosixPath("/k")}, "e", ["/k"]),
        (None, {"PGSERVICE": "e", "PGSYSCONFDIR": "/etc/pg"}, {}, "e", [USERS, SYSTEMS]),
        (None, {"PGSERVICE": "e", "PGSYSCONFDIR": "/etc/pg"}, {"servicefile": "/k"}, "e", ["/k", SYSTEMS]),
        (None, {"PGSERVICE": "e"}, {"home": None}, "e", []),
        (None, {"PGSERVICE": "e"}, {"platform": "win32"}, "e", []),
        (None, {"PGSERVICE": "e", "APPDATA": "C:"}, {"platform": "win32"}, "e", ["C:\\postgresql\\.pg_service.conf"]),
    ],
)
def test_where_a_service_is_looked_for(
    dsn: str | None, env: dict[str, str], keywords: dict[str, Any], name: str, paths: list[str]
) -> None:
    found = request(dsn, env=env, **keywords)
    assert found is not None
    assert found.name.value == name
    assert [file.path for file in found.files] == paths


def test_nobody_asks_for_a_service() -> None:
    assert request("servicefile=/d", env={"PGSERVICEFILE": "/e", "PGSERVICE": ""}, servicefile="/k") is None
    assert request(service="s", servicefile="/k") == ServiceRequest(
        request(service="s").name,  # type: ignore[union-attr]
        (ServiceFile("/k", "the keyword argument servicefile"),),
    )


@pytest.mark.checklist("CON-5")
def test_what_a_service_may_say() -> None:
    settings = of(
        "\ufeff# mine\r\n[other]\nhost=no\n[s]\n; and\n\n host = a,b \nport=1,2\nuser=u\npassword= p=[q] \ndbname=d\n"
        "sslmode=disable\nkrbsrvname=k\ngsslib=sspi\ntarget_session_attrs=standby\nconnect_timeout=3\n"
        "application_name=n\noptions=-c geqo=off\nHOSTADDR=127.0.0.1,::1\nuser=second\nhost=\n[s]\nuser=third\n"
    )
    assert settings.addresses == (TcpAddress("a", 1, "127.0.0.1"), TcpAddress("b", 2, "::1"))
    assert (settings.user, settings.password, settings.database) == ("u", Secret("p=[q]"), "d")
    assert (settings.krbsrvname, settings.gsslib, settings.attempt_timeout) == ("k", "sspi", 3.0)
    assert settings.target_session_attrs.value == "standby"
    assert settings.server_settings == {"application_name": "n", "options": "-c geqo=off"}
    assert of("[s]\ndatabase=d\npassfile=/p").passfile == "/p"
    assert of("[s]\nhost=/x").addresses == (UnixAddress("/x/.s.PGSQL.5432", 5432),)
    assert of("[s]").user == "me"


@pytest.mark.checklist("CON-5")
def test_what_is_stronger_than_a_service_and_what_is_weaker() -> None:
    text = "[s]\nhost=file\nport=1\nuser=file\npassword=file\ndbname=file\napplication_name=file\nsslmode=disable\n"
    env = {f"PG{name}": "env" for name in ("HOST", "PORT", "USER", "PASSWORD", "DATABASE", "APPNAME", "SSLMODE")}
    settings = of(text, env=env)
    assert settings.addresses == (TcpAddress("file", 1),)
    assert (settings.user, settings.password, settings.database) == ("file", Secret("file"), "file")
    assert settings.server_settings == {"application_name": "file"}
    settings = of(text, dsn="postgresql://dsn@dsn/dsn?application_name=dsn&password=dsn")
    assert settings.addresses == (TcpAddress("dsn", 1),)
    assert (settings.user, settings.password, settings.database) == ("dsn", Secret("dsn"), "dsn")
    assert settings.server_settings == {"application_name": "dsn"}
    settings = of(text, user="keyword", application_name="keyword")
    assert (settings.user, settings.server_settings["application_name"]) == ("keyword", "keyword")


def test_the_system_file_is_looked_into_when_the_users_does_not_know_the_service() -> None:
    env = {"PGSYSCONFDIR": "/etc/pg"}
    for users in (None, "", "[t]\nuser=t"):
        assert resolve({USERS: users, SYSTEMS: "[s]\nuser=system"}, env=env, service="s").user == "system"
    assert resolve({USERS: "[s]\nuser=mine", SYSTEMS: "[s]\nuser=system"}, env=env, service="s").user == "mine"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "definition of service 's' from the keyword argument service not found; looked into '/home/me/.pg_serv"),
        ("user=x\n[S]\n[s", "line 3: it is expected to be a section's name in brackets"),
        ("user=x\n[S]", "definition of service 's' from the keyword argument service not found"),
        ("[s]\n\nS3CR3T", "service 's' of '/home/me/.pg_service.conf', line 3: it is expected to be keyword=value"),
        ("[s]\n=S3CR3T", "line 2: it is expected to be keyword=value"),
        ("[s]\nldap://S3CR3T", "line 2: it is expected to be keyword=value"),
        ("[s]\nservice=t", r"line 2: a service cannot name another one \(service\)"),
        ("[s]\nservicefile=t", r"line 2: a service cannot name another one \(servicefile\)"),
        ("[s]\njit=off", "service 's' of '/home/me/.pg_service.conf' has an unknown keyword: 'jit'"),
        ("[s]\noauth_scope=x", "oauth_scope from service 's' of '/home/me/.pg_service.conf' is not supported"),
        ("[s]\nport=x", "port in service 's' of '/home/me/.pg_service.conf' is expected to be .*, got 'x'"),
        ("[s]\nsslmode=x", "got 'x' from service 's' of '/home/me/.pg_service.conf'"),
        ("[s]\nuser=\udcff", "user in service 's' of '/home/me/.pg_service.conf' cannot be encoded as UTF-8"),
        ("[s]\nuser=\0", "user in service 's' of '/home/me/.pg_service.conf' has a NUL character"),
    ],
)
def test_refused(text: str | None, message: str) -> None:
    with pytest.raises(ClientConfigurationError, match=message) as caught:
        resolve({USERS: text}, service="s")
    assert "S3CR3T" not in str(caught.value)


@pytest.mark.parametrize(
    ("dsn", "env", "keywords", "origin"),
    [
        (None, {}, {"servicefile": "/x"}, "the keyword argument servicefile"),
        ("servicefile=/x", {}, {}, "the DSN"),
        (None, {"PGSERVICEFILE": "/x"}, {}, "the environment variable PGSERVICEFILE"),
    ],
)
def test_a_file_that_was_named_has_to_be_there(
    dsn: str | None, env: dict[str, str], keywords: dict[str, Any], origin: str
) -> None:
    with pytest.raises(
        ClientConfigurationError, match=f"servicefile '/x' from {origin} does not exist or cannot be read"
    ):
        resolve({"/x": None}, dsn, env=env, service="s", **keywords)


def test_no_file_to_look_into() -> None:
    with pytest.raises(ClientConfigurationError, match="looked into no file: there is no home directory"):
        resolve({}, service="s", home=None)
    with pytest.raises(ClientConfigurationError, match="service in the keyword argument service has a NUL"):
        resolve({}, service="\0")


@given(st.text(st.sampled_from("[s]=#;\n\r\\ hostpu,1\0")))
def test_any_text_is_a_service_file_or_an_error(text: str) -> None:
    for whole in (text, f"[s]\n{text}"):
        try:
            of(whole)
        except ClientConfigurationError:
            pass
