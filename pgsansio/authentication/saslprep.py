"""SASLprep (RFC 4013, a profile of RFC 3454) as PostgreSQL does it, so that both sides derive the same keys.

It differs from the RFC in one point: prohibited characters and the order of right-to-left characters are looked for
before the text is normalized. A client that looks afterwards cannot use some passwords that the server stored (U+2135,
the letter-like symbol for Alef, in front of a digit, for example).
"""

import stringprep
import unicodedata

from pgsansio.authentication.password import encode_password

__all__ = ["prepare_password", "saslprep"]

# C.1.2, which is prohibited as well, has become spaces before these are looked for.
_PROHIBITED = (
    stringprep.in_table_a1,  # unassigned in Unicode 3.2
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def saslprep(text: str) -> str:
    """`text` in the form that is hashed. ASCII is left as it is, control characters included.

    Raises:
        ValueError: the text is not allowed, or nothing is left of it; the message does not show it.
    """
    if text.isascii():
        return text
    mapped = "".join(
        " " if stringprep.in_table_c12(char) else char
        for char in text
        if stringprep.in_table_c12(char) or not stringprep.in_table_b1(char)
    )
    if not mapped:
        raise ValueError("nothing is left of the text")
    if any(prohibits(char) for char in mapped for prohibits in _PROHIBITED):
        raise ValueError("the text contains a prohibited character")
    if any(map(stringprep.in_table_d1, mapped)) and (
        any(map(stringprep.in_table_d2, mapped))
        or not (stringprep.in_table_d1(mapped[0]) and stringprep.in_table_d1(mapped[-1]))
    ):
        raise ValueError("the text mixes right-to-left with other characters")
    return unicodedata.normalize("NFKC", mapped)


def prepare_password(password: str) -> bytes:
    """The bytes of a password that SCRAM hashes: prepared, or as they are if it is not allowed, as the server does.

    Raises:
        ClientConfigurationError: it cannot be encoded.
    """
    try:
        password = saslprep(password)
    except ValueError:
        pass
    return encode_password(password)
