"""Backend: the server's end of one connection, without any I/O: for mock servers, proxies and fuzz peers.

How this works. Bytes are fed as to a `Frontend`; `next_message` takes out one message at a time, so that the machine
is never ahead of its user. Each request adds the answers that it asks for to a queue, as the states of
`engine.states.SESSION` in which a frontend awaits them; what may be sent is what that table lets a frontend accept in
the state at the head. Start-up goes by `STARTUP` in the same way. So the two ends cannot disagree about what is legal:
there is one table.

    backend.receive_data(data)
    while (message := backend.next_message()) is not None:
        if isinstance(message, StartupMessage):
            backend.authenticate(Trust())
            backend.welcome({"server_version": "16.0"})
        elif isinstance(message, Query):
            backend.send(CommandComplete("SELECT 0"), ReadyForQuery(TransactionStatus.IDLE))
    write(backend.data_to_send())
"""

import enum
from collections import deque
from collections.abc import Mapping
from typing import Final

from pgsansio.authentication.oauth import OAUTHBEARER
from pgsansio.authentication.server import AuthenticationMethod
from pgsansio.engine.states import ANY_TIME, ENCRYPTION, SESSION, STARTUP, Awaiting, Encryption, Next, Startup
from pgsansio.enums import TransactionStatus
from pgsansio.errors import InterfaceError, InvalidAuthorizationSpecificationError, ProtocolError
from pgsansio.messages.authentication import (
    AuthenticationCleartextPassword,
    AuthenticationGSS,
    AuthenticationGSSContinue,
    AuthenticationMD5Password,
    AuthenticationOk,
    AuthenticationResponse,
    AuthenticationSASL,
    AuthenticationSASLContinue,
    AuthenticationSSPI,
    GSSResponse,
    PasswordMessage,
    SASLInitialResponse,
    SASLResponse,
)
from pgsansio.messages.backend import CommandComplete, ErrorResponse, NoticeResponse, ParameterStatus, ReadyForQuery
from pgsansio.messages.copy import CopyData, CopyDone, CopyFail
from pgsansio.messages.frontend import (
    Bind,
    Close,
    Describe,
    Execute,
    Flush,
    FunctionCall,
    Parse,
    Query,
    Sync,
    Target,
    Terminate,
)
from pgsansio.messages.startup import (
    MAX_STARTUP_BODY_BYTES,
    BackendKeyData,
    CancelRequest,
    GSSENCRequest,
    SSLRequest,
    StartupMessage,
    decode_startup,
)
from pgsansio.messages.tags import FRONTEND_LIMITS, BackendMessage, FrontendMessage, decode_frontend
from pgsansio.wire.framing import ReceiveBuffer

__all__ = ["Backend", "Phase"]


class Phase(enum.Enum):
    """What a backend can be told."""

    #: A message without a type byte: StartupMessage, or one of the three requests.
    FIRST_MESSAGE = "first message"
    #: SSLRequest or GSSENCRequest came: `answer_encryption` is due.
    ENCRYPTION = "request for encryption"
    #: StartupMessage came: authentication, parameters, ReadyForQuery are due.
    STARTUP = "start-up"
    SESSION = "session"
    #: Nothing more is read. Write what is left, and close the transport.
    ENDED = "ended"


#: What p is the answer to ("Message Formats", PasswordMessage and its relatives).
_ANSWERS: Final[Mapping[type, type[AuthenticationResponse]]] = {
    AuthenticationCleartextPassword: PasswordMessage,
    AuthenticationMD5Password: PasswordMessage,
    AuthenticationSASL: SASLInitialResponse,
    AuthenticationSASLContinue: SASLResponse,
    AuthenticationGSS: GSSResponse,
    AuthenticationGSSContinue: GSSResponse,
    AuthenticationSSPI: GSSResponse,
}

#: The client's security context may be established, or will be by the last token, which needs no answer: who sends
#: tokens knows.
_MAY_BE_ESTABLISHED: Final = (Startup.GSS_TOKEN_SENT, Startup.GSS_NEXT_STEP_DUE)

#: The states in which a frontend awaits the answers to a request. Describe depends on its target.
_DUE: Final[Mapping[type, tuple[Awaiting, ...]]] = {
    Parse: (Awaiting.PARSE_COMPLETE,),
    Bind: (Awaiting.BIND_COMPLETE,),
    Execute: (Awaiting.EXECUTION,),
    Close: (Awaiting.CLOSE_COMPLETE,),
    Sync: (Awaiting.READY,),
    Query: (Awaiting.SIMPLE_QUERY,),
    FunctionCall: (Awaiting.FUNCTION_RESULT,),
    Flush: (),
}
_DESCRIBE: Final = {
    Target.STATEMENT: (Awaiting.PARAMETER_DESCRIPTION, Awaiting.ROW_DESCRIPTION),
    Target.PORTAL: (Awaiting.ROW_DESCRIPTION,),
}
#: States whose request needs no Sync: ReadyForQuery follows by itself, after an error, too.
_WITHOUT_SYNC: Final = (Awaiting.SIMPLE_QUERY, Awaiting.FUNCTION_RESULT)
_DATA_IS_AWAITED: Final = (Awaiting.COPY_IN, Awaiting.COPY_BOTH)
_FATAL: Final = ("FATAL", "PANIC")


class Backend:
    """The server's end of one connection.

    Args:
        strict: refuse to send what is illegal now. Without it anything is sent, and what is illegal changes no state.

    Attributes:
        phase: see `Phase`.
        startup: where start-up is, as the frontend sees it.
        awaiting: which answer is due in the session, as the frontend sees it.
        startup_message: what the client asked for; None before.
        failure: why the client's bytes could not be understood; the client was told, and the phase is ENDED.
    """

    def __init__(self, *, strict: bool = True) -> None:
        self.strict = strict
        self.buffer = ReceiveBuffer()
        self.phase = Phase.FIRST_MESSAGE
        self.startup = Startup.AUTHENTICATION
        self.awaiting = Awaiting.NOTHING
        self.startup_message: StartupMessage | None = None
        self.failure: ProtocolError | InvalidAuthorizationSpecificationError | None = None
        self._outbox: list[bytes] = []
        self._encryption = Encryption.ASKING_TLS
        #: The class of the p that is due.
        self._answer: type[AuthenticationResponse] | None = None
        self._method: AuthenticationMethod | None = None
        #: Answers due after the one in `awaiting`.
        self._due: deque[Awaiting] = deque()
        self._needs_sync = False
        #: After an error: the Sync that ends the skipping has come, or none is needed.
        self._may_be_ready = False
        #: How the client has ended its COPY data.
        self._copy_end: type[CopyDone | CopyFail] | None = None

    def __repr__(self) -> str:
        state = {Phase.STARTUP: self.startup, Phase.SESSION: self.awaiting}.get(self.phase, self.phase)
        return f"<Backend {self.phase.value}: {state.value}>"

    # the transport's side, as a Frontend's

    def get_buffer(self, size_hint: int = -1) -> memoryview:
        """Room for received bytes, to be filled from its beginning."""
        return self.buffer.writable()

    def bytes_received(self, size_bytes: int) -> None:
        """So many bytes were written to what `get_buffer` gave; take the messages out before the next read."""
        self.buffer.written(size_bytes)

    def receive_data(self, data: bytes | bytearray | memoryview) -> None:
        """Feed these bytes, as `get_buffer` and `bytes_received` would."""
        view = memoryview(data)
        while view:
            view = view[self.buffer.feed(view) :]

    def receive_eof(self) -> None:
        """The client closed its side."""
        self._end()

    def data_to_send(self) -> bytes:
        """What has to be written now; it belongs to the caller, and is b"" if there is nothing."""
        data = b"".join(self._outbox)
        self._outbox = []
        return data

    @property
    def ended(self) -> bool:
        """Nothing more will be read: write what is left, then close the transport."""
        return self.phase is Phase.ENDED

    # what the client says

    def next_message(self) -> FrontendMessage | None:
        """The oldest message not taken yet; None: more bytes are needed, or a request for encryption is to be answered.

        What a server has to ignore is not handed over: what follows an error up to its Sync, Sync and Flush during a
        COPY FROM STDIN, and COPY data that nobody waits for ("Message Flow", Extended Query and COPY Operations). Never
        raises for what the client sent: see `failure`.
        """
        try:
            while True:
                message = self._read()
                if message is None or self._received(message):
                    return message
        except (ProtocolError, InvalidAuthorizationSpecificationError) as error:
            self._fail(error)
            return None

    def _read(self) -> FrontendMessage | None:
        if self.phase in (Phase.ENDED, Phase.ENCRYPTION):
            return None
        buffer = self.buffer
        first = self.phase is Phase.FIRST_MESSAGE
        tag_bytes = 0 if first else 1
        begin = buffer.start + tag_bytes + 4
        buffer.expected = 0
        if begin > buffer.end:
            return None
        tag = 0 if first else buffer.data[buffer.start]
        size = int.from_bytes(buffer.data[begin - 4 : begin], "big") - 4
        if not 0 <= size <= (MAX_STARTUP_BODY_BYTES if first else FRONTEND_LIMITS.get(tag, -1)):
            what = "a first message" if first else f"a message of the type {chr(tag)!r}"
            raise ProtocolError(f"{what} claims a length of {size + 4} bytes, which none can have")
        if begin + size > buffer.end:
            buffer.expected = tag_bytes + 4 + size
            return None
        body = bytes(buffer.data[begin : begin + size])
        buffer.start = begin + size
        if first:
            return decode_startup(body)
        message = decode_frontend(tag, body, self._answer)
        if self.phase is Phase.STARTUP and self._answer is None and not isinstance(message, Terminate):
            raise ProtocolError(f"{type(message).__name__} before the session is ready")
        return message

    def _received(self, message: FrontendMessage) -> bool:
        """Move; whether the message is handed over."""
        if isinstance(message, Terminate | CancelRequest):
            self._end()
        elif isinstance(message, SSLRequest | GSSENCRequest):
            self.phase = Phase.ENCRYPTION
            self._encryption = Encryption.ASKING_TLS if isinstance(message, SSLRequest) else Encryption.ASKING_GSS
        elif isinstance(message, StartupMessage):
            self.phase = Phase.STARTUP
            self.startup_message = message
        elif isinstance(message, PasswordMessage | SASLInitialResponse | SASLResponse | GSSResponse):
            self._answer = None
            if isinstance(message, SASLInitialResponse) and message.mechanism == OAUTHBEARER:
                self.startup = Startup.OAUTH_TOKEN_SENT
            elif isinstance(message, GSSResponse):
                self.startup = Startup.GSS_TOKEN_SENT
            if self._method is not None:
                self.send(*self._method.answered(message))
        elif self.phase is Phase.STARTUP:
            raise ProtocolError(f"{type(message).__name__} instead of an answer to the authentication request")
        else:
            return self._requested(message)
        return True

    def _requested(self, message: FrontendMessage) -> bool:
        if self.awaiting is Awaiting.SKIPPING and not self._may_be_ready:
            self._may_be_ready = isinstance(message, Sync)
            return self._may_be_ready
        if isinstance(message, CopyData | CopyDone | CopyFail):
            awaited = self.awaiting in _DATA_IS_AWAITED and self._copy_end is None
            if awaited and not isinstance(message, CopyData):
                self._copy_end = type(message)
            return awaited
        if self.awaiting in _DATA_IS_AWAITED:
            return not isinstance(message, Sync | Flush)
        self._due += _DESCRIBE[message.target] if isinstance(message, Describe) else _DUE[type(message)]
        if self.awaiting is Awaiting.NOTHING:
            self._next()
        return True

    # what the server says

    def answer_encryption(self, answer: bytes) -> None:
        """Answer SSLRequest (b"S" or b"N") or GSSENCRequest (b"G" or b"N").

        After b"S" and b"G" what comes is encrypted: decrypt before feeding. Bytes that came before the answer were put
        there by somebody in between (CVE-2021-23214): nothing is sent then, and `failure` says so.

        Raises:
            InterfaceError: nobody asked, or it is no answer to this request.
        """
        if self.phase is not Phase.ENCRYPTION:
            raise InterfaceError("no request for encryption is to be answered")
        if answer not in ENCRYPTION[self._encryption]:
            raise InterfaceError(f"{answer!r} is no answer to a request for encryption")
        if self.buffer.start != self.buffer.end:
            self._fail(ProtocolError("received data before the request for encryption was answered"))
            return
        self._outbox.append(answer)
        self.phase = Phase.FIRST_MESSAGE

    def authenticate(self, method: AuthenticationMethod) -> None:
        """Send the method's request, and from then on what it makes of the client's answers.

        `startup` is AUTHENTICATED when it has succeeded; when it has not, the client was told and the phase is ENDED.

        Raises:
            InterfaceError: it is not the time for it.
        """
        self.send(method.request)
        self._method = method

    def welcome(
        self, parameters: Mapping[str, str], process_id: int | None = None, secret_key: bytes = b"\0\0\0\0"
    ) -> None:
        """Send the rest of the start-up: ParameterStatus for each parameter, BackendKeyData, ReadyForQuery.

        Args:
            process_id: None: no BackendKeyData, so the client cannot cancel.
        Raises:
            InterfaceError: the client is not authenticated, or a parameter cannot be encoded.
        """
        self.send(*(ParameterStatus(name, value) for name, value in parameters.items()))
        if process_id is not None:
            self.send(BackendKeyData(process_id, secret_key))
        self.send(ReadyForQuery(TransactionStatus.IDLE))

    def send(self, *messages: BackendMessage) -> None:
        """Send these, in order.

        Raises:
            InterfaceError: one is illegal now (if `strict`), or holds what the protocol cannot carry; it is not sent,
                those before it are.
        """
        for message in messages:
            data = message.encode()
            refused = self._sending(message)
            if refused is not None and self.strict:
                raise InterfaceError(f"cannot send {type(message).__name__}: {refused}")
            self._outbox.append(data)

    def send_bytes(self, data: bytes) -> None:
        """Send anything, at any time; no state changes."""
        self._outbox.append(data)

    def _sending(self, message: BackendMessage) -> str | None:
        """Move on as the frontend will when it reads this, or say why it would not accept it."""
        if self.phase is Phase.STARTUP:
            return self._sending_in_startup(message)
        if self.phase is Phase.SESSION:
            return self._sending_in_session(message)
        if self.phase is Phase.ENCRYPTION and isinstance(message, ErrorResponse):
            self._end()
            return None
        return f"the phase is: {self.phase.value}"

    def _sending_in_startup(self, message: BackendMessage) -> str | None:
        if isinstance(message, AuthenticationOk) and self.startup in _MAY_BE_ESTABLISHED:
            self.startup, self._answer = Startup.GSS_ESTABLISHED, None
        if self._answer is not None and not isinstance(message, NoticeResponse | ErrorResponse):
            return f"{self._answer.__name__} is due"
        transition = STARTUP[self.startup].get(type(message))
        if transition is None:
            return f"start-up is in the state: {self.startup.value}"
        self.startup = transition[0]
        self._answer = _ANSWERS.get(type(message), self._answer)
        if isinstance(message, ErrorResponse):
            self._end()
        elif self.startup is Startup.READY:
            self.phase = Phase.SESSION
        return None

    def _sending_in_session(self, message: BackendMessage) -> str | None:
        awaiting = self.awaiting
        transition = ANY_TIME.get(type(message)) or SESSION[awaiting].get(type(message))
        if transition is None:
            return f"the answer due is: {awaiting.value}"
        if isinstance(message, ReadyForQuery) and awaiting is Awaiting.SKIPPING and not self._may_be_ready:
            return "Sync has not come"
        if isinstance(message, CommandComplete) and awaiting is Awaiting.COPY_IN and self._copy_end is not CopyDone:
            return "CopyDone has not come"
        if isinstance(message, ErrorResponse) and (
            message.fields.get("V") in _FATAL or message.fields.get("S") in _FATAL
        ):
            self._end()
            return None
        following = transition.following
        if following is Next.SAME or following is Next.RUN:
            return None
        if following is Next.STEP or following is Next.END or (following is Next.AFTER_COPY and self._needs_sync):
            self._next()
        elif following is Next.AFTER_COPY:
            self.awaiting = Awaiting.SIMPLE_QUERY
        else:
            assert isinstance(following, Awaiting)  # all members of Next were looked at
            if following is Awaiting.SKIPPING:
                self._skip()
            elif following in _DATA_IS_AWAITED:
                self._copy_end = None
                while self._due and self._due[0] is Awaiting.READY:
                    self._due.popleft()  # the Sync behind this Execute will be read as part of the COPY, and ignored
            self.awaiting = following
        return None

    def _next(self) -> None:
        """The next answer is due."""
        self.awaiting = self._due.popleft() if self._due else Awaiting.NOTHING
        if self.awaiting is not Awaiting.READY:
            self._needs_sync = self.awaiting not in _WITHOUT_SYNC

    def _skip(self) -> None:
        """An error: what was asked up to the next Sync gets no answer."""
        self._may_be_ready = not self._needs_sync or self.awaiting is Awaiting.READY
        while self._due and not self._may_be_ready:
            self._may_be_ready = self._due.popleft() is Awaiting.READY

    # the end

    def _fail(self, error: ProtocolError | InvalidAuthorizationSpecificationError) -> None:
        self.failure = error
        if self.phase in (Phase.STARTUP, Phase.SESSION):
            code = error.sqlstate if isinstance(error, InvalidAuthorizationSpecificationError) else "08P01"
            fields = {"S": "FATAL", "V": "FATAL", "C": str(code), "M": str(error)}
            self._outbox.append(ErrorResponse(fields).encode())
        self._end()

    def _end(self) -> None:
        self.phase = Phase.ENDED
        self.buffer.start = self.buffer.end
