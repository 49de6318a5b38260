"""The server that is measured against: one that is given, or one of our own."""

import asyncio
import contextlib
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Final

import trustme

import pgsansio_asyncio
from benchmarks.tables import DROP, SETUP
from pgsansio_asyncio.cluster import ClusterError, TempCluster

__all__ = ["Prepared", "prepared_server"]

_TRUSTED: Final = "pgsansio_benchmarks_trusted"
_HBA: Final = (f"local all {_TRUSTED} trust",)
#: All clients hold their pools at the same time.
_SETTINGS: Final = {"max_connections": "500"}
_TLS: Final = {"ssl": "on", "ssl_cert_file": "../server.crt", "ssl_key_file": "../server.key"}


@dataclass(frozen=True, slots=True)
class Prepared:
    """A server that has the tables of the cases.

    Attributes:
        version: as `version()` says.
        places: of the cases of connecting, the connection strings.
        missing: of those that have none, why.
    """

    dsn: str
    version: str
    places: Mapping[str, str] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)


@contextlib.contextmanager
def prepared_server(dsn: str | None) -> Generator[Prepared]:
    """The given server, or one of our own.

    With a given one there is nothing to be connected to without a password or over TLS, as far as we know.
    """
    if dsn is not None:
        reason = "it needs a server of our own, without --dsn"
        with _tables(dsn) as version:
            yield Prepared(dsn, version, {}, dict.fromkeys(("connect-trust", "connect-scram", "connect-tls"), reason))
        return
    own, without_tls = _started()
    try:
        # The Unix socket, where there is less between client and server to be measured than over TCP.
        place = f"/{own.database}?host={own.socket_dir}&port={own.port}"
        dsn = f"postgresql://{own.user}:{own.password}@{place}"
        over_tcp = f"postgresql://{own.user}:{own.password}@{own.host}:{own.port}/{own.database}"
        places = {"connect-trust": f"postgresql://{_TRUSTED}@{place}", "connect-scram": dsn}
        missing = {"connect-tls": without_tls} if without_tls else {}
        if not without_tls:
            places["connect-tls"] = f"{over_tcp}?sslmode=require"
        asyncio.run(_execute(dsn, f"CREATE ROLE {_TRUSTED} LOGIN"))
        with _tables(dsn) as version:
            yield Prepared(dsn, version, places, missing)
    finally:
        asyncio.run(own.stop())


def _started() -> tuple[TempCluster, str]:
    """A server with TLS, or one without and the reason."""
    issued = trustme.CA().issue_cert("localhost")
    files = {
        "server.crt": b"".join(each.bytes() for each in issued.cert_chain_pems),
        "server.key": issued.private_key_pem.bytes(),
    }
    own = TempCluster(hba=_HBA, server_settings=_SETTINGS | _TLS, files=files)
    try:
        asyncio.run(own.start())
    except ClusterError:
        own = TempCluster(hba=_HBA, server_settings=_SETTINGS)
        asyncio.run(own.start())
        return own, "the server has no TLS (PG_BIN names the programs of another one)"
    return own, ""


@contextlib.contextmanager
def _tables(dsn: str) -> Generator[str]:
    """The tables, until the block ends; gives the server's version."""
    version = asyncio.run(_execute(dsn, SETUP))
    try:
        yield version
    finally:
        asyncio.run(_execute(dsn, DROP))


async def _execute(dsn: str, script: str) -> str:
    """Run statements one by one; returns the server's version."""
    async with pgsansio_asyncio.connect(dsn) as connection:
        for statement in script.split(";"):
            if statement.strip():
                await connection.execute(statement)
        return str(await connection.fetchval("SELECT version()"))
