"""SASLprep: RFC 4013's examples, what PostgreSQL stores, and passwords that are not allowed."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgsansio.authentication.password import encode_password
from pgsansio.authentication.saslprep import prepare_password, saslprep
from pgsansio.authentication.scram import ScramSecret
from pgsansio.errors import ClientConfigurationError


@pytest.mark.checklist("AUTH-1")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # RFC 4013, section 3.
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        # Spaces, characters that vanish, composition.
        ("a\u00a0b\u3000c", "a b c"),
        ("a\u200bb", "a b"),
        ("a\ufeffb", "ab"),
        ("e\u0301", "\u00e9"),
        ("\u0627\u0661\u0627", "\u0627\u0661\u0627"),
        # ASCII is not looked at, as in PostgreSQL.
        ("", ""),
        ("\x07", "\x07"),
    ],
)
def test_allowed(text: str, expected: str) -> None:
    assert saslprep(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("\u0627\u0031", "right-to-left"),  # RFC 4013, section 3
        ("\u0031\u0627", "right-to-left"),
        ("\u0627a\u0627", "right-to-left"),
        ("\u00e9\x07", "prohibited"),  # RFC 4013, section 3, with more than ASCII
        ("\ue000", "prohibited"),
        ("\ufdd0", "prohibited"),
        (chr(0xD800), "prohibited"),
        ("\ufff9", "prohibited"),
        ("\ufffd", "prohibited"),
        ("\u2ff0", "prohibited"),
        ("\u0340", "prohibited"),
        ("\U000e0001", "prohibited"),
        ("\u0085", "prohibited"),
        ("\u0221", "prohibited"),  # unassigned in Unicode 3.2
        ("\u00ad", "nothing is left"),
    ],
)
def test_not_allowed(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as info:
        saslprep(text)
    assert text not in str(info.value)
    if not "\ud800" <= text <= "\udfff":
        assert prepare_password(text) == text.encode()


@pytest.mark.parametrize(
    ("password", "salt", "iterations", "stored_key", "server_key"),
    [
        # rolpassword of PostgreSQL 18 after ALTER ROLE ... PASSWORD, where checks before or after normalizing differ.
        (
            "\u21351",
            "a1464e4f3a68296221c00dbee99bf077",
            1,
            "2a4e34c8a6dfacadeaefba255d1d099902119b3fc0ddddfa7c7ccd15d6ed3ac7",
            "3c5e2b8cfe2934de8e83bd2994f396fcaa781e3241e227468a30ca21d84e15ec",
        ),
        (
            "\ufb50\u2135",
            "fc3211c09e607308e5e317b38972a6a6",
            1,
            "f4d7f832bff106bacc8362fb22c1e10b0ec7e19041757aed7151b2f7178f9488",
            "b5aaaa1ec6f6d870cab38bea8212507555bcaab25b38a41f79c49b7cd28f2ae3",
        ),
        (
            "a\xa0\u212b",
            "96fa2cc264a44709f262769b620735b7",
            1,
            "8357384fc6e30b82684ecdbdcfbd5ec6c20575a6832a7db34b1b771eb291402c",
            "10b762a1948f8158827945c8b532bc51950a76a52c2f3a7bc272e48919d55c9a",
        ),
        (
            "\u06271",
            "3e18af6215ae074a9cddb0fa41c1f032",
            1,
            "96806b48adfef1de86fa984964551c4ab44858960b533ea8998523d268dd01da",
            "6d42083097833a5c35d9e9b619d5fa13cc3533ef8f3c03f254e161cf85f8ea72",
        ),
        (
            "\u0221x",
            "c27c96df22dab08efd60c9fcc0db6231",
            1,
            "a970745234524a9941ad85ab09f0b0edf5009df4d47701e76c671f578e3c586b",
            "5a40c35927f0383d1b6fe4afaeb444cf74d3ae997fcd49e4068847c78d7a91ed",
        ),
        (
            "\U0002f868",
            "de81856226b0f5057187107f53c08eaa",
            1,
            "b36ea22f0e0d098237195c724968881bcf695e32801c9ecec87557405a32a3d1",
            "4284409aa96766077bbf7960707db71424b4b00e6d41bc4d4b66cbc84e759727",
        ),
    ],
)
def test_what_postgresql_stores(password: str, salt: str, iterations: int, stored_key: str, server_key: str) -> None:
    secret = ScramSecret.from_password(password, bytes.fromhex(salt), iterations)
    assert (secret.stored_key.hex(), secret.server_key.hex()) == (stored_key, server_key)


@given(st.text())
def test_anything_is_prepared_or_refused(text: str) -> None:
    try:
        prepared = saslprep(text)
    except ValueError:
        return
    assert text.isascii() or prepared == unicodedata.normalize("NFKC", prepared)


def test_bytes_of_the_environment_come_back() -> None:
    raw = b"p\xe4ss"
    password = raw.decode("utf-8", "surrogateescape")
    assert encode_password(password) == raw
    assert prepare_password(password) == raw


def test_a_password_without_bytes_is_not_shown() -> None:
    with pytest.raises(ClientConfigurationError) as info:
        prepare_password("secret\ud800")
    assert "secret" not in repr(info.value)
    assert info.value.__suppress_context__
