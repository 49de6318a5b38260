"""A driver of SQLAlchemy under test, and the server it connects to."""

import importlib
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from sqlalchemy import URL, MetaData, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from tests.support.servers import Server

__all__ = ["Driver", "backend_pid", "recreate"]

MODULES = {"asyncpg": "asyncpg", "pgsansio": "pgsansio_asyncio"}


@dataclass(frozen=True)
class Driver:
    """`postgresql+<name>`."""

    name: str
    server: Server
    _engines: list[AsyncEngine] = field(default_factory=list)

    @property
    def module(self) -> ModuleType:
        """What is behind it."""
        return importlib.import_module(MODULES[self.name])

    def url(self, **query: str) -> URL:
        """The server's database over TCP, with these options."""
        server = self.server
        return URL.create(
            f"postgresql+{self.name}",
            username=server.user,
            password=server.password,
            host=server.host,
            port=server.port,
            database=server.database,
            query=query,
        )

    def engine(self, query: dict[str, str] | None = None, **options: Any) -> AsyncEngine:
        """An engine with these options of the URL and of create_async_engine()."""
        engine = create_async_engine(self.url(**(query or {})), **options)
        self._engines.append(engine)
        return engine

    async def dispose(self) -> None:
        """Close what is in the pools of its engines."""
        for engine in self._engines:
            await engine.dispose()


async def recreate(engine: AsyncEngine, metadata: MetaData) -> None:
    """Make these tables anew."""
    async with engine.begin() as connection:
        await connection.run_sync(metadata.drop_all)
        await connection.run_sync(metadata.create_all)


async def backend_pid(connection: AsyncConnection) -> int:
    """Process id of the server process of this connection."""
    return int((await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one())
