"""ReceiveBuffer as a transport and an engine use it: any cuts, large messages, readers that do not read."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgsansio.testing.faults import cut
from pgsansio.wire.framing import BLOCK_BYTES, HEADER_BYTES, ReceiveBuffer, frame
from tests.support.any_chunking import cuts


def take_frames(buffer: ReceiveBuffer) -> list[bytes]:
    """What an engine does: complete messages out, the size of an incomplete one into `expected`."""
    frames: list[bytes] = []
    buffer.expected = 0
    while buffer.end - buffer.start >= HEADER_BYTES:
        size = 1 + int.from_bytes(buffer.data[buffer.start + 1 : buffer.start + 5], "big")
        if size > buffer.end - buffer.start:
            buffer.expected = size
            break
        frames.append(bytes(buffer.data[buffer.start : buffer.start + size]))
        buffer.start += size
    return frames


def feed(buffer: ReceiveBuffer, data: bytes) -> list[bytes]:
    frames: list[bytes] = []
    view = memoryview(data)
    while view:
        view = view[buffer.feed(view) :]
        frames += take_frames(buffer)
    return frames


bodies = st.lists(st.binary(max_size=40) | st.integers(0, 400).map(bytes), max_size=12)


def test_a_frame_counts_its_length_word() -> None:
    assert frame(b"d", b"xyz") == b"d\x00\x00\x00\x07xyz"


@settings(deadline=None)
@given(bodies=bodies, sizes=cuts(), block=st.sampled_from([8, 64, BLOCK_BYTES]))
def test_frames_do_not_depend_on_how_the_bytes_arrive(bodies: list[bytes], sizes: list[int], block: int) -> None:
    frames = [frame(b"d", body) for body in bodies]
    buffer = ReceiveBuffer(block)
    arrived = [one for piece in cut(b"".join(frames), sizes) for one in feed(buffer, piece)]
    assert arrived == frames
    assert buffer.start == buffer.end


@settings(deadline=None)
@given(bodies=bodies, reads=st.lists(st.integers(1, 5000), min_size=1, max_size=5))
def test_a_transport_that_writes_into_the_room(bodies: list[bytes], reads: list[int]) -> None:
    data = b"".join(frame(b"d", body) for body in bodies)
    buffer = ReceiveBuffer(64)
    arrived: list[bytes] = []
    position = turn = 0
    while position < len(data):
        room = buffer.writable()
        assert len(room) > 0
        size = min(len(room), reads[turn % len(reads)], len(data) - position)
        room[:size] = data[position : position + size]
        buffer.written(size)
        position, turn = position + size, turn + 1
        arrived += take_frames(buffer)
    assert b"".join(arrived) == data


def test_the_block_stays_the_same_for_small_messages() -> None:
    buffer = ReceiveBuffer()
    block = buffer.data
    for _ in range(1000):
        assert len(feed(buffer, frame(b"d", bytes(700)) * 3)) == 3
        assert buffer.data is block


@pytest.mark.parametrize("cut_off", [0, 3])
def test_the_block_becomes_a_large_one_once_it_was_full(cut_off: int) -> None:
    buffer = ReceiveBuffer()
    first = buffer.data
    frames = [frame(b"d", bytes([number % 256]) * 95) for number in range(300)]
    data = b"".join(frames)
    arrived = feed(buffer, data[: len(first) - cut_off])
    assert buffer.data is first
    arrived += feed(buffer, data[len(first) - cut_off :])
    assert arrived == frames
    block = buffer.data
    assert len(block) == BLOCK_BYTES
    arrived = feed(buffer, data * 5)
    assert arrived == frames * 5
    assert buffer.data is block


def test_short_messages_cut_by_the_end_of_the_block_stay_in_it() -> None:
    """A transport that fills all the room it gets: never but a few bytes of it, and never memory for one message."""
    messages = frame(b"d", bytes(95)) * 5000
    buffer = ReceiveBuffer()
    rooms: list[int] = []
    position = 0
    while position < len(messages):
        room = buffer.writable()
        size = min(len(room), len(messages) - position)
        room[:size] = messages[position : position + size]
        buffer.written(size)
        position += size
        rooms.append(len(room))
        take_frames(buffer)
        assert buffer.data is buffer.block
    assert min(rooms[1:]) > BLOCK_BYTES - 100


def test_behind_a_large_message_the_block_is_a_large_one() -> None:
    buffer = ReceiveBuffer()
    large = frame(b"d", bytes(200_000))
    assert feed(buffer, large) == [large]
    buffer.writable()
    assert len(buffer.data) == BLOCK_BYTES


@pytest.mark.parametrize("claimed", [1 << 20, (1 << 30) - 1, 0xFFFFFFFF])
def test_a_length_that_is_only_claimed_costs_nothing(claimed: int) -> None:
    buffer = ReceiveBuffer()
    feed(buffer, b"D" + claimed.to_bytes(4, "big") + b"x")
    buffer.writable()
    assert len(buffer.data) < BLOCK_BYTES


def test_memory_for_a_large_message_is_at_most_twice_what_has_arrived() -> None:
    buffer = ReceiveBuffer()
    message = frame(b"D", bytes(3_000_000))
    arrived: list[bytes] = []
    for piece in cut(message, [50_000]):
        arrived += feed(buffer, piece)
        buffer.writable()
        unread = buffer.end - buffer.start
        assert len(buffer.data) <= max(2 * (unread + 50_000), BLOCK_BYTES)
    assert arrived == [message]


def test_the_last_growth_is_to_the_size_of_the_message() -> None:
    buffer = ReceiveBuffer()
    feed(buffer, frame(b"D", bytes(100_000))[:-1])
    assert len(buffer.data) == HEADER_BYTES + 100_000


def test_it_returns_to_the_block_after_a_large_message() -> None:
    buffer = ReceiveBuffer()
    feed(buffer, frame(b"D", bytes(20_000)))
    buffer.writable()
    block = buffer.data
    feed(buffer, frame(b"D", bytes(200_000)))
    assert buffer.data is not block
    buffer.writable()
    assert buffer.data is block


def test_it_returns_to_the_block_with_the_beginning_of_the_next_message() -> None:
    """A paused reader was fed beyond the block; when it reads again, what is left of an incomplete message moves."""
    buffer = ReceiveBuffer(64)
    block = buffer.data
    messages = frame(b"d", bytes(20)) * 10
    view = memoryview(messages + b"C\0\0")
    while view:
        view = view[buffer.feed(view) :]
    assert buffer.data is not block
    assert len(take_frames(buffer)) == 10
    buffer.writable()
    assert buffer.data is block
    assert feed(buffer, b"\0\x05x") == [b"C\x00\x00\x00\x05x"]


def test_large_messages_one_after_the_other() -> None:
    frames = [frame(b"D", bytes([number]) * 90_000) for number in range(5)]
    buffer = ReceiveBuffer()
    data = b"".join(frames)
    assert [one for piece in cut(data, [65_536]) for one in feed(buffer, piece)] == frames


def test_a_reader_that_is_paused_and_fed_all_the_same() -> None:
    buffer = ReceiveBuffer(64)
    data = b"".join(frame(b"d", bytes([number])) for number in range(100))
    for piece in cut(data, [7]):
        view = memoryview(piece)
        while view:
            view = view[buffer.feed(view) :]
    assert buffer.end - buffer.start == len(data)
    assert b"".join(take_frames(buffer)) == data
    buffer.writable()
    assert len(buffer.data) == 64


def test_a_view_of_the_room_is_not_disturbed_by_the_next_one() -> None:
    """A transport may still hold the old view when it asks again: a new block must not resize the old one."""
    buffer = ReceiveBuffer(16)
    held = buffer.writable()
    feed(buffer, b"D" + (1000).to_bytes(4, "big") + bytes(100))
    assert len(held) == 16
