"""Records that were made of a server's answer."""

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
