"""Where a connection belongs: the trio run, the thread and the process that it was made in."""

import os
from threading import get_ident

import trio
from trio.lowlevel import current_trio_token

from pgsansio.errors import InterfaceError

__all__ = ["Place"]

#: How often this process, or one that it descends from, was forked: more than when a connection was made means that
#: the connection is the parent's.
forks: int = 0


def _forked() -> None:
    global forks  # noqa: PLW0603 - one process, one number
    forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


class Place:
    """Notes where it is made."""

    def __init__(self) -> None:
        self._token = current_trio_token()
        self._thread = get_ident()
        self._forks = forks

    @property
    def _is_parents(self) -> bool:
        """Whether this is a child that was forked later: the connection is its parent's."""
        return self._forks != forks

    def _is_here(self) -> bool:
        """Whether it is used where it belongs."""
        try:
            return current_trio_token() is self._token and self._forks == forks
        except RuntimeError:
            return False

    def _misplaced(self) -> InterfaceError:
        """What to say where it does not belong."""
        if self._forks != forks:
            return InterfaceError(
                f"cannot use a connection of process {os.getppid()} in its forked child {os.getpid()}",
                hint="Connect after the fork.",
            )
        running = current_trio_token() if trio.lowlevel.in_trio_run() else None
        return InterfaceError(
            f"cannot use a connection of the trio run {id(self._token):#x} "
            + (f"in the run {id(running):#x}" if running is not None else "outside of it, or in another thread"),
            hint="A connection belongs to the run and the thread that it was made in.",
        )

    def guard_thread(self) -> None:
        if self._thread != get_ident() and self._forks == forks:
            raise InterfaceError(
                "cannot close a connection of another thread",
                hint="A connection belongs to the loop and the thread that it was made in.",
            )
