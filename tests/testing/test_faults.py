"""Faults happen at their byte, however the bytes come."""

from hypothesis import given
from hypothesis import strategies as st

from pgsansio.testing.faults import Cut, Duplicate, Fault, Faulty, Flip, Split, Stall, cut
from tests.support.any_chunking import cuts


class Echo:
    """Says what it hears."""

    def __init__(self) -> None:
        self.heard = b""
        self.outbox = b""
        self.hung_up = False
        self.on_news = None

    def receive_data(self, data: bytes) -> None:
        self.heard += data
        self.outbox += data

    def receive_eof(self) -> None:
        self.hung_up = True

    def data_to_send(self) -> bytes:
        data, self.outbox = self.outbox, b""
        return data


def said(peer: Faulty) -> list[bytes]:
    pieces: list[bytes] = []
    while piece := peer.data_to_send():
        pieces.append(piece)
    return pieces


def sent_through(data: bytes, sizes: list[int], *faults: Fault) -> tuple[bytes, Faulty]:
    """What of `data` comes out behind these faults."""
    peer, found = Faulty(Echo(), sent=faults), b""
    for piece in cut(data, sizes):
        peer.receive_data(piece)
        found += b"".join(said(peer))
    return found, peer


@given(st.binary(max_size=60), cuts(), st.integers(0, 70))
def test_a_cut(data: bytes, sizes: list[int], at: int) -> None:
    found, peer = sent_through(data, sizes, Cut(at))
    assert found == data[:at]
    assert peer.hung_up == peer.is_lost == (len(data) >= at)
    assert peer.sent_bytes == len(found)
    # Both ends are told.
    assert peer.inner.hung_up == peer.is_lost or not data


@given(st.binary(max_size=60), cuts(), st.integers(0, 70))
def test_a_stall(data: bytes, sizes: list[int], at: int) -> None:
    found, peer = sent_through(data, sizes, Stall(at))
    assert found == data[:at]
    assert not peer.hung_up
    peer.resume()
    assert found + b"".join(said(peer)) == data


@given(st.binary(max_size=60), cuts(), st.lists(st.integers(1, 7), min_size=1, max_size=3))
def test_splitting(data: bytes, sizes: list[int], splits: list[int]) -> None:
    peer = Faulty(Echo(), sent=[Split(tuple(splits))])
    for piece in cut(data, sizes):
        peer.receive_data(piece)
    pieces = said(peer)
    assert b"".join(pieces) == data
    assert all(len(piece) <= splits[turn % len(splits)] for turn, piece in enumerate(pieces))


@given(st.binary(max_size=20), cuts(), st.integers(0, 170))
def test_a_flipped_bit(data: bytes, sizes: list[int], number: int) -> None:
    expected = int.from_bytes(data, "little") ^ (1 << number) * (number < 8 * len(data))
    assert sent_through(data, sizes, Flip(number))[0] == expected.to_bytes(len(data), "little")


@given(st.binary(max_size=60), cuts(), st.tuples(st.integers(0, 70), st.integers(0, 70)).map(sorted))
def test_a_duplicate(data: bytes, sizes: list[int], place: list[int]) -> None:
    start, end = place
    again = data[start:end] if end <= len(data) else b""
    assert sent_through(data, sizes, Duplicate(start, end))[0] == data[:end] + again + data[end:]


def test_several_faults_on_both_ways() -> None:
    echo = Echo()
    peer = Faulty(echo, received=[Duplicate(0, 2), Stall(3)], sent=[Flip(8), Cut(4)])
    peer.receive_data(b"abcdef")
    assert echo.heard == b"ababc"[2:][:0] + b"ababc"
    assert said(peer) == [b"a", b"b", b"a", b"b"] or b"".join(said(peer)) == b""
    assert peer.is_lost
    assert echo.hung_up
    assert peer.received_bytes == 5


def test_the_end_comes_behind_what_waits() -> None:
    echo = Echo()
    peer = Faulty(echo, sent=[Stall(1)])
    peer.receive_data(b"ab")
    assert said(peer) == [b"a"]
    echo.hung_up = True
    assert not peer.hung_up
    peer.resume()
    assert said(peer) == [b"b"]
    assert peer.hung_up


def test_who_speaks_unasked_is_heard() -> None:
    peer, calls = Faulty(Echo(), sent=[Stall(0)]), []
    assert peer.on_news is None
    peer.on_news = lambda: calls.append("news")
    peer.inner.on_news()
    peer.resume()
    assert calls == ["news", "news"]
