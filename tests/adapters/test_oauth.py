"""OAuth on a real server: PostgreSQL 18 with a module of ours that checks the tokens."""

import importlib
import os
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from tests.support.certificates import HOST, Certificates
from tests.support.oauth_validator import ValidatorError, build_validator
from tests.support.servers import Server, fetch, running_server

pytestmark = [pytest.mark.anyio, pytest.mark.server]

ISSUER = "https://issuer.example"
#: Whose tokens are asked for; the superuser has a password.
USER = "token_user"


@pytest.fixture(scope="module")
def oauth_postgres(server_programs: str, certificates: Certificates) -> Iterator[Server]:
    try:
        # Not `server_programs`: that may be a copy, without headers, for an account that is not root.
        wanted = os.environ.get("PGSANSIO_TEST_POSTGRES", "")
        validator = build_validator(str(fetch(int(wanted))) if wanted.isdigit() else wanted or server_programs)
    except ValidatorError as error:
        pytest.skip(f"no module that checks tokens: {error}")
    certificate, key = certificates.server
    method = f'oauth issuer="{ISSUER}" scope="openid db"'
    with running_server(
        server_programs,
        server_settings={
            "ssl": "on",
            "ssl_cert_file": "../server.crt",
            "ssl_key_file": "../server.key",
            # with a slash it is the name of a file, seen from the data folder
            "oauth_validator_libraries": "../validator.so",
        },
        hba=(f"local all {USER} {method}", f"host all {USER} all {method}"),
        files={"server.crt": certificate, "server.key": key, "validator.so": validator},
    ) as server:
        yield server


@pytest.fixture
def module(anyio_backend_name: str) -> ModuleType:
    return importlib.import_module(f"pgsansio_{anyio_backend_name}")


@pytest.fixture
async def settings(module: ModuleType, oauth_postgres: Server) -> dict[str, Any]:
    """How that user comes to that server, without the token."""
    server = oauth_postgres
    async with module.connect(server.dsn) as connection:
        if not await connection.fetchval("SELECT count(*) FROM pg_roles WHERE rolname = $1", USER):
            await connection.execute(f"CREATE ROLE {USER} LOGIN")
    return {"host": server.socket_dir, "port": server.port, "user": USER, "database": server.database, "password": "x"}


async def _token() -> str:
    return f"token-of-{USER}"


@pytest.mark.parametrize("source", [f"token-of-{USER}", lambda: f"token-of-{USER}", _token])
@pytest.mark.parametrize("encrypted", [False, True])
async def test_a_token(module: ModuleType, settings: dict[str, Any], source: Any, encrypted: bool) -> None:
    if encrypted:
        settings |= {"host": HOST, "ssl": "require"}
    async with module.connect(**settings, oauth_token=source, require_auth="oauth") as connection:
        assert await connection.fetchval("SELECT current_user") == USER
        assert await connection.fetchval("SELECT system_user") == f"oauth:{USER}"


@pytest.mark.parametrize("token", ["another", "token-of-somebody"])
async def test_a_token_of_somebody_else(module: ModuleType, settings: dict[str, Any], token: str) -> None:
    with pytest.raises(module.InvalidAuthorizationSpecificationError, match="OAuth bearer") as caught:
        async with module.connect(**settings, oauth_token=token):
            pass
    assert token not in str(caught.value)
    if token == "another":
        assert caught.value.__notes__ == [
            "the server says of the OAuth token: status 'invalid_token', scope 'openid db', "
            f"openid-configuration '{ISSUER}/.well-known/openid-configuration'"
        ]


async def test_tokens_that_are_kept_back(module: ModuleType, settings: dict[str, Any]) -> None:
    for change, match in (
        ({"host": HOST, "ssl": "disable"}, "not encrypted"),
        ({"oauth_token": None}, "there is no oauth_token"),
        ({"require_auth": "scram-sha-256"}, "is not met: the server asked for an OAuth token"),
        ({"channel_binding": "require"}, "channel binding is required"),
    ):
        arguments = {"oauth_token": "another", **settings, **change}
        with pytest.raises(module.InterfaceError, match=match):
            async with module.connect(**arguments):
                pass
