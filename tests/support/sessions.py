"""Operations and sessions made without a Frontend, for tests of the machine itself."""

from collections.abc import Callable

from pgsansio.codecs import Registry, plan_rows
from pgsansio.engine.operations import (
    BARRIER,
    DISCARDS_ROWS,
    EXCLUSIVE,
    INTERNAL,
    SYNC,
    Batch,
    Copy,
    FunctionCallOperation,
    Operation,
    Preparation,
    RowStream,
    Script,
    SimpleQuery,
)
from pgsansio.engine.routes import RESET, SIMPLE, STEPS
from pgsansio.engine.session import Session
from pgsansio.engine.states import Awaiting
from pgsansio.enums import Format
from pgsansio.kernel import Record, row_plan
from pgsansio.kernel.contract import Opcode, RowPlan, ValueCodec
from pgsansio.messages.backend import FieldDescription
from pgsansio.messages.message import Message
from pgsansio.messages.tags import BackendMessage
from pgsansio.wire.framing import ReceiveBuffer

__all__ = [
    "FIELDS", "batch", "copy", "execution", "feed", "function_call", "new_session", "plan_calling", "preparation",
    "reset", "script", "simple_query", "stream", "sync", "text_plan",
]  # fmt: skip

TEXT = 25
#: One column of text.
FIELDS = (FieldDescription("a", 0, 0, TEXT, -1, -1, Format.TEXT),)

_REGISTRY = Registry()


def text_plan(fields: tuple[FieldDescription, ...] = FIELDS) -> RowPlan:
    return plan_rows(_REGISTRY, fields, Record)


def plan_calling(decode: Callable[[bytes], object]) -> RowPlan:
    """Rows of one column, whose codec is this."""
    codec = ValueCodec(TEXT, "text", Opcode.CALL, Format.TEXT, decode, bytes)
    return row_plan(("a",), (codec,), Record)


def new_session() -> Session:
    return Session(ReceiveBuffer())


def feed(session: Session, *messages: Message | BackendMessage | bytes) -> None:
    session.receive_data(b"".join(one if isinstance(one, bytes) else one.encode() for one in messages))


def execution(data: bytes = b"BES", traits: int = SYNC, plan: RowPlan | None = None) -> Operation:
    """Bind, Execute, and Sync if it has the trait."""
    ready = (Awaiting.READY,) if traits & SYNC else ()
    steps = STEPS(Awaiting.BIND_COMPLETE, Awaiting.EXECUTION, *ready)
    return Operation(data, steps, traits, text_plan() if plan is None else plan)


def preparation(data: bytes = b"PDS", closing: tuple[str, ...] = (), traits: int = SYNC) -> Preparation:
    ready = (Awaiting.READY,) if traits & SYNC else ()
    steps = STEPS(
        *[Awaiting.CLOSE_COMPLETE] * len(closing),
        Awaiting.PARSE_COMPLETE,
        Awaiting.PARAMETER_DESCRIPTION,
        Awaiting.ROW_DESCRIPTION,
        *ready,
    )
    return Preparation(data, steps, traits, "s", closing)


def simple_query(data: bytes = b"Q", traits: int = SYNC, *, rows: bool = True) -> Operation:
    if not rows:
        return Operation(data, SIMPLE, traits | DISCARDS_ROWS)
    return SimpleQuery(data, SIMPLE, traits, text_plan)


def reset(data: bytes = b"R") -> Operation:
    return Operation(data, RESET, SYNC | INTERNAL | DISCARDS_ROWS)


def script(data: bytes = b"Q") -> Script:
    return Script(data, STEPS(Awaiting.SIMPLE_QUERY), SYNC | BARRIER, text_plan)


def sync(data: bytes = b"S") -> Operation:
    """A Sync that belongs to nothing, or to the group in front of it."""
    return Operation(data, STEPS(Awaiting.READY), SYNC)


def batch(data: bytes = b"BEBES", count: int = 2, *, complete: bool = True) -> Batch:
    traits = (SYNC if complete else EXCLUSIVE) | DISCARDS_ROWS
    return Batch(data, STEPS(Awaiting.BATCH_BIND), traits, count, None, "owner")


def stream(data: bytes = b"BEH", plan: RowPlan | None = None) -> RowStream:
    steps = STEPS(Awaiting.BIND_COMPLETE, Awaiting.STREAM_ROWS, Awaiting.READY)
    return RowStream(data, steps, EXCLUSIVE, text_plan() if plan is None else plan, "owner")


def copy(data: bytes = b"Q") -> Copy:
    return Copy(data, STEPS(Awaiting.SIMPLE_QUERY), SYNC | BARRIER | EXCLUSIVE | DISCARDS_ROWS, "owner")


def function_call(data: bytes = b"F") -> FunctionCallOperation:
    return FunctionCallOperation(data, STEPS(Awaiting.FUNCTION_RESULT, Awaiting.READY), SYNC)
