"""The server's end, fed with arbitrary bytes of a client; and every decoder of messages, of both directions.

Input: how the server answers, the size of the pieces; then the client's bytes.
"""

import random
from typing import Final

from fuzz.choices import cut, pick
from fuzz.mutation import mutated
from pgsansio.authentication.scram import ScramSecret
from pgsansio.authentication.server import AuthenticationMethod, CleartextPassword, MD5Password, ScramPassword, Trust
from pgsansio.backend import Backend, Phase
from pgsansio.enums import Format, TransactionStatus
from pgsansio.errors import InterfaceError, ProtocolError
from pgsansio.messages.authentication import GSSResponse, PasswordMessage, SASLInitialResponse, SASLResponse
from pgsansio.messages.backend import (
    BindComplete,
    CloseComplete,
    CommandComplete,
    DataRow,
    ErrorResponse,
    FunctionCallResponse,
    NoData,
    ParameterDescription,
    ParseComplete,
    ReadyForQuery,
)
from pgsansio.messages.copy import CopyInResponse
from pgsansio.messages.startup import StartupMessage, decode_startup
from pgsansio.messages.tags import BackendMessage, Direction, FrontendMessage, decode_backend, decode_frontend
from pgsansio.messages.trace import describe, describe_frame
from pgsansio.wire.framing import BLOCK_BYTES

__all__ = ["PREFIX_BYTES", "mutate", "target"]

PREFIX_BYTES: Final = 3
_SECRET: Final = ScramSecret.from_password("secret", b"salt-of-fuzzing", 1)
_ANSWERS: Final[tuple[BackendMessage, ...]] = (
    ParseComplete(),
    BindComplete(),
    CloseComplete(),
    ParameterDescription((23,)),
    NoData(),
    DataRow((b"1",)),
    CommandComplete("SELECT 1"),
    FunctionCallResponse(None),
    CopyInResponse(Format.TEXT, (Format.TEXT,)),
    ErrorResponse({"S": "ERROR", "V": "ERROR", "C": "22012", "M": "division by zero"}),
    ReadyForQuery(TransactionStatus.IDLE),
)
_CONTEXTS: Final = (None, PasswordMessage, SASLInitialResponse, SASLResponse, GSSResponse)


def _method(choice: int) -> AuthenticationMethod:
    match choice % 4:
        case 0:
            return Trust()
        case 1:
            return CleartextPassword("secret")
        case 2:
            return MD5Password("user", "secret", b"salt")
        case _:
            return ScramPassword(_SECRET, "servers-nonce")


def mutate(data: bytes, corpus: list[bytes], chance: random.Random) -> bytes:
    return mutated(data, corpus, chance, PREFIX_BYTES, b"QPBEDCSHFdcfpX")


def target(data: bytes) -> None:
    choices, rest = data[:PREFIX_BYTES].ljust(PREFIX_BYTES, b"\0"), data[PREFIX_BYTES:]
    if choices[0] >= 0x80:
        _messages(rest, choices[1], choices[2])
        return
    backend = Backend(strict=choices[0] % 8 != 7)
    fed = 0
    for piece in cut(rest, choices[2]):
        backend.receive_data(piece)
        fed += len(piece)
        while (message := backend.next_message()) is not None:
            describe(message)
            try:
                if isinstance(message, StartupMessage):
                    backend.authenticate(_method(choices[0]))
                if backend.phase is Phase.STARTUP and choices[1] & 1:
                    backend.welcome({"server_version": "16.0"}, 1)
                elif backend.phase is Phase.SESSION:
                    _answer(backend, choices[1])
            except InterfaceError:
                pass
        if backend.phase is Phase.ENCRYPTION:
            backend.answer_encryption(b"N")
            backend.next_message()
        assert backend.buffer.end - backend.buffer.start <= fed
        assert len(backend.buffer.data) <= max(BLOCK_BYTES, 2 * fed + 16)
        backend.data_to_send()
    backend.receive_eof()
    assert backend.ended
    assert backend.next_message() is None


def _answer(backend: Backend, choice: int) -> None:
    """All that may be sent now, beginning anywhere."""
    for number in range(len(_ANSWERS)):
        try:
            backend.send(pick(_ANSWERS, choice + number))
        except InterfaceError:
            continue


def _messages(body: bytes, tag: int, choice: int) -> None:
    describe_frame(pick((Direction.BACKEND, Direction.FRONTEND), choice), tag, body)
    try:
        if choice % 3 == 0:
            message: BackendMessage | FrontendMessage = decode_backend(tag, body)
            again: BackendMessage | FrontendMessage = decode_backend(tag, message.encode()[5:])
        elif choice % 3 == 1:
            context = pick(_CONTEXTS, choice)
            message = decode_frontend(tag, body, context)
            again = decode_frontend(tag, message.encode()[5:], context)
        else:
            message = decode_startup(body)
            again = decode_startup(message.encode()[4:])
    except ProtocolError:
        return
    assert message == again, f"{message} encoded and decoded is {again}"
