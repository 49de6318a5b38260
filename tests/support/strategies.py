"""Hypothesis strategies for every message, over the whole domain of what each can carry."""

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from pgsansio.enums import Format, TransactionStatus
from pgsansio.messages import authentication, backend, copy, frontend, startup
from pgsansio.messages.tags import BackendMessage, SessionRequest

__all__ = [
    "authentication_requests",
    "authentication_responses",
    "backend_messages",
    "formats",
    "frontend_messages",
    "startup_requests",
    "strings",
]

_int16 = st.integers(-(2**15), 2**15 - 1)
_int32 = st.integers(-(2**31), 2**31 - 1)
_uint32 = st.integers(0, 2**32 - 1)
_keys = st.binary(min_size=4, max_size=256)
_value = st.none() | st.binary(max_size=40)
_values = st.lists(_value, max_size=6).map(tuple)

formats: SearchStrategy[Format] = st.sampled_from(Format)


def _tuple_of_formats(max_size: int = 6) -> SearchStrategy[tuple[Format, ...]]:
    return st.lists(formats, max_size=max_size).map(tuple)


def strings(min_size: int = 0, max_size: int = 20) -> SearchStrategy[str]:
    """What a String can hold: any text without NUL, and what bytes that are not UTF-8 become."""
    text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=min_size, max_size=max_size)
    stored = st.lists(st.integers(1, 255), min_size=min_size, max_size=max_size).map(
        lambda values: bytes(values).decode("utf-8", "surrogateescape")
    )
    return text | stored


@st.composite
def _formats_and_values(draw: st.DrawFn) -> tuple[tuple[Format, ...], tuple[bytes | None, ...]]:
    """Values, and as many format codes as are legal for them: none, one, or one for each."""
    values = draw(_values)
    count = draw(st.sampled_from((0, 1, len(values))))
    return tuple(draw(st.lists(formats, min_size=count, max_size=count))), values


def startup_requests() -> SearchStrategy[startup.StartupRequest]:
    """The messages without a type byte."""
    parameters = st.lists(st.tuples(strings(min_size=1), strings()), max_size=5).map(tuple)
    return st.one_of(
        st.builds(startup.StartupMessage, parameters, st.integers(0, 0xFFFF).map(lambda minor: 3 << 16 | minor)),
        st.just(startup.SSLRequest()),
        st.just(startup.GSSENCRequest()),
        st.builds(startup.CancelRequest, _int32, _keys),
    )


def authentication_requests() -> SearchStrategy[authentication.AuthenticationRequest]:
    """The messages with the type byte R."""
    return st.one_of(
        st.just(authentication.AuthenticationOk()),
        st.just(authentication.AuthenticationKerberosV5()),
        st.just(authentication.AuthenticationCleartextPassword()),
        st.builds(authentication.AuthenticationMD5Password, st.binary(min_size=4, max_size=4)),
        st.just(authentication.AuthenticationGSS()),
        st.builds(authentication.AuthenticationGSSContinue, st.binary()),
        st.just(authentication.AuthenticationSSPI()),
        st.builds(authentication.AuthenticationSASL, st.lists(strings(min_size=1), max_size=4).map(tuple)),
        st.builds(authentication.AuthenticationSASLContinue, st.binary()),
        st.builds(authentication.AuthenticationSASLFinal, st.binary()),
    )


def authentication_responses() -> SearchStrategy[authentication.AuthenticationResponse]:
    """The messages with the type byte p."""
    return st.one_of(
        st.builds(authentication.PasswordMessage, strings()),
        st.builds(authentication.SASLInitialResponse, strings(), _value),
        st.builds(authentication.SASLResponse, st.binary()),
        st.builds(authentication.GSSResponse, st.binary()),
    )


def _copy_responses() -> SearchStrategy[copy.CopyInResponse | copy.CopyOutResponse | copy.CopyBothResponse]:
    kinds = st.sampled_from((copy.CopyInResponse, copy.CopyOutResponse, copy.CopyBothResponse))
    textual = st.builds(
        lambda kind, count: kind(Format.TEXT, (Format.TEXT,) * count),
        kinds,
        st.integers(0, 6),
    )
    binary = st.builds(lambda kind, columns: kind(Format.BINARY, columns), kinds, _tuple_of_formats())
    return textual | binary


def _field_descriptions() -> SearchStrategy[backend.FieldDescription]:
    return st.builds(backend.FieldDescription, strings(), _uint32, _int16, _uint32, _int16, _int32, formats)


def _report_fields() -> SearchStrategy[dict[str, str]]:
    # what was not UTF-8 has become U+FFFD, so there are no surrogates
    text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
    return st.dictionaries(st.characters(min_codepoint=1, max_codepoint=255), text, max_size=6)


def backend_messages() -> SearchStrategy[BackendMessage]:
    """Everything a backend can send, the authentication requests included."""
    return st.one_of(
        authentication_requests(),
        st.builds(startup.NegotiateProtocolVersion, _uint32, st.lists(strings(), max_size=4).map(tuple)),
        st.builds(startup.BackendKeyData, _int32, _keys),
        st.sampled_from(
            (
                backend.ParseComplete(),
                backend.BindComplete(),
                backend.CloseComplete(),
                backend.EmptyQueryResponse(),
                backend.NoData(),
                backend.PortalSuspended(),
                copy.CopyDone(),
            )
        ),
        st.builds(backend.CommandComplete, strings()),
        st.builds(backend.DataRow, _values),
        st.builds(backend.RowDescription, st.lists(_field_descriptions(), max_size=4).map(tuple)),
        st.builds(backend.ParameterDescription, st.lists(_uint32, max_size=6).map(tuple)),
        st.builds(backend.ReadyForQuery, st.sampled_from(TransactionStatus)),
        st.builds(backend.FunctionCallResponse, _value),
        st.builds(backend.ErrorResponse, _report_fields()),
        st.builds(backend.NoticeResponse, _report_fields()),
        st.builds(backend.NotificationResponse, _int32, strings(), strings()),
        st.builds(backend.ParameterStatus, strings(), strings()),
        st.builds(copy.CopyData, st.binary()),
        _copy_responses(),
    )


def frontend_messages() -> SearchStrategy[SessionRequest]:
    """Everything a frontend can send in a session, after authentication."""
    targets = st.sampled_from(frontend.Target)
    return st.one_of(
        st.builds(frontend.Query, strings()),
        st.builds(frontend.Parse, strings(), strings(), st.lists(_uint32, max_size=6).map(tuple)),
        st.builds(
            lambda portal, statement, parameters, results: frontend.Bind(
                portal, statement, parameters[0], parameters[1], results
            ),
            strings(),
            strings(),
            _formats_and_values(),
            _tuple_of_formats(),
        ),
        st.builds(frontend.Describe, targets, strings()),
        st.builds(frontend.Close, targets, strings()),
        st.builds(frontend.Execute, strings(), _int32),
        st.sampled_from((frontend.Flush(), frontend.Sync(), frontend.Terminate(), copy.CopyDone())),
        st.builds(
            lambda oid, arguments, result: frontend.FunctionCall(oid, arguments[0], arguments[1], result),
            _uint32,
            _formats_and_values(),
            formats,
        ),
        st.builds(copy.CopyData, st.binary()),
        st.builds(copy.CopyFail, strings()),
    )
