"""python -m pgsansio_trio: a guided tour on a server of its own, or statements on yours. See --help."""

import os
import sys
from collections.abc import Awaitable, Callable

import trio

from pgsansio.cli.arguments import Action, Request, decide, make_parser
from pgsansio.cli.run import greeting, run_statements
from pgsansio.cli.tour import Screen, take
from pgsansio.client import connecting
from pgsansio.client.parameters import find_settings
from pgsansio.engine.driven import Engine
from pgsansio.policy.keywords import split_statements
from pgsansio.tap import Tap
from pgsansio.types.secret import hide_source
from pgsansio_trio.cluster import TempCluster
from pgsansio_trio.connection import Connection
from pgsansio_trio.port import TrioPort
from pgsansio_trio.process import this_process
from pgsansio_trio.terminal import exit_status, input_is_terminal, make_screen, print_frame, read_input

_TOGETHER_CODE = """\
async with trio.open_nursery() as nursery:
    for number in range(50):
        nursery.start_soon(look_up, number)"""


class _TracedPort(TrioPort):
    def drive(self, engine: Engine) -> None:
        super().drive(Tap(engine, print_frame))


async def _together(call: Callable[[int], Awaitable[None]], count: int) -> None:
    async with trio.open_nursery() as nursery:
        for number in range(count):
            nursery.start_soon(call, number)


async def _with_connection(request: Request, dsn: str | None, work: Callable[[Connection], Awaitable[None]]) -> None:
    make_port = _TracedPort if request.trace else TrioPort
    settings = await find_settings(make_port(), this_process(), {"dsn": hide_source(dsn)})
    connection = await connecting.connect(make_port, settings, Connection)
    try:
        await work(connection)
    except BaseException:
        connection.terminate()
        raise
    await connection.close()


async def _carry_out(request: Request, statements: tuple[str, ...], screen: Screen) -> None:
    async def tour(connection: Connection) -> None:
        await take(connection, screen, request.rows, _together, _TOGETHER_CODE)

    async def greet(connection: Connection) -> None:
        screen.say(await greeting(connection))

    async def run(connection: Connection) -> None:
        await run_statements(connection, statements, screen.table, screen.say)

    if request.action is Action.TOUR:
        screen.say("Starting a PostgreSQL server ...")
        async with TempCluster() as cluster:
            await _with_connection(request, cluster.dsn, tour)
    else:
        await _with_connection(request, request.dsn, greet if request.action is Action.GREET else run)


def main() -> int:
    """The command; returns its exit status."""
    request = decide(make_parser("pgsansio_trio"), sys.argv[1:], os.environ, input_is_terminal=input_is_terminal())

    def work() -> None:
        statements = request.statements
        if request.action is Action.READ_STATEMENTS:
            statements = tuple(split_statements(read_input()))
        trio.run(_carry_out, request, statements, make_screen())

    return exit_status(work)


if __name__ == "__main__":
    sys.exit(main())
