"""The session beside a small model: any operations, any server, any cancellation, bytes cut anywhere."""

import re
from dataclasses import dataclass
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pgsansio.engine.operations import (
    BARRIER,
    BEGINS,
    ENDS,
    EXCLUSIVE,
    INTERNAL,
    SYNC,
    Batch,
    Copy,
    CopyDirection,
    FunctionCallOperation,
    Operation,
    Preparation,
    RowStream,
    Script,
)
from pgsansio.engine.queue import WINDOW_BYTES, WINDOW_OPERATIONS, Condition
from pgsansio.enums import Format, Outcome
from pgsansio.errors import ConnectionDoesNotExistError, InterfaceError, PostgresError
from pgsansio.messages.backend import (
    BindComplete,
    FunctionCallResponse,
    NoData,
    NotificationResponse,
    ParameterDescription,
    ParameterStatus,
    ParseComplete,
    PortalSuspended,
    RowDescription,
)
from pgsansio.messages.copy import CopyData, CopyDone, CopyInResponse, CopyOutResponse
from pgsansio.messages.message import Message
from pgsansio.policy.cancellation import Owed
from pgsansio.testing.script import error, notice, ready, row, selected
from tests.support.sessions import (
    FIELDS,
    batch,
    copy,
    execution,
    function_call,
    new_session,
    preparation,
    script,
    simple_query,
    stream,
    sync,
)

KINDS = (
    "simple", "script", "prepare", "execute", "batch", "open batch", "stream", "copy in", "copy out", "function",
    "barrier", "sync",
)  # fmt: skip
MARK = re.compile(rb"<(\d+)>")


@dataclass(eq=False)
class Asked:
    """An operation, and what the model knows of it."""

    number: int
    kind: str
    operation: Any
    #: Executions of a batch or a stream that the server has answered, or where a COPY is.
    stage: int = 0
    #: How often the stream was asked for rows.
    asked: int = 1
    failed: bool = False
    abandoned: bool = False
    dropped: bool = False
    outcome: Outcome | None = None
    #: The transaction status that its ReadyForQuery reported.
    status: str | None = None


class SessionModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.session = new_session()
        self.asked: list[Asked] = []
        #: What the server has read and not answered yet.
        self.served: list[Asked] = []
        self.written: list[int] = []
        #: Bytes on their way to the client.
        self.wire = b""
        self.server_status = "I"
        self.status = "I"
        self.skipping = False
        self.ended = False
        self.settled: list[Asked] = []

    # what the model says

    def pending(self) -> list[Asked]:
        return [one for one in self.asked if one.outcome is None]

    def active(self) -> bool:
        return any(not one.abandoned and not one.operation.traits & INTERNAL for one in self.pending())

    def in_transaction(self) -> bool:
        pending = [one.operation.traits for one in self.pending() if one.operation.traits & (BEGINS | ENDS)]
        if not any(traits & ENDS for traits in pending):
            return bool(pending) or self.status != "I"
        return not pending[-1] & ENDS

    # the client

    @initialize(pipelining=st.booleans() | st.just(True))
    def begin(self, pipelining: bool) -> None:
        self.session.pipelining = pipelining

    def make(self, kind: str, size: int, traits: int = SYNC) -> Asked:
        number = len(self.asked)
        data = b"<%d>" % number + bytes(size)
        operation: Operation
        if kind == "prepare":
            operation = preparation(data, traits=traits)
        elif kind == "execute":
            operation = execution(data, traits)
        elif kind == "batch":
            operation = batch(data, 2)
        elif kind == "open batch":
            operation = batch(data, 1, complete=False)
        elif kind == "stream":
            operation = stream(data)
        elif kind.startswith("copy"):
            operation = copy(data)
        elif kind == "function":
            operation = function_call(data)
        elif kind == "script":
            operation = script(data)
        elif kind == "sync":
            operation = sync(data)
        elif kind == "barrier":
            operation = simple_query(data, SYNC | BARRIER)
        else:
            operation = simple_query(data, traits)
        return Asked(number, kind, operation)

    def submit(self, *group: Asked) -> None:
        allowed = not self.ended and (
            bool(group[0].operation.traits & INTERNAL)
            or not self.active()
            or (self.session.pipelining and (self.session.shared_transaction or not self.in_transaction()))
        )
        try:
            if len(group) == 1:
                self.session.submit(group[0].operation)
            else:
                self.session.submit_group([one.operation for one in group])
        except InterfaceError:
            assert not allowed
        else:
            assert allowed
            self.asked += group
        self.look()

    @rule(kind=st.sampled_from(KINDS), size=st.sampled_from([0, 0, 100, 30_000, 70_000]), internal=st.booleans())
    def asks(self, kind: str, size: int, internal: bool) -> None:
        traits = SYNC | INTERNAL if internal and kind == "simple" else SYNC
        self.submit(self.make(kind, size, traits))

    @rule(count=st.integers(2, 40))
    def asks_often(self, count: int) -> None:
        for _ in range(count):
            self.submit(self.make("execute", 0))

    @rule(shared=st.booleans())
    def begins(self, shared: bool) -> None:
        self.session.shared_transaction = shared
        self.submit(self.make("begin", 0, SYNC | BEGINS | BARRIER))

    @rule(owed=st.booleans())
    def ends_transaction(self, owed: bool) -> None:
        self.submit(self.make("end", 0, SYNC | (INTERNAL | ENDS if owed else BARRIER)))

    @rule(
        kinds=st.lists(st.sampled_from(["execute", "prepare"]), min_size=1, max_size=4),
        last=st.sampled_from(["execute", "sync"]),
        size=st.integers(0, 20_000),
    )
    def asks_group(self, kinds: list[str], last: str, size: int) -> None:
        group = [self.make(kind, size, 0) for kind in kinds]
        group.append(self.make(last, size))
        for offset, one in enumerate(group):
            one.number += offset
            one.operation.data = b"<%d>" % one.number + bytes(size)
        self.submit(*group)

    @rule(choice=st.integers(0, 100))
    def abandons(self, choice: int) -> None:
        pending = self.pending()
        if not pending:
            return
        one = pending[choice % len(pending)]
        written = [other for other in pending if other.operation.written]
        is_paused = isinstance(one.operation, RowStream) and not one.operation.is_asked
        owed = self.session.abandon(one.operation)
        if one.abandoned:
            assert owed is Owed.NOTHING
        elif not one.operation.written:
            assert owed is Owed.DROP
        elif (
            is_paused or self.session.cancel_under_way or not all(other.abandoned or other is one for other in written)
        ):
            assert owed is Owed.DRAIN
        else:
            assert owed is Owed.CANCEL
        one.abandoned = True
        self.look()

    @precondition(lambda self: self.session.cancel_due)
    @rule()
    def cancel_begins(self) -> None:
        assert all(one.abandoned for one in self.pending() if one.operation.written)
        self.session.cancel_began()

    @precondition(lambda self: self.session.cancel_under_way)
    @rule()
    def cancel_ends(self) -> None:
        self.session.cancel_ended()
        self.look()

    @rule(finish=st.booleans(), fail=st.booleans())
    def goes_on(self, finish: bool, fail: bool) -> None:
        """Whoever has an open group does something with it."""
        for one in self.pending():
            operation = one.operation
            if isinstance(operation, Batch) and not operation.finished and not one.abandoned:
                if not finish:
                    self.session.extend(operation, b"more", 1)
                elif fail:
                    self.session.give_up(operation)
                else:
                    self.session.finish(operation)
            elif isinstance(operation, RowStream) and operation.written and not operation.finished:
                if not finish:
                    one.asked += not (operation.is_asked or operation.is_complete)
                    self.session.more_rows(operation, b"more")
                else:
                    self.session.finish(operation)
            elif isinstance(operation, Copy) and operation.direction is CopyDirection.IN and not one.abandoned:
                if not finish:
                    self.session.copy_data(operation, b"data")
                elif fail:
                    one.failed = one.failed or not operation.sent_end
                    self.session.copy_fail(operation, "because")
                else:
                    self.session.copy_done(operation)
        self.look()

    # the server

    def says(self, *messages: Message) -> None:
        self.wire += b"".join(message.encode() for message in messages)

    def is_ready(self, one: Asked) -> None:
        one.status = self.server_status
        self.says(ready(self.server_status))
        self.served.remove(one)
        self.skipping = False

    def fails(self, one: Asked, sqlstate: str = "22012") -> None:
        self.says(error(sqlstate))
        one.failed = True
        if self.server_status == "T":
            self.server_status = "E"

    @precondition(lambda self: self.served and not self.ended)
    @rule(fail=st.integers(0, 4).map(lambda value: value == 0))
    def answers(self, fail: bool) -> None:
        """As much as there is to say to the operation at the head."""
        one = self.served[0]
        operation = one.operation
        number = one.number
        if self.skipping and one.kind in ("execute", "prepare", "sync"):
            if operation.traits & SYNC:
                self.is_ready(one)
            else:
                self.served.remove(one)
            return
        fail = fail or (self.server_status == "E" and one.kind not in ("end", "sync"))
        if isinstance(operation, Batch):
            self.answers_batch(one, fail)
        elif isinstance(operation, RowStream):
            self.answers_stream(one, fail)
        elif one.kind == "copy in":
            self.answers_copy_in(one, fail)
        elif fail:
            self.fails(one)
            if operation.traits & SYNC:
                self.is_ready(one)
            else:
                self.skipping = True
                self.served.remove(one)
        else:
            if one.kind == "prepare":
                self.says(ParseComplete(), ParameterDescription((number,)), NoData())
            elif one.kind == "execute":
                self.says(BindComplete(), row(b"%d" % number), selected(f"SELECT {number}"))
            elif one.kind == "copy out":
                self.says(
                    CopyOutResponse(Format.TEXT), CopyData(b"%d" % number), CopyDone(), selected(f"COPY {number}")
                )
            elif one.kind == "script":
                for tag in ("SELECT", "INSERT 0", "SELECT"):
                    if tag == "SELECT":
                        self.says(RowDescription(FIELDS), row(b"%d" % number))
                    self.says(selected(f"{tag} {number}"))
            elif one.kind == "function":
                self.says(FunctionCallResponse(b"%d" % number))
            elif one.kind != "sync":
                self.says(RowDescription(FIELDS), row(b"%d" % number), selected(f"SELECT {number}"))
                self.server_status = {"begin": "T", "end": "I"}.get(one.kind, self.server_status)
            if operation.traits & SYNC:
                self.is_ready(one)
            else:
                self.served.remove(one)

    def answers_batch(self, one: Asked, fail: bool) -> None:
        operation: Batch = one.operation
        if fail and not one.failed:
            self.fails(one)
        while not one.failed and one.stage < operation.submitted:
            one.stage += 1
            self.says(BindComplete(), selected(f"INSERT 0 {one.number}"))
        if operation.finished:
            self.is_ready(one)

    def answers_stream(self, one: Asked, fail: bool) -> None:
        """It has one to three rows."""
        last = 1 + one.number % 3
        if fail and not one.failed and (one.stage < one.asked or one.operation.finished):
            self.fails(one)
        while not one.failed and one.stage < min(one.asked, last):
            one.stage += 1
            self.says(*[BindComplete()] * (one.stage == 1), row(b"%d" % one.number))
            self.says(selected(f"SELECT {one.number}") if one.stage == last else PortalSuspended())
        if one.operation.finished:
            self.is_ready(one)

    def answers_copy_in(self, one: Asked, fail: bool) -> None:
        operation: Copy = one.operation
        if one.stage == 0 and not fail:
            one.stage = 1
            self.says(CopyInResponse(Format.TEXT))
        elif fail or (operation.sent_end and (one.failed or one.abandoned)):
            self.fails(one, "57014")
            self.is_ready(one)
        elif operation.sent_end:
            self.says(selected(f"COPY {one.number}"))
            self.is_ready(one)

    @rule(which=st.integers(0, 2))
    def speaks_unasked(self, which: int) -> None:
        self.says((notice(), NotificationResponse(1, "c", "p"), ParameterStatus("TimeZone", "UTC"))[which])

    @rule(size=st.integers(1, 60))
    def delivers(self, size: int) -> None:
        data, self.wire = self.wire[:size], self.wire[size:]
        self.session.receive_data(data)
        self.look()

    @rule()
    def delivers_all(self) -> None:
        self.delivers(len(self.wire))

    @precondition(lambda self: not self.ended)
    @rule(farewell=st.booleans(), rare=st.integers(0, 7))
    def hangs_up(self, farewell: bool, rare: int) -> None:
        if rare:
            return
        if farewell:
            self.says(error("57P01", "shutdown", "FATAL"))
            self.delivers_all()
        before = self.pending()
        written = {one.number for one in before if one.operation.written}
        answered = {one.number for one in before if isinstance(one.operation.error, PostgresError)}
        if not farewell:
            self.session.receive_eof()
        self.ended = True
        for one in before:
            operation = one.operation
            if one.number in written and one.number in answered:
                assert operation.outcome in (Outcome.FAILED, Outcome.SKIPPED)
                continue
            assert operation.outcome is (Outcome.UNKNOWN if one.number in written else Outcome.CANCELLED)
            assert isinstance(operation.error, ConnectionDoesNotExistError)
            assert operation.error.safe_to_retry is (one.number not in written)
        self.look()

    # what must be true

    def look(self) -> None:
        """Read what the client has written, and what was settled."""
        session = self.session
        data = session.data_to_send()
        new = [int(number) for number in MARK.findall(data)]
        by_number = {one.number: one for one in self.asked}
        for number in new:
            one = by_number[number]
            assert not one.dropped
            self.check_may_be_written(one, new)
            self.written.append(number)
            self.served.append(one)
        for operation in session.completed():
            one = next(other for other in self.asked if other.operation is operation)
            if operation.settled and one.outcome is None:
                self.check_result(one)
        if session.condition is Condition.LOST:
            self.ended = True
        assert session.condition in (Condition.OPEN, Condition.LOST), session.failure
        for one in self.asked:
            assert one.operation.outcome is (Outcome.PENDING if one.outcome is None else one.outcome)

    def check_may_be_written(self, one: Asked, new: list[int]) -> None:
        ahead = [
            other
            for other in self.served
            if other.operation.outcome is Outcome.PENDING and other.operation.traits & (BARRIER | EXCLUSIVE)
        ]
        assert not ahead, f"{one} was written behind {ahead}"
        alone = not any(other.operation.abandoned for other in self.asked if other.number in new)
        assert not self.session.draining or not alone

    def check_result(self, one: Asked) -> None:
        operation = one.operation
        one.outcome = operation.outcome
        written = one.number in self.written
        if one.outcome is Outcome.CANCELLED:
            assert not written
            assert one.abandoned or not self.session.is_open
            one.dropped = True
            return
        assert written
        if self.settled:
            assert self.settled[-1].number < one.number
        self.settled.append(one)
        if one.outcome is not Outcome.UNKNOWN and one.status is not None and operation.traits & SYNC:
            self.status = one.status
        if one.outcome is Outcome.FAILED:
            assert one.failed
            assert operation.error is not None
        elif one.outcome is Outcome.COMPLETED:
            assert not one.failed
            assert operation.error is None
            self.check_own(one)

    def check_own(self, one: Asked) -> None:
        operation = one.operation
        if isinstance(operation, Preparation):
            assert operation.parameter_oids == (one.number,)
        elif isinstance(operation, FunctionCallOperation):
            assert operation.result == b"%d" % one.number
        elif isinstance(operation, RowStream):
            assert operation.rows == [(str(one.number),)] * (0 if one.abandoned else one.stage)
            assert operation.is_complete == (one.stage == 1 + one.number % 3)
        elif isinstance(operation, Script):
            if not one.abandoned:
                assert [(found.status, found.rows) for found in operation.statements] == [
                    (f"SELECT {one.number}", [(str(one.number),)]),
                    (f"INSERT 0 {one.number}", []),
                    (f"SELECT {one.number}", [(str(one.number),)]),
                ]
        elif one.kind == "sync":
            assert operation.tag is None
        elif not isinstance(operation, Batch) or not one.abandoned:
            assert (operation.status or "").endswith(f" {one.number}")
            if not one.abandoned and one.kind not in ("copy in", "copy out", "batch", "open batch"):
                assert [tuple(found) for found in operation.rows] == [(str(one.number),)]

    @invariant()
    def first_come_first_written(self) -> None:
        assert self.written == sorted(self.written)
        if not self.ended:
            unsent = [one.number for one in self.pending() if not one.operation.written]
            assert all(number > max(self.written, default=-1) for number in unsent)

    @invariant()
    def window(self) -> None:
        in_flight = self.session.in_flight
        if len(in_flight) > WINDOW_OPERATIONS or sum(one.size_bytes for one in in_flight) > WINDOW_BYTES:
            # One that is larger than the window, or a group, which cannot be torn apart.
            last = in_flight[-1]
            group = [last]
            for other in reversed(in_flight[:-1]):
                if other.traits & SYNC:
                    break
                group.append(other)
            before = in_flight[: len(in_flight) - len(group)]
            assert len(in_flight) == 1 or len(group) > 1
            assert len(before) < WINDOW_OPERATIONS
            assert sum(one.size_bytes for one in before) <= WINDOW_BYTES

    @invariant()
    def bookkeeping(self) -> None:
        session = self.session
        if self.ended:
            assert session.idle
            return
        assert session.in_transaction == self.in_transaction()
        assert {id(one) for one in session.in_flight} == {
            id(one.operation) for one in self.pending() if one.operation.written
        }
        assert session.idle == (not self.pending())
        abandoned = [one for one in self.pending() if one.operation.written and one.abandoned]
        assert session.draining == (bool(abandoned) or session.cancel_under_way)
        assert session.cancel_due == (len(session.in_flight) == len(abandoned) > 0 and not session.cancel_under_way)

    def teardown(self) -> None:
        """A server that goes on answers everything, and nothing is left."""
        if self.ended:
            return
        if self.session.cancel_under_way:
            self.session.cancel_ended()
        for _ in range(10_000):
            self.goes_on(finish=True, fail=False)
            if self.served:
                self.answers(False)
            self.delivers_all()
            if not self.pending():
                break
        assert not self.pending()
        assert self.session.idle
        assert not self.session.draining


TestSession = SessionModel.TestCase
TestSession.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
