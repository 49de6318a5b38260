"""Sessions, recorded as a text that people can read and replayed without a server.

    recorder = Recorder(server)           # makes peers, as `server` does, and writes down what is said
    ...
    text = recorder.recording.to_text()
    replayer = Replayer(Recording.from_text(text))
    ...
    replayer.check()                      # says what was different

What is recorded are messages, whole and in order, so a replay does not depend on how the network has cut them. Secrets
are not: of the authentication nothing remains but that it succeeded, and the cancel key is blank. A replay lets anybody
in, under whatever name; from then on the client has to say what it said, byte for byte.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Self

from pgsansio.client.port import Address
from pgsansio.enums import TransactionStatus
from pgsansio.messages.authentication import AuthenticationOk
from pgsansio.messages.backend import ErrorResponse, ReadyForQuery
from pgsansio.messages.startup import BackendKeyData, CancelRequest, GSSENCRequest, SSLRequest
from pgsansio.messages.tags import Direction
from pgsansio.messages.trace import describe_frame
from pgsansio.testing.peer import Peer, Unasked

__all__ = ["Difference", "Entry", "Recorder", "Recording", "Relay", "Replayer"]

_TITLE: Final = "pgsansio recording 1"
_LENGTH_BYTES: Final = 4
_ENCRYPTION: Final = (SSLRequest().encode(), GSSENCRequest().encode())
_CANCEL_CODE: Final = CancelRequest(0, bytes(4)).encode()[4:8]
_READY: Final = ReadyForQuery(TransactionStatus.IDLE).encode()[:1]
#: Who says it, and how the text calls him.
_SIGNS: Final = {Direction.FRONTEND: ">", Direction.BACKEND: "<"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One message of a session, or (`sender` is None) a mark."""

    sender: Direction | None
    #: The whole message, with type and length.
    data: bytes = b""
    mark: str = ""

    def __str__(self) -> str:
        if self.sender is None:
            return f"mark {self.mark}"
        return _described(self.sender, self.data)


@dataclass(slots=True)
class Recording:
    """Sessions, in the order in which they began."""

    sessions: list[list[Entry]] = field(default_factory=list)

    def to_text(self) -> str:
        """As a text with a line for each message and each mark, for `from_text`."""
        lines = [_TITLE]
        for session in self.sessions:
            lines.append("session")
            for entry in session:
                if entry.sender is None:
                    lines.append(str(entry))
                else:
                    lines += [f"# {_one_line(str(entry))}", f"{_SIGNS[entry.sender]} {entry.data.hex()}"]
        return "\n".join(lines) + "\n"

    @classmethod
    def from_text(cls, text: str) -> Self:
        """What `to_text` has written. Lines that begin with # say nothing.

        Raises:
            ValueError: it is no such text.
        """
        lines = text.splitlines()
        if not lines or lines[0] != _TITLE:
            raise ValueError(f"a recording begins with {_TITLE!r}")
        senders = {sign: sender for sender, sign in _SIGNS.items()}
        recording = cls()
        for number, line in enumerate(lines[1:], 2):
            kind, _, rest = line.partition(" ")
            if kind == "session":
                recording.sessions.append([])
            elif kind.startswith("#") or not line:
                continue
            elif not recording.sessions or (kind != "mark" and kind not in senders):
                raise ValueError(f"line {number} of the recording is not understood")
            elif kind == "mark":
                recording.sessions[-1].append(Entry(None, mark=rest))
            else:
                recording.sessions[-1].append(Entry(senders[kind], bytes.fromhex(rest)))
        return recording


class _Messages:
    """Cuts the bytes of one side into whole messages."""

    def __init__(self, *, untagged: bool) -> None:
        self.is_first = untagged
        self._rest = bytearray()

    def cut(self, data: bytes) -> list[bytes]:
        self._rest += data
        found: list[bytes] = []
        while True:
            tag_bytes = 0 if self.is_first else 1
            begin = tag_bytes + _LENGTH_BYTES
            if len(self._rest) < begin:
                return found
            end = tag_bytes + max(int.from_bytes(self._rest[tag_bytes:begin], "big"), _LENGTH_BYTES)
            if len(self._rest) < end:
                return found
            message = bytes(self._rest[:end])
            del self._rest[:end]
            found.append(message)
            # Behind a request for encryption that is refused comes another message without a type.
            self.is_first = self.is_first and message in _ENCRYPTION


class Recorder:
    """Makes peers as `make` does, and writes down what they and their clients say.

    Called with an address. The peers refuse encryption, since nothing could be read of it.

    Attributes:
        recording: what was said so far; connections that brought nothing but a CancelRequest are not in it.
    """

    def __init__(self, make: Callable[[Address], Peer]) -> None:
        self.recording = Recording()
        self._make = make

    def __call__(self, address: Address) -> Peer:
        return _Recorded(self._make(address), self.recording)

    def mark(self, text: str) -> None:
        """Note in every session what happens now; a difference says behind which mark it is."""
        for session in self.recording.sessions:
            session.append(Entry(None, mark=_one_line(text)))


class _Recorded:
    def __init__(self, inner: Peer, recording: Recording) -> None:
        self._inner = inner
        self._recording = recording
        #: Of this session; None before StartupMessage.
        self._entries: list[Entry] | None = None
        self._is_ready = False
        self._heard = _Messages(untagged=True)
        self._said = _Messages(untagged=False)
        self._outbox = b""

    @property
    def hung_up(self) -> bool:
        return self._inner.hung_up

    @property
    def on_news(self) -> Callable[[], None] | None:
        return self._inner.on_news if isinstance(self._inner, Unasked) else None

    @on_news.setter
    def on_news(self, call: Callable[[], None] | None) -> None:
        if isinstance(self._inner, Unasked):
            self._inner.on_news = call

    def receive_data(self, data: bytes) -> None:
        for message in self._heard.cut(data):
            if self._entries is None and message in _ENCRYPTION:
                self._outbox += b"N"
                continue
            if self._entries is None and message[4:8] != _CANCEL_CODE:
                self._entries = [Entry(Direction.FRONTEND, message)]
                self._recording.sessions.append(self._entries)
            elif self._entries is not None and self._is_ready:
                self._entries.append(Entry(Direction.FRONTEND, message))
            self._inner.receive_data(message)

    def receive_eof(self) -> None:
        self._inner.receive_eof()

    def data_to_send(self) -> bytes:
        outbox, self._outbox = self._outbox, b""
        data = self._inner.data_to_send()
        for message in self._said.cut(data):
            self._note(message)
        return outbox + data

    def _note(self, message: bytes) -> None:
        if self._entries is None:
            return  # to nobody who has begun a session
        tag = message[:1]
        if tag == AuthenticationOk.TAG and message != AuthenticationOk().encode():
            return
        if tag == BackendKeyData.TAG:
            size = len(message) - 9
            message = message[:9] + bytes(size)
        self._is_ready = self._is_ready or tag == _READY
        self._entries.append(Entry(Direction.BACKEND, message))


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a replay has left its recording."""

    #: Numbers of the session and of its entry, from 0.
    session: int
    entry: int
    #: The last mark before it; "" if there is none.
    mark: str
    #: What the recording has there, and what came; None: nothing (more).
    expected: bytes | None
    received: bytes | None

    def __str__(self) -> str:
        expected, received = (
            "nothing" if data is None else _described(Direction.FRONTEND, data)
            for data in (self.expected, self.received)
        )
        mark = f" behind the mark {self.mark!r}" if self.mark else ""
        return f"session {self.session}, entry {self.entry}{mark}: expected {expected}, received {received}"


class Replayer:
    """Says to each new session what the next one of a recording was told. Called with an address, it makes a peer.

    A client that says something else gets a FATAL error with the difference (08P01), and its session ends.

    Attributes:
        differences: of all sessions.
    """

    def __init__(self, recording: Recording) -> None:
        self.differences: list[Difference] = []
        self._recording = recording
        self._replays: list[_Replay] = []

    def __call__(self, address: object = None) -> Peer:
        return _Replay(self)

    def check(self) -> None:
        """AssertionError if a session was different, did not come to its end, or did not come at all."""
        found = [*self.differences]
        for number, replay in enumerate(self._replays):
            if (entry := replay.awaited) is not None and not any(one.session == number for one in found):
                found.append(entry)
        missing = len(self._recording.sessions) - len(self._replays)
        assert not found, "\n".join(map(str, found))
        assert not missing, f"{missing} sessions of the recording have not begun"

    def _begin(self, replay: "_Replay") -> tuple[int, list[Entry]]:
        number = len(self._replays)
        self._replays.append(replay)
        sessions = self._recording.sessions
        return number, sessions[number] if number < len(sessions) else []


class _Replay:
    def __init__(self, replayer: Replayer) -> None:
        self.hung_up = False
        self._replayer = replayer
        self._heard = _Messages(untagged=True)
        self._outbox: list[bytes] = []
        self._number = -1
        self._entries: list[Entry] = []
        self._position = 0
        self._mark = ""

    @property
    def awaited(self) -> Difference | None:
        """What the recording has that has not come."""
        for position in range(self._position, len(self._entries)):
            entry = self._entries[position]
            if entry.sender is Direction.FRONTEND:
                return Difference(self._number, position, self._mark, entry.data, None)
        return None

    def receive_data(self, data: bytes) -> None:
        for message in self._heard.cut(data):
            if self.hung_up:
                return
            if self._number >= 0:
                self._compare(message)
            elif message in _ENCRYPTION:
                self._outbox.append(b"N")
            elif message[4:8] == _CANCEL_CODE:
                self.hung_up = True
            else:
                self._number, self._entries = self._replayer._begin(self)
                if not self._entries:
                    self._differ(None, message)
                self._position = min(1, len(self._entries))
                self._say()

    def receive_eof(self) -> None:
        self.hung_up = True

    def data_to_send(self) -> bytes:
        data, self._outbox = b"".join(self._outbox), []
        return data

    def _compare(self, message: bytes) -> None:
        expected = self._entries[self._position].data if self._position < len(self._entries) else None
        if message != expected:
            self._differ(expected, message)
            return
        self._position += 1
        self._say()

    def _say(self) -> None:
        """What the server said up to the client's next message."""
        while self._position < len(self._entries):
            entry = self._entries[self._position]
            if entry.sender is Direction.FRONTEND:
                return
            if entry.sender is None:
                self._mark = entry.mark
            else:
                self._outbox.append(entry.data)
            self._position += 1

    def _differ(self, expected: bytes | None, received: bytes) -> None:
        difference = Difference(self._number, self._position, self._mark, expected, received)
        self._replayer.differences.append(difference)
        text = f"this is not what was recorded: {difference}"
        self._outbox.append(ErrorResponse({"S": "FATAL", "V": "FATAL", "C": "08P01", "M": text}).encode())
        self.hung_up = True


class Relay:
    """A peer that stands for a server elsewhere: who carries the bytes takes them here, and brings the answers.

    Attributes:
        unsent: what the client has said and nobody has taken.
        is_over: the client has closed.
    """

    def __init__(self) -> None:
        self.unsent = b""
        self.is_over = False
        self.hung_up = False
        self.on_news: Callable[[], None] | None = None
        #: Called when there is something to take, or the client has closed.
        self.on_heard: Callable[[], None] | None = None
        self._outbox = b""

    def receive_data(self, data: bytes) -> None:
        self.unsent += data
        self._heard()

    def receive_eof(self) -> None:
        self.is_over = True
        self._heard()

    def data_to_send(self) -> bytes:
        data, self._outbox = self._outbox, b""
        return data

    def take(self) -> bytes:
        """What is to be sent to the server."""
        data, self.unsent = self.unsent, b""
        return data

    def answered(self, data: bytes) -> None:
        """The server has sent this; b"": it has closed."""
        self._outbox += data
        self.hung_up = self.hung_up or not data
        if self.on_news is not None:
            self.on_news()

    def _heard(self) -> None:
        if self.on_heard is not None:
            self.on_heard()


def _described(sender: Direction, message: bytes) -> str:
    if message[:1] == b"\0":
        return describe_frame(sender, 0, message[_LENGTH_BYTES:])
    return describe_frame(sender, message[0], message[1 + _LENGTH_BYTES :])


def _one_line(text: str) -> str:
    return " ".join(text.split())
