"""The compiled kernel keeps nothing: each of its functions, on every way out, leaves as many blocks of memory behind as
it found; and the collector finds what its objects are part of."""

import contextlib
import copy
import gc
import pickle
import sys
import uuid
import weakref
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any, cast

import pytest

from pgsansio.codecs.array import array_codec
from pgsansio.codecs.composite import composite_codec
from pgsansio.codecs.range import multirange_codec, range_codec
from pgsansio.enums import Format
from pgsansio.kernel.contract import Opcode, ValueCodec
from pgsansio.types import Range
from tests.kernel.test_containers import SCALARS
from tests.kernel.test_generated import ARGUMENTS, ORDINARY
from tests.kernel.test_messages import ANSWERS, BODIES, CLAIMS, COMPILED, World, message, play
from tests.kernel.test_messages import damaged as each_damaged
from tests.kernel.test_messages import fields as error_fields
from tests.support.naive_kernel import array_bytes, copy_tuple, data_row, fields_bytes, int_bytes

compiled: Any = pytest.importorskip("pgsansio.kernel._compiled", reason="the compiled kernel is not built")

MANY = 2**31
INT4, TEXT = SCALARS[Opcode.INT4], SCALARS[Opcode.TEXT]


@pytest.fixture(autouse=True)
def _only_what_is_new() -> None:
    """The collector looks at nothing that was there before, so it can run often. Nor does it later: see `conftest`."""
    gc.collect()
    gc.freeze()


def check_blocks(call: Callable[[], object], warm: int = 500) -> None:
    """What is called leaves no block of memory behind; caches, and what is kept to be used again, fill up at first."""

    def growth(times: int) -> int:
        before = sys.getallocatedblocks()
        for _ in range(times):
            call()
        gc.collect()
        return sys.getallocatedblocks() - before

    growth(warm)
    # Others, the interpreter among them, may take some now and then; a leak is one for each call, always.
    assert min(growth(200) for _ in range(3)) < 100


def refusal(function: Callable[..., object], *arguments: object) -> type[Exception]:
    """What kind of exception a call raises."""
    try:
        function(*arguments)
    except Exception as error:
        return type(error)
    raise AssertionError("it was not refused")


def decode(codecs: tuple[ValueCodec, ...], data: bytes, record_class: Any = None, copy: bool = False) -> object:
    names = tuple(f"c{number}" for number in range(len(codecs)))
    plan = compiled.row_plan(names, codecs, record_class or compiled.Record)
    rows: list[Any] = []
    function = compiled.decode_copy if copy else compiled.decode_rows
    try:
        return rows, function(plan, bytearray(data), 0, len(data), rows, MANY)
    except Exception as error:
        return error.with_traceback(None)


def encode(codecs: tuple[ValueCodec, ...], *lists: Any) -> object:
    plan = compiled.parameter_plan(codecs)
    elements: Iterator[object] = iter(lists)
    try:
        compiled.encode_copy(plan, iter(lists), MANY, 0)
        compiled.encode_many(plan, b"\0\0", elements, b"\0\0", b"S\0\0\0\4", MANY, 0)
        return [compiled.encode_bind(plan, b"\0\0", values, b"\0\0", b"") for values in lists]
    except Exception as error:
        return error.with_traceback(None)


def test_joining_copy_data() -> None:
    run = message("d", b"x" * 50) * 3 + message("d")
    for data in (run, run + b"d\0\0\0\3", run + b"D\0\0\0\4", b""):
        check_blocks(lambda data=data: compiled.join_copy_data(data, 0, len(data)))  # type: ignore[misc]
    check_blocks(lambda: refusal(compiled.join_copy_data, "", 0, 0))
    check_blocks(lambda: refusal(compiled.join_copy_data, b"", None, 0))
    check_blocks(lambda: refusal(compiled.join_copy_data, b"", 0))


class Row(compiled.Record):  # type: ignore[misc]
    pass


BYTES = {**ORDINARY, Opcode.CALL: b"x"}


@pytest.mark.parametrize("opcode", sorted(SCALARS))
def test_decoding_each_type(opcode: Opcode) -> None:
    codec = SCALARS[opcode]
    array = array_codec(1, "a", codec)
    composite = composite_codec(2, "c", ("a", "b"), (codec, codec))
    ranges = range_codec(3, "r", codec)
    multiranges = multirange_codec(4, "m", ranges)
    value = BYTES[opcode]
    of_type = int_bytes(codec.oid, 4)
    bounds = b"\2" + fields_bytes([value, value])
    attributes = int_bytes(2, 4) + of_type + fields_bytes([value]) + of_type + fields_bytes([None])
    codecs = (codec, array, composite, ranges, multiranges)
    fields = (
        value,
        array_bytes(codec.oid, [value, None, value]),
        attributes,
        bounds,
        int_bytes(2, 4) + fields_bytes([bounds, b"\1"]),
    )
    row, tuple_ = data_row(*fields), copy_tuple(*fields)
    check_blocks(lambda: decode(codecs, row * 3))
    check_blocks(lambda: decode(codecs, row * 3, Row))
    check_blocks(lambda: decode(codecs, tuple_ * 3, copy=True))
    for number in range(len(codecs)):
        # Refused, in each column.
        for damaged in (fields[number] + b"\xff\xff\xff", fields[number][:-1], b""):
            changed = (*fields[:number], damaged, *fields[number + 1 :])
            check_blocks(lambda changed=changed: decode(codecs, data_row(*changed)))  # type: ignore[misc]


@pytest.mark.parametrize("opcode", sorted(ARGUMENTS))
def test_encoding_each_type(opcode: Opcode) -> None:
    codec, value = SCALARS[opcode], ARGUMENTS[opcode]
    array = array_codec(1, "a", codec)
    composite = composite_codec(2, "c", ("a", "b"), (codec, codec))
    ranges = range_codec(3, "r", codec)
    codecs = (codec, array, composite, ranges, multirange_codec(4, "m", ranges))
    values = [value, [value, None], (value, None), Range(value, None), [Range(value, value), Range(empty=True)]]
    check_blocks(lambda: encode(codecs, values, tuple(values), [None] * 5))
    for number in range(len(codecs)):
        strange = [*values[:number], object(), *values[number + 1 :]]
        check_blocks(lambda strange=strange: encode(codecs, values, strange))  # type: ignore[misc]
    for wrong in ([object()], (object(), 1), Range(object(), 1)):  # type: ignore[type-var]
        check_blocks(lambda wrong=wrong: encode(codecs[1:4], [wrong] * 3))  # type: ignore[misc]


def test_other_ways_out() -> None:
    class Oops(BaseException):
        pass

    def fail(data: bytes) -> object:
        raise Oops

    user = ValueCodec(1, "x", Opcode.CALL, Format.BINARY, fail, fail, user=True)
    good = data_row(b"\0\0\0\1", b"x")
    codecs = (INT4, user)

    def decode_failing(copy: bool) -> None:
        try:
            decode(codecs, copy_tuple(b"", b"") if copy else good, copy=copy)
        except Oops:
            pass

    def encode_failing() -> None:
        try:
            encode(codecs, [1, "x"])
        except Oops:
            pass

    check_blocks(lambda: decode_failing(False))
    check_blocks(lambda: decode_failing(True))
    check_blocks(encode_failing)
    codecs = (INT4, TEXT)
    for broken in (good[:5] + b"\0\3" + good[7:], good[:-1] + b"\xff", good[:7] + b"\xff\xff\xff\xfe" + good[11:]):
        check_blocks(lambda broken=broken: decode(codecs, good + broken))  # type: ignore[misc]
    check_blocks(lambda: decode(codecs, b"D\0\0\0\1"))
    check_blocks(lambda: decode(codecs, b"\0\3", copy=True))
    check_blocks(lambda: encode(codecs, (1,), (1, "x")))
    check_blocks(lambda: encode(codecs, [1, "x"], 5))
    check_blocks(lambda: encode(codecs, ["x" * 5000, 5000 * "\u20ac"], [1, "x" * 100_000]))
    check_blocks(lambda: encode((SCALARS[Opcode.NUMERIC],), [Decimal("1E+5")], [12], [Decimal("NaN")], ["1.5"]))
    check_blocks(lambda: encode((SCALARS[Opcode.TIMESTAMPTZ],), [datetime(2020, 1, 1, tzinfo=UTC)], [datetime.max]))
    # As in test_uuids: each one is made by the constructor.
    check_blocks(lambda: encode((SCALARS[Opcode.UUID],), [uuid.UUID(int=5)], [compiled.UUID(int=5)], ["x"]), warm=1200)
    plan = compiled.row_plan(("a", "b"), codecs, compiled.Record)
    check_blocks(lambda: compiled.row_plan(("a", "b"), codecs, compiled.Record))
    check_blocks(lambda: refusal(plan.record, [1]))
    check_blocks(lambda: refusal(compiled.row_plan, ("a",), codecs, compiled.Record))
    check_blocks(lambda: refusal(compiled.parameter_plan, (INT4, 5)))


@pytest.mark.parametrize("record_class", [compiled.Record, Row])
def test_records(record_class: Any) -> None:
    record = compiled.row_plan(("a", "b", "a"), (INT4,) * 3, record_class).record([1, "x", [2]])
    other = compiled.row_plan(("b",), (INT4,), record_class).record([1])
    for call in (
        lambda: (record[0], record[-1], record[:2], record["b"], record.get("z", 5), record.get("a"), len(record)),
        lambda: (record == other, record < other, record != (1, 2), record == 5, "a" in record, [] in record),
        lambda: (list(record), list(record.keys()), list(record.values()), dict(record.items()), repr(record)),
        lambda: iter(record).__length_hint__(),
        lambda: copy.copy(record),
        lambda: copy.deepcopy(record),
        record.__reduce__,
        lambda: refusal(record.__getitem__, ("z", 1)),
        lambda: refusal(record.__getitem__, []),
        lambda: refusal(record.__getitem__, 10**30),
        lambda: refusal(hash, record),
        lambda: refusal(record_class),
        lambda: hash(other),
        lambda: record_class._restore(("a",), (1,)),
        lambda: refusal(record_class._restore, ("a",), ()),
    ):
        check_blocks(call)


def test_uuids() -> None:
    one, other, plain = compiled.UUID(int=2**100 + 3), compiled.UUID(int=7), uuid.UUID(int=7)
    for call in (
        lambda: compiled.UUID("12345678-1234-5678-1234-567812345678"),
        lambda: (one.int, one.bytes, one.hex, str(one), repr(one), hash(one), one.fields, one.is_safe, one.urn),
        lambda: (one == other, one < other, other == plain, plain == other, plain < one, one == 5),
        lambda: (pickle.dumps(one), copy.copy(one), weakref.ref(compiled.UUID(int=1))),
        lambda: refusal(compiled.UUID, "x"),
        lambda: refusal(setattr, one, "int", 5),
    ):
        # As many are kept as the kernel keeps at most: each one that is made by the constructor is another one.
        check_blocks(call, warm=1200)


class Seen:
    """Something of which one can see that it is gone."""


def test_the_collector_finds_cycles_through_rows_and_plans() -> None:
    def decode_list(data: bytes) -> list[Any]:
        return [Seen()]

    lists = ValueCodec(1, "x", Opcode.CALL, Format.BINARY, decode_list, bytes, atomic=False)
    gone: list[weakref.ref[Any]] = []
    for record_class in (compiled.Record, Row):
        rows, _ = decode((INT4, lists), data_row(b"\0\0\0\1", b"x"), record_class)  # type: ignore[misc]
        record = rows[0]  # type: ignore[index]
        assert gc.is_tracked(record)
        record[1].append(record)
        gone.append(weakref.ref(record[1][0]))
        record[1].append(iter(record))
        del record, rows

    class Decoder:
        plan: Any = None

        def __call__(self, data: bytes) -> bytes:
            return data

    for make in (
        lambda codec: compiled.row_plan(("a",), (codec,), compiled.Record),
        lambda codec: compiled.parameter_plan((codec,)),
    ):
        decoder = Decoder()
        decoder.plan = make(ValueCodec(1, "x", Opcode.CALL, Format.BINARY, decoder, decoder))
        gone.append(weakref.ref(decoder))
        del decoder
    value = compiled.UUID(int=3)
    uuid.UUID.__dict__["int"].__set__(value, [value, seen := Seen()])
    gone.append(weakref.ref(seen))
    del value, seen
    gc.collect()
    assert [ref() for ref in gone[:4]] == [None] * 4


def test_the_collector_is_not_told_of_rows_of_atoms() -> None:
    (record,), _ = decode((INT4, TEXT), data_row(b"\0\0\0\1", b"x"))  # type: ignore[misc]
    assert not gc.is_tracked(record)
    (record,), _ = decode((INT4, TEXT), data_row(b"\0\0\0\1", b"x"), Row)  # type: ignore[misc]
    assert gc.is_tracked(record)
    (record,), _ = decode((array_codec(1, "a", INT4),), data_row(array_bytes(23, [])))  # type: ignore[misc]
    assert gc.is_tracked(record)


@pytest.mark.parametrize("story", ANSWERS)
def test_messages(story: list[tuple[Any, ...]]) -> None:
    check_blocks(lambda: play(COMPILED, story), warm=100)
    check_blocks(lambda: play(COMPILED, story, [7]), warm=100)
    stories = list(each_damaged(story))

    def play_all() -> None:
        for other in stories[::29]:
            play(COMPILED, other)

    check_blocks(play_all, warm=20)


def test_messages_that_fail() -> None:
    answers = [message("D", body) for body in BODIES["D"]] + [message("C", body) for body in BODIES["C"]]
    answers += [message("Z", body) for body in BODIES["Z"]] + [message("E", body) for body in BODIES["E"]] + CLAIMS
    for answer in answers:
        for kind in ("execute", "batch", "copy"):
            story = [("submit", kind), ("feed", message("2") + answer), ("feed", message("s") + message("Z", b"I"))]
            check_blocks(lambda story=story: play(COMPILED, story), warm=50)  # type: ignore[misc]


def test_messages_where_the_table_or_the_session_is_wrong() -> None:
    """Nothing that Python can put in there does harm."""
    ready, bound = message("Z", b"I"), message("2")

    def wrong(change: Callable[[World], object], data: bytes) -> None:
        world = World(COMPILED)
        world.submit("execute")
        try:
            change(world)
            world.session.receive_data(data)
            world.session.submit(world.operations[0])
            world.session.completed()
            world.session.data_to_send()
        except Exception:
            pass

    def put(name: str, *values: Any) -> list[Callable[[World], object]]:
        changes: list[Callable[[World], object]] = []
        for value in values:
            changes.append(lambda world, value=value: setattr(world.session, name, value))  # type: ignore[misc]
            changes.append(lambda world, value=value: setattr(world.operations[0], name, value))  # type: ignore[misc]
        changes.append(lambda world: delattr(world.session, name))
        changes.append(lambda world: delattr(world.operations[0], name))
        return changes

    strange = (None, 5, [], {}, (), "x", [[5]], {ord("2"): 5}, {ord("2"): (5, 5)}, {ord("2"): (None, 5)})
    session = ("row", "idle_row", "sent", "woken", "buffer", "outbox", "condition", "unsent", "transaction_status")
    operation = ("steps", "rows", "row_plan", "tag", "error", "outcome", "abandoned", "suspended", "data", "step")
    for name in session + operation:
        for change in put(name, *strange):
            for data in (
                bound,
                bound + data_row(b"x") + message("C", b"SELECT 1\0") + ready,
                message("E", error_fields("ERROR")),
            ):
                wrong(change, data)
    for change in put("steps", (5,), [{}], ()) + put("rows", (), None):
        check_blocks(lambda change=change: wrong(change, bound + data_row(b"x") + ready), warm=50)  # type: ignore[misc]


def test_the_collector_finds_cycles_through_operations_and_sessions() -> None:
    gone: list[weakref.ref[Any]] = []
    world = World(COMPILED)
    world.submit("execute")
    seen = Seen()
    operation = world.operations[0]
    operation.waiter = [operation, seen, world.session]
    world.session.outbox = cast("Any", [seen, world.session])
    gone += [weakref.ref(seen), weakref.ref(world.session)]
    buffer = world.session.buffer
    buffer.data = [buffer, seen]
    del world, operation, seen, buffer
    gc.collect()
    assert [ref() for ref in gone] == [None, None]


def test_records_in_records_without_end() -> None:
    plan = compiled.row_plan(("a",), (INT4,), compiled.Record)
    for record_class in (compiled.Record, Row):
        plan = compiled.row_plan(("a",), (INT4,), record_class)
        record = None
        for _ in range(100_000):
            record = plan.record([record])
        del record


def test_nothing_refers_to_a_buffer() -> None:
    buffer = bytearray(data_row(b"\0\0\0\1", b"text", b"bytes"))
    plan = compiled.row_plan(("a", "b", "c"), (INT4, TEXT, SCALARS[Opcode.BYTEA]), compiled.Record)
    rows: list[Any] = []
    count = sys.getrefcount(buffer)
    compiled.decode_rows(plan, buffer, 0, len(buffer), rows, 5)
    assert sys.getrefcount(buffer) == count
    buffer.clear()
    assert tuple(rows[0]) == (1, "text", b"bytes")


def test_a_row_that_is_refused_never_was_one() -> None:
    """A subclass's __del__ does not see it: it has not all of its values."""
    seen: list[object] = []

    class Watched(compiled.Record):  # type: ignore[misc]
        def __del__(self) -> None:
            seen.append(tuple(self))

    # Refused by its codec, ended too early, and with bytes behind its last column; after a good one.
    for fields in ((b"\0\0\0\1", b"\xff"), (b"\0\0\0\1",), (b"\0\0\0\1", b"a", b"b")):
        body = bytes((0, 2)) + fields_bytes(fields)
        damaged = b"D" + int_bytes(4 + len(body), 4) + body
        decode((INT4, TEXT), data_row(b"\0\0\0\7", b"x") + damaged, Watched)
    decode((INT4, TEXT), data_row(b"\0\0\0\7", b"x") + damaged, Watched, copy=True)
    gc.collect()
    assert seen == [(7, "x")] * len(seen)
    assert len(seen) >= 3


def another_module() -> Any:
    """The compiled kernel once more, with a state and classes of its own."""
    spec = spec_from_file_location(compiled.__name__, compiled.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def row_of(module: Any, record_class: Any, value: object) -> object:
    return module.row_plan(("a",), (INT4,), record_class).record([value])


def uuid_in_a_cycle(module: Any) -> None:
    cycle: list[object] = [module.UUID(int=5)]
    cycle.append(cycle)


def everything_in_a_cycle(module: Any) -> None:
    row_class, uuid_class = type("Row", (module.Record,), {}), type("Key", (module.UUID,), {})
    cycle: list[object] = [module.UUID(int=5), uuid_class(int=6)]
    cycle += [row_of(module, row_class, cycle), iter(cast("Any", row_of(module, module.Record, cycle)))]


@pytest.mark.parametrize("leave_behind", [uuid_in_a_cycle, everything_in_a_cycle])
def test_what_is_freed_together_with_the_module(leave_behind: Callable[[Any], None]) -> None:
    """As it happens when the interpreter ends: the collector frees the module, its classes and their objects in any
    order."""
    module = another_module()
    leave_behind(module)
    gone = weakref.ref(module)
    del module
    for _ in range(3):
        gc.collect()
    assert gone() is None


def test_giving_rows() -> None:
    class Giver(compiled.RowsState):  # type: ignore[misc]
        async def _further(self) -> object:
            raise StopAsyncIteration

    def call() -> None:
        giver = Giver()
        giver._connection, giver._releases, giver._turn = World, 0, iter([1])
        World._releases = 0  # type: ignore[attr-defined]
        for row in (giver.__anext__(), giver.__anext__()):
            refusal(row.send, None)
        for method, *arguments in (("send", None), ("send", 1), ("throw", LookupError()), ("close",)):
            with contextlib.suppress(Exception):
                getattr(giver.__anext__(), method)(*arguments)
        giver.loop = giver.__anext__(), giver

    check_blocks(call)
