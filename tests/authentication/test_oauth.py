"""OAUTHBEARER, against the bytes of RFC 7628's examples and against a server that does not keep to it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgsansio.authentication.oauth import Refusal, client_first, read_refusal, read_token
from pgsansio.errors import ClientConfigurationError, ProtocolError

TOKENS = st.text("abcXYZ019-._~+/", min_size=1).flatmap(lambda text: st.sampled_from([text, text + "=", text + "=="]))


def test_the_bytes() -> None:
    """RFC 7628, section 4.1, without the host and port that PostgreSQL ignores."""
    assert (
        client_first("vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==")
        == b"n,,\x01auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01"
    )


def test_the_published_example_at_the_server() -> None:
    data = (
        b"n,,\x01host=server.example.com\x01port=143\x01auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01"
    )
    assert read_token(data) == "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="
    assert read_token(b"y,,\x01auth=\x01\x01") == ""


@given(TOKENS)
def test_both_sides(token: str) -> None:
    assert read_token(client_first(token)) == token


@pytest.mark.parametrize("token", ["", "=", "a b", "a\x01b", "a\0", "a=b", "tökén", "a\n", "Bearer a", "\ud800"])
def test_what_is_no_token(token: str) -> None:
    with pytest.raises(ClientConfigurationError) as caught:
        client_first(token)
    assert not token or token not in str(caught.value).replace("=", "")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"n,,",
        b"n,,\x01\x01",
        b"p=tls-server-end-point,,\x01auth=Bearer a\x01\x01",
        b"n,a=joe,\x01auth=Bearer a\x01\x01",
        b"n,,\x01auth=Bearer a\x01",
        b"n,,\x01auth=Bearer a\x01\x01x",
        b"n,,\x01auth=Bearer\x01\x01",
        b"n,,\x01auth=Basic a\x01\x01",
        b"n,,\x01auth=Bearer a b\x01\x01",
        b"n,,\x01auth=Bearer \xff\x01\x01",
    ],
)
def test_what_is_no_first_message(data: bytes) -> None:
    with pytest.raises(ProtocolError, match="OAUTHBEARER: it"):
        read_token(data)


def test_a_refusal() -> None:
    refusal = read_refusal(
        b'{"status":"invalid_token","scope":"example_scope",'
        b'"openid-configuration":"https://example.com/.well-known/openid-configuration","more":[1]}'
    )
    assert refusal == Refusal("invalid_token", "example_scope", "https://example.com/.well-known/openid-configuration")
    assert str(refusal) == (
        "status 'invalid_token', scope 'example_scope', "
        "openid-configuration 'https://example.com/.well-known/openid-configuration'"
    )
    assert str(read_refusal(b'{"status":"invalid\\ntoken"}')) == r"status 'invalid\ntoken'"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 1900, "not JSON"),
        (b"1" * 1900, "not a JSON object"),
        (b"[]", "not a JSON object"),
        (b"{}", "no status"),
        (b'{"status": 1}', "no status"),
        (b'{"status": "x", "scope": 1}', "not a text"),
        (b'{"status": "x", "openid-configuration": {}}', "not a text"),
    ],
)
def test_what_is_no_refusal(data: bytes, reason: str) -> None:
    with pytest.raises(ProtocolError, match=reason):
        read_refusal(data)


@given(
    st.binary()
    | st.recursive(
        st.none() | st.text() | st.integers(),
        lambda inner: st.dictionaries(st.sampled_from(["status", "scope", "openid-configuration", "x"]), inner),
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_bytes(data: bytes) -> None:
    for read in (read_refusal, read_token):
        try:
            read(data)
        except ProtocolError:
            pass
