"""Small files that say how to connect: password files, service files."""

import os
import stat
import warnings
from typing import Final

__all__ = ["read_small"]

_MAX_FILE_BYTES: Final = 1 << 20


def read_small(path: str, private: bool) -> str | None:
    """A file's text; None: there is none, or others can read what is private. Too long a file is cut."""
    try:
        # First of all: to open a named pipe would wait for whoever writes into it.
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode) or (private and os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO)):
            warnings.warn(
                f"{path} is ignored: it is expected to be a plain file that nobody else can access", stacklevel=2
            )
            return None
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read(_MAX_FILE_BYTES)
    except OSError:
        return None
