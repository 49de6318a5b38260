"""MD5 password authentication, which PostgreSQL 18 deprecates: the answer to AuthenticationMD5Password."""

import hashlib

from pgsansio.authentication.password import encode_password

__all__ = ["md5_response"]


def md5_response(user: str, password: str, salt: bytes) -> bytes:
    """The text of the PasswordMessage, without its terminating zero byte: b"md5" and 32 hexadecimal digits.

    Args:
        salt: the four bytes of AuthenticationMD5Password.
    Raises:
        ClientConfigurationError: the password or the user name cannot be encoded.
        ValueError: this Python has no MD5 (FIPS mode).
    Source: manual, "Message Flow", Start-up.
    """
    stored = hashlib.md5(encode_password(password) + encode_password(user)).hexdigest()
    return b"md5" + hashlib.md5(stored.encode("ascii") + salt).hexdigest().encode("ascii")
