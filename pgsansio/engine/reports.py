"""What a server reports of its session (ParameterStatus)."""

import struct
from typing import Final

from pgsansio.errors import ProtocolError
from pgsansio.messages.backend import ParameterStatus
from pgsansio.messages.tags import BACKEND_STARTUP_LIMITS
from pgsansio.wire.framing import HEADER_BYTES

__all__ = ["MAX_PARAMETERS", "PARAMETER_STATUS", "KnownReports", "keep_parameter"]

#: PostgreSQL reports some 15 parameters, and extensions may add theirs.
MAX_PARAMETERS: Final = 1000
PARAMETER_STATUS: Final = ParameterStatus.TAG[0]

_LONGEST: Final = BACKEND_STARTUP_LIMITS[PARAMETER_STATUS] + 4
#: Longer runs are not worth the memory that keeping them takes.
_MAX_RUN_BYTES: Final = 4096
_RUNS: Final = 8

_header: Final = struct.Struct("!BI").unpack_from


def keep_parameter(parameters: dict[str, str], message: ParameterStatus) -> None:
    """Note what the server reports.

    Raises:
        ProtocolError: the session is not in UTF8, so that no text of it can be trusted; or there is no end of names.
    """
    if message.name == "client_encoding" and message.value.upper().replace("-", "") not in ("UTF8", "UNICODE"):
        raise ProtocolError(f"client_encoding is {message.value!r}; this client understands UTF8 only")
    parameters[message.name] = message.value
    if len(parameters) > MAX_PARAMETERS:
        raise ProtocolError(f"the server reports more than {MAX_PARAMETERS} parameters")


class KnownReports:
    """The last few runs of messages that sessions began with, and what they say.

    A server says to the next session what it has said to the one before, and to compare it takes less than to read one
    of its messages.
    """

    __slots__ = ("_runs",)

    def __init__(self) -> None:
        self._runs: tuple[tuple[bytes, dict[str, str]], ...] = ()

    def take(self, parameters: dict[str, str], data: bytearray, start: int, end: int) -> int:
        """Note what a run of complete messages reports that begins at `start`.

        Returns:
            The size of the run in bytes; 0: the first message is an incomplete one, or none that may come.
        Raises:
            ProtocolError: a message is malformed; or as `keep_parameter`.
        """
        is_first = not parameters
        if is_first:
            for run, known in self._runs:
                if data.startswith(run, start, end):
                    parameters.update(known)
                    return len(run)
        position = start
        while end - position >= HEADER_BYTES:
            tag, length = _header(data, position)
            after = position + 1 + length
            if tag != PARAMETER_STATUS or not 4 <= length <= _LONGEST:
                if is_first and 0 < position - start <= _MAX_RUN_BYTES:
                    self._runs = ((bytes(data[start:position]), dict(parameters)), *self._runs[: _RUNS - 1])
                break
            if after > end:
                break
            keep_parameter(parameters, ParameterStatus.decode(bytes(data[position + HEADER_BYTES : after])))
            position = after
        return position - start
