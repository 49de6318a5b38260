"""The command line's end of a terminal, or of a pipe: text, tables, progress, and how it all ended.

This module is the same, byte for byte, in both adapters (a test compares them): `pgsansio` does no I/O, and the
adapters do not import each other.

With `rich`, on a terminal, there is colour, and a bar that moves. Everywhere else (a pipe, TERM=dumb, no `rich`) there
are plain lines in ASCII, which are never written over.
"""

import contextlib
import importlib.util
import os
import sys
import textwrap
from collections.abc import Callable, Generator, Iterator
from typing import Final, cast

from pgsansio.cli.run import INTERRUPTED_STATUS, SERVER_HINT
from pgsansio.cli.text import Table, error_text, plain_table
from pgsansio.cli.tour import Screen
from pgsansio.errors import ALL_ERRORS
from pgsansio.messages.tags import Direction
from pgsansio.messages.trace import describe_frame
from pgsansio.policy.cluster import ClusterError

__all__ = ["exit_status", "input_is_terminal", "make_screen", "print_frame", "read_input"]

#: Columns of plain text.
_WIDTH: Final = 100


class PlainScreen:
    """Plain lines."""

    def heading(self, text: str) -> None:
        print(f"\n{text}\n{'-' * len(text)}", flush=True)

    def say(self, text: str) -> None:
        for line in text.split("\n"):
            print(textwrap.fill(line, _WIDTH, break_long_words=False, break_on_hyphens=False), flush=True)

    def code(self, text: str) -> None:
        print(textwrap.indent(text, "    "), flush=True)

    def table(self, table: Table) -> None:
        print(plain_table(table), flush=True)

    @contextlib.contextmanager
    def progress(self, total: int) -> Generator[Callable[[], None]]:
        done = tenths = 0

        def count() -> None:
            nonlocal done, tenths
            done += 1
            if done * 10 // total > tenths:
                tenths = done * 10 // total
                print(f" {tenths * 10}%", end="", flush=True)

        print("   ", end="", flush=True)
        try:
            yield count
        finally:
            print(flush=True)


class RichScreen:
    """The same by `rich`."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(highlight=False, markup=False, emoji=False)

    def heading(self, text: str) -> None:
        self._console.print()
        self._console.print(text, style="bold")

    def say(self, text: str) -> None:
        self._console.print(text)

    def code(self, text: str) -> None:
        self._console.print(textwrap.indent(text, "    "), style="cyan", soft_wrap=True)

    def table(self, table: Table) -> None:
        from rich.box import SIMPLE_HEAD
        from rich.table import Table as RichTable
        from rich.text import Text

        shown = RichTable(box=SIMPLE_HEAD, show_edge=False)
        for column in table.columns:
            shown.add_column(Text(column.name), justify="right" if column.right else "left", overflow="fold")
        for row in table.rows:
            shown.add_row(*(Text(cell, style="dim" if cell == "NULL" else "") for cell in row))
        self._console.print(shown)

    @contextlib.contextmanager
    def progress(self, total: int) -> Generator[Callable[[], None]]:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

        done = 0
        with Progress(BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=self._console) as bars:
            bar = bars.add_task("", total=total)

            def count() -> None:
                nonlocal done
                done += 1
                if done % 1000 == 0 or done == total:
                    bars.update(bar, completed=done)

            yield count


def make_screen() -> Screen:
    """For this process's standard output."""
    for stream in (sys.stdout, sys.stderr):
        # What an encoding cannot say is better escaped than an error.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr] # pyright: ignore
    on_terminal = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    return RichScreen() if on_terminal and importlib.util.find_spec("rich") is not None else PlainScreen()


def print_frame(direction: Direction, tag: int, body: bytes) -> None:
    """Show a message of the protocol; for `pgsansio.tap.Tap`."""
    print(describe_frame(direction, tag, body), file=sys.stderr, flush=True)


def input_is_terminal() -> bool:
    # There is none if our parent closed it: then there is nothing to read.
    return sys.stdin is None or sys.stdin.isatty()


def read_input() -> str:
    """All of standard input."""
    return sys.stdin.read()


def exit_status(work: Callable[[], None]) -> int:
    """Do the work, and say how it failed, if it did.

    Returns:
        0; 1 after an error; 130 after Ctrl-C.
    Raises:
        Anything that is nobody's error but ours.
    """
    try:
        work()
        sys.stdout.flush()
    except BaseException as error:
        causes = list(_leaves(error))
        if any(isinstance(cause, KeyboardInterrupt) for cause in causes):
            _print_error("Interrupted.")
            return INTERRUPTED_STATUS
        cause = causes[0]
        if isinstance(cause, BrokenPipeError):
            # Nobody reads any more, as in `... | head`. The interpreter will flush once more when it ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        elif isinstance(cause, ClusterError):
            _print_error(f"ERROR: {cause}\n{SERVER_HINT}")
        elif isinstance(cause, (*ALL_ERRORS, OSError)):
            _print_error(error_text(cause))
        else:
            raise
        return 1
    return 0


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors in a group of errors, which may hold groups."""
    if isinstance(error, BaseExceptionGroup):
        for inner in cast("BaseExceptionGroup[BaseException]", error).exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _print_error(text: str) -> None:
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
    print(text, file=sys.stderr, flush=True)
