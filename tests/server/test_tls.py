"""Encrypted connections to a real server, on asyncpg and on ours: what is shown, checked, refused, and tried next."""

import os
import re
import shutil
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from pgsansio.messages.authentication import AuthenticationKerberosV5, AuthenticationOk
from pgsansio.messages.backend import ErrorResponse
from tests.support import peers
from tests.support.certificates import HOST, KEY_PASSWORD, Certificates
from tests.support.clients import RUNS_PG_SLEEP, Client, encrypted_client, until
from tests.support.peers import peer
from tests.support.servers import Server

pytestmark = [pytest.mark.anyio, pytest.mark.server]

ENCRYPTED = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
VERSION = "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


@pytest.fixture
async def client(
    request: pytest.FixtureRequest, anyio_backend_name: str, tls_postgres: Server
) -> AsyncIterator[Client]:
    """Of the server with TLS, over TCP unless a test says otherwise."""
    async with encrypted_client(request.param, anyio_backend_name, tls_postgres) as client:
        yield client


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of one's own: ~/.postgresql is looked into. Returns that folder, which is there."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSLKEYLOGFILE", raising=False)
    folder = tmp_path / ".postgresql"
    folder.mkdir()
    return folder


def dsn(**words: str) -> str:
    return "postgresql://?" + "&".join(f"{name}={value.replace(' ', '%20')}" for name, value in words.items())


async def answer(client: Client, query: str = ENCRYPTED, *, host: str = HOST, **settings: Any) -> Any:
    async with client.connect(host=host, **settings) as connection:
        return await connection.fetchval(query)


def has_direct_tls(client: Client) -> bool:
    return client.server.version >= 17


# Modes


@pytest.mark.checklist("TLS-1", "TLS-2")
@pytest.mark.parametrize(
    ("mode", "encrypted"),
    [(None, True), (False, False), ("disable", False), ("allow", False), ("prefer", True), ("require", True)],
)
async def test_modes(client: Client, mode: object, encrypted: bool) -> None:
    assert await answer(client, ssl=mode) is encrypted


@pytest.mark.checklist("TLS-1", "TLS-2")
@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
async def test_a_verified_server(client: Client, certificates: Certificates, mode: str) -> None:
    assert await answer(client, dsn=dsn(sslmode=mode, sslrootcert=certificates["ca.crt"])) is True


@pytest.mark.checklist("TLS-2")
async def test_only_verify_full_looks_at_the_name(client: Client, certificates: Certificates) -> None:
    root = certificates["ca.crt"]
    assert await answer(client, host="127.0.0.1", dsn=dsn(sslmode="verify-ca", sslrootcert=root)) is True
    with pytest.raises(ssl.SSLCertVerificationError, match=r"127\.0\.0\.1"):
        await answer(client, host="127.0.0.1", dsn=dsn(sslmode="verify-full", sslrootcert=root))


@pytest.mark.checklist("TLS-2")
@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
async def test_a_server_of_another_authority(client: Client, certificates: Certificates, mode: str) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        await answer(client, dsn=dsn(sslmode=mode, sslrootcert=certificates["other-ca.crt"]))


@pytest.mark.checklist("TLS-1")
async def test_true_is_verify_full_with_the_authorities_of_the_machine(
    client: Client, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        await answer(client, ssl=True)
    monkeypatch.setenv("SSL_CERT_FILE", certificates["ca.crt"])
    assert await answer(client, ssl=True) is True
    with pytest.raises(ssl.SSLCertVerificationError):
        await answer(client, ssl=True, host="127.0.0.1")


@pytest.mark.differs(
    asyncpg="ignores sslrootcert where ssl=True is given",
    ours="ssl=True trusts the authorities of sslrootcert, where it is given, instead of the machine's.",
)
async def test_true_with_authorities(client: Client, certificates: Certificates) -> None:
    assert await answer(client, ssl=True, dsn=dsn(sslrootcert=certificates["ca.crt"])) is True


@pytest.mark.differs(
    asyncpg="takes 'system' for the name of a file",
    ours="sslrootcert=system trusts the machine's authorities, and means verify-full, as libpq's.",
)
async def test_the_authorities_of_the_machine(
    client: Client, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        await answer(client, dsn=dsn(sslrootcert="system"))
    monkeypatch.setenv("SSL_CERT_FILE", certificates["ca.crt"])
    assert await answer(client, dsn=dsn(sslrootcert="system")) is True
    with pytest.raises(ssl.SSLCertVerificationError):
        await answer(client, dsn=dsn(sslrootcert="system"), host="127.0.0.1")


@pytest.mark.checklist("TLS-1")
async def test_a_context_of_ones_own(client: Client, certificates: Certificates) -> None:
    context = ssl.create_default_context(cafile=certificates["ca.crt"])
    assert await answer(client, ssl=context) is True
    with pytest.raises(ssl.SSLCertVerificationError):
        await answer(client, ssl=context, host="127.0.0.1")


@pytest.mark.checklist("TLS-1")
async def test_a_mode_that_is_none(client: Client) -> None:
    with pytest.raises(
        client.ClientConfigurationError,
        match="`sslmode` parameter must be one of: disable, allow, prefer, require, verify-ca, verify-full",
    ):
        await answer(client, ssl="bogus")


@pytest.mark.checklist("TLS-1")
async def test_the_environment_may_ask(
    client: Client, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    monkeypatch.setenv("PGSSLROOTCERT", certificates["ca.crt"])
    assert await answer(client) is True
    monkeypatch.setenv("PGSSLROOTCERT", certificates["other-ca.crt"])
    with pytest.raises(ssl.SSLCertVerificationError):
        await answer(client)


# The other way


@pytest.mark.checklist("TLS-3")
@pytest.mark.parametrize(
    ("mode", "user", "encrypted"),
    [
        ("allow", "tls_user", True),
        ("prefer", "tls_user", True),
        ("allow", "plain_user", False),
        ("prefer", "plain_user", False),
    ],
)
async def test_the_way_that_is_let_in(client: Client, mode: str, user: str, encrypted: bool) -> None:
    assert await answer(client, ssl=mode, user=user) is encrypted


@pytest.mark.checklist("TLS-3")
@pytest.mark.parametrize(("mode", "user"), [("require", "plain_user"), ("disable", "tls_user"), ("prefer", "nobody")])
async def test_no_way_is_let_in(client: Client, mode: str, user: str) -> None:
    with pytest.raises(client.InvalidAuthorizationSpecificationError):
        await answer(client, ssl=mode, user=user)


@pytest.mark.checklist("TLS-3")
async def test_a_wrong_password_is_not_hidden_by_the_rejection_of_plain_text(client: Client) -> None:
    with pytest.raises(client.InvalidPasswordError):
        await answer(client, ssl="prefer", user="tls_user", password="wrong")


@pytest.mark.checklist("TLS-3")
async def test_the_first_error_is_told_of(client: Client) -> None:
    with pytest.raises(client.InvalidAuthorizationSpecificationError) as caught:
        await answer(client, ssl="prefer", user="nobody", host="127.0.0.1")
    cause = caught.value.__cause__
    first = cause.exceptions[0] if isinstance(cause, BaseExceptionGroup) else cause
    assert isinstance(first, client.InvalidAuthorizationSpecificationError)
    assert first is not caught.value


@pytest.mark.checklist("TLS-4")
@pytest.mark.parametrize("mode", ["require", "verify-full"])
async def test_a_server_without_tls(client: Client, postgres: Server, certificates: Certificates, mode: str) -> None:
    with pytest.raises(ConnectionError, match=r'PostgreSQL server at "127\.0\.0\.1:[0-9]+" rejected SSL upgrade'):
        await answer(
            client, dsn=dsn(sslmode=mode, sslrootcert=certificates["ca.crt"]), host="127.0.0.1", port=postgres.port
        )


@pytest.mark.checklist("TLS-4")
async def test_a_server_without_tls_will_do_where_it_is_only_preferred(client: Client, postgres: Server) -> None:
    settings = {"port": postgres.port, "user": postgres.user, "password": postgres.password}
    assert await answer(client, ssl="prefer", host="127.0.0.1", **settings) is False


@pytest.mark.checklist("TLS-2")
async def test_a_server_without_tls_will_do_where_it_is_allowed(client: Client, postgres: Server) -> None:
    settings = {"port": postgres.port, "user": postgres.user, "password": postgres.password}
    assert await answer(client, ssl="allow", host="127.0.0.1", **settings) is False


async def one_attempt(client: Client, expected: Any, behave: Callable[[socket.socket], None], **settings: Any) -> Any:
    """What is raised by connecting to a server that does this, which is tried once."""
    connections: list[socket.socket] = []

    def counted(connected: socket.socket) -> None:
        connections.append(connected)
        behave(connected)

    async with peer(counted) as port:
        with pytest.raises(expected) as caught:
            await answer(client, host="127.0.0.1", port=port, **settings)
    assert len(connections) == 1
    return caught.value


@pytest.mark.checklist("TLS-4")
@pytest.mark.parametrize("mode", ["prefer", "require"])
async def test_an_error_instead_of_an_answer_is_nobodys_word(client: Client, mode: str) -> None:
    error = ErrorResponse({"S": "FATAL", "C": "28000", "M": "send your money"}).encode()
    raised = await one_attempt(client, ConnectionError, peers.answer(error), ssl=mode)
    assert not isinstance(raised, client.PostgresError)
    assert "money" not in str(raised)


@pytest.mark.checklist("TLS-3")
@pytest.mark.parametrize(("mode", "direct"), [("prefer", False), ("require", False), ("require", True)])
@pytest.mark.parametrize("said", [b"", b"S"])
async def test_no_other_way_after_a_time_out(client: Client, mode: str, direct: bool, said: bytes) -> None:
    behave = peers.until_closed if direct else peers.then(peers.answer(said), peers.until_closed)
    await one_attempt(client, TimeoutError, behave, ssl=mode, direct_tls=direct, timeout=0.1)


@pytest.mark.checklist("TLS-3")
@pytest.mark.parametrize(
    ("said", "expected"),
    [
        # What this end finds wrong.
        (AuthenticationKerberosV5().encode(), "InterfaceError"),
        # An error when everybody is who they say.
        (
            AuthenticationOk().encode() + ErrorResponse({"S": "FATAL", "C": "3D000", "M": "no database"}).encode(),
            "InvalidCatalogNameError",
        ),
    ],
)
@pytest.mark.parametrize("mode", ["allow", "prefer"])
async def test_no_other_way_would_help(client: Client, mode: str, said: bytes, expected: str) -> None:
    def welcome(connected: socket.socket) -> None:
        connected.recv(4096)
        connected.sendall(said)

    behave = welcome if mode == "allow" else peers.then(peers.answer(b"N"), welcome)
    await one_attempt(client, getattr(client, expected), behave, ssl=mode)


@pytest.mark.checklist("TLS-10")
async def test_a_unix_socket_has_no_tls(client: Client) -> None:
    assert await answer(client, host=client.server.socket_dir, ssl=True) is False


# Files


@pytest.mark.checklist("TLS-5")
@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
async def test_no_root_certificate(client: Client, home: Path, mode: str) -> None:
    with pytest.raises(
        client.ClientConfigurationError,
        match=f'root certificate file "{home}/root.crt" does not exist or cannot be acc',
    ) as caught:
        await answer(client, ssl=mode)
    assert caught.value.hint is not None


@pytest.mark.checklist("TLS-5")
async def test_no_root_certificate_and_no_home(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # what it does where nobody has a home
    with pytest.raises(client.ClientConfigurationError, match=r"root certificate file .* does not exist") as caught:
        await answer(client, ssl="verify-full")
    assert "Could not determine location of user home directory" in caught.value.detail
    assert await answer(client, ssl="require") is True


@pytest.mark.checklist("TLS-5")
async def test_the_root_certificate_at_home(client: Client, certificates: Certificates, home: Path) -> None:
    shutil.copy(certificates["ca.crt"], home / "root.crt")
    assert await answer(client, ssl="verify-full") is True
    assert await answer(client, ssl="require") is True
    shutil.copy(certificates["other-ca.crt"], home / "root.crt")
    for mode in ("require", "verify-full"):
        with pytest.raises(ssl.SSLCertVerificationError):
            await answer(client, ssl=mode)
    # Weaker modes verify nothing.
    assert await answer(client, ssl="prefer") is True


@pytest.mark.differs(
    asyncpg="raises the FileNotFoundError of the library that reads it, without a name",
    ours="A file that is named and missing is a ClientConfigurationError with its path, its parameter and its source.",
)
@pytest.mark.parametrize("word", ["sslrootcert", "sslcrl", "sslcert", "sslkey"])
async def test_a_named_file_that_is_missing(client: Client, certificates: Certificates, word: str) -> None:
    words = {"sslmode": "require", "sslrootcert": certificates["ca.crt"], "sslcert": certificates["cert_user.crt"]}
    path = certificates["no-such-file"]
    with pytest.raises(client.ClientConfigurationError) as caught:
        await answer(client, dsn=dsn(**(words | {word: path})))
    for part in (path, word, "from the DSN"):
        assert part in str(caught.value)


@pytest.mark.checklist("TLS-6")
async def test_revocations(client: Client, certificates: Certificates, home: Path) -> None:
    words = {"sslmode": "verify-full", "sslrootcert": certificates["ca.crt"]}
    assert await answer(client, dsn=dsn(**words, sslcrl=certificates["empty.crl"])) is True
    with pytest.raises(ssl.SSLCertVerificationError, match="revoked"):
        await answer(client, dsn=dsn(**words, sslcrl=certificates["revoked.crl"]))
    shutil.copy(certificates["revoked.crl"], home / "root.crl")
    with pytest.raises(ssl.SSLCertVerificationError, match="revoked"):
        await answer(client, dsn=dsn(**words))


@pytest.mark.checklist("TLS-7")
@pytest.mark.parametrize(
    "words",
    [
        {"sslcert": "cert_user.crt", "sslkey": "cert_user.key"},
        {"sslcert": "cert_user.pem"},
        {"sslcert": "cert_user.crt", "sslkey": "encrypted.key", "sslpassword": KEY_PASSWORD},
    ],
)
async def test_a_client_certificate(client: Client, certificates: Certificates, words: dict[str, str]) -> None:
    paths = {word: value if word == "sslpassword" else certificates[value] for word, value in words.items()}
    assert await answer(client, dsn=dsn(sslmode="require", **paths), user="cert_user", password=None) is True


@pytest.mark.checklist("TLS-7")
async def test_a_client_certificate_at_home(client: Client, certificates: Certificates, home: Path) -> None:
    shutil.copy(certificates["cert_user.crt"], home / "postgresql.crt")
    shutil.copy(certificates["cert_user.key"], home / "postgresql.key")
    assert await answer(client, ssl="require", user="cert_user", password=None) is True


@pytest.mark.checklist("TLS-7")
async def test_a_client_certificate_of_another_name(client: Client, certificates: Certificates) -> None:
    with pytest.raises(client.InvalidAuthorizationSpecificationError):
        await answer(client, dsn=dsn(sslmode="require", sslcert=certificates["someone_else.pem"]), user="cert_user")


@pytest.mark.checklist("TLS-7")
async def test_no_client_certificate(client: Client) -> None:
    with pytest.raises(client.InvalidAuthorizationSpecificationError):
        await answer(client, ssl="require", user="cert_user")


@pytest.mark.checklist("TLS-7")
async def test_a_client_certificate_of_a_name_that_is_mapped(client: Client, certificates: Certificates) -> None:
    words = {"sslmode": "require", "sslcert": certificates["cert_user.pem"]}
    assert await answer(client, dsn=dsn(**words), user="mapped", password=None) is True
    words["sslcert"] = certificates["someone_else.pem"]
    with pytest.raises(client.InvalidAuthorizationSpecificationError):
        await answer(client, dsn=dsn(**words), user="mapped")


@pytest.mark.checklist("TLS-7")
@pytest.mark.parametrize("name", ["stranger", "revoked", "expired"])
async def test_client_certificates_that_are_refused(client: Client, certificates: Certificates, name: str) -> None:
    """With TLS 1.3 the server says so after the handshake, and closes: its alert may be lost on the way."""
    words = {"sslmode": "require", "sslcert": certificates[f"{name}.pem"]}
    with pytest.raises((client.ConnectionDoesNotExistError, OSError)):
        await answer(client, dsn=dsn(**words), user="cert_user", host="127.0.0.1")


@pytest.mark.differs(
    asyncpg="says that the connection was closed in the middle of operation",
    ours="A client certificate that the server refuses is an error that says so, and why.",
)
@pytest.mark.parametrize(
    ("name", "why"),
    [("stranger", "unknown ca"), ("revoked", "certificate revoked"), ("expired", "certificate expired")],
)
async def test_why_a_client_certificate_is_refused(
    client: Client, certificates: Certificates, name: str, why: str
) -> None:
    words = {"sslmode": "require", "sslcert": certificates[f"{name}.pem"]}
    expected = rf"the server has refused the client's certificate \(TLS alert: {why}\)"
    with pytest.raises(client.ConnectionDoesNotExistError, match=expected) as caught:
        await answer(client, dsn=dsn(**words), user="cert_user", host="127.0.0.1")
    assert caught.value.attempts == (caught.value,)
    with pytest.raises(ssl.SSLError) as refused:
        await answer(client, dsn=dsn(**words, ssl_max_protocol_version="TLSv1.2"), user="cert_user", host="127.0.0.1")
    assert re.search(expected, refused.value.__notes__[0])


@pytest.mark.differs(
    asyncpg='raises the bare "[SSL] PEM lib" of the library',
    ours="A key that cannot be used is a ClientConfigurationError that names the files and a way out.",
)
@pytest.mark.parametrize(
    "words",
    [
        {"sslcert": "cert_user.crt", "sslkey": "someone_else.key"},
        {"sslcert": "cert_user.crt", "sslkey": "encrypted.key"},
        {"sslcert": "cert_user.crt", "sslkey": "encrypted.key", "sslpassword": "wrong"},
        {"sslcert": "cert_user.crt", "sslkey": "ca.crt"},
        {"sslcert": "cert_user.key", "sslkey": "cert_user.key"},
    ],
)
async def test_a_key_that_does_not_fit(client: Client, certificates: Certificates, words: dict[str, str]) -> None:
    paths = {word: value if word == "sslpassword" else certificates[value] for word, value in words.items()}
    with pytest.raises(client.ClientConfigurationError, match=r"sslcert .* from the DSN and sslkey .* from the DSN"):
        await answer(client, dsn=dsn(sslmode="require", **paths), user="cert_user")


@pytest.mark.differs(
    asyncpg="does not know sslcertmode, and sends it to the server as a setting",
    ours="sslcertmode=disable keeps a client's certificate back.",
)
async def test_a_client_certificate_that_is_kept_back(client: Client, certificates: Certificates) -> None:
    words = {"sslmode": "require", "sslcert": certificates["cert_user.pem"], "sslcertmode": "disable"}
    with pytest.raises(client.InvalidAuthorizationSpecificationError, match="certificate"):
        await answer(client, dsn=dsn(**words), user="cert_user")


# Versions, and what else is agreed on


@pytest.mark.checklist("TLS-8")
@pytest.mark.parametrize(
    ("words", "version"),
    [
        ({}, "TLSv1.3"),
        ({"ssl_max_protocol_version": "TLSv1.2"}, "TLSv1.2"),
        ({"ssl_min_protocol_version": "TLSv1.3"}, "TLSv1.3"),
    ],
)
async def test_versions(client: Client, words: dict[str, str], version: str) -> None:
    assert await answer(client, VERSION, dsn=dsn(sslmode="require", **words)) == version


@pytest.mark.checklist("TLS-8")
@pytest.mark.parametrize("version", ["SSLv3", "TLSv9"])
async def test_versions_that_are_none(client: Client, version: str) -> None:
    with pytest.raises(client.ClientConfigurationError):
        await answer(client, dsn=dsn(sslmode="require", ssl_min_protocol_version=version))


@pytest.mark.checklist("TLS-9")
@pytest.mark.parametrize("by_keyword", [True, False])
async def test_direct_tls(client: Client, certificates: Certificates, by_keyword: bool) -> None:
    words = {"sslmode": "verify-full", "sslrootcert": certificates["ca.crt"]}
    settings: dict[str, Any]
    if by_keyword:
        settings = {"dsn": dsn(**words), "direct_tls": True}
    else:
        settings = {"dsn": dsn(**words, sslnegotiation="direct")}
    if has_direct_tls(client):
        assert await answer(client, **settings) is True
    else:  # the server closes, or says what is no TLS
        with pytest.raises(OSError):
            await answer(client, host="127.0.0.1", **settings)


@pytest.mark.checklist("TLS-9")
async def test_direct_tls_has_to_be_demanded(client: Client) -> None:
    with pytest.raises(
        client.ClientConfigurationError, match="direct TLS requires sslmode=require, verify-ca, or verify-full"
    ):
        await answer(client, ssl="prefer", direct_tls=True)


@pytest.mark.differs(
    asyncpg="cannot tell why the server has closed the connection",
    ours="Direct TLS with a context of one's own that does not offer the protocol says so.",
)
async def test_direct_tls_with_a_context_of_ones_own(client: Client, certificates: Certificates) -> None:
    if not has_direct_tls(client):
        pytest.skip("direct TLS is new in PostgreSQL 17")
    context = ssl.create_default_context(cafile=certificates["ca.crt"])
    with pytest.raises(ConnectionError, match=r"set_alpn_protocols\(\['postgresql'\]\)"):
        await answer(client, ssl=context, direct_tls=True)
    context.set_alpn_protocols(["postgresql"])
    assert await answer(client, ssl=context, direct_tls=True) is True


@pytest.mark.checklist("TLS-11")
async def test_the_secrets_can_be_logged(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "keys.log"
    monkeypatch.setenv("SSLKEYLOGFILE", str(path))
    assert await answer(client, ssl="require") is True
    assert "CLIENT_TRAFFIC_SECRET_0 " in path.read_text()


@pytest.mark.differs(
    asyncpg="knows the variable SSLKEYLOGFILE only, and sends sslkeylogfile to the server as a setting",
    ours="sslkeylogfile names a file for the secrets of sessions, as in libpq 18; only its owner may read it.",
)
async def test_the_file_for_the_secrets_can_be_named(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "keys.log"
    for _ in range(2):
        assert await answer(client, dsn=dsn(sslmode="require", sslkeylogfile=str(path))) is True
    assert path.read_text().count("CLIENT_TRAFFIC_SECRET_0 ") == 2
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.differs(
    asyncpg="does not know sslsni, and sends it to the server as a setting",
    ours="sslsni=0 keeps the host's name back, except with verify-full, which cannot do without.",
)
async def test_the_name_can_be_kept_back(client: Client, certificates: Certificates) -> None:
    words = {"sslrootcert": certificates["ca.crt"], "sslsni": "0"}
    for mode in ("require", "verify-ca"):
        assert await answer(client, dsn=dsn(**words, sslmode=mode)) is True
    with pytest.raises(client.ClientConfigurationError, match="sslsni '0' from the DSN cannot be used with"):
        await answer(client, dsn=dsn(**words, sslmode="verify-full"))


@pytest.mark.differs(
    asyncpg="has no such attribute",
    ours="`connection.tls` has the version, the cipher, the server's certificate (DER) and ALPN; None: not encrypted.",
)
async def test_what_was_agreed_on(client: Client, certificates: Certificates) -> None:
    async with client.connect(host=HOST, ssl="require") as connection:
        tls = connection.tls
        version, cipher = await connection.fetchrow(
            "SELECT version, cipher FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        )
    assert (tls.version, tls.cipher) == (version, cipher)
    assert tls.peer_certificate == ssl.PEM_cert_to_DER_cert(certificates.server[0].decode())
    assert tls.alpn == ("postgresql" if has_direct_tls(client) else None)
    async with client.connect() as connection:
        assert connection.tls is None


# A session


@pytest.mark.checklist("TLS-9", "TLS-10")
@pytest.mark.parametrize("direct", [False, True])
async def test_cancelling_over_tls(client: Client, direct: bool) -> None:
    if direct and not has_direct_tls(client):
        pytest.skip("direct TLS is new in PostgreSQL 17")
    settings = {"host": HOST, "user": "tls_user", "ssl": "require", "direct_tls": direct}
    async with client.connect(**settings) as connection, client.connect() as observer:
        pid = connection.get_server_pid()

        async def sleep() -> None:
            with pytest.raises(TimeoutError):
                await connection.execute("SELECT pg_sleep(60)", timeout=0.2)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sleep)
            await until(observer, RUNS_PG_SLEEP, pid)
        assert await connection.fetchval(ENCRYPTED) is True


@pytest.mark.differs(
    asyncpg="cannot tell why the server has closed the connection",
    ours="Direct TLS with a server before PostgreSQL 17 is an error that says so.",
)
async def test_direct_tls_with_an_old_server(client: Client) -> None:
    if has_direct_tls(client):
        pytest.skip("it has direct TLS")
    with pytest.raises(ConnectionResetError, match="which servers before PostgreSQL 17 "):
        await answer(client, host="127.0.0.1", ssl="require", direct_tls=True)


@pytest.mark.checklist("TLS-2")
async def test_much_both_ways(client: Client) -> None:
    size = 16 << 20
    async with client.connect(host=HOST, ssl="require") as connection:
        data = os.urandom(1 << 20) * 16
        assert await connection.fetchval("SELECT $1::bytea", data) == data
        rows = await connection.fetch("SELECT repeat('x', $1) FROM generate_series(1, 16)", size // 16)
        assert sum(len(row[0]) for row in rows) == size
