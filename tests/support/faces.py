"""A server that shows one certificate after another: the same one, so that tests need not start many.

    @pytest.mark.parametrize("face", ["expired"], indirect=True)
    async def test_it(face: Faces) -> None: ...

A face is what the server shows and takes from now on; tests that use the server name theirs, and find no other.
"""

import asyncio
import datetime
import hashlib
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

import pgsansio_asyncio
from tests.support.certificates import HOST
from tests.support.servers import Server

__all__ = ["SIGNATURES", "Faces", "ServerCertificates", "settings"]

_Key: TypeAlias = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
_Hash: TypeAlias = hashes.SHA256 | hashes.SHA384 | hashes.SHA512

#: How the certificates of these faces are signed (each by itself), and whether there is a hash in it.
SIGNATURES: Final = {
    "RSA-with-SHA-256": True,
    "RSA-with-SHA-384": True,
    "RSA-with-SHA-512": True,
    "RSA-PSS": True,
    "ECDSA-with-SHA-384": True,
    "Ed25519": False,
}
#: Faces that show the certificate `plain`.
_VERSIONS: Final = {
    "TLS-1.2-only": {"ssl_max_protocol_version": "TLSv1.2"},
    "TLS-1.3-only": {"ssl_min_protocol_version": "TLSv1.3"},
}
_DEFAULTS: Final = {"ssl_min_protocol_version": "TLSv1.2", "ssl_max_protocol_version": ""}
_DAY: Final = datetime.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class _Issued:
    certificate: x509.Certificate
    key: _Key

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


class ServerCertificates:
    """What a server may show, and what clients need to judge it.

    The faces: `plain`; `address` (for 127.0.0.1 only), `common-name` (the host is the subject only), `other-host`,
    `expired`, `self-signed`; those of an intermediate authority, `chain`, `revoked`, and `no-intermediate`, which does
    not show that; those of `SIGNATURES`.

    Attributes:
        folder: root.crt, chain.crt (the intermediate authority, and the root), self-signed.crt; revocations.crl of both
            authorities, and the folder revocations with the same, by hashed names.
        files: what the server shows, and the keys.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, bytes] = {}
        root = _issue("root", ca=True)
        intermediate = _issue("intermediate", issuer=root, ca=True)
        self._add("plain", _issue("plain", HOST, issuer=root))
        self._add("address", _issue("address", "127.0.0.1", issuer=root))
        self._add("common-name", _issue(HOST, issuer=root))
        self._add("other-host", _issue("other", "other.example", issuer=root))
        self._add("expired", _issue("expired", HOST, issuer=root, days=-1))
        itself = self._add("self-signed", _issue("itself", HOST))
        leaf = _issue("leaf", HOST, issuer=intermediate)
        self._add("chain", leaf, intermediate)
        self._add("no-intermediate", leaf)
        revoked = self._add("revoked", _issue("revoked", HOST, issuer=intermediate), intermediate)
        key = rsa.generate_private_key(65537, 2048)
        self._add("RSA-with-SHA-256", _issue("rsa", HOST, key=key))
        self._add("RSA-with-SHA-384", _issue("rsa", HOST, key=key, algorithm=hashes.SHA384()))
        self._add("RSA-with-SHA-512", _issue("rsa", HOST, key=key, algorithm=hashes.SHA512()))
        self._add("RSA-PSS", _issue("rsa", HOST, key=key, algorithm=hashes.SHA384(), pss=True))
        self._add("ECDSA-with-SHA-384", _issue("ecdsa", HOST, algorithm=hashes.SHA384()))
        self._add("Ed25519", _issue("ed25519", HOST, key=ed25519.Ed25519PrivateKey.generate()))

        (folder / "root.crt").write_bytes(root.pem)
        (folder / "chain.crt").write_bytes(intermediate.pem + root.pem)
        (folder / "self-signed.crt").write_bytes(itself.pem)
        lists = [_revocations(root, None), _revocations(intermediate, revoked)]
        (folder / "revocations.crl").write_bytes(b"".join(lists))
        (folder / "revocations").mkdir()
        for issuer, revocations in zip((root, intermediate), lists, strict=True):
            (folder / "revocations" / f"{_hashed(issuer.certificate.subject)}.r0").write_bytes(revocations)

    def __getitem__(self, name: str) -> str:
        """The path of a file of `folder`."""
        path = self.folder / name
        assert path.exists(), name
        return str(path)

    def _add(self, face: str, *chain: _Issued) -> _Issued:
        self.files[f"{face}.crt"] = b"".join(issued.pem for issued in chain)
        self.files[f"{face}.key"] = chain[0].key_pem
        return chain[0]


def settings(face: str) -> dict[str, str]:
    """The server's, for this face."""
    name = "plain" if face in _VERSIONS else face
    versions: Mapping[str, str] = _VERSIONS.get(face, {})
    return {"ssl_cert_file": f"../{name}.crt", "ssl_key_file": f"../{name}.key", **_DEFAULTS, **versions}


@dataclass(frozen=True, slots=True)
class Faces:
    """The server, and what it may show."""

    server: Server
    certificates: ServerCertificates

    def show(self, face: str) -> None:
        """Whoever connects from now on sees this face. Not while a loop is running."""
        asyncio.run(self._show(settings(face)))

    async def _show(self, wanted: Mapping[str, str]) -> None:
        server = self.server
        way = {"host": server.socket_dir, "port": server.port, "user": server.user, "password": server.password}
        async with pgsansio_asyncio.connect(**way) as connection:
            for name, value in wanted.items():
                await connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
            await connection.execute("SELECT pg_reload_conf()")
        while True:  # until new sessions come from a server that has read it
            async with pgsansio_asyncio.connect(**way) as connection:
                rows = await connection.fetch("SELECT name, setting FROM pg_settings WHERE name = ANY($1)", [*wanted])
                if {row["name"]: row["setting"] for row in rows} == wanted:
                    return


def _issue(
    name: str,
    *hosts: str,
    issuer: _Issued | None = None,
    key: _Key | None = None,
    algorithm: _Hash | None = None,
    pss: bool = False,
    ca: bool = False,
    days: int = 30,
) -> _Issued:
    """A certificate, signed by its issuer or by itself, that ends in so many days."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    by = issuer.key if issuer is not None else key
    end = datetime.datetime.now(datetime.UTC) + days * _DAY
    subject = _name(name)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(end - 60 * _DAY)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca, None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False)
    )
    if ca:
        usage = x509.KeyUsage(
            digital_signature=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        builder = builder.add_extension(usage, critical=True)
    if hosts:
        names: list[x509.GeneralName] = [
            x509.IPAddress(ipaddress.ip_address(host)) if host[0].isdigit() else x509.DNSName(host) for host in hosts
        ]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    hash_algorithm = None if isinstance(by, ed25519.Ed25519PrivateKey) else algorithm or hashes.SHA256()
    if pss:
        assert hash_algorithm is not None
        salted = padding.PSS(padding.MGF1(hash_algorithm), hash_algorithm.digest_size)
        return _Issued(builder.sign(by, hash_algorithm, rsa_padding=salted), key)
    return _Issued(builder.sign(by, hash_algorithm), key)


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


def _revocations(issuer: _Issued, revoked: _Issued | None) -> bytes:
    """What this authority has revoked, PEM."""
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(now - _DAY)
        .next_update(now + 30 * _DAY)
    )
    if revoked is not None:
        entry = x509.RevokedCertificateBuilder().serial_number(revoked.certificate.serial_number).revocation_date(now)
        builder = builder.add_revoked_certificate(entry.build())
    assert isinstance(issuer.key, ec.EllipticCurvePrivateKey)
    return builder.sign(issuer.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _hashed(name: x509.Name) -> str:
    """What `openssl rehash` calls a file for a name of one attribute in lower-case ASCII.

    It hashes such names as they are, but without the two bytes that say how long the whole is.
    """
    return f"{int.from_bytes(hashlib.sha1(name.public_bytes()[2:]).digest()[:4], 'little'):08x}"
