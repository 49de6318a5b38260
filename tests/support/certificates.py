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
    """

    folder: Path
    server: tuple[bytes, bytes]
    authority: bytes

    def __getitem__(self, name: str) -> str:
        """The path of a file.

        ca.crt, other-ca.crt; revoked.crl (the server's certificate is in it), empty.crl; NAME.crt, NAME.key and
        NAME.pem (both) of the clients `cert_user`, `someone_else` and `stranger` (of the other authority);
        encrypted.key of `cert_user`. Names that begin with "no-" do not exist.
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
        for issuer, name in ((authority, "cert_user"), (authority, "someone_else"), (other, "stranger")):
            issued = issuer.issue_cert(f"{name}@example.org", common_name=name)
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
        serial = x509.load_pem_x509_certificate(server.cert_chain_pems[0].bytes()).serial_number
        (folder / "revoked.crl").write_bytes(_revocations(authority, [serial]))
        (folder / "empty.crl").write_bytes(_revocations(authority, []))
        return cls(
            folder,
            (server.cert_chain_pems[0].bytes(), server.private_key_pem.bytes()),
            authority.cert_pem.bytes(),
        )


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
