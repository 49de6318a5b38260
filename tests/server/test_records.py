"""Records that were made of a server's answer."""

import copy
import gc
import pickle
import weakref
from typing import Any

import anyio.from_thread
import anyio.to_thread
import pytest

from tests.support.clients import Client
from tests.support.record_behaviour import CHECKS, Check, Maker

pytestmark = [pytest.mark.anyio, pytest.mark.server]

TYPES = {int: "int4", str: "text", list: "int4[]", type(None): "text"}


@pytest.mark.parametrize(
    "check",
    [pytest.param(check, id=check.run.__name__, marks=pytest.mark.checklist(check.point)) for check in CHECKS],
)
async def test_behaviour(client: Client, connection: Any, check: Check) -> None:
    async def fetch(columns: list[tuple[str, Any]], record_class: type[Any]) -> Any:
        selected = ", ".join(f'${n}::{TYPES[type(value)]} AS "{name}"' for n, (name, value) in enumerate(columns, 1))
        return await connection.fetchrow(f"SELECT {selected}", *(v for _, v in columns), record_class=record_class)

    # The checks do not await, so they run in a thread and ask this one for their records.
    make = Maker(client.Record, lambda columns, record_class: anyio.from_thread.run(fetch, columns, record_class))
    await anyio.to_thread.run_sync(check.run, make)


@pytest.mark.checklist("R-8")
@pytest.mark.differs(
    asyncpg="can neither pickle nor copy a `Record`.",
    ours="A `Record` can be pickled, copied and deep-copied; one of a subclass keeps its class.",
)
async def test_copies(client: Client, connection: Any) -> None:
    record = await connection.fetchrow("SELECT 1 AS a, ARRAY['x', NULL] AS b, 2 AS a")
    for again in (copy.copy(record), copy.deepcopy(record), pickle.loads(pickle.dumps(record))):
        assert (type(again), repr(again), hash(again[:1])) == (client.Record, repr(record), hash(record[:1]))
    assert copy.copy(record)["b"] is record["b"]
    assert copy.deepcopy(record)["b"] is not record["b"]


@pytest.mark.checklist("R-9")
@pytest.mark.parametrize("method", ["__new__", "__init__"])
async def test_subclasses_are_not_made_otherwise(client: Client, connection: Any, method: str) -> None:
    made = type("Made", (client.Record,), {method: lambda *arguments: None})
    told = "record_class must not redefine __new__ or __init__"
    for fetch in (connection.fetch, connection.fetchrow):
        with pytest.raises(client.InterfaceError, match=told):
            await fetch("SELECT 1 AS a", record_class=made)
    assert await connection.fetchval("SELECT 1") == 1


@pytest.mark.checklist("R-9")
async def test_a_subclass_for_all_queries(client: Client) -> None:
    class Row(client.Record):  # type: ignore[misc,name-defined]
        def __getattr__(self, name: str) -> Any:
            return self[name]

    async with client.connect(record_class=Row) as connection:
        (row,) = await connection.fetch("SELECT 1 AS a")
        assert (type(row), row.a) == (Row, 1)
        assert type(await connection.fetchrow("SELECT 1 AS a", record_class=client.Record)) is client.Record


@pytest.mark.checklist("R-11")
async def test_they_are_collected(connection: Any) -> None:
    class Seen:
        pass

    row, seen = await connection.fetchrow("SELECT ARRAY[1] AS a"), Seen()
    row["a"].extend([row, seen])
    alive = weakref.ref(seen)
    del row, seen
    await connection.fetchrow("SELECT 1")  # asyncpg keeps the last result
    gc.collect()
    assert alive() is None


@pytest.mark.checklist("R-11")
async def test_of_any_width(connection: Any) -> None:
    """Those of up to twenty columns are made of the remains of others."""
    for _ in range(3):
        for width in (1, 19, 20, 21, 25, 100):
            numbers = range(width)
            rows = await connection.fetch(
                f"SELECT {', '.join(f'{n} + g AS c{n}' for n in numbers)} FROM generate_series(0, 30) AS g"
            )
            assert [list(row) for row in rows] == [[n + g for n in numbers] for g in range(31)]
