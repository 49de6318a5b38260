"""A server that says nothing any more: `command_timeout` limits every wait for it, as asyncpg's does."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from tests.support.clients import PATIENCE_SECONDS, Client
from tests.support.toy_server import ToyCluster, ToyServer
from tests.support.wire import serving

pytestmark = [pytest.mark.anyio, pytest.mark.server]


class Silent(ToyServer):
    """Hears and says nothing from `cluster.silent` on; connections for a cancellation are no different."""

    def __init__(self, cluster: "SilentCluster") -> None:
        super().__init__(cluster, 1000)
        self._silent_cluster = cluster

    def receive_data(self, data: bytes) -> None:
        if not self._silent_cluster.silent:
            super().receive_data(data)

    def data_to_send(self) -> bytes:
        return b"" if self._silent_cluster.silent else super().data_to_send()


class SilentCluster(ToyCluster):
    silent = False

    def make(self) -> Silent:
        return Silent(self)


async def begin(connection: Any) -> None:
    await connection.transaction().start()


CASES: dict[str, tuple[bool, Callable[[Any], Awaitable[Any]]]] = {
    "start": (False, lambda connection: connection.transaction().start()),
    "shared": (False, lambda connection: connection.transaction(shared=True).__aenter__()),
    "savepoint": (True, lambda connection: connection.transaction().__aenter__()),
    "notifications": (False, lambda connection: connection.notifications("jobs").__aenter__()),
    "set_type_codec": (False, lambda connection: connection.set_type_codec("my", encoder=str, decoder=str)),
    "reset": (False, lambda connection: connection.reset()),
}


@pytest.mark.parametrize("name", CASES)
async def test_the_answer_does_not_come(client: Client, name: str) -> None:
    in_transaction, call = CASES[name]
    cluster = SilentCluster()
    with anyio.fail_after(PATIENCE_SECONDS):
        async with serving(client, cluster.make) as served:
            connection = await served.module.connect(**limited(served))
            try:
                if in_transaction:
                    await begin(connection)
                cluster.silent = True
                with pytest.raises(client.OperationTimeoutError) as caught:
                    await call(connection)
                assert caught.value.outcome is client.Outcome.UNKNOWN
                assert not caught.value.safe_to_retry
            finally:
                connection.terminate()


@pytest.mark.parametrize("commit", [True, False], ids=["commit", "rollback"])
@pytest.mark.parametrize("block", [True, False], ids=["block", "manual"])
async def test_the_end_of_a_transaction(client: Client, commit: bool, block: bool) -> None:
    cluster = SilentCluster()
    with anyio.fail_after(PATIENCE_SECONDS):
        async with serving(client, cluster.make) as served:
            connection = await served.module.connect(**limited(served))
            try:
                transaction = connection.transaction()
                if block:
                    await transaction.__aenter__()
                else:
                    await transaction.start()
                await connection.execute("SELECT 1")
                cluster.silent = True
                error = None if commit else ValueError()
                with pytest.raises(client.OperationTimeoutError) as caught:
                    await (
                        transaction.__aexit__(None if commit else ValueError, error, None)
                        if block
                        else transaction.commit()
                        if commit
                        else transaction.rollback()
                    )
                assert caught.value.outcome is client.Outcome.UNKNOWN
            finally:
                connection.terminate()


def limited(client: Client) -> dict[str, Any]:
    return client.settings(command_timeout=0.1)
