"""Operations: what a frontend may ask of a session, each holding its own result.

A finished operation is its own event: nothing else is made for it. An operation belongs to the session from `submit`
until its `outcome` is final; after that it belongs to whoever asked.
"""

import enum
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from pgsansio.enums import Format, Outcome
from pgsansio.kernel import OperationState, contract
from pgsansio.kernel.contract import OutdatedTypeError, RowPlan, UnknownTypeError
from pgsansio.messages.backend import FieldDescription

__all__ = [
    "Batch",
    "Copy",
    "CopyDirection",
    "DescribedAgain",
    "FirstExecution",
    "FunctionCallOperation",
    "Operation",
    "Preparation",
    "RowStream",
    "RowsKept",
    "Script",
    "SimpleQuery",
]


# Traits: what the queue has to know of an operation, or-ed. Plain integers, since an IntFlag costs a microsecond for
# each test.
#: Nothing is written behind it until it is answered.
BARRIER: Final = 1
#: It starts a transaction block.
BEGINS: Final = 2
#: It ends its Sync group: a ReadyForQuery answers it.
SYNC: Final = contract.SYNC
#: Its rows are not wanted.
DISCARDS_ROWS: Final = contract.DISCARDS_ROWS
#: Its group stays open while user code runs; everybody else waits unsent.
EXCLUSIVE: Final = 16
#: A rollback that nobody waits for: what comes behind it is outside of the transaction again.
ENDS: Final = 64
#: The library's own: not subject to the rules for concurrent use in transactions.
INTERNAL: Final = contract.INTERNAL
#: It goes on with what a task has begun: never refused, where only one task may go on; others are.
FOLLOWS: Final = 128
#: It belongs to the Sync group of what waits unsent in front of it.
GROUPED: Final = 256
#: Its end is news: nobody waits for it.
TELLS: Final = 512
#: It is told of the end of each statement in it (`statement_completed`).
SCRIPT: Final = contract.SCRIPT


_PENDING: Final = Outcome.PENDING


class Operation(OperationState):
    """Messages to be written, and what came back for them.

    Attributes:
        outcome: PENDING until the operation is settled.
        error: why it failed; an operation with an error may still be PENDING until its ReadyForQuery.
        rows: decoded rows, appended as they arrive.
        row_plan: how its rows are decoded; None if no rows can come, or until they were described.
        tag: the last command tag (`b"INSERT 0 1"`), None if there was none ("Message Formats", CommandComplete).
        suspended: the row limit of the last Execute was reached (PortalSuspended).
        abandoned: nobody waits for it any more.
        written: at least one byte of it may have reached the server.
        attention: something for the owner to look at before it is settled (COPY, start-up); the owner clears it.
        waiter: the adapter's, for whatever wakes the task that waits.
    """

    __slots__ = ()

    @property
    def settled(self) -> bool:
        return self.outcome is not _PENDING

    @property
    def status(self) -> str | None:
        """The last command tag as text: 'INSERT 0 1'."""
        return None if self.tag is None else self.tag.decode("utf-8", "replace")

    def described(self, fields: tuple[FieldDescription, ...]) -> None:
        """A RowDescription came (engine only)."""

    def parameters_described(self, oids: tuple[int, ...]) -> None:
        """A ParameterDescription came (engine only)."""

    def parsed(self) -> None:
        """ParseComplete came (engine only)."""

    def statement_completed(self) -> None:
        """With the trait SCRIPT: a statement, or a COPY TO STDOUT, has come to its end (engine only)."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.outcome.value}{' abandoned' if self.abandoned else ''} {id(self):#x}>"


class RowsKept(Exception):
    """The error of an operation whose rows cannot all be decoded yet, because a type is unknown or not as it was.

    Attributes:
        reason: what a codec has said.
        data: the DataRow messages from the first such row on; those before are in the operation's `rows`.
    """

    def __init__(self, reason: UnknownTypeError | OutdatedTypeError, data: bytearray) -> None:
        super().__init__(str(reason))
        self.reason = reason
        self.data = data


class Preparation(Operation):
    """Parse and Describe of the statement `name`, behind Close of those in `closing`.

    `parameter_oids` and `fields` are the description; `fields` is () for a statement without a result.
    """

    __slots__ = ("closing", "fields", "is_parsed", "name", "parameter_oids")

    def __init__(
        self, data: bytes, steps: Sequence[Any], traits: int, name: str = "", closing: tuple[str, ...] = ()
    ) -> None:
        super().__init__(data, steps, traits)
        self.name = name
        self.closing = closing
        self.parameter_oids: tuple[int, ...] = ()
        self.fields: tuple[FieldDescription, ...] = ()
        self.is_parsed = False

    def described(self, fields: tuple[FieldDescription, ...]) -> None:
        self.fields = fields

    def parameters_described(self, oids: tuple[int, ...]) -> None:
        self.parameter_oids = oids

    def parsed(self) -> None:
        self.is_parsed = True


class FirstExecution(Preparation):
    """A preparation, and the execution of what it prepares, in one group.

    Its columns come in formats that were asked for before anybody knew them. `plan` sets how rows are decoded, if they
    can be what was asked for, and returns why they are to be kept, if they are.

    Attributes:
        is_described: the server has told what its columns are.
        statement: what `plan` has made of its description, for the frontend; None: there is nothing to be used again.
        unsure: types of columns of which it was not known whether they can be understood in the format asked for.
    """

    __slots__ = ("_plan", "is_described", "statement", "unsure")

    def __init__(
        self,
        data: bytes,
        steps: Sequence[Any],
        traits: int,
        name: str,
        closing: tuple[str, ...],
        plan: Callable[["FirstExecution"], UnknownTypeError | None],
    ) -> None:
        super().__init__(data, steps, traits, name, closing)
        self._plan = plan
        self.is_described = False
        self.statement: Any = None
        self.unsure: frozenset[int] = frozenset()

    @property
    def is_executing(self) -> bool:
        """Whether BindComplete has come: an error is the execution's."""
        return self.step >= len(self.steps) - 2

    def described(self, fields: tuple[FieldDescription, ...]) -> None:
        super().described(fields)
        self.is_described = True
        try:
            unknown = self._plan(self)
        except Exception as error:
            self.error = error  # a declared codec says that it is for no such type
        else:
            if unknown is not None:
                self.error = RowsKept(unknown, bytearray())


class DescribedAgain(Operation):
    """Something is done with `statement`, which goes with a Parse and a Describe of its own in the same group.

    What was known of it may be wrong on this server session: `compare` sees to that before rows come, if any are
    wanted. It returns why they are to be kept, if they are.

    Attributes:
        is_outdated: what was known was wrong.
        unsure: as of `FirstExecution`.
    """

    __slots__ = ("_compare", "is_outdated", "statement", "unsure")

    def __init__(
        self,
        data: bytes,
        steps: Sequence[Any],
        traits: int,
        row_plan: RowPlan | None,
        statement: Any = None,
        compare: Callable[["DescribedAgain", tuple[FieldDescription, ...]], UnknownTypeError | None] | None = None,
    ) -> None:
        super().__init__(data, steps, traits, row_plan)
        self.statement = statement
        self._compare = compare
        self.is_outdated = False
        self.unsure: frozenset[int] = frozenset()

    def described(self, fields: tuple[FieldDescription, ...]) -> None:
        if self._compare is None or self.row_plan is None or self.traits & DISCARDS_ROWS:
            return
        try:
            unknown = self._compare(self, fields)
        except Exception as error:
            self.error = error  # a declared codec says that it is for no such type
        else:
            if unknown is not None:
                self.error = RowsKept(unknown, bytearray())


class SimpleQuery(Operation):
    """A Query message whose rows, which come in text format, are decoded by `plan_rows`."""

    __slots__ = ("_plan_rows",)

    def __init__(
        self,
        data: bytes,
        steps: Sequence[Any],
        traits: int,
        plan_rows: Callable[[tuple[FieldDescription, ...]], RowPlan],
    ) -> None:
        super().__init__(data, steps, traits)
        self._plan_rows = plan_rows

    def described(self, fields: tuple[FieldDescription, ...]) -> None:
        self.row_plan = self._plan_rows(fields)


class Script(SimpleQuery):
    """A Query message of any number of statements, whose results are kept apart.

    `statements` are those that have come to their end, each with rows, row plan, tag and error of its own (a value that
    cannot be decoded, or not yet; COPY). `error` is what ended the script: of the statement behind those.
    """

    __slots__ = ("statements",)

    def __init__(
        self,
        data: bytes,
        steps: Sequence[Any],
        traits: int,
        plan_rows: Callable[[tuple[FieldDescription, ...]], RowPlan],
    ) -> None:
        super().__init__(data, steps, traits | SCRIPT, plan_rows)
        self.statements: list[Operation] = []

    def statement_completed(self) -> None:
        if self.abandoned:
            return
        statement = Operation(b"", (), 0, self.row_plan)
        statement.tag = self.tag
        statement.rows, self.rows = self.rows, []
        statement.error, self.error = self.error, None
        statement.outcome = Outcome.COMPLETED if statement.error is None else Outcome.FAILED
        # The next one's rows come behind a description of their own.
        self.row_plan = None
        self.statements.append(statement)


class Batch(DescribedAgain):
    """Bind and Execute, many times, under one Sync.

    `submitted` executions have been handed over, `completed` of them were answered. `finished` once Sync was handed
    over; `refused` once the server has answered with an error, which a row that cannot be decoded is not. While it is
    open it belongs to the task `owner`.
    """

    __slots__ = ("finished", "owner", "refused", "submitted")

    def __init__(
        self,
        data: bytes,
        steps: Sequence[Any],
        traits: int,
        count: int,
        row_plan: RowPlan | None,
        owner: object,
        *described: Any,
    ) -> None:
        super().__init__(data, steps, traits, row_plan, *described)
        self.owner = owner
        self.submitted = count
        self.completed = 0
        self.finished = bool(traits & SYNC)
        self.refused = False


class RowStream(DescribedAgain):
    """Bind and Execute of one statement, so many rows at a time, under one Sync that comes when nobody wants more.

    `is_asked` while the server owes rows, or the end of them; else it waits for Execute or Sync. `is_ahead` while
    nobody waits for what was asked for last. `is_complete` once it has sent the last row. `finished` once Sync was
    handed over. Until then it belongs to the task `owner`.
    """

    __slots__ = ("finished", "is_ahead", "is_asked", "is_complete", "owner")

    def __init__(
        self,
        data: bytes,
        steps: Sequence[Any],
        traits: int,
        row_plan: RowPlan | None,
        owner: object,
        *described: Any,
    ) -> None:
        super().__init__(data, steps, traits, row_plan, *described)
        self.owner = owner
        self.is_asked = True
        self.is_ahead = False
        self.is_complete = False
        self.finished = False


class CopyDirection(enum.Enum):
    IN = "in"
    OUT = "out"
    BOTH = "both"


class Copy(Operation):
    """A COPY statement (or START_REPLICATION), in the simple protocol.

    `direction` and `formats` are known once the server has begun; `chunks` are the data that nobody has taken
    yet, of `pending_bytes` together: one for each CopyData, or, of COPY TO STDOUT, for those that came together.
    """

    __slots__ = ("chunks", "column_formats", "direction", "ended", "format", "owner", "pending_bytes", "sent_end")

    def __init__(self, data: bytes, steps: Sequence[Any], traits: int, owner: object) -> None:
        super().__init__(data, steps, traits)
        self.owner = owner
        self.direction: CopyDirection | None = None
        self.format: Format | None = None
        self.column_formats: tuple[Format, ...] = ()
        self.chunks: deque[bytes] = deque()
        self.pending_bytes = 0
        #: The server sent CopyDone.
        self.ended = False
        #: We sent CopyDone or CopyFail.
        self.sent_end = False


class FunctionCallOperation(Operation):
    """A FunctionCall; `result` is the value's bytes, None for NULL."""

    __slots__ = ("result",)

    def __init__(self, data: bytes, steps: Sequence[Any], traits: int) -> None:
        super().__init__(data, steps, traits)
        self.result: bytes | None = None
