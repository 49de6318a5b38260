"""What every target is held to, whatever it looks for: so much time, and so much memory, for one input."""

import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

__all__ = ["LimitError", "Target", "execute", "no_hangs"]

Target = Callable[[bytes], None]

#: CPU seconds for one input; a hundred times what the slowest takes.
MAX_SECONDS: Final = 4.0
#: Wall-clock seconds after which an input is taken for one that never ends.
MAX_WALL_SECONDS: Final = 60
#: How much one input may raise the peak of the process's memory.
MAX_GROWTH_BYTES: Final = 256 << 20

_RSS_UNIT: Final = 1 if sys.platform == "darwin" else 1024


class LimitError(AssertionError):
    """An input took too much time, or too much memory."""


class _NeverEnds(BaseException):
    """Not an Exception, so that nothing on its way takes it for an error in the input."""


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT


def execute(target: Target, data: bytes) -> None:
    """Run `target` on `data`.

    Raises:
        LimitError: it took too long, or too much memory. Else whatever the target raises: a finding.
    """
    memory, start = _peak(), time.process_time()
    try:
        target(data)
    except _NeverEnds:
        raise LimitError(f"no end after {MAX_WALL_SECONDS} s") from None
    seconds = time.process_time() - start
    if seconds > MAX_SECONDS:
        raise LimitError(f"{seconds:.1f} s of CPU time for {len(data)} bytes")
    growth = _peak() - memory
    if growth > MAX_GROWTH_BYTES:
        raise LimitError(f"{growth >> 20} MiB of memory for {len(data)} bytes")


@contextmanager
def no_hangs(seconds: int = MAX_WALL_SECONDS) -> Iterator[Callable[[], None]]:
    """A block in which an input that never ends is a finding; the function given is called before each input."""

    def over(signum: int, frame: FrameType | None) -> None:
        raise _NeverEnds

    before = signal.signal(signal.SIGALRM, over)
    try:
        yield lambda: _restart(seconds)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _restart(seconds: int) -> None:
    signal.alarm(seconds)
