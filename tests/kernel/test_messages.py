"""Both kernels take whole streams of messages in the same way: right ones, damaged ones, cut anywhere, with operations
given up and codecs that do what they should not in the middle."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgsansio.enums import Outcome
from pgsansio.kernel.contract import RUN_LENGTH, SHORT_LENGTH, UnknownTypeError
from pgsansio.messages.tags import BACKEND_LIMITS
from pgsansio.testing.faults import cut
from tests.support.any_chunking import cuts
from tests.support.engines import sessions_over
from tests.support.naive_kernel import data_row, int_bytes

pytest.importorskip("pgsansio.kernel._compiled", reason="the compiled kernel is not built")

PURE, COMPILED = sessions_over("pure"), sessions_over("compiled")


def message(tag: str, body: bytes = b"") -> bytes:
    return tag.encode() + int_bytes(len(body) + 4, 4) + body


def fields(severity: str) -> bytes:
    return f"S{severity}\0V{severity}\0C22012\0Mno\0\0".encode()


COLUMN = b"a\0" + bytes(6) + int_bytes(25, 4) + b"\xff\xff\xff\xff\xff\xff\0\0"
#: By the type byte, what may come; the first one is right.
BODIES: dict[str, list[bytes]] = {
    "1": [b"", b"x"],
    "2": [b"", b"x"],
    "3": [b"", b"x"],
    "A": [int_bytes(7, 4) + b"c\0p\0", b"", b"\0\0\0\7c"],
    "C": [
        b"SELECT 1\0", b"INSERT 0 1\0", b"INSERT 0 1\0", b"DISCARD ALL\0", b"DEALLOCATE ALL\0", b"DELETE 5\0", b"\0",
        b"", b"SELECT 1", b"SELECT\0 1\0", b"D\0", b"INSERT 0 2\0", b"ROLLBACK\0",
    ],
    "D": [
        data_row(b"x")[5:], data_row(None)[5:], data_row(b"refused")[5:], data_row(b"unknown")[5:],
        data_row(b"users")[5:], data_row(b"submit")[5:], data_row(b"abandon")[5:], data_row(b"rows")[5:],
        data_row(b"interrupt")[5:], data_row(b"close")[5:], data_row(b"memory")[5:],
        data_row(b"x", b"y")[5:], b"\0\1", b"\0", b"", b"\0\1\0\0\0\5x",
    ],
    "E": [fields("ERROR"), fields("ERROR"), fields("FATAL"), b"", b"x"],
    "G": [b"\0\0\1\0\0", b"", b"\2"],
    "H": [b"\0\0\1\0\0", b"", b"\2"],
    "I": [b"", b"x"],
    "N": [fields("NOTICE"), b"x"],
    "S": [b"TimeZone\0UTC\0", b"client_encoding\0UTF8\0", b"x"],
    "T": [b"\0\1" + COLUMN, b"\0\0", b"\0\1", b""],
    "V": [b"\0\0\0\1x", b"\xff\xff\xff\xff", b""],
    "W": [b"\0\0\1\0\0", b""],
    "Z": [b"I", b"I", b"T", b"E", b"X", b"", b"II"],
    "c": [b"", b"x"],
    "d": [b"data", b"", b"more data"],
    "n": [b"", b"x"],
    "s": [b"", b"x"],
    "t": [b"\0\1" + int_bytes(25, 4), b"\0\0", b"\0\1", b""],
    "!": [b"", b"x"],
}  # fmt: skip
#: Headers that claim too much, and too little.
CLAIMS = [
    b"D\x7f\xff\xff\xff",
    b"Z\0\x01\0\0",
    b"E\0\xff\xff\xff",
    b"C\0\0\0\3",
    b"2\0\0\0\0",
    b"D\xff\xff\xff\xff",
    b"!",
]

KINDS: dict[str, Callable[[Any, Any], Any]] = {
    "execute": lambda make, plan: make.execution(plan=plan),
    "execute, more behind it": lambda make, plan: make.execution(traits=0, plan=plan),
    "internal": lambda make, plan: make.execution(traits=make.SYNC | 32, plan=plan),
    "begins": lambda make, plan: make.execution(traits=make.SYNC | 2, plan=plan),
    "discard": lambda make, plan: make.execution(traits=make.SYNC | make.DISCARDS_ROWS, plan=plan),
    "prepare": lambda make, plan: make.preparation(closing=("a",)),
    "simple": lambda make, plan: make.simple_query(),
    "simple, no rows": lambda make, plan: make.simple_query(rows=False),
    "reset": lambda make, plan: make.reset(),
    "script": lambda make, plan: make.script(),
    "batch": lambda make, plan: make.batch(count=2),
    "open batch": lambda make, plan: make.batch(count=1, complete=False),
    "stream": lambda make, plan: make.stream(plan=plan),
    "copy": lambda make, plan: make.copy(),
    "function": lambda make, plan: make.function_call(),
    "sync": lambda make, plan: make.sync(),
}
DEEDS = [
    "abandon", "finish", "more rows", "extend", "copy done", "cancel began", "cancel ended", "take", "defer begin",
    "defer begin", "drop begin",
]  # fmt: skip


class OfTheUsers(Exception):
    """What a user's codec raises."""


def told_error(error: BaseException | None) -> object:
    """With what `session` says of it, without the names of either kernel's classes."""
    if error is None:
        return None
    data = bytes(error.data) if type(error).__name__ == "RowsKept" else None  # type: ignore[attr-defined]
    return type(error).__name__, str(error), getattr(error, "__notes__", None), data, told_error(error.__cause__)


def told_event(event: Any) -> object:
    return re.sub(" at 0x[0-9a-f]+", "", repr(event)), [str(getattr(event, name, "")) for name in ("error", "notice")]


class World:
    """A session over one of the kernels, and what has happened to it."""

    def __init__(self, make: Any) -> None:
        self.make = make
        self.session = make.new_session()
        self.operations: list[Any] = []
        self.seen: list[object] = []
        self.plan = make.plan_calling(self.decode)

    def decode(self, data: bytes) -> object:
        match data:
            case b"refused":
                raise ValueError("refused")
            case b"unknown":
                raise UnknownTypeError("not known", oids=frozenset({7}))
            case b"users":
                raise OfTheUsers("mine")
            case b"interrupt":
                raise KeyboardInterrupt
            case b"memory":
                raise MemoryError
            case b"submit":
                self.session.submit(self.make.execution())
            case b"abandon":
                self.session.abandon(self.session.in_flight[0])
            case b"rows":
                self.session.in_flight[0].rows = ["other"]
            case b"close":
                self.session.close(b"X")
            case _:
                pass
        return data

    def submit(self, kind: str) -> None:
        operation = KINDS[kind](self.make, self.plan)
        if kind == "reset" and self.operations:
            is_behind = self.session.submit_behind(operation, self.operations[-1])
            self.seen.append(is_behind)
            if is_behind:
                self.operations.append(operation)
                return
        try:
            self.session.submit(operation)
        except Exception as error:
            self.seen.append(told_error(error))
        else:
            self.operations.append(operation)

    def do(self, deed: str, number: int) -> None:
        session = self.session
        match deed:
            case "cancel began":
                session.cancel_began()
            case "cancel ended":
                session.cancel_ended()
            case "take":
                self.take()
            case "defer begin":
                try:
                    session.defer_begin(b"<begin>")
                except Exception as error:
                    self.seen.append(told_error(error))
            case "drop begin":
                session.drop_begin()
            case _ if not self.operations:
                return
            case "abandon":
                self.seen.append(session.abandon(self.operations[number % len(self.operations)]))
            case _:
                kind, act = {
                    "finish": (("Batch", "RowStream"), session.finish),
                    "more rows": (("RowStream",), lambda operation: session.more_rows(operation, b"EH")),
                    "extend": (("Batch",), lambda operation: session.extend(operation, b"BE", 1)),
                    "copy done": (("Copy",), session.copy_done),
                }[deed]
                operation = self.operations[number % len(self.operations)]
                if type(operation).__name__ in kind and operation.written:
                    act(operation)

    def take(self) -> None:
        session = self.session
        self.seen.append(
            [self.operations.index(one) if one in self.operations else None for one in session.completed()]
        )
        self.seen.append(session.data_to_send())
        self.seen.append([told_event(event) for event in session.events])
        session.events.clear()

    def feed(self, data: bytes) -> None:
        try:
            self.session.receive_data(data)
        except BaseException as error:
            if not isinstance(error, KeyboardInterrupt):
                raise
            self.seen.append(told_error(error))

    def told(self) -> object:
        """All that can be seen of it."""
        session = self.session
        rest = session.buffer
        return (
            self.seen,
            [self.told_operation(one) for one in self.operations],
            [self.operations.index(one) if one in self.operations else None for one in session.woken],
            [told_event(event) for event in session.events],
            (session.condition.name, told_error(session.failure), session.outbox, session.news, session.in_transaction),
            (session.transaction_status, session.predicted_status, session.idle, session.busy, session.cancel_due),
            (session.active, session.abandoned, session.sent_bytes, session.parameters),
            (session.begin_is_due, told_error(session.begin_error)),
            self.operations.index(session.beginning) if session.beginning in self.operations else None,
            (bytes(rest.data[rest.start : rest.end]), rest.expected),
            [known.name for known, row in self.make.STEPS.__globals__["ROWS"].items() if row is session.row],
        )

    def told_operation(self, operation: Any) -> object:
        error = told_error(operation.error)
        rows = [tuple(row) for row in operation.rows]
        names = ("outcome", "suspended", "abandoned", "written", "attention", "step", "traits", "size_bytes", "data")
        more = ("submitted", "finished", "refused", "is_asked", "is_complete", "pending_bytes", "result",
                "direction", "fields", "parameter_oids", "is_parsed", "ended", "sent_end")  # fmt: skip
        return (
            type(operation).__name__,
            error,
            rows,
            operation.completed if hasattr(operation, "submitted") else 0,
            None if operation.tag is None else bytes(operation.tag),
            [repr(getattr(operation, name)) for name in names],
            [repr(getattr(operation, name, None)) for name in more],
            self.told_chunks(operation) if hasattr(operation, "chunks") else None,
        )

    @staticmethod
    def told_chunks(operation: Any) -> list[bytes]:
        """Where those of COPY TO STDOUT end depends on how their bytes arrive."""
        chunks = list(operation.chunks)
        return chunks if str(operation.direction) == "CopyDirection.BOTH" else [b"".join(chunks)]


def play(make: Any, story: list[tuple[Any, ...]], sizes: list[int] | None = None) -> World:
    world = World(make)
    for act, *arguments in story:
        if act == "feed":
            for piece in cut(arguments[0], sizes or [1 << 20]):
                world.feed(piece)
        else:
            getattr(world, act)(*arguments)
    return world


def bodies(tag: str) -> st.SearchStrategy[bytes]:
    right, *others = BODIES[tag]
    return st.one_of(st.just(right), st.just(right), st.just(right), st.sampled_from([right, *others]))


@st.composite
def stories(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    """What is submitted, done and received: messages that may come at that point, mostly."""
    world = World(PURE)
    story: list[tuple[Any, ...]] = []

    def add(*act: Any) -> None:
        story.append(act)
        name, *arguments = act
        getattr(world, name)(*arguments)

    for _ in range(draw(st.integers(1, 40))):
        step = draw(st.integers(0, 11))
        if step == 0 or (step < 4 and world.session.idle):
            add("submit", draw(st.sampled_from(sorted(KINDS))))
        elif step == 1:
            add("do", draw(st.sampled_from(DEEDS)), draw(st.integers(0, 3)))
        elif step == 2 and draw(st.integers(0, 9)) == 0:
            add("feed", draw(st.sampled_from(CLAIMS) | st.binary(max_size=20)))
        else:
            may_come = sorted(chr(tag) for tag in world.session.row)
            tag = draw(st.sampled_from(may_come) if step > 3 else st.sampled_from(sorted(BODIES)))
            body = draw(bodies(tag))
            repeat = draw(st.sampled_from([1, 1, 2, 5])) if tag in "Dd" else 1
            add("feed", message(tag, body) * repeat)
    # What follows each other is fed at once, or cut.
    joined: list[tuple[Any, ...]] = []
    for act in story:
        if act[0] == "feed" and joined and joined[-1][0] == "feed":
            joined[-1] = ("feed", joined[-1][1] + act[1])
        else:
            joined.append(act)
    return joined


@settings(max_examples=400, deadline=None)
@given(stories(), cuts())
def test_both_take_the_same_from_a_stream(story: list[tuple[Any, ...]], sizes: list[int]) -> None:
    whole = play(PURE, story).told()
    assert play(COMPILED, story).told() == whole
    assert play(COMPILED, story, sizes).told() == play(PURE, story, sizes).told()


INSERTED = message("2") + message("C", b"INSERT 0 1\0")
DESCRIBED = message("1") + message("t", BODIES["t"][0]) + message("T", BODIES["T"][0])
STREAMED = message("2") + data_row(b"x") + message("s")
COPIED = message("H", b"\0\0\1\0\0") + message("d", b"data") * 3 + message("c") + message("C", b"COPY 3\0")
ANSWERS: list[list[tuple[Any, ...]]] = [
    [
        ("submit", "execute"), ("submit", "prepare"), ("submit", "batch"), ("submit", "script"),
        ("feed", b"".join([
            message("2"), data_row(b"x") * 2, message("C", b"SELECT 2\0"), message("Z", b"I"),
            message("3"), DESCRIBED, message("Z", b"T"),
            INSERTED * 2, message("Z", b"I"),
            message("T", BODIES["T"][0]), data_row(b"x"), message("C", b"SELECT 1\0"),
            message("N", fields("NOTICE")), message("I"), message("Z", b"I"),
        ])),
    ],
    [
        ("submit", "stream"),
        ("feed", STREAMED),
        ("do", "more rows", 0),
        ("feed", data_row(b"y") + message("C", b"FETCH 1\0")),
        ("do", "finish", 0),
        ("feed", message("Z", b"T")),
        ("submit", "copy"),
        ("feed", COPIED + message("Z", b"E")),
        ("submit", "discard"),
        ("feed", message("2") + data_row(b"x") * 3 + message("C", b"SELECT 3\0") + message("Z", b"I")),
        ("submit", "execute"), ("submit", "execute"),
        ("feed", message("E", fields("ERROR")) + message("Z", b"I") + message("2") + message("s") + message("Z", b"I")),
    ],
    [
        ("do", "defer begin", 0), ("submit", "prepare"),
        ("feed", message("1") + message("2") + message("C", b"BEGIN\0")
            + message("3") + DESCRIBED + message("Z", b"T")),
        ("submit", "simple, no rows"),
        ("feed", message("C", b"COMMIT\0") + message("Z", b"I")),
        ("submit", "execute"), ("do", "drop begin", 0), ("do", "defer begin", 0), ("submit", "discard"),
        ("feed", message("2") + message("C", b"SELECT 0\0") + message("Z", b"I") + message("1") + message("2")),
        ("feed", message("C", b"BEGIN\0") + message("2") + data_row(b"x") + message("C", b"SELECT 1\0")),
        ("feed", message("Z", b"E")),
    ],
]  # fmt: skip


@pytest.mark.parametrize("story", ANSWERS)
def test_cut_at_every_byte(story: list[tuple[Any, ...]]) -> None:
    told = play(PURE, story).told()
    assert all(one.outcome in (Outcome.COMPLETED, Outcome.FAILED) for one in play(COMPILED, story).operations)
    for size in (1, 2, 3, 5, 7, 1 << 20):
        assert play(COMPILED, story, [size]).told() == told
        assert play(PURE, story, [size]).told() == told
    longest = max(len(act[1]) for act in story if act[0] == "feed")
    for size in range(1, longest):
        assert play(COMPILED, story, [size, 1 << 20]).told() == told


def damaged(story: list[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    """Each byte of what is received is another one."""
    for number, (act, *arguments) in enumerate(story):
        if act == "feed":
            data = arguments[0]
            for position in range(len(data)):
                for byte in (data[position] ^ 1, data[position] ^ 0x80, 3):
                    other = data[:position] + bytes([byte]) + data[position + 1 :]
                    yield [*story[:number], ("feed", other), *story[number + 1 :]]


@pytest.mark.parametrize("story", ANSWERS)
def test_with_every_byte_damaged(story: list[tuple[Any, ...]]) -> None:
    for other in damaged(story):
        assert play(COMPILED, other).told() == play(PURE, other).told()


@pytest.mark.parametrize("value", BODIES["D"][1:11])
@pytest.mark.parametrize("kind", ["execute", "execute, more behind it", "stream"])
def test_what_a_codec_does_meanwhile(value: bytes, kind: str) -> None:
    rows = data_row(b"x") + message("D", value) + data_row(b"y")
    answers = message("2") + rows + message("C", b"SELECT 3\0") + message("Z", b"I") * (kind == "execute")
    story: list[tuple[Any, ...]] = [("submit", kind), ("submit", "execute"), ("feed", answers), ("feed", message("2"))]
    assert play(COMPILED, story).told() == play(PURE, story).told()


def test_a_short_message_is_shorter_than_every_limit() -> None:
    assert min(BACKEND_LIMITS.values()) + 4 >= SHORT_LENGTH


@pytest.mark.parametrize("tag", ["D", "d", "C"])
@pytest.mark.parametrize("length", [3, 4, RUN_LENGTH, RUN_LENGTH + 1, 2**32 - 1])
def test_the_longest_message_of_a_run(tag: str, length: int) -> None:
    """As many bytes as it says are waited for, or none."""
    assert BACKEND_LIMITS[ord("D")] + 4 == BACKEND_LIMITS[ord("d")] + 4 == RUN_LENGTH
    header = tag.encode() + length.to_bytes(4)
    for before in (b"", message("2")):
        story: list[tuple[Any, ...]] = [("submit", "execute"), ("feed", before + header)]
        one, other = play(COMPILED, story), play(PURE, story)
        assert one.told() == other.told()
        assert one.session.buffer.expected == other.session.buffer.expected


def test_messages_of_legal_length_and_longer_ones() -> None:
    """Around the length of which nobody is asked: rows may be longer, other messages may not."""
    longest = BACKEND_LIMITS[ord("C")]
    for size in (*range(SHORT_LENGTH - 14, SHORT_LENGTH + 3), *range(longest - 14, longest + 3)):
        for answer in (data_row(b"x" * size), message("C", b"x" * size + b"\0"), message("2", bytes(size))):
            story: list[tuple[Any, ...]] = [("submit", "execute"), ("feed", message("2") + answer)]
            for sizes in (None, [1500]):
                assert play(COMPILED, story, sizes).told() == play(PURE, story, sizes).told()
