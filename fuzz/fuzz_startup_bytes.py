"""A connection's beginning, fed with arbitrary bytes: a request for encryption, or start-up in many ways.

Input: which of them, the size of the pieces; then the server's bytes, which are also read as its certificate.
"""

import random
from typing import Final, NamedTuple

from fuzz.choices import cut, pick
from fuzz.mutation import mutated
from pgsansio.authentication.channel_binding import certificate_hash
from pgsansio.engine.encryption import EncryptionRequest
from pgsansio.engine.reports import MAX_PARAMETERS
from pgsansio.engine.startup import MAX_NOTICES, StartupMachine
from pgsansio.enums import Outcome
from pgsansio.errors import InterfaceError, InternalClientError, PostgresError, ProtocolError
from pgsansio.frontend import Frontend
from pgsansio.messages.startup import PROTOCOL_3_0, PROTOCOL_3_2
from pgsansio.policy.authentication_rules import (
    ANY_AUTHENTICATION,
    AuthenticationMethod,
    AuthenticationRules,
    ChannelBinding,
)
from pgsansio.types import Secret, TlsInfo

__all__ = ["PREFIX_BYTES", "mutate", "target"]

PREFIX_BYTES: Final = 2
_PASSWORDS: Final = (None, "", "s3cr3t-s3cr3t", "\u00ad", "pässwörd", "\u0378\u2168")
_SECRET: Final = "s3cr3t-s3cr3t"
_TOKEN: Final = "t0k3n-t0k3n"
#: As much of one as is looked at: signed with RSA and SHA-256.
_CERTIFICATE: Final = bytes.fromhex("301030016130" + "0b06092a864886f70d01010b")


class _Way(NamedTuple):
    """What a start-up is asked to be like."""

    rules: AuthenticationRules = ANY_AUTHENTICATION
    encrypted: bool = False
    has_token: bool = False
    is_private: bool = False
    protocol_version: int = PROTOCOL_3_0
    min_protocol_version: int = PROTOCOL_3_0

    @property
    def keeps_the_password(self) -> bool:
        """It is not to be sent as it is, whatever the server asks for."""
        return (
            AuthenticationMethod.PASSWORD not in self.rules.methods
            or self.rules.channel_binding is ChannelBinding.REQUIRE
        )


_BOUND: Final = AuthenticationRules(channel_binding=ChannelBinding.REQUIRE)
_SCRAM_ONLY: Final = AuthenticationRules(frozenset({AuthenticationMethod.SCRAM_SHA_256}))
_OAUTH_ONLY: Final = AuthenticationRules(frozenset({AuthenticationMethod.OAUTH}))
_GSS_ONLY: Final = AuthenticationRules(frozenset({AuthenticationMethod.GSS, AuthenticationMethod.SSPI}))
_WAYS: Final = (
    _Way(),
    _Way(encrypted=True, protocol_version=PROTOCOL_3_2),
    _Way(_BOUND, encrypted=True),
    _Way(_BOUND, has_token=True, is_private=True),
    _Way(_SCRAM_ONLY, protocol_version=PROTOCOL_3_2, min_protocol_version=PROTOCOL_3_2),
    _Way(has_token=True),
    _Way(has_token=True, encrypted=True),
    _Way(_OAUTH_ONLY, has_token=True, is_private=True),
    _Way(_GSS_ONLY),
)
#: Beyond this many hashes the result is made up.
_MAX_ITERATIONS: Final = 5000
_TAGS: Final = b"RRRRRSKZNEv"


def mutate(data: bytes, corpus: list[bytes], chance: random.Random) -> bytes:
    return mutated(data, corpus, chance, PREFIX_BYTES, _TAGS)


def target(data: bytes) -> None:
    choices, server = data[:PREFIX_BYTES].ljust(PREFIX_BYTES, b"\0"), data[PREFIX_BYTES:]
    if choices[0] >= 0xF0:
        _encryption(server, choices[0], choices[1])
    else:
        way = pick(_WAYS, choices[0] // len(_PASSWORDS))
        _start_up(server, pick(_PASSWORDS, choices[0]), choices[1], way)
    hashed = certificate_hash(server)
    assert hashed is None or len(hashed) >= 28


def _encryption(server: bytes, choice: int, size: int) -> None:
    request = EncryptionRequest(gss=choice % 2 == 1)
    request.data_to_send()
    try:
        for piece in cut(server, size):
            request.receive(piece)
    except ProtocolError:
        pass


def _start_up(server: bytes, password: str | None, size: int, way: _Way) -> None:
    frontend = Frontend()
    frontend.tls = TlsInfo("TLSv1.3", "cipher", _CERTIFICATE, None) if way.encrypted else None
    startup = frontend.start_up(
        [("user", "postgres"), ("database", "postgres")],
        user="postgres",
        password=password,
        nonce="fuzzing-nonce",
        rules=way.rules,
        has_token=way.has_token,
        is_private=way.is_private,
        protocol_version=way.protocol_version,
        min_protocol_version=way.min_protocol_version,
    )
    operation = startup.operation
    settled = 0
    is_established = False
    sent = frontend.data_to_send()
    for piece in cut(server, size):
        frontend.receive_data(piece)
        settled += any(one is operation and one.settled for one in frontend.completed())
        work = startup.work
        if work is not None:
            frontend.start_up_work_done(work() if work.iterations <= _MAX_ITERATIONS else Secret(bytes(32)))
            assert startup.work is None
            settled += any(one is operation and one.settled for one in frontend.completed())
        if startup.token_due:
            assert way.encrypted or way.is_private
            frontend.start_up_token(_TOKEN)
            assert not startup.token_due
        if startup.gss_due is not None:
            assert not is_established
            answer, is_established = _gss_step(startup.gss_due.token)
            frontend.start_up_gss_stepped(answer, is_established=is_established)
            assert startup.gss_due is None
            settled += any(one is operation and one.settled for one in frontend.completed())
        sent += frontend.data_to_send()
        assert len(frontend.parameters) <= MAX_PARAMETERS
        assert len(startup.events) <= MAX_NOTICES
    ready = operation.outcome is Outcome.COMPLETED
    if ready:
        _check_proofs(startup, frontend, way)
        assert is_established or way.rules is not _GSS_ONLY
    frontend.receive_eof()
    settled += any(one is operation and one.settled for one in frontend.completed())
    assert settled == 1, f"settled {settled} times"
    assert ready or isinstance(operation.error, PostgresError | InterfaceError | InternalClientError), operation.error
    assert frontend.ended
    shown = f"{startup!r} {operation!r} {operation.error!r} {operation.error} {frontend!r} {frontend.failure}"
    assert _SECRET not in shown
    assert _TOKEN not in shown
    # A server can ask for the password in plain text; but it goes out once, and not beside anything else.
    assert sent.count(_SECRET.encode()) <= 1
    assert sent.count(_SECRET.encode()) == 0 or not way.keeps_the_password
    assert sent.count(_TOKEN.encode()) <= way.has_token


def _gss_step(token: bytes | None) -> tuple[bytes | None, bool]:
    """As Kerberos: one more token is wanted, and the right one needs no answer. Others are answered."""
    if token is None:
        return b"first", False
    return (None, True) if token == b"right" else (b"next", token.startswith(b"last"))


def _check_proofs(startup: StartupMachine, frontend: Frontend, way: _Way) -> None:
    """What a server must not do without, if it lets us in."""
    assert frontend.protocol_version >= way.min_protocol_version
    if way.rules.channel_binding is ChannelBinding.REQUIRE:
        assert startup.mechanism == "SCRAM-SHA-256-PLUS"
    if way.rules is _SCRAM_ONLY:
        assert startup.mechanism == "SCRAM-SHA-256"
    if way.rules is _OAUTH_ONLY:
        assert startup.mechanism == "OAUTHBEARER"
