"""A connection's beginning, fed with arbitrary bytes: a request for encryption, or start-up with or without password.

Input: which of them, the size of the pieces; then the server's bytes.
"""

import random
from typing import Final

from fuzz.choices import cut, pick
from fuzz.mutation import mutated
from pgsansio.engine.encryption import EncryptionRequest
from pgsansio.engine.startup import MAX_NOTICES, MAX_PARAMETERS
from pgsansio.enums import Outcome
from pgsansio.errors import InterfaceError, InternalClientError, PostgresError, ProtocolError
from pgsansio.frontend import Frontend

__all__ = ["PREFIX_BYTES", "mutate", "target"]

PREFIX_BYTES: Final = 2
_PASSWORDS: Final = (None, "", "s3cr3t-s3cr3t", "\u00ad", "pässwörd", "\u0378\u2168")
_SECRET: Final = "s3cr3t-s3cr3t"
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
        _start_up(server, pick(_PASSWORDS, choices[0]), choices[1])


def _encryption(server: bytes, choice: int, size: int) -> None:
    request = EncryptionRequest(gss=choice % 2 == 1)
    request.data_to_send()
    try:
        for piece in cut(server, size):
            request.receive(piece)
    except ProtocolError:
        pass


def _start_up(server: bytes, password: str | None, size: int) -> None:
    frontend = Frontend()
    startup = frontend.start_up(
        [("user", "postgres"), ("database", "postgres")], user="postgres", password=password, nonce="fuzzing-nonce"
    )
    operation = startup.operation
    settled = 0
    sent = frontend.data_to_send()
    for piece in cut(server, size):
        frontend.receive_data(piece)
        settled += any(one is operation and one.settled for one in frontend.completed())
        work = startup.work
        if work is not None:
            frontend.start_up_work_done(work() if work.iterations <= _MAX_ITERATIONS else bytes(32))
            assert startup.work is None
            settled += any(one is operation and one.settled for one in frontend.completed())
        sent += frontend.data_to_send()
        assert len(frontend.parameters) <= MAX_PARAMETERS
        assert len(startup.events) <= MAX_NOTICES
    ready = operation.outcome is Outcome.COMPLETED
    frontend.receive_eof()
    settled += any(one is operation and one.settled for one in frontend.completed())
    assert settled == 1, f"settled {settled} times"
    assert ready or isinstance(operation.error, PostgresError | InterfaceError | InternalClientError), operation.error
    assert frontend.ended
    shown = f"{startup!r} {operation!r} {operation.error!r} {operation.error} {frontend!r} {frontend.failure}"
    assert _SECRET not in shown
    # A server can ask for the password in plain text; but it goes out once, and not beside anything else.
    assert sent.count(_SECRET.encode()) <= 1
