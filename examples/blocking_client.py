"""A synchronous client: pgsansio's Connection over blocking sockets (TCP and Unix, without TLS).

    python examples/blocking_client.py postgresql://user:password@host:port/database

A `Connection` is coroutines that await only their port. This port never suspends, so each of them runs to its end in a
single `send(None)`: `run(connection.fetch(...))`.
"""

import base64
import getpass
import os
import secrets
import select
import socket
import sys
import time
from contextlib import suppress

import pgsansio
from pgsansio.client import Connection, SequentialPort, connecting, run
from pgsansio.client.port import Address
from pgsansio.engine.driven import Engine
from pgsansio.policy.conninfo import TcpAddress, UnixAddress, resolve_settings


class BlockingPort(SequentialPort):
    """One connection's socket."""

    async def resolve(self, host: str, port: int) -> list[TcpAddress]:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return [TcpAddress(str(entry[4][0]), port) for entry in found]

    async def open_stream(self, address: Address, engine: Engine) -> None:
        self.engine = engine
        target: str | tuple[str, int]
        if isinstance(address, UnixAddress):
            family, target = socket.AF_UNIX, address.path
        else:
            family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
            target = (address.host, address.port)
        self.socket = socket.socket(family)
        self.socket.settimeout(self.seconds_left())
        try:
            self.socket.connect(target)
        except BaseException:
            self.socket.close()
            raise
        self.socket.setblocking(False)

    def exchange(self, seconds: float | None) -> bool:
        writing = [self.socket] if self.unsent else []
        readable, writable, _ = select.select([self.socket], writing, [], seconds)
        if readable:
            self.receive()
        return bool(readable or writable)

    def receive(self) -> None:
        try:
            size = self.socket.recv_into(self.engine.get_buffer())
        except BlockingIOError:
            return
        except OSError as error:
            self.lost(error)
            return
        if size:
            self.engine.bytes_received(size)
            self.fed()
        else:
            self.lost(None)

    def flush(self) -> None:
        self.unsent += self.engine.data_to_send()
        with suppress(OSError):  # why nothing can be written any more is told by reading
            while self.unsent:
                self.unsent = self.unsent[self.socket.send(self.unsent) :]

    def shut(self) -> None:
        self.socket.close()

    def clock(self) -> float:
        return time.monotonic()

    def nonce(self) -> str:
        return base64.b64encode(secrets.token_bytes(18)).decode()


def connect(dsn: str) -> Connection:
    settings = resolve_settings(
        dsn, environment=os.environ, os_user=getpass.getuser(), home=None, platform=sys.platform
    )
    return run(connecting.connect(BlockingPort, settings, Connection))


def main(dsn: str) -> None:
    connection = connect(dsn)
    run(connection.execute("CREATE TEMPORARY TABLE fruit (id int PRIMARY KEY, name text)"))
    run(connection.executemany("INSERT INTO fruit VALUES ($1, $2)", ((i, f"fruit {i}") for i in range(100_000))))
    print(run(connection.fetchval("SELECT count(*) FROM fruit")))

    async def transfer() -> None:
        async with connection.transaction():
            await connection.execute("DELETE FROM fruit")
            await connection.execute("INSERT INTO fruit VALUES (1, 'quince'), (1, 'medlar')")

    try:
        run(transfer())
    except pgsansio.UniqueViolationError as error:
        print(error.sqlstate, run(connection.fetchval("SELECT count(*) FROM fruit")))

    try:
        run(connection.execute("SELECT pg_sleep(60)", timeout=0.1))
    except TimeoutError:
        print("cancelled", run(connection.fetchval("SELECT 'and still usable'")))

    notifications = connection.notifications("ripe")
    run(notifications.__aenter__())
    run(connection.execute("NOTIFY ripe, 'pear'"))
    notification = run(notifications.__anext__())
    print(notification)
    run(connection.close())


if __name__ == "__main__":
    main(sys.argv[1])
