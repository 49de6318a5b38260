"""Both kernels find the same room for what is received, behind the same rest."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgsansio.kernel import pure
from pgsansio.kernel.contract import ROOM_BYTES, SHORT_REST_BYTES

compiled: Any = pytest.importorskip("pgsansio.kernel._compiled", reason="the compiled kernel is not built")

LARGE = 4 * ROOM_BYTES


class Pure(pure.BufferState):
    def make_room(self) -> Any:
        return b"made"


class Compiled(compiled.BufferState):  # type: ignore[misc]
    make_room = Pure.make_room


def found(kind: type[Any], capacity: int, start: int, end: int, expected: int, full: int, in_block: bool) -> Any:
    """What room there is, and what the buffer is like then."""
    buffer = kind()
    buffer.block = bytearray(b"block") * (capacity // 5 + 1)
    buffer.data = buffer.block if in_block else bytearray(b"another") * (capacity // 7 + 1)
    buffer.data[start:end] = bytes(index % 251 for index in range(end - start))
    buffer.view = memoryview(buffer.data)
    buffer.start, buffer.end, buffer.expected, buffer.full = start, end, expected, full
    room = buffer.writable()
    if room != b"made":
        assert room.obj is buffer.data
        assert len(room) == len(buffer.data) - buffer.end > 0
        assert buffer.data[buffer.start : buffer.end] == bytes(index % 251 for index in range(end - start))
    return bytes(room), bytes(buffer.data), buffer.start, buffer.end, buffer.expected, buffer.full


@settings(deadline=None)
@given(st.data())
def test_room(data: st.DataObject) -> None:
    capacity = data.draw(st.sampled_from([8, 100, ROOM_BYTES, LARGE]))
    near = st.sampled_from([0, 1, capacity // 2, capacity - ROOM_BYTES, capacity - 1, capacity])
    start = max(0, data.draw(near | st.integers(0, capacity)))
    rests = st.sampled_from([0, 1, SHORT_REST_BYTES - 1, SHORT_REST_BYTES, capacity]) | st.integers(0, capacity)
    end = min(capacity, start + data.draw(rests))
    rest = end - start
    expected = data.draw(st.sampled_from([0, rest + 1, capacity - start, capacity - start + 1, capacity, LARGE * 2]))
    full = data.draw(st.sampled_from([2**63 - 1, capacity, end, end + 1]))
    state = (capacity, start, end, expected, full, data.draw(st.booleans()))
    assert found(Pure, *state) == found(Compiled, *state)


def test_a_part_is_moved_when_that_is_worth_it() -> None:
    many = 2**63 - 1
    for kind in (Pure, Compiled):
        for rest, expected, place in (
            (SHORT_REST_BYTES - 1, 0, 0),
            (SHORT_REST_BYTES, 0, 100),
            (SHORT_REST_BYTES, LARGE - 50, 0),
        ):
            assert found(kind, LARGE, 100, 100 + rest, expected, many, True)[2] == place
        late = LARGE - ROOM_BYTES
        for end, place in ((late, late - 2000), (late + 6, 0)):  # the block is a little larger than that
            assert found(kind, LARGE, end - 2000, end, 0, many, True)[2] == place
        assert found(kind, LARGE, 0, 2000, LARGE * 2, many, True)[0] == b"made"
        assert found(kind, LARGE, 0, 2000, 0, 2000, True)[0] == b"made"
        assert found(kind, LARGE, 0, 2000, 0, many, False)[0] == b"made"
