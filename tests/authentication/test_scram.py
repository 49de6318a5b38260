"""SCRAM against RFC 7677's example, against itself, and against a server that does not keep to it."""

import binascii
import hashlib
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgsansio.authentication.scram import (
    MAX_ITERATIONS,
    SCRAM_SHA_256,
    SCRAM_SHA_256_PLUS,
    Choice,
    Gs2Flag,
    PasswordWork,
    ScramClient,
    ScramSecret,
    ScramServer,
    choose_mechanism,
)
from pgsansio.errors import (
    ClientConfigurationError,
    InterfaceError,
    InternalClientError,
    InvalidAuthorizationSpecificationError,
    InvalidPasswordError,
    ProtocolError,
)
from pgsansio.types.secret import Secret

# RFC 7677, section 3.
CLIENT_NONCE = "rOprNGfwEbeRWgbNEkqO"
SERVER_NONCE = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
CLIENT_FIRST = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
SERVER_FIRST = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
CLIENT_FINAL = (
    b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
)
SERVER_FINAL = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
SALT = binascii.a2b_base64("W22ZaJ0SNY7soEsUEjb6gQ==")

HASH = hashlib.sha256(b"certificate").digest()
#: The errors that a server's bytes may cause.
REFUSALS = (ProtocolError, InterfaceError, InvalidPasswordError, InvalidAuthorizationSpecificationError)


def waiting_for_first(password: str = "pencil", nonce: str = "abc") -> ScramClient:
    client = ScramClient(password, nonce)
    client.client_first()
    return client


def waiting_for_final() -> ScramClient:
    client = ScramClient("pencil", CLIENT_NONCE, user="user")
    client.client_first()
    client.server_first(SERVER_FIRST)
    client.client_final(client.work()())
    return client


def exchange(client: ScramClient, server: ScramServer) -> None:
    client.server_first(server.client_first(client.client_first()))
    client.server_final(server.client_final(client.client_final(client.work()())))


class TestPublishedExample:
    @pytest.mark.checklist("AUTH-1")
    def test_client(self) -> None:
        client = ScramClient("pencil", CLIENT_NONCE, user="user")
        assert client.mechanism == SCRAM_SHA_256
        assert client.client_first() == CLIENT_FIRST
        client.server_first(SERVER_FIRST)
        work = client.work()
        assert work == PasswordWork(Secret(b"pencil"), SALT, 4096)
        assert client.client_final(work()) == CLIENT_FINAL
        assert not client.verified
        client.server_final(SERVER_FINAL)
        assert client.verified

    def test_server(self) -> None:
        server = ScramServer(ScramSecret.from_password("pencil", SALT, 4096), SERVER_NONCE)
        assert server.client_first(CLIENT_FIRST) == SERVER_FIRST
        assert server.client_final(CLIENT_FINAL) == SERVER_FINAL


class TestBothSides:
    @given(st.text(st.characters(codec="utf-8"), max_size=8), st.text(st.characters(codec="utf-8"), max_size=8))
    def test_any_password_and_user(self, password: str, user: str) -> None:
        client = ScramClient(password, "abc", user=user)
        exchange(client, ScramServer(ScramSecret.from_password(password, b"salt", 1), "def"))
        assert client.verified

    @pytest.mark.parametrize(
        ("flag", "data", "mechanism", "server_data"),
        [
            ("n", b"", SCRAM_SHA_256, None),
            ("n", b"", SCRAM_SHA_256, HASH),
            ("y", b"", SCRAM_SHA_256, None),
            ("p", HASH, SCRAM_SHA_256_PLUS, HASH),
        ],
    )
    def test_channel_binding(self, flag: Gs2Flag, data: bytes, mechanism: str, server_data: bytes | None) -> None:
        client = ScramClient("x", "abc", gs2_flag=flag, binding_data=data)
        assert client.mechanism == mechanism
        secret = ScramSecret.from_password("x", b"salt", 1)
        exchange(client, ScramServer(secret, "def", mechanism=mechanism, binding_data=server_data))
        assert client.verified

    @pytest.mark.parametrize(
        ("flag", "data", "mechanism", "server_data", "reason"),
        [
            ("y", b"", SCRAM_SHA_256, HASH, "did not see that channel binding was offered"),
            ("p", HASH, SCRAM_SHA_256, HASH, "does not fit the mechanism"),
            ("p", HASH, SCRAM_SHA_256_PLUS, None, "does not fit the mechanism"),
            ("n", b"", SCRAM_SHA_256_PLUS, HASH, "does not fit the mechanism"),
            ("p", HASH, SCRAM_SHA_256_PLUS, HASH[::-1], "that of another channel"),
        ],
    )
    def test_channel_binding_that_does_not_fit(
        self, flag: Gs2Flag, data: bytes, mechanism: str, server_data: bytes | None, reason: str
    ) -> None:
        client = ScramClient("x", "abc", gs2_flag=flag, binding_data=data)
        secret = ScramSecret.from_password("x", b"salt", 1)
        with pytest.raises(ProtocolError, match=reason):
            exchange(client, ScramServer(secret, "def", mechanism=mechanism, binding_data=server_data))
        assert not client.verified

    def test_the_header_is_bound_too(self) -> None:
        client = ScramClient("x", "abc", gs2_flag="p", binding_data=HASH)
        assert client.client_first() == b"p=tls-server-end-point,,n=,r=abc"
        client.server_first(b"r=abcdef,s=c2FsdA==,i=1")
        binding = client.client_final(client.work()()).split(b",")[0].removeprefix(b"c=")
        assert binascii.a2b_base64(binding) == b"p=tls-server-end-point,," + HASH

    def test_wrong_password(self) -> None:
        client = ScramClient("wrong", "abc")
        with pytest.raises(InvalidPasswordError, match="password authentication failed"):
            exchange(client, ScramServer(ScramSecret.from_password("right", b"salt", 1), "def"))

    def test_a_server_that_does_not_know_the_password(self) -> None:
        client = waiting_for_final()
        with pytest.raises(
            InterfaceError, match=r"^could not verify server signature for SCRAM authentication: scram-sha-256$"
        ):
            client.server_final(b"v=" + binascii.b2a_base64(bytes(32), newline=False))
        assert not client.verified
        with pytest.raises(ProtocolError):
            client.server_final(SERVER_FINAL)
        assert not client.verified


class TestClientRefuses:
    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            (b"", "does not begin with r=, s=, i="),
            (b"r=abcd,s=c2FsdA==", "does not begin with"),
            (b"s=c2FsdA==,r=abcd,i=1", "does not begin with"),
            (b"m=x,r=abcd,s=c2FsdA==,i=1", "extension that must be understood"),
            (b"r=abc,s=c2FsdA==,i=1", "does not extend"),
            (b"r=xabcd,s=c2FsdA==,i=1", "does not extend"),
            (b"r=ab,s=c2FsdA==,i=1", "does not extend"),
            (b"r=,s=c2FsdA==,i=1", "not printable"),
            (b"r=abc\x7f,s=c2FsdA==,i=1", "not printable"),
            ("r=abcé,s=c2FsdA==,i=1".encode(), "not printable"),
            (b"r=abc\xff,s=c2FsdA==,i=1", "not UTF-8"),
            (b"r=abcd,s=,i=1", "salt is empty"),
            (b"r=abcd,s=c2FsdA=,i=1", "not base64"),
            (b"r=abcd,s=c2FsdA==x,i=1", "not base64"),
            (b"r=abcd,s=c2 FsdA==,i=1", "not base64"),
            ("r=abcd,s=ééé,i=1".encode(), "not base64"),
            (b"r=abcd,s=c2FsdA==,i=0", "not a positive number"),
            (b"r=abcd,s=c2FsdA==,i=-1", "not a positive number"),
            (b"r=abcd,s=c2FsdA==,i=", "not a positive number"),
            (b"r=abcd,s=c2FsdA==,i=01", "not a positive number"),
            (b"r=abcd,s=c2FsdA==,i=1_0", "not a positive number"),
            ("r=abcd,s=c2FsdA==,i=\u0661".encode(), "not a positive number"),
            (b"e=other-error", "does not begin with"),
        ],
    )
    @pytest.mark.checklist("AUTH-2")
    def test_server_first(self, data: bytes, reason: str) -> None:
        client = waiting_for_first()
        with pytest.raises(InternalClientError, match=r"^unexpected error while performing authentication: ") as info:
            client.server_first(data)
        assert reason in str(info.value)
        assert type(info.value) is ProtocolError
        with pytest.raises(ProtocolError):
            client.work()

    @pytest.mark.parametrize("count", [str(MAX_ITERATIONS + 1), "9" * 8, "9" * 5000])
    def test_too_many_iterations(self, count: str) -> None:
        with pytest.raises(InterfaceError, match="more than 1000000 iterations") as info:
            waiting_for_first().server_first(f"r=abcd,s=c2FsdA==,i={count}".encode())
        assert info.value.hint is not None

    @pytest.mark.parametrize("count", [1, MAX_ITERATIONS])
    def test_as_many_iterations_as_allowed(self, count: int) -> None:
        client = waiting_for_first()
        client.server_first(f"r=abcd,s=c2FsdA==,i={count}".encode())
        assert client.work().iterations == count

    def test_unknown_optional_extensions_are_ignored(self) -> None:
        client = waiting_for_first()
        client.server_first("r=abcd,s=c2FsdA==,i=1,x=é=,".encode())
        assert client.work().iterations == 1

    @pytest.mark.parametrize(
        ("data", "expected", "text"),
        [
            (b"e=invalid-proof", InvalidPasswordError, "SCRAM authentication failed: invalid-proof"),
            (
                b"e=unknown-user,x=y",
                InvalidAuthorizationSpecificationError,
                "SCRAM authentication failed: unknown-user",
            ),
            (b"e=send money", InvalidAuthorizationSpecificationError, "SCRAM authentication failed: unknown error"),
            (b"e=", InvalidAuthorizationSpecificationError, "SCRAM authentication failed: unknown error"),
            (b"", ProtocolError, "does not begin with v="),
            (b"v=!", ProtocolError, "not base64"),
            (b"\xff", ProtocolError, "not UTF-8"),
            (b"v=", InterfaceError, "could not verify server signature"),
            (SERVER_FINAL[:-5] + b"AAAA=", InterfaceError, "could not verify server signature"),
        ],
    )
    def test_server_final(self, data: bytes, expected: type[Exception], text: str) -> None:
        client = waiting_for_final()
        with pytest.raises(expected) as info:
            client.server_final(data)
        assert type(info.value) is expected
        assert text in str(info.value)
        assert not client.verified

    @given(st.binary(max_size=60) | st.text("rsie=,aBc1+/0m", max_size=40).map(str.encode))
    def test_server_first_of_any_bytes(self, data: bytes) -> None:
        client = waiting_for_first(nonce="a")
        try:
            client.server_first(data)
        except REFUSALS:
            return
        assert 1 <= client.work().iterations <= MAX_ITERATIONS

    @given(st.binary(max_size=60) | st.text("ve=,aBc1+/0m", max_size=40).map(str.encode))
    def test_server_final_of_any_bytes(self, data: bytes) -> None:
        client = ScramClient("x", "a")
        client.client_first()
        client.server_first(b"r=ab,s=c2FsdA==,i=1")
        client.client_final(client.work()())
        with pytest.raises(REFUSALS):
            client.server_final(data)
        assert not client.verified

    def test_messages_out_of_order(self) -> None:
        client = ScramClient("x", CLIENT_NONCE, user="user")
        with pytest.raises(ProtocolError, match="server-final-message: not expected, but client-first-message"):
            client.server_final(SERVER_FINAL)
        with pytest.raises(ProtocolError):
            client.server_first(SERVER_FIRST)
        with pytest.raises(ProtocolError):
            client.work()
        client.client_first()
        with pytest.raises(ProtocolError):
            client.client_first()

    def test_a_second_challenge(self) -> None:
        client = waiting_for_final()
        with pytest.raises(ProtocolError, match="server-first-message: not expected, but server-final-message"):
            client.server_first(SERVER_FIRST)

    @pytest.mark.parametrize("nonce", ["", "a,b", "a b", "é", "\x7f"])
    def test_nonces(self, nonce: str) -> None:
        with pytest.raises(ValueError, match="nonce"):
            ScramClient("x", nonce)
        with pytest.raises(ValueError, match="nonce"):
            ScramServer(ScramSecret.from_password("x", b"s", 1), nonce)

    @pytest.mark.parametrize(("flag", "data"), [("p", b""), ("n", HASH), ("y", HASH)])
    def test_binding_data_without_its_flag(self, flag: Gs2Flag, data: bytes) -> None:
        with pytest.raises(ValueError, match="binding data"):
            ScramClient("x", "abc", gs2_flag=flag, binding_data=data)

    def test_a_password_without_bytes(self) -> None:
        with pytest.raises(ClientConfigurationError) as info:
            ScramClient("x\ud800", "abc")
        assert info.value.__cause__ is None
        assert info.value.__suppress_context__


class TestServerRefuses:
    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            (b"", "not known"),
            (b"n", "does not begin with n=, r="),
            (b"n,a=other,n=,r=abc", "another user"),
            (b"p=tls-unique,,n=,r=abc", "not known"),
            (b"n,,m=x,n=,r=abc", "must be understood"),
            (b"n,,r=abc", "does not begin with"),
            (b"n,,n=,r=", "not printable"),
            (b"\xff", "not UTF-8"),
        ],
    )
    def test_client_first(self, data: bytes, reason: str) -> None:
        server = ScramServer(ScramSecret.from_password("x", b"salt", 1), "def")
        with pytest.raises(ProtocolError, match=reason):
            server.client_first(data)
        with pytest.raises(ProtocolError, match="not expected, but nothing"):
            server.client_first(CLIENT_FIRST)

    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            (b"c=biws,r=abcdef", "no proof"),
            (b"c=biws,r=abcxyz,p=AAAA", "nonce is another"),
            (b"c=eSws,r=abcdef,p=AAAA", "another channel"),
            (b"c=!,r=abcdef,p=AAAA", "not base64"),
            (b"c=biws,r=abcdef,p=!", "not base64"),
            (b"c=biws,r=abcdef,p=AAAA", "wrong length"),
            (b"r=abcdef,c=biws,p=AAAA", "does not begin with"),
            (b"\xff", "not UTF-8"),
        ],
    )
    def test_client_final(self, data: bytes, reason: str) -> None:
        server = ScramServer(ScramSecret.from_password("x", b"salt", 1), "def")
        server.client_first(b"n,,n=,r=abc")
        with pytest.raises(ProtocolError, match=reason):
            server.client_final(data)


def test_no_repr_shows_a_secret() -> None:
    client = waiting_for_first("hunter2")
    client.server_first(b"r=abcd,s=c2FsdA==,i=1")
    secret = ScramSecret.from_password("hunter2", b"salt", 1)
    shown = f"{client!r} {client.work()!r} {secret!r} {ScramServer(secret, 'def')!r}"
    assert shown == (
        "<ScramClient SCRAM-SHA-256, next client-final-message> PasswordWork(iterations=1) "
        "ScramSecret(salt=b'salt', iterations=1) <ScramServer SCRAM-SHA-256, next client-first-message>"
    )


def test_user_names_are_escaped() -> None:
    assert ScramClient("x", "abc", user="a=b,c").client_first() == b"n,,n=a=3Db=2Cc,r=abc"


class TestChoice:
    @pytest.mark.parametrize(
        ("offered", "can_bind", "channel_binding", "expected"),
        [
            ([SCRAM_SHA_256], False, "prefer", Choice(SCRAM_SHA_256, "n")),
            ([SCRAM_SHA_256], True, "prefer", Choice(SCRAM_SHA_256, "y")),
            ([SCRAM_SHA_256], True, "disable", Choice(SCRAM_SHA_256, "n")),
            ([SCRAM_SHA_256, SCRAM_SHA_256_PLUS], True, "prefer", Choice(SCRAM_SHA_256_PLUS, "p")),
            ([SCRAM_SHA_256_PLUS, SCRAM_SHA_256], True, "require", Choice(SCRAM_SHA_256_PLUS, "p")),
            (["OTHER", SCRAM_SHA_256_PLUS, SCRAM_SHA_256], True, "disable", Choice(SCRAM_SHA_256, "n")),
            # Offered, but the certificate has no usable hash: "y" would look like an attack to the server.
            ([SCRAM_SHA_256_PLUS, SCRAM_SHA_256], False, "prefer", Choice(SCRAM_SHA_256, "n")),
        ],
    )
    def test_by_our_preference(
        self,
        offered: list[str],
        can_bind: bool,
        channel_binding: Literal["disable", "prefer", "require"],
        expected: Choice,
    ) -> None:
        assert choose_mechanism(offered, can_bind=can_bind, channel_binding=channel_binding) == expected

    @pytest.mark.checklist("AUTH-1")
    @pytest.mark.parametrize(
        ("offered", "named"),
        [([], "''"), (["SCRAM-SHA-1", "X"], "'SCRAM-SHA-1, X'"), ([SCRAM_SHA_256_PLUS], "'SCRAM-SHA-256-PLUS'")],
    )
    def test_nothing_usable(self, offered: list[str], named: str) -> None:
        with pytest.raises(InterfaceError) as info:
            choose_mechanism(offered, can_bind=False)
        assert str(info.value) == f"unsupported SASL Authentication methods requested by the server: {named}"

    @pytest.mark.parametrize(
        ("offered", "can_bind", "reason"),
        [
            ([SCRAM_SHA_256], True, "did not offer"),
            ([SCRAM_SHA_256, SCRAM_SHA_256_PLUS], False, "certificate cannot be used"),
        ],
    )
    def test_required_binding_that_is_impossible(self, offered: list[str], can_bind: bool, reason: str) -> None:
        with pytest.raises(InterfaceError, match="channel binding is required, but.*" + reason):
            choose_mechanism(offered, can_bind=can_bind, channel_binding="require")
