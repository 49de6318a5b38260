"""Phase 2: from StartupMessage to the first ReadyForQuery ("Message Flow", Start-up).

The machine answers every request for authentication by itself, except for three things that are left to the caller:
deriving a key from a SCRAM password, which may be done off the loop (`work` says what to compute), getting an OAuth
token, which is not asked for before a server wants one (`token_due`), and the steps of a GSSAPI or SSPI security
context, which know Kerberos and may ask its servers (`gss_due`).

What a server may ask for is decided before it is answered (`AuthenticationRules`), so that nothing has been said yet to
one that asks for too little.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from pgsansio.authentication import oauth
from pgsansio.authentication.channel_binding import certificate_hash
from pgsansio.authentication.md5 import md5_response
from pgsansio.authentication.scram import (
    SCRAM_SHA_256,
    SCRAM_SHA_256_PLUS,
    PasswordWork,
    ScramClient,
    choose_mechanism,
)
from pgsansio.engine.events import Event, NoticeReceived
from pgsansio.engine.operations import SYNC, Operation
from pgsansio.engine.reports import PARAMETER_STATUS, KnownReports, keep_parameter
from pgsansio.engine.states import STARTUP, Startup
from pgsansio.engine.tls_alerts import alert_text
from pgsansio.enums import Outcome, TransactionStatus
from pgsansio.errors import (
    ConnectionDoesNotExistError,
    InterfaceError,
    InternalClientError,
    PostgresError,
    ProtocolError,
    error_from_fields,
    notice_from_fields,
)
from pgsansio.messages.authentication import (
    AuthenticationGSS,
    AuthenticationGSSContinue,
    AuthenticationMD5Password,
    AuthenticationSASL,
    AuthenticationSASLContinue,
    AuthenticationSASLFinal,
    AuthenticationSSPI,
    GSSResponse,
    PasswordMessage,
    SASLInitialResponse,
    SASLResponse,
)
from pgsansio.messages.backend import ErrorResponse, NoticeResponse, ParameterStatus, ReadyForQuery
from pgsansio.messages.startup import PROTOCOL_3_0, BackendKeyData, NegotiateProtocolVersion, StartupMessage
from pgsansio.messages.tags import BACKEND_STARTUP_LIMITS, FRONTEND_LIMITS, BackendMessage, decode_backend
from pgsansio.policy.authentication_rules import (
    ANY_AUTHENTICATION,
    AuthenticationMethod,
    AuthenticationRules,
    ChannelBinding,
)
from pgsansio.types import TlsInfo
from pgsansio.types.secret import Secret, hide
from pgsansio.wire.framing import HEADER_BYTES, ReceiveBuffer

__all__ = ["MAX_GSS_STEPS", "MAX_NOTICES", "GssStep", "StartupMachine"]

#: A server that sends more notices than this instead of letting us in is not one to wait for.
MAX_NOTICES: Final = 100
#: All of a start-up takes less than a kilobyte, notices apart. Who sends more, be it ever the same parameter, never
#: comes to an end.
MAX_START_UP_BYTES: Final = 1 << 20
#: Kerberos takes two, NTLM two, and negotiating which of them some more. A server that is never content keeps us busy.
MAX_GSS_STEPS: Final = 16

_MAX_TOKEN_BYTES: Final = FRONTEND_LIMITS[ord("p")]

#: Since 3.2 a key has up to 256.
_KEY_BYTES_3_0: Final = 4

#: The greatest length that a message may claim, by its tag.
_LENGTHS: Final = {tag: limit + 4 for tag, limit in BACKEND_STARTUP_LIMITS.items()}

#: What the server has asked for, as errors name it.
_ASKED: Final = {
    AuthenticationMethod.NONE: "the server let us in without any authentication",
    AuthenticationMethod.PASSWORD: "the server asked for a password in clear text",
    AuthenticationMethod.MD5: "the server asked for a password hashed with MD5",
    AuthenticationMethod.GSS: "the server asked for GSSAPI",
    AuthenticationMethod.SSPI: "the server asked for SSPI",
    AuthenticationMethod.SCRAM_SHA_256: "the server asked for SCRAM-SHA-256",
    AuthenticationMethod.OAUTH: "the server asked for an OAuth token",
}

# Looking up a member of an Enum costs a tenth of a microsecond in Python 3.11.
_AUTHENTICATED: Final = Startup.AUTHENTICATED
_READY: Final = Startup.READY
_PENDING: Final = Outcome.PENDING
_COMPLETED: Final = Outcome.COMPLETED
_NO_AUTHENTICATION: Final = AuthenticationMethod.NONE
_MUST_BIND: Final = ChannelBinding.REQUIRE
_IDLE: Final = TransactionStatus.IDLE
_NO_PASSWORD: Final = Secret("")

#: Messages of this length or less are always the same: AuthenticationOk, ReadyForQuery.
_CONSTANT_LENGTH: Final = 8
_decode_known: Final = lru_cache(maxsize=16)(decode_backend)

#: Of all sessions of this process.
_REPORTS: Final = KnownReports()

_header: Final = struct.Struct("!BI").unpack_from


@dataclass(frozen=True, slots=True)
class GssStep:
    """What a GSSAPI or SSPI security context has to do next."""

    #: The server has asked for SSPI: where there is that, it negotiates between Kerberos and NTLM.
    negotiate: bool
    #: What the server's context has said, never empty; None: the first step, of a context that is made for it.
    token: bytes | None = field(repr=False)


@lru_cache(maxsize=64)
def _start_up_message(parameters: tuple[tuple[str, str], ...], protocol_version: int) -> bytes:
    return StartupMessage(parameters, protocol_version).encode()


class StartupMachine:
    """The client's end of the start-up phase.

    Attributes:
        state: where the conversation is.
        operation: settled when the session is ready, or with the error that prevents it; it has attention while `work`,
            `token_due` or `gss_due` is set.
        work: what the caller must call, wherever it likes, and give the result of to `work_done`.
        token_due: the server asks for an OAuth token, which the caller must give to `token_given`.
        gss_due: the step that the caller's security context must do; what comes out goes to `gss_stepped`.
        authenticated: AuthenticationOk came: whatever fails from now on has nothing to do with who we are, and how we
            came.
        heard: the server has said something that is no error: it has understood the StartupMessage.
        mechanism: of SASL, once it is chosen; None: the server asks for something else, or for nothing.
        parameters: what the server reported (ParameterStatus).
        process_id, secret_key: for CancelRequest; None if the server gave none (some poolers do not).
        protocol_version: asked for, or what the server made of it.
    """

    # What most start-ups never change.
    state: Startup = Startup.AUTHENTICATION
    work: PasswordWork | None = None
    token_due = False
    gss_due: GssStep | None = None
    authenticated = False
    heard = False
    mechanism: str | None = None
    process_id: int | None = None
    secret_key: bytes | None = None
    _refusal: oauth.Refusal | None = None
    _asked = False
    _scram: ScramClient | None = None
    _gss_steps = 0
    _gss_negotiates = False
    _negotiated = False
    _notices = 0
    _received_bytes = 0

    def __init__(
        self,
        buffer: ReceiveBuffer,
        parameters: Sequence[tuple[str, str]],
        *,
        user: str,
        password: str | Secret[str] | None,
        nonce: str | Callable[[], str],
        protocol_version: int = PROTOCOL_3_0,
        min_protocol_version: int = PROTOCOL_3_0,
        rules: AuthenticationRules = ANY_AUTHENTICATION,
        tls: TlsInfo | None = None,
        has_token: bool = False,
        is_private: bool = False,
    ) -> None:
        """
        Args:
            parameters: of StartupMessage, `user` among them.
            password: for the methods that need one; None is sent as the empty string.
            nonce: fresh and random, printable ASCII without a comma, or what is called for one; for SCRAM.
            protocol_version: to be asked for; the server may know an older one only.
            min_protocol_version: the oldest that will do.
            rules: what the server may ask for, and has to prove.
            tls: what the connection is encrypted with; SCRAM is bound to it.
            has_token: the caller can give an OAuth token.
            is_private: nobody can come between, although nothing is encrypted: a Unix socket. A token goes nowhere else
                in plain text.
        Raises:
            InterfaceError: a parameter holds a zero byte.
        """
        self.buffer = buffer
        self.operation = Operation(b"", (), SYNC)
        self.operation.written = True
        self.parameters: dict[str, str] = {}
        self.protocol_version = protocol_version
        self.outbox = [_start_up_message(tuple(parameters), protocol_version)]
        self.events: list[Event] = []
        self.woken: list[Operation] = []
        self._user = user
        self._password: Secret[str] = _NO_PASSWORD if password is None else hide(password)
        self._nonce = nonce
        self._min_protocol_version = min_protocol_version
        self._rules = rules
        self._tls = tls
        self._has_token = has_token
        self._is_private = is_private

    def __repr__(self) -> str:
        return f"<StartupMachine {self.state.value}>"

    def process(self) -> None:
        """Take messages out of the buffer until the session is ready. Never raises for what the server sent."""
        buffer, operation = self.buffer, self.operation
        if operation.settled:
            return
        data, end = buffer.data, buffer.end
        start = begin = buffer.start
        # Not even while `work` is done is the server left unread: it may give up, and what it sends must not pile up.
        buffer.expected = 0
        try:
            while end - start >= HEADER_BYTES:
                tag, length = _header(data, start)
                if tag == PARAMETER_STATUS and self.state is _AUTHENTICATED:
                    size = _REPORTS.take(self.parameters, data, start, end)
                    if size:
                        start = buffer.start = start + size
                        continue
                after = start + 1 + length
                if after > end or not 4 <= length <= _LENGTHS.get(tag, -1):
                    self._check_length(tag, length)
                    buffer.expected = length + 1
                    break
                body = bytes(data[start + HEADER_BYTES : after])
                start = buffer.start = after
                message = (_decode_known if length <= _CONSTANT_LENGTH else decode_backend)(tag, body)
                transition = _TRANSITIONS[self.state].get(type(message))
                if transition is None:
                    raise ProtocolError(f"unexpected {type(message).__name__} in the state: {self.state.value}")
                if type(message) is not ErrorResponse:
                    self.heard = True
                following, action = transition
                elsewhere = action(self, message)
                if operation.outcome is not _PENDING:
                    break
                self.state = elsewhere or following
            self._received_bytes += start - begin
            if self._received_bytes > MAX_START_UP_BYTES and operation.outcome is _PENDING:
                raise ProtocolError(
                    f"the server has sent more than {MAX_START_UP_BYTES} bytes, and the session is not ready"
                )
        except (InternalClientError, InterfaceError, PostgresError) as error:
            self._fail(error)

    def _check_length(self, tag: int, length: int) -> None:
        """A message is worth waiting for only if it may come, and may be that long."""
        if not 4 <= length <= _LENGTHS.get(tag, -1):
            raise ProtocolError(
                f"no answer to a start-up message, but a type of {chr(tag)!r} and a length of {length} bytes"
            )

    def work_done(self, result: Secret[bytes]) -> None:
        """The result of `work`."""
        scram = self._scram
        assert scram is not None
        self.work = None
        self.outbox.append(SASLResponse(scram.client_final(result)).encode())

    def token_given(self, token: str | Secret[str]) -> None:
        """The token that is due.

        Raises:
            ClientConfigurationError: it is none.
        """
        token = hide(token)
        data = Secret(token.use(oauth.client_first))
        self.token_due = False
        self.state = Startup.OAUTH_TOKEN_SENT
        self.outbox.append(data.use(lambda data: SASLInitialResponse(oauth.OAUTHBEARER, data).encode()))

    def gss_stepped(self, token: bytes | None, *, is_established: bool) -> None:
        """What the step that is due has come to.

        Args:
            token: for the server; None or empty: there is nothing to say to it.
            is_established: the context needs no further step: the server may let us in. With mutual authentication it
                has shown by now who it is.
        """
        self.gss_due = None
        if self.state in (Startup.GSS_LAST_STEP_DUE, Startup.GSS_READY):
            if token or not is_established:
                self._fail(ProtocolError("the server let us in before the security context was established"))
            elif self.state is Startup.GSS_READY:
                self._complete()
            else:
                self.state = Startup.AUTHENTICATED
            return
        self.state = Startup.GSS_ESTABLISHED if is_established else Startup.GSS_TOKEN_SENT
        if token and len(token) > _MAX_TOKEN_BYTES:
            # The server would hang up, and say why in its log only.
            text = f"the token for the server has {len(token)} bytes, and it takes at most {_MAX_TOKEN_BYTES}"
            self._fail(InternalClientError(f"unexpected error while performing authentication: {text}"))
        elif token:
            self.outbox.append(GSSResponse(token).encode())

    def lost(self, cause: BaseException | None = None) -> None:
        """The connection ended."""
        text, said = "connection was closed before the session was ready", alert_text(cause)
        error = ConnectionDoesNotExistError(text if said is None else f"{text}: {said}")
        error.connection_usable = False
        error.safe_to_retry = True  # no statement was sent
        error.__cause__ = cause
        self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if not self.operation.settled:
            self.state = Startup.FAILED
            self.work = None
            self.token_due = False
            self.gss_due = None
            self.operation.error = error
            self.operation.outcome = Outcome.FAILED
            self.woken.append(self.operation)

    # actions

    def _authenticated(self, message: BackendMessage) -> None:
        # The table lets this in only where no proof of the server's is missing that SCRAM has promised.
        if not self._asked:
            self._check_allowed(_NO_AUTHENTICATION)
        if self._rules.channel_binding is _MUST_BIND and self.mechanism != SCRAM_SHA_256_PLUS:
            raise InterfaceError("channel binding is required, but the server let us in without it")
        self.authenticated = True

    def _check_allowed(self, method: AuthenticationMethod) -> None:
        """
        Raises:
            InterfaceError: the rules do not allow this; nothing was said to the server that it could use.
        """
        if method not in self._rules.methods:
            raise InterfaceError(f"require_auth={self._rules.require_auth} is not met: {_ASKED[method]}")

    def _check_without_binding(self, method: AuthenticationMethod) -> None:
        """`_check_allowed` for a method that cannot bind the channel."""
        self._asked = True
        self._check_allowed(method)
        if self._rules.channel_binding is _MUST_BIND:
            raise InterfaceError(f"channel binding is required, but {_ASKED[method]}")

    def _cleartext_password(self, message: BackendMessage) -> None:
        self._check_without_binding(AuthenticationMethod.PASSWORD)
        self.outbox.append(self._password.use(lambda password: PasswordMessage(password).encode()))

    def _md5_password(self, message: AuthenticationMD5Password) -> None:
        self._check_without_binding(AuthenticationMethod.MD5)
        try:
            answer = self._password.use(lambda password: md5_response(self._user, password, message.salt).decode())
        except ValueError as error:  # hashlib without MD5 (FIPS)
            raise InternalClientError(f"unexpected error while performing authentication: {error}") from error
        self.outbox.append(PasswordMessage(answer).encode())

    def _sasl(self, message: AuthenticationSASL) -> Startup | None:
        self._asked = True
        offered, binding = message.mechanisms, self._rules.channel_binding
        has_scram = SCRAM_SHA_256 in offered or SCRAM_SHA_256_PLUS in offered
        if oauth.OAUTHBEARER in offered and not (
            has_scram and AuthenticationMethod.SCRAM_SHA_256 in self._rules.methods
        ):
            return self._oauth()
        if has_scram:
            self._check_allowed(AuthenticationMethod.SCRAM_SHA_256)
        if self._tls is None and SCRAM_SHA_256_PLUS in offered and binding is not ChannelBinding.DISABLE:
            # The server's end is encrypted and ours is not. libpq gives up, too.
            raise InterfaceError(
                "the server offers SCRAM-SHA-256-PLUS over a connection that is not encrypted: "
                "somebody in between has taken the encryption away",
                hint="channel_binding=disable lets a proxy do that.",
            )
        data: bytes | None = None
        if self._tls is not None and self._tls.peer_certificate is not None:
            data = certificate_hash(self._tls.peer_certificate)
        choice = choose_mechanism(offered, can_bind=data is not None, channel_binding=binding.value)
        self.mechanism = choice.mechanism
        self._scram = ScramClient(
            self._password,
            self._nonce if isinstance(self._nonce, str) else self._nonce(),
            gs2_flag=choice.gs2_flag,
            binding_data=(data or b"") if choice.gs2_flag == "p" else b"",
        )
        self.outbox.append(SASLInitialResponse(choice.mechanism, self._scram.client_first()).encode())
        return None

    def _oauth(self) -> Startup:
        self._check_without_binding(AuthenticationMethod.OAUTH)
        if not self._has_token:
            raise InterfaceError("the server asks for an OAuth token (OAUTHBEARER), and there is no oauth_token")
        if self._tls is None and not self._is_private:
            raise InterfaceError(
                "the server asks for an OAuth token over a connection that is not encrypted; it is not sent there"
            )
        self.mechanism = oauth.OAUTHBEARER
        self.token_due = self.operation.attention = True
        self.woken.append(self.operation)
        return Startup.OAUTH_TOKEN_DUE

    def _oauth_refused(self, message: AuthenticationSASLContinue) -> None:
        self._refusal = oauth.read_refusal(message.data)
        self.outbox.append(SASLResponse(oauth.ANSWER_TO_REFUSAL).encode())

    def _sasl_continue(self, message: AuthenticationSASLContinue) -> None:
        scram = self._scram
        assert scram is not None
        scram.server_first(message.data)
        self.work = scram.work()
        self.operation.attention = True
        self.woken.append(self.operation)

    def _sasl_final(self, message: AuthenticationSASLFinal) -> None:
        scram = self._scram
        assert scram is not None
        scram.server_final(message.data)

    def _gss(self, message: AuthenticationGSS | AuthenticationSSPI) -> None:
        self._gss_negotiates = isinstance(message, AuthenticationSSPI)
        self._check_without_binding(AuthenticationMethod.SSPI if self._gss_negotiates else AuthenticationMethod.GSS)
        self._ask_for_gss_step(None)

    def _gss_continue(self, message: AuthenticationGSSContinue) -> None:
        if not message.data:
            raise ProtocolError("an empty token of GSSAPI or SSPI")
        self._ask_for_gss_step(message.data)

    def _ask_for_gss_step(self, token: bytes | None) -> None:
        self._gss_steps += 1
        if self._gss_steps > MAX_GSS_STEPS:
            raise ProtocolError(f"the exchange of GSSAPI or SSPI tokens has not ended after {MAX_GSS_STEPS} of them")
        self.gss_due = GssStep(self._gss_negotiates, token)
        self.operation.attention = True
        self.woken.append(self.operation)

    def _unsupported_authentication(self, message: BackendMessage) -> None:
        name = type(message).__name__.removeprefix("Authentication")
        raise InterfaceError(f"unsupported authentication method requested by the server: {name}")

    def _negotiate_protocol_version(self, message: NegotiateProtocolVersion) -> None:
        if self._negotiated:
            raise ProtocolError("duplicate NegotiateProtocolVersion")
        self._negotiated = True
        offered = message.protocol_version
        if offered > self.protocol_version or offered < PROTOCOL_3_0 or offered == PROTOCOL_3_0 + 1:
            raise ProtocolError(
                f"the server offers protocol {offered >> 16}.{offered & 0xFFFF}, which was not asked for"
            )
        if offered < self._min_protocol_version:
            least = self._min_protocol_version
            raise InterfaceError(
                f"the server knows protocol {offered >> 16}.{offered & 0xFFFF} at most, "
                f"and min_protocol_version is {least >> 16}.{least & 0xFFFF}"
            )
        self.protocol_version = offered

    def _backend_key_data(self, message: BackendKeyData) -> None:
        size = len(message.secret_key)
        if self.protocol_version == PROTOCOL_3_0 and size != _KEY_BYTES_3_0:
            raise ProtocolError(f"a secret key of {size} bytes; it has {_KEY_BYTES_3_0} in version 3.0 of the protocol")
        self.process_id, self.secret_key = message.process_id, message.secret_key

    def _parameter_status(self, message: ParameterStatus) -> None:
        keep_parameter(self.parameters, message)

    def _notice(self, message: NoticeResponse) -> None:
        self._notices += 1
        if self._notices > MAX_NOTICES:
            raise ProtocolError("too many notices during start-up")
        self.events.append(NoticeReceived(notice_from_fields(message.fields)))

    def _error(self, message: ErrorResponse) -> None:
        error = error_from_fields(message.fields)
        error.connection_usable = False
        if self._refusal is not None:
            error.add_note(f"the server says of the OAuth token: {self._refusal}")
        self._fail(error)

    def _ready_early(self, message: ReadyForQuery) -> None:
        if message.status is not _IDLE:
            raise ProtocolError(f"a new session begins with the transaction status {message.status.value!r}")

    def _ready(self, message: ReadyForQuery) -> None:
        self._ready_early(message)
        self._complete()

    def _complete(self) -> None:
        self.state = _READY
        self.operation.outcome = _COMPLETED
        self.woken.append(self.operation)


#: The table with the methods that it names.
_TRANSITIONS: Final[
    Mapping[Startup, Mapping[type, tuple[Startup, Callable[[StartupMachine, Any], Startup | None]]]]
] = {
    state: {message: (following, getattr(StartupMachine, f"_{action}")) for message, (following, action) in row.items()}
    for state, row in STARTUP.items()
}
