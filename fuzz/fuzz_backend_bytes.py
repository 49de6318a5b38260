"""A frontend with operations in flight, fed with arbitrary bytes of a server.

Input: 6 operations, what is done on the way, the size of the pieces; then the server's bytes. Held to: feeding never
raises, every operation is settled exactly once, nothing is kept that did not arrive, and (where nobody meddles) the
cuts change nothing.
"""

import random
from typing import Any, Final

from fuzz.choices import cut, pick
from fuzz.mutation import mutated
from pgsansio.codecs.descriptions import Description
from pgsansio.engine.events import NoticeReceived
from pgsansio.engine.operations import Batch, Copy, FirstExecution, Operation, RowsKept, RowStream, Script
from pgsansio.enums import Format, Outcome, TransactionStatus
from pgsansio.errors import InterfaceError, InternalClientError, PostgresError
from pgsansio.frontend import Frontend
from pgsansio.messages.authentication import AuthenticationOk
from pgsansio.messages.backend import FieldDescription, ReadyForQuery
from pgsansio.messages.frontend import FunctionCall
from pgsansio.messages.startup import BackendKeyData
from pgsansio.policy.keywords import classify
from pgsansio.statement import Statement, unprepared
from pgsansio.wire.framing import BLOCK_BYTES

__all__ = ["PREFIX_BYTES", "mutate", "target"]

PREFIX_BYTES: Final = 8
_OPERATIONS: Final = 6
_WELCOME: Final = (
    AuthenticationOk().encode() + BackendKeyData(1, b"key!").encode() + ReadyForQuery(TransactionStatus.IDLE).encode()
)
#: Columns by the oids of their types; what is not built in is read as bytes.
_RESULTS: Final = ((23,), (25,), (23, 25), (1700, 1184, 2950), (1007, 1009), (3802, 16, 20), (999999,), ())
_OWNER: Final = "task"


def mutate(data: bytes, corpus: list[bytes], chance: random.Random) -> bytes:
    return mutated(data, corpus, chance, PREFIX_BYTES)


def target(data: bytes) -> None:
    choices, server = data[:PREFIX_BYTES].ljust(PREFIX_BYTES, b"\0"), data[PREFIX_BYTES:]
    first = _Run(choices)
    first.feed(server, choices[-1])
    if not first.meddled:
        again = _Run(choices)
        again.feed(server, 0)
        for ours, theirs in zip(first.summary(), again.summary(), strict=True):
            assert ours == theirs, f"the cuts have changed what came out: {ours}, not {theirs}"


class _Run:
    def __init__(self, choices: bytes) -> None:
        self.frontend = Frontend()
        self.frontend.start_up([("user", "u")], user="u", password=None, nonce="n")
        self.frontend.receive_data(_WELCOME)
        self.frontend.data_to_send()
        self.frontend.completed()
        self.operations: list[Operation] = []
        #: Settled ones that `completed` has handed out.
        self.told: set[int] = set()
        self.abandon_at = choices[_OPERATIONS]
        self.sent_bytes = 0
        for choice in choices[:_OPERATIONS]:
            self.submit(choice)
        #: Somebody acts between the pieces, or more is written then: so the cuts matter.
        self.meddled = (
            self.abandon_at % 4 != 0
            or any(isinstance(one, Copy | RowStream) for one in self.operations)
            or any(isinstance(one, Batch) and not one.finished for one in self.operations)
            or len(self.frontend.in_flight) != len(self.operations)
        )
        self.sent_bytes = len(self.frontend.data_to_send())

    def submit(self, choice: int) -> None:
        frontend, more = self.frontend, choice >> 4
        try:
            match choice & 15:
                case 0:
                    operation: Operation = frontend.simple_query("select 1", discard_rows=False)
                case 1:
                    operation = (
                        frontend.script("select 1; select 2")
                        if more % 2
                        else frontend.simple_query("select 1; select 2")
                    )
                case 2 if more & 4:
                    operation = self.first_execution(more)
                case 2:
                    operation = frontend.prepare("select 1", named=more % 2 == 1)
                case 3 | 4:
                    statement = self.statement(more)
                    operation = frontend.execute(statement, (), max_rows=more // 8)
                case 5:
                    statement = self.statement(more)
                    data, count, _ = statement.many(iter([()] * (more % 4)), 0, first=True)
                    operation = frontend.batch(statement, data, count, complete=True, owner=_OWNER)
                case 6:
                    statement = self.statement(more)
                    data, count, _ = statement.many(iter([()] * (more % 4)), 0, first=True)
                    operation = frontend.batch(statement, data, count, complete=False, owner=_OWNER)
                case 7 | 8:
                    operation = frontend.copy("copy t from stdin", owner=_OWNER)
                case 9:
                    operation = frontend.function_call(FunctionCall(1, (), (b"x", None), Format.BINARY))
                case 10:
                    operation = frontend.simple_query("begin")
                case 11:
                    operation = frontend.rollback()
                case 12:
                    operation = frontend.simple_query("select 1", internal=True)
                case 13:
                    operation = frontend.stream(self.statement(more), (), 1 + more // 8, None, owner=_OWNER)
                case 14:
                    _, operation = frontend.open_portal(self.statement(more), (), more // 8, None)
                case _ if more % 2:
                    statement = self.statement(more)
                    bound = statement.bound((), more // 8, statement.row_plan, frontend.compare)
                    group = [unprepared("create"), bound, frontend.preparation("select 2")]
                    operation = frontend.group(group)
                    self.operations += group
                case _:
                    operation = frontend.close_portal("portal")
        except InterfaceError:
            return  # in a transaction, or behind its beginning, a second one is refused
        self.operations.append(operation)

    def statement(self, more: int) -> Statement:
        fields = tuple([FieldDescription("a", 0, 0, oid, -1, -1, Format.TEXT) for oid in pick(_RESULTS, more)])
        name = "s" if more % 2 else ""
        frontend = self.frontend
        return Statement("select", name, (), fields, frontend.registry, frontend.record_class, classify("select"))

    def first_execution(self, more: int) -> FirstExecution:
        """Of what nobody knows, or of what was described as something by another connection."""
        frontend = self.frontend
        description = None
        if more & 8:
            fields = tuple([FieldDescription("a", 0, 0, oid, -1, -1, Format.TEXT) for oid in pick(_RESULTS, more)])
            description = Description((), fields)
        operation = frontend.first_execution(f"select {more & 1}", (), 0, None, description)
        frontend.submit_preparation(operation)
        return operation

    def feed(self, server: bytes, size: int) -> None:
        frontend = self.frontend
        fed = 0
        for number, piece in enumerate(cut(server, size)):
            frontend.receive_data(piece)
            fed += len(piece)
            self.look(fed)
            if self.meddled:
                self.act(number)
            if frontend.ended:
                break
        frontend.receive_eof()
        self.look(fed)
        assert frontend.ended
        assert not frontend.in_flight
        assert frontend.idle
        for operation in self.operations:
            assert operation.settled, "an operation that nobody settled"
            assert id(operation) in self.told, "a settled operation that nobody was told of"
            assert operation.outcome is not Outcome.COMPLETED or operation.error is None
            assert operation.outcome is Outcome.COMPLETED or operation.abandoned or operation.error is not None
            assert isinstance(
                operation.error, PostgresError | InterfaceError | InternalClientError | RowsKept | None
            ), repr(operation.error)
            assert "internal error" not in str(operation.error), repr(getattr(operation.error, "__cause__", None))
        try:
            frontend.simple_query("select 1")
        except InterfaceError:
            return
        raise AssertionError("a session that has ended takes operations")

    def look(self, fed: int) -> None:
        """After each piece: who was told of what, and how much is kept."""
        frontend = self.frontend
        settled = {id(one): one for one in frontend.completed() if one.settled}
        for one in settled.values():
            # Whatever the server has told of it, a statement can be made of that.
            if isinstance(one, FirstExecution) and one.is_described and not one.abandoned:
                frontend.executed_first("select", one, None, 0.0)
        assert not settled.keys() & self.told, "an operation was settled twice"
        self.told |= settled.keys()
        assert len(frontend.buffer.data) <= max(BLOCK_BYTES, 2 * fed + 16)
        assert len(frontend.events) <= fed // 5 + 1
        for operation in self.operations:
            assert len(operation.rows) <= fed // 7
            assert not (operation.abandoned and operation.rows)
            if isinstance(operation, Script):
                assert len(operation.statements) <= fed // 6
            if isinstance(operation, Copy):
                assert operation.pending_bytes == sum(map(len, operation.chunks)) <= fed
        self.sent_bytes += len(frontend.data_to_send())
        # Answers that nobody asked for are at most three times as long as the questions; 2000 for what is submitted.
        assert self.sent_bytes <= 4000 + 10 * fed + 200 * len(self.operations)

    def act(self, number: int) -> None:
        """What users and the transport do in between."""
        frontend, choice = self.frontend, self.abandon_at
        if choice % 4 and number == choice >> 4 and self.operations:
            frontend.abandon(self.operations[(choice >> 2) % len(self.operations)])
        if choice % 4 == 2:
            for operation in self.operations:
                frontend.abandon(operation)
        if choice % 4 == 3 and frontend.cancel_due:
            frontend.cancel_began()
        elif frontend.cancel_under_way:
            frontend.cancel_ended()
        for operation in self.operations:
            operation.attention = False
            if isinstance(operation, Copy) and not operation.settled:
                while operation.chunks and choice & 32:
                    frontend.take_chunk(operation)
                if operation.direction is not None and number % 3 == 1:
                    frontend.copy_data(operation, b"data")
                elif operation.direction is not None and number % 3 == 2:
                    if choice & 64:
                        frontend.copy_done(operation)
                    else:
                        frontend.copy_fail(operation, "why")
            elif isinstance(operation, Batch) and not operation.finished:
                if number == 1:
                    frontend.extend(operation, b"BE", 1)
                elif number == 2:
                    if choice & 64:
                        frontend.finish(operation)
                    else:
                        frontend.give_up(operation)
            elif isinstance(operation, RowStream):
                if number % 3 == 2:
                    frontend.finish(operation)
                else:
                    frontend.stream_on(operation, 1)
        if choice & 128:
            while frontend.next_event() is not None:
                pass

    def summary(self) -> list[Any]:
        return [
            (one.outcome, type(one.error), repr(one.rows), one.tag, one.suspended, one.step) for one in self.operations
        ] + [
            event.notice.as_dict() if isinstance(event, NoticeReceived) else repr(event)
            for event in self.frontend.events
        ]
