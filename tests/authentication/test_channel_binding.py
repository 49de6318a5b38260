"""The hash of a server's certificate, against certificates that another library has made, and any bytes."""

import datetime
import hashlib
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from hypothesis import given
from hypothesis import strategies as st

from pgsansio.authentication.channel_binding import certificate_hash, signature_hash

RSA = rsa.generate_private_key(65537, 2048)
ECDSA = ec.generate_private_key(ec.SECP256R1())
NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
NOW = datetime.datetime.now(datetime.UTC)

SHA256_WITH_RSA = bytes.fromhex("06092a864886f70d01010b")
SHA1_WITH_RSA = bytes.fromhex("06092a864886f70d010105")
MD5_WITH_RSA = bytes.fromhex("06092a864886f70d010104")
RSASSA_PSS = bytes.fromhex("06092a864886f70d01010a")


def certificate(
    key: CertificateIssuerPrivateKeyTypes, algorithm: hashes.HashAlgorithm | None, *, pss: bool = False
) -> bytes:
    builder = (
        x509.CertificateBuilder()
        .subject_name(NAME)
        .issuer_name(NAME)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + datetime.timedelta(days=1))
    )
    assert algorithm is None or not pss or isinstance(key, rsa.RSAPrivateKey)
    how = padding.PSS(padding.MGF1(algorithm), padding.PSS.DIGEST_LENGTH) if pss and algorithm else None
    signed = builder.sign(key, algorithm, rsa_padding=how)  # type: ignore[arg-type]
    return signed.public_bytes(serialization.Encoding.DER)


ORDINARY = certificate(ECDSA, hashes.SHA256())


def element(tag: int, *contents: bytes) -> bytes:
    data = b"".join(contents)
    size = len(data)
    return bytes([tag]) + (bytes([size]) if size < 128 else b"\x82" + size.to_bytes(2, "big")) + data


def made_by_hand(*algorithm: bytes) -> bytes:
    """As much of a certificate as is looked at."""
    return element(0x30, element(0x30, bytes(200)), element(0x30, *algorithm), element(0x03, bytes(70)))


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: certificate(RSA, hashes.SHA224()), "sha224"),
        (lambda: certificate(RSA, hashes.SHA256()), "sha256"),
        (lambda: certificate(RSA, hashes.SHA384()), "sha384"),
        (lambda: certificate(RSA, hashes.SHA512()), "sha512"),
        (lambda: certificate(RSA, hashes.SHA3_256()), "sha3_256"),
        (lambda: certificate(RSA, hashes.SHA3_384()), "sha3_384"),
        (lambda: certificate(RSA, hashes.SHA3_512()), "sha3_512"),
        (lambda: certificate(RSA, hashes.SHA256(), pss=True), "sha256"),
        (lambda: certificate(RSA, hashes.SHA384(), pss=True), "sha384"),
        (lambda: certificate(RSA, hashes.SHA512(), pss=True), "sha512"),
        (lambda: certificate(ECDSA, hashes.SHA224()), "sha224"),
        (lambda: certificate(ECDSA, hashes.SHA256()), "sha256"),
        (lambda: certificate(ECDSA, hashes.SHA384()), "sha384"),
        (lambda: certificate(ECDSA, hashes.SHA512()), "sha512"),
        (lambda: certificate(ECDSA, hashes.SHA3_256()), "sha3_256"),
        (lambda: certificate(ECDSA, hashes.SHA3_512()), "sha3_512"),
        (lambda: certificate(dsa.generate_private_key(1024), hashes.SHA224()), "sha224"),
        (lambda: certificate(dsa.generate_private_key(1024), hashes.SHA256()), "sha256"),
    ],
)
def test_the_hash_of_the_signature(make: Callable[[], bytes], name: str) -> None:
    der = make()
    known = x509.load_der_x509_certificate(der).signature_hash_algorithm
    assert known is not None
    assert known.name.replace("-", "_") == name
    assert signature_hash(der) == name
    assert certificate_hash(der) == hashlib.new(name, der).digest()


@pytest.mark.parametrize("oid", [SHA1_WITH_RSA, MD5_WITH_RSA])
def test_weak_hashes_are_replaced(oid: bytes) -> None:
    """RFC 5929: SHA-256 in the place of MD5 and SHA-1. Nobody signs with them any more, so the OID is put in."""
    der = certificate(RSA, hashes.SHA256()).replace(SHA256_WITH_RSA, oid)
    assert signature_hash(der) == ("sha1" if oid == SHA1_WITH_RSA else "md5")
    assert certificate_hash(der) == hashlib.sha256(der).digest()


def test_pss_without_a_hash_means_sha1() -> None:
    for parameters in (b"", element(0xA1, b"")):
        der = made_by_hand(RSASSA_PSS, element(0x30, parameters))
        assert signature_hash(der) == "sha1"
        assert certificate_hash(der) == hashlib.sha256(der).digest()


@pytest.mark.parametrize(
    "der",
    [
        certificate(ed25519.Ed25519PrivateKey.generate(), None),
        certificate(ed448.Ed448PrivateKey.generate(), None),
        made_by_hand(element(0x06, b"\x2a\x03\x04")),
        made_by_hand(RSASSA_PSS),
        made_by_hand(RSASSA_PSS, element(0x30, element(0xA0, element(0x30, element(0x06, b"\x2a\x03"))))),
        made_by_hand(),
        b"",
        b"\x30",
        b"\x30\x80\x30\0\0\0",
        b"\x30\x85\0\0\0\0\x02\x30\0",
        b"\x30\xff" + bytes(200),
        b"\x30\x84\xff\xff\xff\xff\x30",
        ORDINARY[:-1],
    ],
)
def test_certificates_without_a_hash(der: bytes) -> None:
    assert signature_hash(der) is None
    assert certificate_hash(der) is None


@given(st.binary(max_size=60), st.integers(0, 20))
def test_any_bytes(data: bytes, keep: int) -> None:
    for der in (data, ORDINARY[:keep] + data, element(0x30, element(0x30), data)):
        found = certificate_hash(der)
        assert found is None or len(found) in (28, 32, 48, 64)


@given(st.integers(0, len(ORDINARY) - 1), st.integers(0, 255), st.integers(0, len(ORDINARY)))
def test_a_certificate_with_a_changed_byte(position: int, byte: int, size: int) -> None:
    der = bytearray(ORDINARY)
    der[position] = byte
    certificate_hash(bytes(der))
    certificate_hash(bytes(der[:size]))


def test_a_certificate_that_is_cut() -> None:
    assert [certificate_hash(ORDINARY[:size]) for size in range(len(ORDINARY))] == [None] * len(ORDINARY)
