"""Where a connection comes from, for the warning about one that was never closed."""

import os
import traceback
from typing import Final

import pgsansio

__all__ = ["called_from"]

_OURS: Final = (os.path.dirname(pgsansio.__file__) + os.sep, os.path.dirname(__file__) + os.sep)
_MAX_FRAMES: Final = 10


def called_from() -> str:
    """The last lines of code that led here, without this library's, as a traceback shows them. Slow."""
    frames = [frame for frame in traceback.extract_stack() if not frame.filename.startswith(_OURS)]
    return "".join(traceback.format_list(frames[-_MAX_FRAMES:]))
