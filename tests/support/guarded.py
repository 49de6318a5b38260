"""Servers that do not outlive the tests, whatever ends those."""

import os
import random
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from pgsansio.policy import cluster as policy
from tests.support.servers import ServerError

__all__ = ["free_port", "start_guarded", "stop_guarded"]

# As the guard of `pgsansio.policy.cluster`: standard input is a pipe that only we hold, so neither the server nor its
# folder outlive us.
_GUARD: Final = """\
exec 3<&0 </dev/null
folder=$1
shift
"$@" 3<&- &
server=$!
(read -r _ <&3; rm -rf "$folder"; kill -KILL "$server") &
reader=$!
exec 3<&-
wait "$server"
status=$?
kill "$reader"
exit "$status"
"""


def start_guarded(
    command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
) -> "subprocess.Popen[bytes]":
    """Start a server in a folder that goes when it does; what it says goes into the file `output` there.

    Args:
        environment: variables besides ours.
    Returns:
        Its guard, which ends when it ends.
    """
    with open(folder / "output", "wb") as output:
        return subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "sh", str(folder), *command],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            cwd=folder,
            env={**os.environ, **(environment or {})},
            # Out of reach of the terminal's Ctrl-C, which is for us.
            start_new_session=True,
        )


def stop_guarded(guard: "subprocess.Popen[bytes]") -> None:
    """End the server, if it has not ended, and wait until it has."""
    assert guard.stdin is not None
    guard.stdin.close()
    guard.wait()


def free_port() -> int:
    """A port of `policy.HOST` that nobody listens at, for now.

    Raises:
        ServerError: there is none.
    """
    for port in random.sample(policy.PORTS, 100):
        with socket.socket() as probe:
            try:
                probe.bind((policy.HOST, port))
            except OSError:
                continue
            return port
    raise ServerError(f"no free port found on {policy.HOST}")
