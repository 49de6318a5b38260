"""`join_copy_data` of both kernels: bodies written down, and messages that are cut, damaged or others."""

from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgsansio.kernel import pure
from tests.support.naive_kernel import int_bytes

KERNELS: dict[str, ModuleType] = {"pure": pure}
try:
    from pgsansio.kernel import _compiled
except ImportError:
    pass
else:
    KERNELS["compiled"] = _compiled


def copy_data(body: bytes) -> bytes:
    return b"d" + int_bytes(len(body) + 4, 4) + body


@pytest.fixture(params=sorted(KERNELS))
def join(request: pytest.FixtureRequest) -> Any:
    return KERNELS[request.param].join_copy_data  # type: ignore[attr-defined]


RUN = copy_data(b"abc") + copy_data(b"") + copy_data(b"x" * 3000)
JOINED = b"abc" + b"x" * 3000


def test_bodies_are_joined(join: Any) -> None:
    assert join(RUN, 0, len(RUN)) == (len(RUN), JOINED)
    received = bytearray(b"12" + RUN + b"d")
    position, data = join(received, 2, 2 + len(RUN))
    assert (position, data, type(data)) == (2 + len(RUN), JOINED, bytes)
    received.clear()  # no view is kept


@pytest.mark.parametrize(
    "rest",
    [
        b"", b"d", b"d\0\0\0", b"d\0\0\0\6x", b"c\0\0\0\4", b"D\0\0\0\4", b"d\0\0\0\3", b"d\0\0\0\0",
        b"d\xff\xff\xff\xff", b"d\x7f\xff\xff\xffx", b"d\x80\0\0\0",
    ],
)  # fmt: skip
def test_a_run_ends(join: Any, rest: bytes) -> None:
    data = RUN + rest
    assert join(data, 0, len(data)) == (len(RUN), JOINED)
    assert join(rest, 0, len(rest)) == (0, b"")


def test_what_lies_behind_the_end_is_not_read(join: Any) -> None:
    for end in range(len(RUN) + 1):
        whole = [size for size in (0, 8, 13, len(RUN)) if size <= end][-1]
        assert join(RUN, 0, end) == (whole, JOINED[: {0: 0, 8: 3, 13: 3, len(RUN): len(JOINED)}[whole]])


@pytest.mark.skipif(len(KERNELS) < 2, reason="the compiled kernel is not built")
@settings(deadline=None)
@given(
    st.lists(st.binary(max_size=20).map(copy_data) | st.binary(max_size=6) | st.just(b"d\0\0\0\4")).map(b"".join),
    st.integers(0, 200),
    st.integers(0, 200),
)
def test_both_kernels_do_the_same(data: bytes, start: int, end: int) -> None:
    start, end = sorted((min(start, len(data)), min(end, len(data))))
    ours, theirs = (kernel.join_copy_data(data, start, end) for kernel in KERNELS.values())
    assert ours == theirs
