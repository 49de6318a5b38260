"""What servers show, on asyncpg and on ours: names, dates, chains, revocations, and versions of TLS."""

import ssl
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import HOST
from tests.support.clients import Client, encrypted_client
from tests.support.faces import Faces

pytestmark = [pytest.mark.anyio, pytest.mark.server]

VERSION = "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


@pytest.fixture
async def client(request: pytest.FixtureRequest, anyio_backend_name: str, face: Faces) -> AsyncIterator[Client]:
    async with encrypted_client(request.param, anyio_backend_name, face.server) as client:
        yield client


@pytest.fixture(autouse=True)
def _no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))


async def version(client: Client, host: str = HOST, **words: str) -> Any:
    dsn = "postgresql://?" + "&".join(f"{word}={value}" for word, value in words.items())
    async with client.connect(dsn=dsn, host=host) as connection:
        return await connection.fetchval(VERSION)


EVERY_MODE = ("require", "verify-ca", "verify-full")


@pytest.mark.checklist("TLS-2")
@pytest.mark.parametrize(
    ("face", "host", "root", "refused"),
    [
        ("plain", HOST, "root.crt", {}),
        ("plain", "127.0.0.1", "root.crt", {"verify-full": "IP address mismatch"}),
        ("address", "127.0.0.1", "root.crt", {}),
        ("address", HOST, "root.crt", {"verify-full": "Hostname mismatch"}),
        ("common-name", HOST, "root.crt", {}),
        ("other-host", HOST, "root.crt", {"verify-full": "Hostname mismatch"}),
        ("expired", HOST, "root.crt", dict.fromkeys(EVERY_MODE, "certificate has expired")),
        ("self-signed", HOST, "root.crt", dict.fromkeys(EVERY_MODE, "self.signed certificate")),
        ("self-signed", HOST, "self-signed.crt", {}),
        ("chain", HOST, "root.crt", {}),
        ("no-intermediate", HOST, "root.crt", dict.fromkeys(EVERY_MODE, "unable to get local issuer")),
        ("no-intermediate", HOST, "chain.crt", {}),
    ],
    indirect=["face"],
)
async def test_what_a_certificate_is_good_for(
    client: Client, face: Faces, host: str, root: str, refused: Mapping[str, str]
) -> None:
    for mode in EVERY_MODE:
        words = {"sslmode": mode, "sslrootcert": face.certificates[root]}
        if mode in refused:
            with pytest.raises(ssl.SSLCertVerificationError, match=refused[mode]):
                await version(client, host, **words)
        else:
            assert await version(client, host, **words) == "TLSv1.3"


@pytest.mark.checklist("TLS-6")
@pytest.mark.parametrize(("face", "revoked"), [("chain", False), ("revoked", True)], indirect=["face"])
async def test_revocations_of_every_authority_of_a_chain(client: Client, face: Faces, revoked: bool) -> None:
    words = {"sslmode": "verify-full", "sslrootcert": face.certificates["root.crt"]}
    words["sslcrl"] = face.certificates["revocations.crl"]
    if not revoked:
        assert await version(client, **words)
        return
    with pytest.raises(ssl.SSLCertVerificationError, match="certificate revoked"):
        await version(client, **words)


@pytest.mark.differs(
    asyncpg="does not know sslcrldir, and sends it to the server as a setting",
    ours="sslcrldir names a folder of revocations, as OpenSSL wants them.",
)
@pytest.mark.parametrize(("face", "revoked"), [("chain", False), ("revoked", True)], indirect=["face"])
async def test_a_folder_of_revocations(client: Client, face: Faces, tmp_path: Path, revoked: bool) -> None:
    words = {"sslmode": "verify-full", "sslrootcert": face.certificates["root.crt"]}
    words["sslcrldir"] = face.certificates["revocations"]
    if revoked:
        with pytest.raises(ssl.SSLCertVerificationError, match="certificate revoked"):
            await version(client, **words)
    else:
        assert await version(client, **words)
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get certificate CRL"):
        await version(client, **(words | {"sslcrldir": str(tmp_path)}))


@pytest.mark.checklist("TLS-8")
@pytest.mark.parametrize(
    ("face", "only", "bound"),
    [
        ("TLS-1.2-only", "TLSv1.2", {"ssl_min_protocol_version": "TLSv1.3"}),
        ("TLS-1.3-only", "TLSv1.3", {"ssl_max_protocol_version": "TLSv1.2"}),
    ],
    indirect=["face"],
)
async def test_versions_that_do_not_meet(client: Client, only: str, bound: dict[str, str]) -> None:
    assert await version(client, sslmode="require") == only
    with pytest.raises(ssl.SSLError, match=r"(?i)alert.protocol.version"):
        await version(client, sslmode="require", **bound)
