"""SASL from both sides: what a server says to a client, and a client to a server; passwords and tokens of any kind.

Input: what it is for, and how the messages are put together; then their texts, in parts separated by 0xff. `{nonce}`
and `{sign}` in them become what would be right, so that not all of them end at the first check.
"""

import base64
import random
from typing import Final

from fuzz.choices import pick
from fuzz.mutation import mutated
from pgsansio.authentication.md5 import md5_response
from pgsansio.authentication.oauth import client_first, read_refusal, read_token
from pgsansio.authentication.saslprep import prepare_password, saslprep
from pgsansio.authentication.scram import (
    MAX_ITERATIONS,
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
    InvalidAuthorizationSpecificationError,
    ProtocolError,
)
from pgsansio.types import Secret
from tests.support.leaks import SECRET, shown_by

__all__ = ["PREFIX_BYTES", "mutate", "target"]

PREFIX_BYTES: Final = 2
_NONCE: Final = "fuzzing-nonce"
#: What may be done at most, to stay within the time of one input.
_ITERATIONS: Final = 100
_HASH: Final = b"h" * 32
_STORED: Final = ScramSecret.from_password(SECRET, b"0123456789abcdef", 2)
_FLAGS: Final[tuple[tuple[Gs2Flag, bytes], ...]] = (("n", b""), ("y", b""), ("p", _HASH))
_DOCUMENTED: Final = (ProtocolError, InterfaceError, InvalidAuthorizationSpecificationError)


def mutate(data: bytes, corpus: list[bytes], chance: random.Random) -> bytes:
    return mutated(data, corpus, chance, PREFIX_BYTES)


def target(data: bytes) -> None:
    choices, rest = data[:PREFIX_BYTES].ljust(PREFIX_BYTES, b"\0"), data[PREFIX_BYTES:]
    parts = [*rest.split(b"\xff"), b"", b""]
    match choices[0] % 6:
        case 0 | 1:
            _client(parts[0], parts[1], *pick(_FLAGS, choices[1]))
        case 2:
            _server(parts[0], parts[1], is_bound=choices[1] % 2 == 1)
        case 3:
            _oauth(parts[0], parts[1])
        case 4:
            _passwords(parts[0].decode("utf-8", "surrogateescape") + "\ud800" * (choices[1] % 2), parts[1])
        case _:
            _mechanisms([part.decode("latin-1") for part in parts], choices[1])


def _refused(error: Exception) -> None:
    assert SECRET not in shown_by(error)


def _client(first: bytes, final: bytes, flag: Gs2Flag, binding_data: bytes) -> None:
    """A client that knows the password, and a server that says this."""
    client = ScramClient(SECRET, _NONCE, gs2_flag=flag, binding_data=binding_data)
    client.client_first()
    try:
        client.server_first(first.replace(b"{nonce}", _NONCE.encode()))
        work = client.work()
        assert 1 <= work.iterations <= MAX_ITERATIONS
        salted = work() if work.iterations <= _ITERATIONS else Secret(bytes(32))
        answer = client.client_final(salted)
        assert SECRET.encode() not in answer
        right = base64.b64encode(client._server_signature)
        client.server_final(final.replace(b"{sign}", right))
    except _DOCUMENTED as error:
        assert not client.verified
        _refused(error)
    else:
        assert client.verified
        assert right in final.replace(b"{sign}", right)
    assert SECRET not in repr(client)


def _server(first: bytes, final: bytes, *, is_bound: bool) -> None:
    """A server, and a client that says this; nobody gets in who does not know the password."""
    mechanism = "SCRAM-SHA-256-PLUS" if is_bound else "SCRAM-SHA-256"
    server = ScramServer(_STORED, "server", mechanism=mechanism, binding_data=_HASH if is_bound else None)
    try:
        server.client_first(first)
        server.client_final(final)
    except _DOCUMENTED as error:
        _refused(error)
    else:
        raise AssertionError("somebody has guessed a proof")


def _oauth(data: bytes, token: bytes) -> None:
    for read in (read_refusal, read_token):
        try:
            str(read(data))
        except ProtocolError:
            pass
    hidden = Secret(f"{token.decode('latin-1')}{SECRET}")
    try:
        sent = hidden.use(client_first)
    except ClientConfigurationError as error:
        _refused(error)
    else:
        assert Secret(read_token(sent)) == hidden


def _passwords(text: str, salt: bytes) -> None:
    try:
        assert saslprep(text) == saslprep(saslprep(text)) or not text.isascii()
    except ValueError:
        pass
    hidden = Secret(text + SECRET)
    try:
        prepared = hidden.use(prepare_password)
        hidden.use(lambda password: md5_response("user", password, salt))
    except ClientConfigurationError as error:
        _refused(error)
    else:
        assert PasswordWork(Secret(prepared), salt, 1)() == PasswordWork(Secret(prepared), salt, 1)()


def _mechanisms(offered: list[str], choice: int) -> None:
    try:
        chosen = choose_mechanism(
            offered, can_bind=choice & 1 == 1, channel_binding=pick(("disable", "prefer", "require"), choice >> 1)
        )
    except InterfaceError:
        pass
    else:
        assert chosen.mechanism in offered
        assert (chosen.gs2_flag == "p") == chosen.mechanism.endswith("-PLUS")
