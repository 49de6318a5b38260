"""Certificates for tests: an authority, and everything that can be right or wrong with what it has issued."""

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

__all__ = ["HOST", "KEY_PASSWORD", "Certificates"]

#: The only name that the server's certificate is for.
HOST: Final = "localhost"
#: Of the client's encrypted key.
KEY_PASSWORD: Final = "pass word"


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files in one folder; `make` writes them.

    Attributes:
        server: certificate and key of the server, PEM.
        revocations: what the server has to know: the client certificate `revoked` is in it.
    """

    folder: Path
    server: tuple[bytes, bytes]
    authority: bytes
    revocations: bytes

    def __getitem__(self, name: str) -> str:
        """The path of a file.

        ca.crt, other-ca.crt; revoked.crl (the server's certificate is in it), empty.crl; NAME.crt, NAME.key and
        NAME.pem (both) of the clients `cert_user`, `someone_else` and `stranger` (of the other authority), and of two
        more that are for `cert_user`, `revoked` and `expired`; encrypted.key of `cert_user`. Names that begin with
        "no-" do not exist.
        """
        path = self.folder / name
        assert path.exists() or name.startswith("no-"), name
        return str(path)

    @classmethod
    def make(cls, folder: Path) -> "Certificates":
        authority, other = trustme.CA(), trustme.CA()
        authority.cert_pem.write_to_path(folder / "ca.crt")
        other.cert_pem.write_to_path(folder / "other-ca.crt")
        server = authority.issue_cert(HOST)
        yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
        for issuer, name, user, until in (
            (authority, "cert_user", "cert_user", None),
            (authority, "someone_else", "someone_else", None),
            (other, "stranger", "stranger", None),
            (authority, "revoked", "cert_user", None),
            (authority, "expired", "cert_user", yesterday),
        ):
            issued = issuer.issue_cert(
                f"{name}@example.org",
                common_name=user,
                not_before=None if until is None else until - datetime.timedelta(days=1),
                not_after=until,
            )
            issued.cert_chain_pems[0].write_to_path(folder / f"{name}.crt")
            issued.private_key_pem.write_to_path(folder / f"{name}.key")
            issued.private_key_and_cert_chain_pem.write_to_path(folder / f"{name}.pem")
        key = serialization.load_pem_private_key((folder / "cert_user.key").read_bytes(), None)
        (folder / "encrypted.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(KEY_PASSWORD.encode()),
            )
        )
        (folder / "revoked.crl").write_bytes(_revocations(authority, [_serial(server.cert_chain_pems[0].bytes())]))
        (folder / "empty.crl").write_bytes(_revocations(authority, []))
        return cls(
            folder,
            (server.cert_chain_pems[0].bytes(), server.private_key_pem.bytes()),
            authority.cert_pem.bytes(),
            _revocations(authority, [_serial((folder / "revoked.crt").read_bytes())]),
        )


def _serial(certificate: bytes) -> int:
    return x509.load_pem_x509_certificate(certificate).serial_number


def _revocations(authority: trustme.CA, serials: list[int]) -> bytes:
    now = datetime.datetime.now(datetime.UTC)
    issuer = x509.load_pem_x509_certificate(authority.cert_pem.bytes())
    key = serialization.load_pem_private_key(authority.private_key_pem.bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.subject)
        .last_update(now - datetime.timedelta(days=1))
        .next_update(now + datetime.timedelta(days=30))
    )
    for serial in serials:
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now).build()
        )
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
