"""The tables: which message may come in which state, and what follows.

A session's state is the answer that the operation at the head of the queue awaits next. An operation carries its own
route through these states (its *steps*); `Next.STEP` goes on to its next step, so one table serves every combination of
Parse, Bind, Execute and Close. What is not in a table is a protocol error. The diagram in the documentation is drawn
from here.
"""

import enum
from collections.abc import Mapping
from typing import Final, NamedTuple, TypeAlias

from pgsansio.kernel.contract import Next
from pgsansio.messages.authentication import (
    AuthenticationCleartextPassword,
    AuthenticationGSS,
    AuthenticationGSSContinue,
    AuthenticationKerberosV5,
    AuthenticationMD5Password,
    AuthenticationOk,
    AuthenticationSASL,
    AuthenticationSASLContinue,
    AuthenticationSASLFinal,
    AuthenticationSSPI,
)
from pgsansio.messages.backend import (
    BindComplete,
    CloseComplete,
    CommandComplete,
    DataRow,
    EmptyQueryResponse,
    ErrorResponse,
    FunctionCallResponse,
    NoData,
    NoticeResponse,
    NotificationResponse,
    ParameterDescription,
    ParameterStatus,
    ParseComplete,
    PortalSuspended,
    ReadyForQuery,
    RowDescription,
)
from pgsansio.messages.copy import CopyBothResponse, CopyData, CopyDone, CopyInResponse, CopyOutResponse
from pgsansio.messages.message import Message
from pgsansio.messages.startup import BackendKeyData, NegotiateProtocolVersion

__all__ = ["ANY_TIME", "ENCRYPTION", "SESSION", "STARTUP", "Awaiting", "Encryption", "Next", "Startup", "Transition"]


class Encryption(enum.Enum):
    """Phase 1: what the one byte that answers SSLRequest or GSSENCRequest leads to."""

    ASKING_TLS = "asking for TLS"
    ASKING_GSS = "asking for GSS encryption"
    TLS = "TLS handshake"
    GSS = "GSS handshake"
    REFUSED = "refused: go on in plain text, or give up"
    ERROR = "error before encryption: its text is nobody's word"


class Startup(enum.Enum):
    """Phase 2: from StartupMessage to the first ReadyForQuery."""

    # The state is looked up for each message, and Enum's own takes a call of Python.
    __hash__ = object.__hash__

    AUTHENTICATION = "authentication"
    PASSWORD_SENT = "password sent"
    SASL_FIRST_SENT = "SASL initial response sent"
    SASL_FINAL_SENT = "SASL response sent"
    SASL_VERIFIED = "server signature verified"
    OAUTH_TOKEN_DUE = "OAuth token due"
    OAUTH_TOKEN_SENT = "OAuth token sent"
    OAUTH_REFUSED = "OAuth token refused"
    GSS_STEP_DUE = "GSS step due"
    GSS_TOKEN_SENT = "GSS token sent"
    GSS_NEXT_STEP_DUE = "next GSS step due"
    GSS_LAST_STEP_DUE = "let in, last GSS step due"
    GSS_READY = "ready, last GSS step due"
    GSS_ESTABLISHED = "GSS context established"
    AUTHENTICATED = "authenticated"
    READY = "ready"
    FAILED = "failed"


class Awaiting(enum.Enum):
    """Phase 3: which answer the operation at the head of the queue awaits."""

    NOTHING = "no operation in flight"
    BEGIN = "ParseComplete of a BEGIN in front of an operation"
    BEGIN_BIND = "BindComplete of such a BEGIN"
    BEGIN_EXECUTION = "end of such a BEGIN"
    PARSE_COMPLETE = "ParseComplete"
    PARAMETER_DESCRIPTION = "ParameterDescription"
    ROW_DESCRIPTION = "RowDescription or NoData"
    BIND_COMPLETE = "BindComplete"
    EXECUTION = "rows, then the end of Execute"
    CLOSE_COMPLETE = "CloseComplete"
    BATCH_BIND = "BindComplete of a batch, or its end"
    BATCH_EXECUTION = "end of one Execute of a batch"
    STREAM_ROWS = "some rows of a stream"
    STREAM_PAUSED = "nothing, until a stream is asked for more rows or for its end"
    SIMPLE_QUERY = "results of a simple query"
    SIMPLE_ERROR = "ReadyForQuery after the error of a simple query"
    RESET = "end of a reset"
    FUNCTION_RESULT = "FunctionCallResponse"
    COPY_IN = "end of COPY FROM STDIN"
    COPY_OUT = "data of COPY TO STDOUT"
    COPY_OUT_DONE = "CommandComplete of COPY TO STDOUT"
    COPY_BOTH = "data of both directions"
    COPY_BOTH_DONE = "CommandComplete after both directions ended"
    READY = "ReadyForQuery"
    SKIPPING = "ReadyForQuery after an error"


class Transition(NamedTuple):
    """What a message leads to, and the name of the method that looks into it (None: nothing in it matters)."""

    following: "Awaiting | Next"
    action: str | None = None


SessionTable: TypeAlias = Mapping[Awaiting, Mapping[type[Message], Transition]]

#: "Message Flow", Asynchronous Operations: these may come in every state of a session, and change none.
ANY_TIME: Final[Mapping[type[Message], Transition]] = {
    NoticeResponse: Transition(Next.SAME, "notice"),
    NotificationResponse: Transition(Next.SAME, "notification"),
    ParameterStatus: Transition(Next.SAME, "parameter_status"),
}

_ERROR: Final[Mapping[type[Message], Transition]] = {ErrorResponse: Transition(Awaiting.SKIPPING, "error")}

SESSION: Final[SessionTable] = {
    # "Message Flow", Asynchronous Operations, and Termination: an error without a request is the server's farewell.
    Awaiting.NOTHING: {ErrorResponse: Transition(Next.SAME, "idle_error")},
    # "Message Flow", Extended Query. A BEGIN may go in front of an operation's first step, in the same Sync group.
    Awaiting.BEGIN: {ParseComplete: Transition(Awaiting.BEGIN_BIND), **_ERROR},
    Awaiting.BEGIN_BIND: {BindComplete: Transition(Awaiting.BEGIN_EXECUTION), **_ERROR},
    Awaiting.BEGIN_EXECUTION: {CommandComplete: Transition(Next.STEP, "passed_over"), **_ERROR},
    Awaiting.PARSE_COMPLETE: {ParseComplete: Transition(Next.STEP, "parsed"), **_ERROR},
    Awaiting.PARAMETER_DESCRIPTION: {ParameterDescription: Transition(Next.STEP, "parameter_description"), **_ERROR},
    Awaiting.ROW_DESCRIPTION: {
        RowDescription: Transition(Next.STEP, "row_description"),
        NoData: Transition(Next.STEP, "no_data"),
        **_ERROR,
    },
    Awaiting.BIND_COMPLETE: {BindComplete: Transition(Next.STEP), **_ERROR},
    Awaiting.EXECUTION: {
        DataRow: Transition(Next.RUN, "rows"),
        CommandComplete: Transition(Next.STEP, "command_complete"),
        EmptyQueryResponse: Transition(Next.STEP),
        PortalSuspended: Transition(Next.STEP, "portal_suspended"),
        CopyInResponse: Transition(Awaiting.COPY_IN, "copy_in"),
        CopyOutResponse: Transition(Awaiting.COPY_OUT, "copy_out"),
        CopyBothResponse: Transition(Awaiting.COPY_BOTH, "copy_both"),
        **_ERROR,
    },
    Awaiting.CLOSE_COMPLETE: {CloseComplete: Transition(Next.STEP), **_ERROR},
    # "Pipelining": Bind and Execute repeated under one Sync, a Parse perhaps in front, and ROLLBACK at the end of one
    # given up
    Awaiting.BATCH_BIND: {
        ParseComplete: Transition(Next.SAME),
        BindComplete: Transition(Awaiting.BATCH_EXECUTION),
        ReadyForQuery: Transition(Next.END, "batch_ready"),
        **_ERROR,
    },
    Awaiting.BATCH_EXECUTION: {
        DataRow: Transition(Next.RUN, "rows"),
        CommandComplete: Transition(Awaiting.BATCH_BIND, "batch_complete"),
        EmptyQueryResponse: Transition(Awaiting.BATCH_BIND, "batch_empty"),
        CopyInResponse: Transition(Awaiting.COPY_IN, "copy_in"),
        CopyOutResponse: Transition(Awaiting.COPY_OUT, "copy_out"),
        **_ERROR,
    },
    # "Message Flow", Extended Query: Execute with a row limit, repeated, and Flush behind each in the place of Sync
    Awaiting.STREAM_ROWS: {
        DataRow: Transition(Next.RUN, "rows"),
        PortalSuspended: Transition(Awaiting.STREAM_PAUSED, "stream_paused"),
        CommandComplete: Transition(Next.STEP, "stream_complete"),
        EmptyQueryResponse: Transition(Next.STEP, "stream_empty"),
        CopyInResponse: Transition(Awaiting.COPY_IN, "copy_in"),
        CopyOutResponse: Transition(Awaiting.COPY_OUT, "copy_out"),
        **_ERROR,
    },
    Awaiting.STREAM_PAUSED: {ReadyForQuery: Transition(Next.END, "ready"), **_ERROR},
    Awaiting.READY: {
        ReadyForQuery: Transition(Next.END, "ready"),
        # A deferred constraint or a failed commit is reported by Sync itself.
        **_ERROR,
    },
    # A second error is the server's farewell (it shuts down, or gives up an idle session), or one of the recovery
    # itself.
    Awaiting.SKIPPING: {
        ReadyForQuery: Transition(Next.END, "ready"),
        ErrorResponse: Transition(Next.SAME, "further_error"),
    },
    # "Message Flow", Simple Query
    Awaiting.SIMPLE_QUERY: {
        RowDescription: Transition(Next.SAME, "row_description"),
        DataRow: Transition(Next.RUN, "rows"),
        CommandComplete: Transition(Next.SAME, "statement_complete"),
        EmptyQueryResponse: Transition(Next.SAME),
        CopyInResponse: Transition(Awaiting.COPY_IN, "copy_in"),
        CopyOutResponse: Transition(Awaiting.COPY_OUT, "copy_out"),
        CopyBothResponse: Transition(Awaiting.COPY_BOTH, "copy_both"),
        ErrorResponse: Transition(Awaiting.SIMPLE_ERROR, "error"),
        ReadyForQuery: Transition(Next.END, "ready"),
    },
    Awaiting.SIMPLE_ERROR: {
        ReadyForQuery: Transition(Next.END, "ready"),
        ErrorResponse: Transition(Next.SAME, "further_error"),
    },
    # The same, where nobody wants to know more of the results than that they came.
    Awaiting.RESET: {
        RowDescription: Transition(Next.SAME, "passed_over"),
        DataRow: Transition(Next.RUN, "rows"),
        CommandComplete: Transition(Next.SAME, "command_complete"),
        EmptyQueryResponse: Transition(Next.SAME),
        CopyInResponse: Transition(Awaiting.COPY_IN, "copy_in"),
        CopyOutResponse: Transition(Awaiting.COPY_OUT, "copy_out"),
        CopyBothResponse: Transition(Awaiting.COPY_BOTH, "copy_both"),
        ErrorResponse: Transition(Awaiting.SIMPLE_ERROR, "error"),
        ReadyForQuery: Transition(Next.END, "ready"),
    },
    # "Message Flow", Function Call
    Awaiting.FUNCTION_RESULT: {
        FunctionCallResponse: Transition(Awaiting.READY, "function_result"),
        ErrorResponse: Transition(Awaiting.SKIPPING, "error"),
    },
    # "Message Flow", COPY Operations
    Awaiting.COPY_IN: {
        CommandComplete: Transition(Next.AFTER_COPY, "copy_in_complete"),
        ErrorResponse: Transition(Awaiting.SKIPPING, "error"),
    },
    Awaiting.COPY_OUT: {
        CopyData: Transition(Next.RUN, "copy_out_data"),
        CopyDone: Transition(Awaiting.COPY_OUT_DONE, "copy_done"),
        ErrorResponse: Transition(Awaiting.SKIPPING, "error"),
    },
    Awaiting.COPY_OUT_DONE: {
        CommandComplete: Transition(Next.AFTER_COPY, "statement_complete"),
        ErrorResponse: Transition(Awaiting.SKIPPING, "error"),
    },
    # "Streaming Replication Protocol": either side may end first, and two CommandComplete messages end
    # START_REPLICATION
    Awaiting.COPY_BOTH: {
        CopyData: Transition(Next.RUN, "copy_both_data"),
        CopyDone: Transition(Awaiting.COPY_BOTH_DONE, "copy_done"),
        ErrorResponse: Transition(Awaiting.SKIPPING, "error"),
    },
    Awaiting.COPY_BOTH_DONE: {
        RowDescription: Transition(Next.AFTER_COPY, "row_description"),
        CommandComplete: Transition(Next.AFTER_COPY, "command_complete"),
        ErrorResponse: Transition(Awaiting.SKIPPING, "error"),
    },
}

#: "Message Flow", Start-up. NegotiateProtocolVersion may come before or after AuthenticationOk, once.
STARTUP: Final[Mapping[Startup, Mapping[type[Message], tuple[Startup, str]]]] = {
    Startup.AUTHENTICATION: {
        AuthenticationOk: (Startup.AUTHENTICATED, "authenticated"),
        AuthenticationCleartextPassword: (Startup.PASSWORD_SENT, "cleartext_password"),
        AuthenticationMD5Password: (Startup.PASSWORD_SENT, "md5_password"),
        # To OAUTH_TOKEN_DUE instead, if the mechanism becomes OAUTHBEARER.
        AuthenticationSASL: (Startup.SASL_FIRST_SENT, "sasl"),
        AuthenticationKerberosV5: (Startup.FAILED, "unsupported_authentication"),
        AuthenticationGSS: (Startup.GSS_STEP_DUE, "gss"),
        AuthenticationSSPI: (Startup.GSS_STEP_DUE, "gss"),
        NegotiateProtocolVersion: (Startup.AUTHENTICATION, "negotiate_protocol_version"),
        NoticeResponse: (Startup.AUTHENTICATION, "notice"),
        ErrorResponse: (Startup.FAILED, "error"),
    },
    Startup.PASSWORD_SENT: {
        AuthenticationOk: (Startup.AUTHENTICATED, "authenticated"),
        NoticeResponse: (Startup.PASSWORD_SENT, "notice"),
        ErrorResponse: (Startup.FAILED, "error"),
    },
    # "SASL Authentication"
    Startup.SASL_FIRST_SENT: {
        AuthenticationSASLContinue: (Startup.SASL_FINAL_SENT, "sasl_continue"),
        NoticeResponse: (Startup.SASL_FIRST_SENT, "notice"),
        ErrorResponse: (Startup.FAILED, "error"),
    },
    Startup.SASL_FINAL_SENT: {
        AuthenticationSASLFinal: (Startup.SASL_VERIFIED, "sasl_final"),
        NoticeResponse: (Startup.SASL_FINAL_SENT, "notice"),
        ErrorResponse: (Startup.FAILED, "error"),
    },
    # AuthenticationOk is legal here and not before: else the server has not shown that it knows the password.
    Startup.SASL_VERIFIED: {
        AuthenticationOk: (Startup.AUTHENTICATED, "authenticated"),
        NoticeResponse: (Startup.SASL_VERIFIED, "notice"),
        ErrorResponse: (Startup.FAILED, "error"),
    },
    # "SASL Authentication", SASL OAUTHBEARER. Out of the first state the token leads, and no message.
    Startup.OAUTH_TOKEN_DUE: {
        NoticeResponse: (Startup.OAUTH_TOKEN_DUE, "notice"),
        ErrorResponse: (Startup.FAILED, "error"),
    },
    Startup.OAUTH_TOKEN_SENT: {
        AuthenticationOk: (Startup.AUTHENTICATED, "authenticated"),
        AuthenticationSASLContinue: (Startup.OAUTH_REFUSED, "oauth_refused"),
        NoticeResponse: (Startup.OAUTH_TOKEN_SENT, "notice"),
        ErrorResponse: (Startup.FAILED, "error"),
    },
    Startup.OAUTH_REFUSED: {
        NoticeResponse: (Startup.OAUTH_REFUSED, "notice"),
        ErrorResponse: (Startup.FAILED, "error"),
    },
    # "GSSAPI Authentication". What a step of the context comes to leads out of the first state, and no message.
    Startup.GSS_STEP_DUE: {
        NoticeResponse: (Startup.GSS_STEP_DUE, "notice"),
        ErrorResponse: (Startup.FAILED, "error"),
    },
    Startup.GSS_TOKEN_SENT: {
        AuthenticationGSSContinue: (Startup.GSS_NEXT_STEP_DUE, "gss_continue"),
        NoticeResponse: (Startup.GSS_TOKEN_SENT, "notice"),
        ErrorResponse: (Startup.FAILED, "error"),
    },
    # The server's context may be established one step before ours: then it lets us in without waiting for an answer,
    # and the session may be ready before our last step is done. Nobody uses it earlier.
    Startup.GSS_NEXT_STEP_DUE: {
        AuthenticationOk: (Startup.GSS_LAST_STEP_DUE, "authenticated"),
        NoticeResponse: (Startup.GSS_NEXT_STEP_DUE, "notice"),
        ErrorResponse: (Startup.FAILED, "error"),
    },
    Startup.GSS_LAST_STEP_DUE: {
        BackendKeyData: (Startup.GSS_LAST_STEP_DUE, "backend_key_data"),
        ParameterStatus: (Startup.GSS_LAST_STEP_DUE, "parameter_status"),
        NegotiateProtocolVersion: (Startup.GSS_LAST_STEP_DUE, "negotiate_protocol_version"),
        NoticeResponse: (Startup.GSS_LAST_STEP_DUE, "notice"),
        ErrorResponse: (Startup.FAILED, "error"),
        ReadyForQuery: (Startup.GSS_READY, "ready_early"),
    },
    Startup.GSS_READY: {
        ParameterStatus: (Startup.GSS_READY, "parameter_status"),
        NoticeResponse: (Startup.GSS_READY, "notice"),
        ErrorResponse: (Startup.FAILED, "error"),
    },
    # AuthenticationOk is legal here, and not while a token of ours is unanswered: else the server has not shown that it
    # is the service that was asked for.
    Startup.GSS_ESTABLISHED: {
        AuthenticationOk: (Startup.AUTHENTICATED, "authenticated"),
        NoticeResponse: (Startup.GSS_ESTABLISHED, "notice"),
        ErrorResponse: (Startup.FAILED, "error"),
    },
    Startup.AUTHENTICATED: {
        BackendKeyData: (Startup.AUTHENTICATED, "backend_key_data"),
        ParameterStatus: (Startup.AUTHENTICATED, "parameter_status"),
        NegotiateProtocolVersion: (Startup.AUTHENTICATED, "negotiate_protocol_version"),
        NoticeResponse: (Startup.AUTHENTICATED, "notice"),
        ErrorResponse: (Startup.FAILED, "error"),
        ReadyForQuery: (Startup.READY, "ready"),
    },
    Startup.READY: {},
    Startup.FAILED: {},
}

#: "Message Flow", SSL Session Encryption and GSSAPI Session Encryption: one byte, and nothing may follow it.
ENCRYPTION: Final[Mapping[Encryption, Mapping[bytes, Encryption]]] = {
    Encryption.ASKING_TLS: {b"S": Encryption.TLS, b"N": Encryption.REFUSED, b"E": Encryption.ERROR},
    Encryption.ASKING_GSS: {b"G": Encryption.GSS, b"N": Encryption.REFUSED, b"E": Encryption.ERROR},
    Encryption.TLS: {},
    Encryption.GSS: {},
    Encryption.REFUSED: {},
    Encryption.ERROR: {},
}
