"""Messages as text, one line each, for people who look at a connection.

No line contains a password, SASL or GSSAPI data, a salt or a cancel key, and none shows the bytes of a message that
cannot be decoded. What SQL text and parameters mean is not known here: `ALTER ROLE ... PASSWORD '...'` is shown as it
was sent, so a trace is as confidential as the queries it shows.
"""

import dataclasses
import enum
from typing import Final, cast

from pgsansio.errors import ProtocolError
from pgsansio.messages.authentication import PasswordMessage
from pgsansio.messages.backend import FieldDescription
from pgsansio.messages.startup import decode_startup
from pgsansio.messages.tags import (
    BackendMessage,
    Direction,
    FrontendMessage,
    decode_backend,
    decode_frontend,
)

__all__ = ["describe", "describe_frame"]

#: Of a text or of bytes so many are shown, and of a list so many entries.
_MAX_LENGTH: Final = 60
_MAX_ENTRIES: Final = 8


def describe(message: BackendMessage | FrontendMessage) -> str:
    """The message's name and its fields, shortened; fields that hold secrets are '<hidden>'. Always one line."""
    parts = [type(message).__name__]
    for field in dataclasses.fields(message):
        value: object = getattr(message, field.name)
        parts.append(f"{field.name}={_shown(value) if field.repr else '<hidden>'}")
    return " ".join(parts)


def describe_frame(direction: Direction, tag: int, body: bytes) -> str:
    """As `describe`, with the sender's letter in front, for a message that may be anything; never raises.

    Args:
        tag: the type byte, or 0 for a message without one (of the start-up).
        body: what follows type byte and length.
    """
    if direction is Direction.FRONTEND and tag == PasswordMessage.TAG[0]:
        return f"F AuthenticationResponse ({len(body)} bytes, <hidden>)"
    try:
        return f"{direction.value} {describe(_decode(direction, tag, body))}"
    except ProtocolError as error:
        return f"{direction.value} malformed message of {len(body)} bytes ({error})"


def _decode(direction: Direction, tag: int, body: bytes) -> BackendMessage | FrontendMessage:
    if direction is Direction.BACKEND:
        return decode_backend(tag, body)
    if tag == 0:
        return decode_startup(body)
    return decode_frontend(tag, body)


def _shown(value: object) -> str:
    """One value on one line: repr escapes line ends, and all else that a terminal would obey."""
    if value is None:
        return "NULL"
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, FieldDescription):
        return f"{_shown(value.name)}:{value.type_oid}"
    if isinstance(value, str | bytes):
        return repr(value) if len(value) <= _MAX_LENGTH else f"{value[:_MAX_LENGTH]!r}... ({len(value)})"
    if isinstance(value, dict):
        pairs = cast("dict[object, object]", value)
        return f"{{{_list([f'{_shown(key)}: {_shown(entry)}' for key, entry in pairs.items()])}}}"
    if isinstance(value, tuple):
        entries = cast("tuple[object, ...]", value)
        return f"({_list([_shown(entry) for entry in entries])})"
    return repr(value)


def _list(entries: list[str]) -> str:
    shown = entries[:_MAX_ENTRIES]
    if len(entries) > _MAX_ENTRIES:
        shown.append(f"... ({len(entries)})")
    return ", ".join(shown)
