"""A server that follows a script, and a wire without any I/O between it and a Frontend.

    script = [*login(), expect(Query("SELECT 1")), send(CommandComplete("SELECT 1"), ready())]
    server = ScriptedBackend(script)
    converse(frontend, server)
    assert server.done

Each step is a function of the ScriptedBackend that returns whether it is over; so a test can write one of its own.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from pgsansio.authentication.server import AuthenticationMethod, Trust
from pgsansio.backend import Backend
from pgsansio.engine.states import Startup
from pgsansio.enums import Format, TransactionStatus
from pgsansio.frontend import Frontend
from pgsansio.messages.backend import (
    CommandComplete,
    DataRow,
    ErrorResponse,
    FieldDescription,
    NoticeResponse,
    ReadyForQuery,
    RowDescription,
)
from pgsansio.messages.frontend import Bind, Describe, Execute, Parse, Sync
from pgsansio.messages.startup import StartupMessage
from pgsansio.messages.tags import BackendMessage, FrontendMessage
from pgsansio.testing.faults import cut

__all__ = [
    "ScriptedBackend", "Step", "converse", "error", "expect", "expect_execution", "expect_first_execution",
    "expect_preparation", "hang_up", "login", "notice", "pair", "ready", "row", "row_description", "selected", "send",
    "send_bytes",
]  # fmt: skip

#: An exact message, a class, or a question.
Expected: TypeAlias = "FrontendMessage | type | Callable[[FrontendMessage], bool]"
Step: TypeAlias = "Callable[[ScriptedBackend], bool]"


class ScriptedBackend:
    """A Backend that does what its script says.

    Attributes:
        messages: what the client has sent so far.
        hung_up: the script, or the client, has closed the connection.
    """

    def __init__(self, script: Iterable[Step], *, strict: bool = True) -> None:
        self.backend = Backend(strict=strict)
        self.messages: list[FrontendMessage] = []
        self.hung_up = False
        self._script = list(script)
        self._waiting: list[FrontendMessage] = []
        self._go_on()

    @property
    def done(self) -> bool:
        """The script is at its end, and the client has said no more than it expects."""
        return not self._script and not self._waiting

    def then(self, *steps: Step) -> None:
        """Go on with these steps."""
        self._script += steps
        self._go_on()

    def receive_data(self, data: bytes) -> None:
        self.backend.receive_data(data)
        self._go_on()

    def receive_eof(self) -> None:
        self.hung_up = True

    def data_to_send(self) -> bytes:
        return self.backend.data_to_send()

    def take(self) -> FrontendMessage | None:
        """The next message of the client that no step has taken."""
        return self._waiting.pop(0) if self._waiting else None

    def _go_on(self) -> None:
        while True:
            while self._script and self._script[0](self):
                del self._script[0]
            message = self.backend.next_message()
            if message is None:
                return
            self.messages.append(message)
            self._waiting.append(message)


def expect(expected: Expected) -> Step:
    """The client's next message is this one; AssertionError if it is another."""

    def step(server: ScriptedBackend) -> bool:
        message = server.take()
        if message is None:
            return False
        if isinstance(expected, type):
            fits = isinstance(message, expected)
        elif callable(expected):
            fits = expected(message)
        else:
            fits = message == expected
        assert fits, f"expected {expected!r}, received {message!r}"
        return True

    return step


def send(*messages: BackendMessage) -> Step:
    def step(server: ScriptedBackend) -> bool:
        server.backend.send(*messages)
        return True

    return step


def send_bytes(data: bytes) -> Step:
    """Send anything."""

    def step(server: ScriptedBackend) -> bool:
        server.backend.send_bytes(data)
        return True

    return step


def hang_up() -> Step:
    """The server closes the connection."""

    def step(server: ScriptedBackend) -> bool:
        server.hung_up = True
        return True

    return step


def login(
    method: AuthenticationMethod | None = None,
    parameters: Mapping[str, str] | None = None,
    process_id: int | None = 4711,
    secret_key: bytes = b"key!",
) -> list[Step]:
    """A whole start-up; default: everybody is let in."""

    def authenticated(server: ScriptedBackend) -> bool:
        server.take()  # an answer, which the method has looked at
        return server.backend.startup is Startup.AUTHENTICATED

    def begin(server: ScriptedBackend) -> bool:
        server.backend.authenticate(Trust() if method is None else method)
        return True

    def welcome(server: ScriptedBackend) -> bool:
        server.backend.welcome(
            {"client_encoding": "UTF8"} if parameters is None else parameters, process_id, secret_key
        )
        return True

    return [expect(StartupMessage), begin, authenticated, welcome]


def expect_preparation(query: str) -> list[Step]:
    """Parse, Describe, Sync of this text."""

    def parses(message: FrontendMessage) -> bool:
        return isinstance(message, Parse) and message.query == query

    return [
        expect(parses),
        expect(Describe),
        expect(Sync),
    ]


def expect_first_execution(query: str, *parameters: bytes | None) -> list[Step]:
    """Parse, Describe, Bind, Execute, Sync of this text, all at once."""
    return [*expect_preparation(query)[:-1], *expect_execution(*parameters)]


def expect_execution(*parameters: bytes | None) -> list[Step]:
    """Bind with these parameters, Execute, Sync."""

    def binds(message: FrontendMessage) -> bool:
        return isinstance(message, Bind) and message.parameters == parameters

    return [
        expect(binds),
        expect(Execute),
        expect(Sync),
    ]


def ready(status: str = "I") -> ReadyForQuery:
    return ReadyForQuery(TransactionStatus(status))


def error(sqlstate: str = "22012", message: str = "division by zero", severity: str = "ERROR") -> ErrorResponse:
    return ErrorResponse({"S": severity, "V": severity, "C": sqlstate, "M": message})


def notice(message: str = "careful") -> NoticeResponse:
    return NoticeResponse({"S": "NOTICE", "V": "NOTICE", "C": "00000", "M": message})


def row(*values: bytes | None) -> DataRow:
    return DataRow(values)


def row_description(*columns: tuple[str, int], format: Format = Format.TEXT) -> RowDescription:
    """Columns of (name, type oid)."""
    return RowDescription(tuple(FieldDescription(name, 0, 0, oid, -1, -1, format) for name, oid in columns))


def selected(tag: str = "SELECT 1") -> CommandComplete:
    return CommandComplete(tag)


def converse(frontend: Frontend, server: ScriptedBackend, sizes: list[int] | None = None) -> None:
    """Carry bytes between the two until nobody has anything to say.

    Args:
        sizes: of the pieces in which they arrive; see `faults.cut`. None: all at once.
    """
    told = False
    while True:
        to_server, to_frontend = frontend.data_to_send(), server.data_to_send()
        if not to_server and not to_frontend:
            if server.hung_up and not told:
                told = True
                frontend.receive_eof()
                continue
            return
        for piece in _pieces(bytes(to_server), sizes):
            server.receive_data(piece)
        for piece in _pieces(to_frontend, sizes):
            frontend.receive_data(piece)


def _pieces(data: bytes, sizes: list[int] | None) -> list[bytes]:
    return cut(data, sizes) if sizes else [data]


def pair(*script: Step, parameters: Mapping[str, str] | None = None) -> tuple[Frontend, ScriptedBackend]:
    """A frontend whose session is ready, and a server that goes on with `script`."""
    frontend = Frontend()
    server = ScriptedBackend([*login(parameters=parameters), *script])
    frontend.start_up([("user", "u")], user="u", password=None, nonce="nonce")
    converse(frontend, server)
    frontend.completed()
    return frontend, server
