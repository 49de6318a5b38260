"""The data that binds SCRAM to a TLS connection: the hash of the server's certificate (tls-server-end-point).

The hash is the one that the certificate was signed with, which ssl does not tell; so a small walk over the DER looks
for it:

    Certificate ::= SEQUENCE { tbsCertificate SEQUENCE, signatureAlgorithm AlgorithmIdentifier, signature BIT STRING }
    AlgorithmIdentifier ::= SEQUENCE { algorithm OBJECT IDENTIFIER, parameters ANY OPTIONAL }

RSASSA-PSS has its hash in the parameters. Ed25519 and Ed448 have none, and so no channel binding: both ends of
PostgreSQL agree on that.

Source: RFC 5929, section 4.1; RFC 5280, section 4.1; RFC 4055, section 3.1.
"""

import hashlib
from collections.abc import Mapping
from typing import Final, NamedTuple

__all__ = ["certificate_hash", "signature_hash"]

_SEQUENCE: Final = 0x30
_OBJECT_IDENTIFIER: Final = 0x06
#: [0] EXPLICIT, of hashAlgorithm in RSASSA-PSS-params.
_HASH_ALGORITHM: Final = 0xA0
#: Lengths of more bytes than this are none of a certificate's.
_MAX_LENGTH_BYTES: Final = 4


def _oid(text: str) -> bytes:
    """The contents of an OBJECT IDENTIFIER in DER."""
    first, second, *rest = map(int, text.split("."))
    encoded = bytearray([first * 40 + second])
    for arc in rest:
        digits = [arc & 0x7F]
        while arc := arc >> 7:
            digits.append(arc & 0x7F | 0x80)
        encoded += bytes(reversed(digits))
    return bytes(encoded)


#: Signature algorithm -> the hash in it, by its name in hashlib.
_SIGNATURES: Final[Mapping[bytes, str]] = {
    _oid(oid): name
    for oid, name in {
        # RSA, PKCS #1 version 1.5
        "1.2.840.113549.1.1.4": "md5",
        "1.2.840.113549.1.1.5": "sha1",
        "1.2.840.113549.1.1.14": "sha224",
        "1.2.840.113549.1.1.11": "sha256",
        "1.2.840.113549.1.1.12": "sha384",
        "1.2.840.113549.1.1.13": "sha512",
        "2.16.840.1.101.3.4.3.14": "sha3_256",
        "2.16.840.1.101.3.4.3.15": "sha3_384",
        "2.16.840.1.101.3.4.3.16": "sha3_512",
        # DSA
        "1.2.840.10040.4.3": "sha1",
        "2.16.840.1.101.3.4.3.1": "sha224",
        "2.16.840.1.101.3.4.3.2": "sha256",
        # ECDSA
        "1.2.840.10045.4.1": "sha1",
        "1.2.840.10045.4.3.1": "sha224",
        "1.2.840.10045.4.3.2": "sha256",
        "1.2.840.10045.4.3.3": "sha384",
        "1.2.840.10045.4.3.4": "sha512",
        "2.16.840.1.101.3.4.3.10": "sha3_256",
        "2.16.840.1.101.3.4.3.11": "sha3_384",
        "2.16.840.1.101.3.4.3.12": "sha3_512",
    }.items()
}

_RSASSA_PSS: Final = _oid("1.2.840.113549.1.1.10")

#: Hash algorithm, as RSASSA-PSS names it.
_HASHES: Final[Mapping[bytes, str]] = {
    _oid(oid): name
    for oid, name in {
        "1.3.14.3.2.26": "sha1",
        "2.16.840.1.101.3.4.2.4": "sha224",
        "2.16.840.1.101.3.4.2.1": "sha256",
        "2.16.840.1.101.3.4.2.2": "sha384",
        "2.16.840.1.101.3.4.2.3": "sha512",
        "2.16.840.1.101.3.4.2.8": "sha3_256",
        "2.16.840.1.101.3.4.2.9": "sha3_384",
        "2.16.840.1.101.3.4.2.10": "sha3_512",
    }.items()
}


def certificate_hash(certificate: bytes) -> bytes | None:
    """What tls-server-end-point binds to, or None: this certificate has no such hash, or cannot be read.

    Args:
        certificate: the server's own, DER.
    """
    name = signature_hash(certificate)
    if name is None:
        return None
    # "If the certificate's signatureAlgorithm uses [...] MD5 or SHA-1, then use SHA-256."
    return hashlib.new("sha256" if name in ("md5", "sha1") else name, certificate).digest()


def signature_hash(certificate: bytes) -> str | None:
    """The hash that a certificate (DER) was signed with, by its name in hashlib; None: none, or one that is not known.

    Never raises, whatever the bytes are.
    """
    try:
        whole = _element(certificate, 0, _SEQUENCE)
        signed = _element(whole.contents, 0, _SEQUENCE)
        algorithm = _element(whole.contents, signed.end, _SEQUENCE)
        oid = _element(algorithm.contents, 0, _OBJECT_IDENTIFIER)
        if oid.contents != _RSASSA_PSS:
            return _SIGNATURES.get(oid.contents)
        parameters = _element(algorithm.contents, oid.end, _SEQUENCE).contents
        if not parameters.startswith(bytes([_HASH_ALGORITHM])):
            return "sha1"  # the default
        hash_algorithm = _element(_element(parameters, 0, _HASH_ALGORITHM).contents, 0, _SEQUENCE)
        return _HASHES.get(_element(hash_algorithm.contents, 0, _OBJECT_IDENTIFIER).contents)
    except _NotDerError:
        return None


class _NotDerError(Exception):
    pass


class _Element(NamedTuple):
    contents: bytes
    #: Where the next one begins.
    end: int


def _element(data: bytes, start: int, tag: int) -> _Element:
    """The element that begins at `start`, which must have this tag."""
    if len(data) < start + 2 or data[start] != tag:
        raise _NotDerError
    length, position = data[start + 1], start + 2
    if length & 0x80:
        count = length & 0x7F
        # 0x80 would be a length that is not given, which DER does not have.
        if not 1 <= count <= _MAX_LENGTH_BYTES or len(data) < position + count:
            raise _NotDerError
        length = int.from_bytes(data[position : position + count], "big")
        position += count
    end = position + length
    if end > len(data):
        raise _NotDerError
    return _Element(data[position:end], end)
