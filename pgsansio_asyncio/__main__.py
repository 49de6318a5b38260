"""python -m pgsansio_asyncio: a guided tour on a server of its own, or statements on yours. See --help."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable

from pgsansio.cli.arguments import Action, Request, decide, make_parser
from pgsansio.cli.run import greeting, run_statements
from pgsansio.cli.tour import Screen, take
from pgsansio.client import connecting
from pgsansio.client.parameters import find_settings
from pgsansio.engine.driven import Engine
from pgsansio.policy.keywords import split_statements
from pgsansio.tap import Tap
from pgsansio.types.secret import hide_source
from pgsansio_asyncio.cluster import TempCluster
from pgsansio_asyncio.connection import Connection
from pgsansio_asyncio.port import AsyncioPort
from pgsansio_asyncio.process import this_process
from pgsansio_asyncio.terminal import exit_status, input_is_terminal, make_screen, print_frame, read_input

_TOGETHER_CODE = "await asyncio.gather(*(connection.fetchval(query, number) for number in range(50)))"


class _TracedPort(AsyncioPort):
    def drive(self, engine: Engine) -> None:
        super().drive(Tap(engine, print_frame))


async def _together(call: Callable[[int], Awaitable[None]], count: int) -> None:
    await asyncio.gather(*(call(number) for number in range(count)))


async def _with_connection(request: Request, dsn: str | None, work: Callable[[Connection], Awaitable[None]]) -> None:
    make_port = _TracedPort if request.trace else AsyncioPort
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
    request = decide(make_parser("pgsansio_asyncio"), sys.argv[1:], os.environ, input_is_terminal=input_is_terminal())

    def work() -> None:
        statements = request.statements
        if request.action is Action.READ_STATEMENTS:
            statements = tuple(split_statements(read_input()))
        asyncio.run(_carry_out(request, statements, make_screen()))

    return exit_status(work)


if __name__ == "__main__":
    sys.exit(main())
