"""Servers that say what makes no sense, or say nothing any more: a documented error, and no wait without end."""

import math
from collections.abc import Iterable

import pytest

from pgsansio.client import Connection, connecting
from pgsansio.client.core import CANCEL_SECONDS
from pgsansio.client.port import Address
from pgsansio.errors import ConnectionDoesNotExistError, InterfaceError, ProtocolError
from pgsansio.messages.backend import BindComplete, DataRow, ParameterDescription, ParseComplete
from pgsansio.messages.frontend import Query
from pgsansio.messages.tags import BackendMessage
from pgsansio.policy.conninfo import resolve_settings
from pgsansio.testing.loop import Cancelled, VirtualLoop
from pgsansio.testing.peer import Deaf
from pgsansio.testing.script import (
    ScriptedBackend,
    Step,
    error,
    expect,
    expect_execution,
    expect_first_execution,
    expect_preparation,
    login,
    ready,
    row,
    row_description,
    selected,
    send,
)

INT4 = 23
BOOL = 16


def loop_with(script: Iterable[Step]) -> VirtualLoop:
    servers: list[ScriptedBackend] = []

    def make(address: Address) -> ScriptedBackend | Deaf:
        if servers:
            return Deaf()
        servers.append(ScriptedBackend([*login(), *script]))
        return servers[0]

    return VirtualLoop(make)


def settings(**keywords: str) -> object:
    return resolve_settings(
        "postgresql://u@h/d",
        environment={},
        os_user="u",
        home=None,
        platform="linux",
        timeout=None,
        **keywords,  # type: ignore[arg-type]
    )


def connect(loop: VirtualLoop, **keywords: str) -> Connection:
    return loop.finish(connecting.connect(loop.port, settings(**keywords), Connection))  # type: ignore[arg-type]


def prepared(query: str, *columns: tuple[str, int]) -> list[Step]:
    return [
        *expect_preparation(query),
        send(ParseComplete(), ParameterDescription(()), row_description(*columns), ready()),
    ]


def executed(query: str, columns: Iterable[tuple[str, int]], *answer: BackendMessage) -> list[Step]:
    """A statement that is prepared and executed at once: its columns, then BindComplete and this."""
    described = (ParseComplete(), ParameterDescription(()), row_description(*columns))
    return [*expect_first_execution(query), send(*described, BindComplete(), *answer)]


@pytest.mark.parametrize("rows", [[], [row(b"\1")], [row(b"\1", b"\0", b"\0")]])
def test_an_impossible_answer_to_the_query_for_the_role(rows: list[object]) -> None:
    columns = [("a", BOOL)] * (len(rows[0].values) if rows else 2)  # type: ignore[attr-defined]
    loop = loop_with(
        [
            *executed(connecting._ROLE_QUERY, columns, *rows, selected(), ready()),  # type: ignore[arg-type]
        ]
    )
    with pytest.raises(ProtocolError, match="query for the server's role"):
        connect(loop, target_session_attrs="primary")
    loop.run()
    assert not any(port.connected for port in loop.ports)


def test_a_cancelled_query_for_the_role_leaves_no_connection() -> None:
    loop = loop_with([])
    task = loop.start(connecting.connect(loop.port, settings(target_session_attrs="primary"), Connection))  # type: ignore[arg-type]
    loop.run()
    assert any(port.connected for port in loop.ports)
    task.cancel()
    while loop.step(time_passes=False):
        pass
    with pytest.raises(Cancelled):
        task.result()
    assert not any(port.connected for port in loop.ports)


def test_a_server_that_does_not_see_a_cancellation_to_its_end_is_left() -> None:
    loop = loop_with(
        [
            *executed("SELECT 1", [("a", INT4)], row(b"\0\0\0\1"), selected(), ready()),
            *expect_execution(),
            *expect_execution(),
        ]
    )
    connection = connect(loop)
    assert loop.finish(connection.fetch("SELECT 1")) == [(1,)]
    first = loop.start(connection.fetch("SELECT 1"))
    second = loop.start(connection.fetch("SELECT 1"))
    loop.run()
    # Nobody owes this one's cancellation, since the other one's statement would be hit.
    second.cancel()
    loop.step()
    server = loop.ports[0].peer
    assert isinstance(server, ScriptedBackend)
    server.then(send(BindComplete(), row(b"\0\0\0\1"), selected(), ready()))
    assert loop.ports[0].carry()
    before = loop.now
    with pytest.raises((ConnectionDoesNotExistError, InterfaceError)):
        loop.finish(connection.fetch("SELECT 1"))
    assert first.result() == [(1,)]
    assert loop.now - before <= CANCEL_SECONDS
    assert connection.is_closed()


@pytest.mark.parametrize(
    ("columns", "rows"),
    [([("a", INT4)], []), ([("a", INT4)], [row(b"\0\0\0\1")]), ([("a", INT4)], [row(None)]), ([], [row()])],
)
def test_an_impossible_answer_to_the_query_for_the_isolation(
    columns: list[tuple[str, int]], rows: list[DataRow]
) -> None:
    query = "SHOW transaction_isolation"
    loop = loop_with(
        [
            expect(Query("BEGIN;")),
            send(selected("BEGIN"), ready("T")),
            *expect_preparation(query),
            send(ParseComplete(), ParameterDescription(()), row_description(*columns), ready("T")),
            *expect_execution(),
            send(BindComplete(), *rows, selected(), ready("T")),
        ]
    )
    connection = connect(loop)

    async def start(isolation: str | None) -> None:
        await connection.transaction(isolation=isolation).start()

    loop.finish(start(None))
    with pytest.raises(ProtocolError, match="transaction_isolation"):
        loop.finish(start("serializable"))
    assert connection.is_in_transaction()


def test_a_time_limit_that_is_no_number() -> None:
    connection = connect(loop_with([]))
    with pytest.raises(ValueError, match="invalid timeout value"):
        connection._port.loop.finish(connection.fetch("SELECT 1", timeout=math.nan))  # type: ignore[attr-defined]


def test_a_fatal_error_without_the_end_of_the_connection() -> None:
    loop = loop_with(
        [*expect_first_execution("SELECT 1"), send(error("57P01", "terminating connection", severity="FATAL"))]
    )
    connection = connect(loop)
    with pytest.raises(ConnectionDoesNotExistError, match="terminating connection"):
        loop.finish(connection.fetch("SELECT 1"))
    loop.run()
    assert not any(port.connected for port in loop.ports)
