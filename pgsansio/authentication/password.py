"""A password as bytes, for every method that needs it."""

from pgsansio.errors import ClientConfigurationError

__all__ = ["encode_password"]


def encode_password(password: str) -> bytes:
    """The bytes of a password: UTF-8; bytes of an environment variable that were not UTF-8 are themselves again.

    Raises:
        ClientConfigurationError: it holds a surrogate, which has no bytes.
    """
    try:
        return password.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        # Not chained: the cause would carry the password.
        raise ClientConfigurationError("the password contains a character that cannot be encoded") from None
