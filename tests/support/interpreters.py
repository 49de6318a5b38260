"""Python for the tests where it is not installed: `python -m tests.support.interpreters 3.14` prints where it is.

It is Debian's, unpacked and not installed (see `tests.support.debian`) into the cache of `tests.support.servers`, with
the headers that extensions are built with. It has no pip: make environments by `-m venv --without-pip`, and give them
one by another Python's `pip --python`.
"""

import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.support.debian import loader, run, unpack
from tests.support.servers import ServerError, cache_folder

__all__ = ["FETCHABLE", "fetch"]

#: Version -> release of Debian.
FETCHABLE: Final[Mapping[str, str]] = {"3.14": "sid"}


def fetch(version: str) -> Path:
    """The interpreter of this version, from the cache or fetched into it.

    Raises:
        ServerError: it cannot be had here.
    """
    if version not in FETCHABLE:
        raise ServerError(f"Python {version} cannot be fetched, only {', '.join(FETCHABLE)}")
    folder, name = cache_folder() / f"python-{version}", f"python{version}"
    try:
        if not folder.exists():
            others = (f"{name}-minimal", f"{name}-venv", f"lib{name}-minimal", f"lib{name}-stdlib", f"lib{name}-dev")
            unpack(FETCHABLE[version], folder, [name], others)
        # Headers and interpreter are looked for in these places, whatever /usr is.
        for headers in (folder / "usr/include").glob("*-linux-*"):
            link = folder / "usr/include" / name / headers.name
            if not link.is_symlink():
                link.symlink_to(headers)
        python = folder / "usr/bin/python"
        command = shlex.join([*loader(folder), "--argv0"]), shlex.quote(f"{python}{version}")
        python.write_text(f'#!/bin/sh\nexec {command[0]} "$0" {command[1]} "$@"\n')
        python.chmod(0o755)
        run([str(python), "-c", "import ctypes, ssl, sqlite3, venv"], folder)
    except (OSError, subprocess.SubprocessError, ServerError) as error:
        raise ServerError(f"Python {version} cannot be fetched: {error}") from error
    return python


if __name__ == "__main__":
    try:
        for argument in sys.argv[1:]:
            print(fetch(argument), flush=True)
    except ServerError as error:
        sys.exit(str(error))
