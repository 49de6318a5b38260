"""A primary and a standby that streams from it, for the tests of several hosts.

The standby begins as a copy of the running primary's data folder, as the manual's "Making a Base Backup Using the Low
Level API" has it, since not all the servers that we fetch bring pg_basebackup. It is a `TempCluster`, too: one whose
`initdb` is a script that puts the copy in place.
"""

import asyncio
import contextlib
import os
import shlex
import shutil
import signal
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pgsansio_asyncio
from tests.support.servers import Server, running_server

__all__ = ["Pair", "at", "crash", "running_pair", "running_standby"]

#: Of what is in these, nothing is of use to another server; the folders themselves have to be there.
_LEFT_EMPTY: Final = frozenset(
    {"pg_dynshmem", "pg_notify", "pg_replslot", "pg_serial", "pg_snapshots", "pg_stat_tmp", "pg_subtrans"}
)
_LEFT_OUT: Final = frozenset({"postmaster.pid", "postmaster.opts"})


@dataclass(frozen=True, slots=True)
class Pair:
    """Two servers with the same users, passwords and databases; the standby answers queries that only read."""

    primary: Server
    standby: Server


def at(*servers: Server | tuple[str, int], **arguments: Any) -> dict[str, Any]:
    """Arguments of connect(): these servers as hosts, and the login of the first."""
    places = [(server.host, server.port) if isinstance(server, Server) else server for server in servers]
    login = next(server for server in servers if isinstance(server, Server))
    return {
        "host": [host for host, _ in places],
        "port": [port for _, port in places],
        "user": login.user,
        "password": login.password,
        "database": login.database,
        **arguments,
    }


@contextlib.contextmanager
def running_pair(bin_dir: str) -> Iterator[Pair]:
    """A pair of one's own, until the block ends; replication is asynchronous.

    Raises:
        ClusterError: one of them does not start.
    """
    # What the standby has not got yet is kept for it, and nothing changes by itself while it is copied.
    settings = {"wal_keep_size": "128MB", "autovacuum": "off"}
    with running_server(bin_dir, server_settings=settings) as primary, running_standby(bin_dir, primary) as standby:
        yield Pair(primary, standby)


@contextlib.contextmanager
def running_standby(
    bin_dir: str, primary: Server, *, server_settings: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """A standby that follows `primary`, until the block ends. With setting `hot_standby` off it refuses connections.

    Args:
        bin_dir: the programs that `primary` runs.
        primary: one of a pair, since other servers may change while they are copied.
    Raises:
        ClusterError: it does not start.
    """
    data = Path(primary.cluster.data_dir)
    owner = data.stat()
    # Beside the primary's folder, where the account that runs both may go.
    folder = Path(tempfile.mkdtemp(prefix="pgsansio-copy-", dir=data.parent.parent))
    try:
        label = asyncio.run(_copy(primary, data, folder / "data"))
        (folder / "data" / "backup_label").write_text(label)
        (folder / "data" / "standby.signal").touch()
        programs = folder / "bin"
        programs.mkdir()
        (folder / "lib").symlink_to(Path(bin_dir).parent / "lib")
        # It is called as "initdb -D FOLDER ...".
        (programs / "initdb").write_text(f'#!/bin/sh\nexec mv {shlex.quote(str(folder / "data"))} "$2"\n')
        (programs / "postgres").write_text(f'#!/bin/sh\nexec {shlex.quote(f"{bin_dir}/postgres")} "$@"\n')
        for path in programs.iterdir():
            path.chmod(0o755)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
        settings = {
            "primary_conninfo": f"host={primary.host} port={primary.port} "
            f"user={primary.user} password={primary.password}",
            # By default it waits for 5 s when it cannot reach the primary.
            "wal_retrieve_retry_interval": "100ms",
            **(server_settings or {}),
        }
        with running_server(str(programs), server_settings=settings) as standby:
            dsn = primary.dsn.replace(f":{primary.port}/", f":{standby.port}/")
            yield replace(standby, dsn=dsn, password=primary.password)
    finally:
        shutil.rmtree(folder)


def _ignored(folder: str, names: list[str]) -> set[str]:
    return set(names) if os.path.basename(folder) in _LEFT_EMPTY else set(_LEFT_OUT)


async def _copy(server: Server, source: Path, target: Path) -> str:
    """Copy the data folder of a running server; returns what has to be in the copy as `backup_label`."""
    # PostgreSQL 15 has dropped another way, and given this one a name of its own.
    begin, end = ("SELECT pg_backup_start('', fast => true)", "SELECT labelfile FROM pg_backup_stop(false)")
    if server.version < 15:
        begin, end = ("SELECT pg_start_backup('', true, false)", "SELECT labelfile FROM pg_stop_backup(false, false)")
    async with pgsansio_asyncio.connect(server.dsn) as connection:
        await connection.execute(begin)
        shutil.copytree(source, target, ignore=_ignored)
        label: str = await connection.fetchval(end)
    return label


def crash(server: Server) -> None:
    """Have it end at once, as if its machine had lost power."""
    pid = server.cluster.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
