"""pg8000: pure Python, and blocking. On a loop it never waits, so that what it costs is its own."""

import importlib
import io
from typing import Any
from urllib.parse import parse_qs, urlsplit

from benchmarks.cases import Case
from benchmarks.clients.client import Client, Operation

__all__ = ["Pg8000"]


def _arguments(dsn: str) -> dict[str, Any]:
    """It reads no connection strings."""
    parts = urlsplit(dsn)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    arguments: dict[str, Any] = {
        "user": parts.username,
        "password": parts.password,
        "database": parts.path[1:],
        # None: no TLS; True: without looking at the certificate, as sslmode=require does.
        "ssl_context": True if query.get("sslmode") == "require" else None,
    }
    host, port = parts.hostname or query["host"], parts.port or int(query.get("port", "5432"))
    if host.startswith("/"):
        return arguments | {"unix_sock": f"{host}/.s.PGSQL.{port}"}
    return arguments | {"host": host, "port": port}


class Pg8000(Client):
    connection: Any

    async def open(self) -> None:
        self.library: Any = importlib.import_module("pg8000.native")
        self.connection = self.library.Connection(**_arguments(self.dsn))
        self.stack.callback(self.connection.close)

    async def execute(self, sql: str) -> None:
        self.connection.run(sql)

    async def query(self, sql: str) -> list[tuple[Any, ...]]:
        return self.plain(self.connection.run(sql))

    async def value(self, case: Case) -> Operation:
        run = self.connection.prepare(case.sql).run

        async def operation() -> Any:
            return run()[0][0]

        return operation

    async def row(self, case: Case) -> Operation:
        run, keys = self.connection.prepare(case.sql.replace("$1", ":key")).run, self.keys()

        async def operation() -> Any:
            return run(key=next(keys))[0]

        return operation

    async def rows(self, case: Case) -> Operation:
        run = self.connection.prepare(case.sql).run

        async def operation() -> Any:
            return run()

        return operation

    memory = rows

    async def copy_raw(self, case: Case) -> Operation:
        run, sql = self.connection.run, f"COPY ({case.sql}) TO STDOUT"

        async def operation() -> int:
            stream = io.BytesIO()
            run(sql, stream=stream)
            return len(stream.getbuffer())

        return operation

    async def transaction(self, case: Case) -> Operation:
        run, lookup = self.connection.run, await self.row(case)

        async def operation() -> Any:
            run("BEGIN")
            row = await lookup()
            run("COMMIT")
            return row

        return operation

    async def connect(self, case: Case) -> Operation:
        connect, arguments = self.library.Connection, _arguments(self.places[case.name])

        async def operation() -> None:
            connect(**arguments).close()

        return operation
