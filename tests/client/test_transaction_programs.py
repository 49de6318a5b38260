"""Any program in a transaction block, cancelled anywhere: what is kept is all of it or nothing, and never by accident.

A statement of the program may fail, or be cancelled, and the program may go on as if nothing had happened. Then BEGIN,
which travels with the first statement, may never have been carried out: whatever comes next must not be kept.
"""

import contextlib
from typing import TypeAlias

from hypothesis import given, settings
from hypothesis import strategies as st

from pgsansio.client import Connection
from pgsansio.enums import TransactionStatus
from pgsansio.errors import InterfaceError, PostgresError
from pgsansio.testing.loop import Cancelled
from tests.client.test_cancel_everywhere import world

#: One statement: how it is run, and whether what goes wrong is ignored.
Step: TypeAlias = tuple[str, bool]

KINDS = ("query", "known", "script", "many", "lazy", "cursor", "fails", "sleeps", "prepared", "nothing")


class _Undo(Exception):
    """Leaves a block."""


def _rows(step: int) -> int:
    return 100 + step


async def _run(connection: Connection, kind: str, row: int) -> None:
    match kind:
        case "query":
            await connection.fetch(f"INSERT {row}")
        case "known":
            await connection.fetch("INSERT $1", row)
        case "script":
            await connection.execute(f"SELECT 1; INSERT {row}")
        case "many":
            await connection.executemany("INSERT $1", [(row,)])
        case "lazy":
            await connection.executemany("INSERT $1", iter([(row,)]))
        case "cursor":
            cursor = await connection.cursor("SERIES 3")
            await cursor.fetch(1)
            await connection.fetch("INSERT $1", row)
        case "fails":
            await connection.fetch("FAIL")
        case "sleeps":
            await connection.fetch("SLEEP", timeout=5)
        case "prepared":
            statement = await connection.prepare("INSERT $1")
            await statement.fetch(row)


async def _program(connection: Connection, steps: list[Step], nested: bool, undo: bool, done: list[int]) -> None:
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(connection.transaction())
        if nested:
            await stack.enter_async_context(connection.transaction())
        for number, (kind, ignores) in enumerate(steps):
            try:
                await _run(connection, kind, _rows(number))
            except (Cancelled, TimeoutError, PostgresError, InterfaceError):
                if not ignores:
                    raise
            else:
                if kind not in ("fails", "sleeps", "nothing"):
                    done.append(_rows(number))
        if undo:
            raise _Undo


@settings(deadline=None)
@given(
    steps=st.lists(st.tuples(st.sampled_from(KINDS), st.booleans()), min_size=1, max_size=4),
    nested=st.booleans(),
    undo=st.booleans(),
    inline=st.booleans(),
    moments=st.lists(st.integers(0, 60), max_size=2),
    warm=st.booleans(),
)
def test_all_or_nothing(
    steps: list[Step], nested: bool, undo: bool, inline: bool, moments: list[int], warm: bool
) -> None:
    there = world(inline=inline)
    loop, connection, server = there.loop, there.connection, there.server
    if warm:
        loop.finish(connection.fetch("INSERT $1", 1))
    before = list(server.state.rows)
    done: list[int] = []
    task = loop.start(_program(connection, steps, nested, undo, done))
    for moment in moments:
        for _ in range(moment):
            if not task.done:
                loop.step()
        if not task.done:
            task.cancel()
    loop.run()
    kept = server.state.rows[len(before) :]
    assert server.state.rows[: len(before)] == before
    if kept:
        # One that was cancelled too late may be among them.
        assert set(done) <= set(kept)
        assert task.error is None or isinstance(task.error, Cancelled), "which came too late for COMMIT"
    elif task.error is None:
        assert not done or moments or any(kind in ("fails", "sleeps") for kind, _ in steps)
    assert connection.is_closed() or server.status is TransactionStatus.IDLE
    if not connection.is_closed():
        assert not connection.is_in_transaction()
        assert loop.finish(connection.fetchval("SELECT $1", 42)) == 42
