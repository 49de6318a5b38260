"""Type bytes and size limits: complete, and consistent with each other and with the messages."""

import pytest

from pgsansio.errors import ProtocolError
from pgsansio.messages.authentication import PasswordMessage, SASLResponse
from pgsansio.messages.tags import (
    BACKEND_LIMITS,
    BACKEND_STARTUP_LIMITS,
    BACKEND_TAGS,
    FRONTEND_LIMITS,
    FRONTEND_TAGS,
    decode_backend,
    decode_frontend,
)
from pgsansio.wire.fields import MAX_BODY_BYTES
from tests.messages.table import BACKEND, FRONTEND


def test_the_type_bytes_are_the_manuals() -> None:
    assert bytes(sorted({*BACKEND_TAGS, ord("R")})) == bytes(sorted(b"R123ACcDdEGHIKNnsSTtVvWZ"))
    assert bytes(sorted({*FRONTEND_TAGS, ord("p")})) == bytes(sorted(b"BCcDdEFfHPpQSX"))


def test_every_message_of_the_table_has_a_type_byte_and_a_limit() -> None:
    assert {row.tag for row in BACKEND} == BACKEND_LIMITS.keys()
    assert {row.tag for row in FRONTEND} == FRONTEND_LIMITS.keys()
    assert BACKEND_STARTUP_LIMITS.keys() < BACKEND_LIMITS.keys()


def test_nothing_gets_more_room_during_startup() -> None:
    assert all(limit <= BACKEND_LIMITS[tag] for tag, limit in BACKEND_STARTUP_LIMITS.items())
    assert max(BACKEND_STARTUP_LIMITS.values()) < 30000


def test_only_what_carries_values_may_be_as_long_as_a_value() -> None:
    assert {tag for tag, limit in BACKEND_LIMITS.items() if limit == MAX_BODY_BYTES} == set(b"DdV")
    assert {tag for tag, limit in FRONTEND_LIMITS.items() if limit == MAX_BODY_BYTES} == set(b"QFBPd")
    # both sides of PostgreSQL hold a whole message in one allocation below 1 GiB
    assert MAX_BODY_BYTES + 4 < 2**30


def test_as_many_parameters_as_there_can_be_fit_into_their_description() -> None:
    assert BACKEND_LIMITS[ord("t")] == 262142


@pytest.mark.parametrize("tag", [0, ord("!"), ord("p"), 0xFF])
def test_unknown_backend_types_are_refused(tag: int) -> None:
    with pytest.raises(ProtocolError, match=r"^unknown message type ('p'|'!'|0x00|0xff) from the backend$"):
        decode_backend(tag, b"")


@pytest.mark.parametrize("tag", [0, ord("!"), ord("R"), 0xFF])
def test_unknown_frontend_types_are_refused(tag: int) -> None:
    with pytest.raises(ProtocolError, match=r"^unknown message type ('R'|'!'|0x00|0xff) from the frontend$"):
        decode_frontend(tag, b"", PasswordMessage)


def test_what_p_means_depends_on_the_context() -> None:
    assert decode_frontend(ord("p"), b"abc\0", PasswordMessage) == PasswordMessage("abc")
    assert decode_frontend(ord("p"), b"abc\0", SASLResponse) == SASLResponse(b"abc\0")
    with pytest.raises(ProtocolError, match="was not asked for"):
        decode_frontend(ord("p"), b"abc\0")
