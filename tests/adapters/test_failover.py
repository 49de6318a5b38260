"""A synchronous pair under load: its primary is killed, its standby promoted, and a pool over both hosts goes on.

What was acknowledged is there, and once. `pytest -rP tests/adapters/test_failover.py` shows the figures.

Environment:
    PGSANSIO_TEST_FAILOVER_SECONDS: how long is written before the kill, and after it; default 0.7.
"""

import itertools
import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import anyio
import pytest

from tests.support.clients import PATIENCE_SECONDS, Client, until
from tests.support.replicas import Pair, at, crash, running_pair

pytestmark = [pytest.mark.anyio, pytest.mark.server]

SECONDS: Final = float(os.environ.get("PGSANSIO_TEST_FAILOVER_SECONDS", "0.7"))

WRITERS: Final = 16
#: What a task of an application does when it is told that there is no primary now.
PAUSE_SECONDS: Final = 0.01


@pytest.fixture
def own_pair(server_programs: str) -> Iterator[Pair]:
    with running_pair(server_programs) as pair:
        yield pair


@dataclass
class Ledger:
    """What the writers know of their writes.

    Attributes:
        acknowledged: number of a write, and when it was acknowledged.
        unknown: nobody can know whether these were carried out.
        errors: how often each class was raised.
    """

    acknowledged: dict[int, float] = field(default_factory=dict)
    unknown: set[int] = field(default_factory=set)
    errors: Counter[str] = field(default_factory=Counter)
    is_over: bool = False


async def write(client: Client, pool: Any, ledger: Ledger, numbers: Iterator[int]) -> None:
    """One write after the other; again what can be done again."""
    number = next(numbers)
    while not ledger.is_over:
        try:
            if number % 2:
                await pool.execute("INSERT INTO ledger VALUES ($1)", number)
            else:
                async with pool.acquire() as connection, connection.transaction():
                    await connection.execute("INSERT INTO ledger VALUES ($1)", number)
        except (OSError, *client.module.ALL_ERRORS) as error:
            ledger.errors[type(error).__name__] += 1
            # While there is no primary, connect() raises what it has met: nothing was sent.
            # A connection that was lost while its task had it, and did nothing: nothing was sent either.
            nothing_sent = isinstance(error, client.InterfaceError) or getattr(error, "attempts", ())
            if not nothing_sent and not error.safe_to_retry:  # type: ignore[union-attr]
                ledger.unknown.add(number)
                number = next(numbers)
            await anyio.sleep(PAUSE_SECONDS)
        else:
            ledger.acknowledged[number] = time.monotonic()
            number = next(numbers)


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_failover_under_load(client: Client, own_pair: Pair) -> None:
    pair, ledger, numbers = own_pair, Ledger(), itertools.count()
    async with client.module.connect(**at(pair.primary)) as on_primary:
        await on_primary.execute("CREATE TABLE ledger (a int)")
        # Not before: its first commit would wait for the standby. Throw-away servers do not wait for anything.
        await on_primary.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        await on_primary.execute("ALTER SYSTEM SET synchronous_commit = 'on'")
        await on_primary.execute("SELECT pg_reload_conf()")
        await until(on_primary, "SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'")
        await until(on_primary, "SELECT current_setting('synchronous_commit') = 'on'")
        port = pair.primary.port
        arguments = at(pair.primary, pair.standby, target_session_attrs="read-write", min_size=4, max_size=WRITERS)
        with anyio.fail_after(PATIENCE_SECONDS + 2 * SECONDS):
            async with (
                client.module.connect(**at(pair.standby)) as on_standby,
                client.module.create_pool(**arguments) as pool,
                anyio.create_task_group() as tasks,
            ):
                assert await pool.fetchval("SELECT inet_server_port()") == port
                for _ in range(WRITERS):
                    tasks.start_soon(write, client, pool, ledger, numbers)
                await anyio.sleep(SECONDS)
                killed_at = time.monotonic()
                crash(pair.primary)
                assert await on_standby.fetchval("SELECT pg_promote(true, 30)")
                promoted_at = time.monotonic()
                while max(ledger.acknowledged.values()) < promoted_at:  # noqa: ASYNC110
                    await anyio.sleep(PAUSE_SECONDS)
                await anyio.sleep(SECONDS)
                ledger.is_over = True
        rows = [row[0] for row in await on_standby_rows(client, pair)]
    counts = Counter(rows)
    before = sum(moment < killed_at for moment in ledger.acknowledged.values())
    resumed = min(moment for moment in ledger.acknowledged.values() if moment > promoted_at)
    after = [moment for moment in ledger.acknowledged.values() if moment >= resumed]
    lost = set(ledger.acknowledged) - set(rows)
    doubled = [number for number, count in counts.items() if count > 1]
    print(
        f"{before / SECONDS:.0f} writes/s before the kill; promoted after {promoted_at - killed_at:.3f} s, "
        f"writes resumed after {resumed - killed_at:.3f} s, then {len(after) / SECONDS:.0f} writes/s; "
        f"acknowledged {len(ledger.acknowledged)}, of them lost {len(lost)}, doubled {len(doubled)}; "
        f"unknown {len(ledger.unknown)}, of them there {len(ledger.unknown & set(rows))}; {dict(ledger.errors)}"
    )
    assert not lost
    assert not doubled
    # Nothing is there that nobody has written.
    assert set(rows) <= set(ledger.acknowledged) | ledger.unknown | {next(numbers)}
    # One that runs for each connection, and no more.
    assert len(ledger.unknown) <= WRITERS
    assert len(after) > 1


async def on_standby_rows(client: Client, pair: Pair) -> list[Any]:
    async with client.module.connect(**at(pair.standby)) as connection:
        rows: list[Any] = await connection.fetch("SELECT a FROM ledger")
        return rows
