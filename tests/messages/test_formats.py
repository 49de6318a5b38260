"""Every message against bytes from the manual's "Message Formats": both ways, cut short, too long, and at random."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgsansio.errors import ProtocolError
from pgsansio.messages.authentication import (
    AuthenticationResponse,
    GSSResponse,
    PasswordMessage,
    SASLInitialResponse,
    SASLResponse,
    decode_authentication,
)
from pgsansio.messages.message import Message
from pgsansio.messages.startup import decode_startup
from pgsansio.messages.tags import BackendMessage, FrontendMessage, decode_backend, decode_frontend
from tests.messages.table import BACKEND, FRONTEND, STARTUP, Row
from tests.support.strategies import (
    authentication_responses,
    backend_messages,
    frontend_messages,
    startup_requests,
)

ROWS = STARTUP + FRONTEND + BACKEND
CLASSES = sorted({type(row.message) for row in ROWS}, key=lambda message: message.__name__)
RESPONSES: tuple[type[AuthenticationResponse], ...] = (PasswordMessage, SASLInitialResponse, SASLResponse, GSSResponse)

every_row = pytest.mark.parametrize("row", ROWS, ids=str)


@every_row
def test_the_table_itself_has_right_lengths(row: Row) -> None:
    assert row.frame.startswith(row.message.TAG)
    assert int.from_bytes(row.frame[len(row.message.TAG) :][:4], "big") == len(row.body) + 4


@every_row
def test_decode(row: Row) -> None:
    assert type(row.message).decode(row.body) == row.message


@every_row
def test_encode(row: Row) -> None:
    assert row.message.encode() == row.frame


@every_row
def test_a_message_cut_anywhere_is_refused(row: Row) -> None:
    for cut in range(len(row.body)):
        if row.shortest_body is not None and cut >= row.shortest_body:
            shorter = type(row.message).decode(row.body[:cut])
            assert shorter.encode()[len(row.message.TAG) + 4 :] == row.body[:cut]
        else:
            with pytest.raises(ProtocolError):
                type(row.message).decode(row.body[:cut])


@every_row
@pytest.mark.parametrize("surplus", [b"\0", b"x", b"\0\0\0\0"])
def test_a_message_with_bytes_left_over_is_refused(row: Row, surplus: bytes) -> None:
    if row.shortest_body is not None:
        assert type(row.message).decode(row.body + surplus) != row.message
    else:
        with pytest.raises(ProtocolError, match=r"surplus|not \d|method is"):
            type(row.message).decode(row.body + surplus)


@every_row
def test_no_message_can_be_changed(row: Row) -> None:
    assert not hasattr(row.message, "__dict__")
    with pytest.raises((AttributeError, TypeError)):
        row.message.TAG = b"!"  # type: ignore[misc]


@pytest.mark.parametrize("row", BACKEND, ids=str)
def test_a_backend_message_is_known_by_its_type_byte(row: Row) -> None:
    assert decode_backend(row.tag, row.body) == row.message


@pytest.mark.parametrize("row", FRONTEND, ids=str)
def test_a_frontend_message_is_known_by_its_type_byte(row: Row) -> None:
    context = type(row.message) if isinstance(row.message, RESPONSES) else None
    assert decode_frontend(row.tag, row.body, context) == row.message


@pytest.mark.parametrize("row", STARTUP, ids=str)
def test_a_startup_message_is_known_by_its_code(row: Row) -> None:
    assert decode_startup(row.body) == row.message


@pytest.mark.parametrize("message", CLASSES)
@given(body=st.binary(max_size=80))
def test_arbitrary_bytes_are_a_message_or_a_protocol_error(message: type[Message], body: bytes) -> None:
    try:
        decoded = message.decode(body)
    except ProtocolError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert message.decode(decoded.encode()[len(message.TAG) + 4 :]) == decoded


@given(row=st.sampled_from(ROWS), data=st.data())
def test_damaged_messages_are_a_message_or_a_protocol_error(row: Row, data: st.DataObject) -> None:
    """Bytes that were right and then changed get further than arbitrary ones."""
    body = bytearray(row.body)
    if body:
        for _ in range(data.draw(st.integers(1, 3))):
            body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        type(row.message).decode(bytes(body))
    except ProtocolError:
        pass


@given(st.integers(0, 255), st.binary(max_size=80), st.sampled_from((None, *RESPONSES)))
def test_arbitrary_frames_are_a_message_or_a_protocol_error(
    tag: int, body: bytes, context: type[AuthenticationResponse] | None
) -> None:
    for decode in (
        lambda: decode_backend(tag, body),
        lambda: decode_frontend(tag, body, context),
        lambda: decode_startup(body),
        lambda: decode_authentication(body),
    ):
        try:
            decode()
        except ProtocolError:
            pass


@given(startup_requests())
def test_startup_messages_come_back(message: FrontendMessage) -> None:
    frame = message.encode()
    assert int.from_bytes(frame[:4], "big") == len(frame)
    assert decode_startup(frame[4:]) == message


@given(authentication_responses())
def test_authentication_responses_come_back(message: AuthenticationResponse) -> None:
    frame = message.encode()
    assert int.from_bytes(frame[1:5], "big") == len(frame) - 1
    assert decode_frontend(frame[0], frame[5:], type(message)) == message


@given(frontend_messages())
def test_frontend_messages_come_back(message: FrontendMessage) -> None:
    frame = message.encode()
    assert int.from_bytes(frame[1:5], "big") == len(frame) - 1
    assert decode_frontend(frame[0], frame[5:]) == message


@given(backend_messages())
def test_backend_messages_come_back(message: BackendMessage) -> None:
    frame = message.encode()
    assert int.from_bytes(frame[1:5], "big") == len(frame) - 1
    assert decode_backend(frame[0], frame[5:]) == message
