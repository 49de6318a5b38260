"""What was asked for on the command line, and what that comes to."""

import argparse
import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pgsansio import __version__, kernel
from pgsansio.policy.keywords import split_statements

__all__ = ["DEFAULT_ROWS", "Action", "Request", "decide", "make_parser"]

DEFAULT_ROWS: Final = 100_000

#: Who sets one of these wants that server, and not one of our own.
_VARIABLES: Final = ("PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGPASSWORD", "PGPASSFILE", "PGSERVICE")


class Action(enum.Enum):
    TOUR = "start a server and show around"
    STATEMENTS = "run statements"
    READ_STATEMENTS = "run the statements on standard input"
    GREET = "connect and say to what"


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be done."""

    action: Action
    dsn: str | None
    #: In order, each on its own; empty unless `action` is STATEMENTS.
    statements: tuple[str, ...]
    #: Show the protocol's messages.
    trace: bool
    #: Of the tour's table.
    rows: int


def make_parser(package: str) -> argparse.ArgumentParser:
    """The parser for `python -m PACKAGE`; what it returns is for `decide`."""
    loop = package.removeprefix("pgsansio_")
    parser = argparse.ArgumentParser(
        prog=f"python -m {package}",
        description=f"A PostgreSQL client on {loop}. Without a DSN and without PG* variables: start a throw-away "
        "server and give a short tour. Otherwise: run statements and print what comes back.",
        epilog="Statements run one after the other, each in a transaction of its own unless they say BEGIN, and end "
        "with the first error (exit status 1). Without -c they are read from standard input if that is not a terminal.",
        allow_abbrev=False,
    )
    parser.add_argument("dsn", nargs="?", help="postgresql://user:password@host:port/database, or 'host=... user=...'")
    parser.add_argument("-c", "--command", metavar="SQL", action="append", help="run this; may be given several times")
    parser.add_argument("--trace", action="store_true", help="print each message of the protocol to standard error")
    parser.add_argument(
        "--rows", type=_row_count, metavar="N", help=f"rows of the tour's table (default: {DEFAULT_ROWS})"
    )
    version = f"{package} {__version__}, {kernel.NAME} kernel: {kernel.REASON}"
    parser.add_argument("--version", action="version", version=version)
    return parser


def _row_count(text: str) -> int:
    if not text.isdecimal() or len(text) > 9 or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number of rows from 1 to 999999999, got {text!r}")
    return int(text)


def decide(
    parser: argparse.ArgumentParser,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    *,
    input_is_terminal: bool,
) -> Request:
    """What is to be done.

    Args:
        arguments: without the name of the program.
        environment: of the process.
        input_is_terminal: standard input is one.
    Raises:
        SystemExit: --help, --version, or arguments that make no sense; `parser` has printed what there is to say.
    """
    given = parser.parse_args(arguments)
    statements: tuple[str, ...] = ()
    if given.command is not None:
        action = Action.STATEMENTS
        statements = tuple(statement for text in given.command for statement in split_statements(text))
    elif given.dsn is None and not any(environment.get(name) for name in _VARIABLES):
        action = Action.TOUR
    elif input_is_terminal:
        action = Action.GREET
    else:
        action = Action.READ_STATEMENTS
    if given.rows is not None and action is not Action.TOUR:
        parser.error(
            "--rows is for the tour, which starts a server of its own: give no DSN, no -c, and set no PG* variables"
        )
    return Request(action, given.dsn, statements, given.trace, given.rows or DEFAULT_ROWS)
