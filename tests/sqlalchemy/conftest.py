"""One body, run on `postgresql+asyncpg` and on `postgresql+pgsansio`: `driver` and `engine` come as each of them.

A test marked `differs` shows what ours does; on asyncpg it has to fail.
"""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.servers import Server

pytest.importorskip("sqlalchemy", minversion="2.1")

from sqlalchemy.ext.asyncio import AsyncEngine

from tests.sqlalchemy.drivers import Driver

ASYNCIO = ("asyncio", {"use_uvloop": False})
UVLOOP = ("asyncio", {"use_uvloop": True})


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "driver" not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker("differs")
    marks = [] if marker is None else [pytest.mark.xfail(reason=f"asyncpg {marker.kwargs['asyncpg']}", strict=True)]
    metafunc.parametrize(
        ("driver", "anyio_backend"),
        [
            pytest.param("asyncpg", ASYNCIO, id="asyncpg", marks=marks),
            pytest.param("pgsansio", ASYNCIO, id="asyncio"),
            pytest.param("pgsansio", UVLOOP, id="uvloop"),
        ],
        indirect=True,
    )


@pytest.fixture(scope="session")
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """The loop; `pytest_generate_tests` chooses it together with the driver."""
    return request.param


@pytest.fixture
async def driver(request: pytest.FixtureRequest, postgres: Server) -> AsyncIterator[Driver]:
    """The driver under test. Its engines are disposed of at the end."""
    driver = Driver(request.param, postgres)
    yield driver
    await driver.dispose()


@pytest.fixture
async def engine(driver: Driver) -> AsyncEngine:
    """An engine of the driver under test, with a pool of its own."""
    return driver.engine()


@pytest.fixture
async def observer(driver: Driver) -> AsyncEngine:
    """An engine to look at the server with: every statement is a transaction."""
    return driver.engine(isolation_level="AUTOCOMMIT")
