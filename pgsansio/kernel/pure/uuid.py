"""UUID: a `uuid.UUID` that keeps the 16 bytes it came as."""

import builtins
import uuid
from collections.abc import Callable
from typing import Any, Final

__all__ = ["UUID", "set_uuid_bytes"]


class UUID(uuid.UUID):
    """A `uuid.UUID` that is cheap to make from 16 bytes; its integer is computed when it is asked for.

    Equal to, ordered with and hashed as any `uuid.UUID` of the same value. Copies and pickles of it are `uuid.UUID`.
    """

    __slots__ = ("_bytes",)

    _bytes: builtins.bytes

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # pyright: ignore[reportMissingSuperCall]
        # uuid.UUID's own would fill the slots that the properties below hide.
        set_uuid_bytes(self, uuid.UUID(*args, **kwargs).bytes)

    # uuid.UUID keeps its integer in a slot and computes all else from it; here the bytes are what is kept.

    @property  # type: ignore[misc]
    def int(self) -> builtins.int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return builtins.int.from_bytes(self._bytes, "big")

    @property  # type: ignore[misc]
    def is_safe(self) -> uuid.SafeUUID:  # pyright: ignore[reportIncompatibleVariableOverride]
        return uuid.SafeUUID.unknown

    @property
    def bytes(self) -> builtins.bytes:
        return self._bytes

    @property
    def hex(self) -> str:
        return self._bytes.hex()

    def __str__(self) -> str:
        text = self._bytes.hex()
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    def __eq__(self, other: object) -> bool:
        if type(other) is UUID:
            return self._bytes == other._bytes
        return super().__eq__(other)

    def __hash__(self) -> builtins.int:
        return hash(self.int)

    def __reduce__(self) -> tuple[Any, ...]:
        return uuid.UUID, (self._bytes.hex(),)


#: Fills a UUID made by object.__new__ with 16 bytes, past the `__setattr__` that makes it immutable.
set_uuid_bytes: Final[Callable[[UUID, bytes], None]] = UUID.__dict__["_bytes"].__set__

# The name under which it is found does not depend on the implementation.
UUID.__module__ = "pgsansio.kernel"
