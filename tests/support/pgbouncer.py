"""PgBouncer for the tests: fetched once, kept in the cache of `tests.support.servers`, started in front of a server.

`python -m tests.support.pgbouncer 1.18 1.26` fetches these and prints the commands that run them.

Debian's releases each have one version, which is unpacked and not installed (see `tests.support.debian`), so that any
release runs all versions, without root and without its daemon. An archive keeps only what is newest of each release, so
exact versions are not fixed; that of a release to come may be newer than its name.
"""

import contextlib
import fcntl
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from pgsansio.policy import cluster as policy
from tests.support.debian import loader, run, unpack
from tests.support.guarded import free_port, start_guarded, stop_guarded
from tests.support.servers import Server, ServerError, cache_folder

__all__ = ["FETCHABLE", "Pooler", "fetch", "running_pgbouncer"]

#: Version -> release of Debian. In transaction mode 1.18 keeps no prepared statements, 1.24 and later do; 1.26 has
#: direct TLS besides.
FETCHABLE: Final[Mapping[str, str]] = {"1.18": "bookworm", "1.24": "trixie", "1.26": "forky"}

#: Seconds until it takes connections.
_START_TIMEOUT: Final = 30.0
_PORT_ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True)
class Pooler:
    """A running PgBouncer. Any database and the user of `server` come through it to that server.

    Attributes:
        version: its first two numbers: (1, 26).
        pool_mode: "session", "transaction" or "statement".
        admin_dsn: of its console, for `SHOW POOLS` and the like; it speaks the simple query protocol only.
    """

    server: Server
    version: tuple[int, int]
    pool_mode: str
    host: str
    port: int
    dsn: str
    admin_dsn: str
    #: Of the pooler, not of its guard.
    pid: int
    #: What it says; gone when it is.
    log_file: Path

    def read_log(self) -> str:
        """What it has said so far."""
        return self.log_file.read_text(errors="replace")

    def tell(self, number: signal.Signals) -> None:
        """Send it a signal: SIGKILL ends it at once, SIGSTOP and SIGCONT make it silent for a while."""
        os.kill(self.pid, number)


@contextlib.contextmanager
def running_pgbouncer(
    version: str,
    server: Server,
    *,
    pool_mode: str = "transaction",
    settings: Mapping[str, str] | None = None,
    users: Mapping[str, str] | None = None,
    files: Mapping[str, bytes] | None = None,
) -> Iterator[Pooler]:
    """A pooler of one's own in front of `server`, until the block ends.

    Args:
        version: one of FETCHABLE.
        settings: of section [pgbouncer]; they win over ours, of which `auth_type` is "scram-sha-256".
        users: further names and passwords, with which clients come to the pooler and it to the server.
        files: further files, by name; it runs in their folder, so settings name them without one.
    Raises:
        ServerError: this version is not to be had, or does not start; the text ends with its log.
    """
    command, numbers = fetch(version)
    logins = {server.user: server.password, **(users or {})}
    passwords = "".join(f"{_quoted(name)} {_quoted(password)}\n" for name, password in logins.items())
    for attempts_left in reversed(range(_PORT_ATTEMPTS)):
        folder, port = Path(tempfile.mkdtemp(prefix="pgsansio-pgbouncer-")), free_port()
        ini = {
            "listen_addr": policy.HOST,
            "listen_port": str(port),
            "unix_socket_dir": "",
            "auth_type": "scram-sha-256",
            "auth_file": "users",
            "admin_users": server.user,
            "pool_mode": pool_mode,
            "default_pool_size": "5",
            "max_client_conn": "200",
            # By default it does not try again for 15 s to reach a server that once refused it.
            "server_login_retry": "1",
            "logfile": "log",
            "pidfile": "pid",
            **(settings or {}),
        }
        text = f"[databases]\n* = host={server.host} port={server.port}\n[pgbouncer]\n"
        text += "".join(f"{name} = {value}\n" for name, value in ini.items())
        process = _start(command, folder, {**(files or {}), "users": passwords.encode(), "ini": text.encode()})
        try:
            if _wait_until_ready(process, folder, port):
                credentials = f"{quote(server.user, safe='')}:{quote(server.password, safe='')}"
                dsn = f"postgresql://{credentials}@{policy.HOST}:{port}"
                yield Pooler(
                    server=server,
                    version=numbers,
                    pool_mode=pool_mode,
                    host=policy.HOST,
                    port=port,
                    dsn=f"{dsn}/{quote(server.database, safe='')}",
                    admin_dsn=f"{dsn}/pgbouncer",
                    pid=int((folder / "pid").read_text()),
                    log_file=folder / "log",
                )
                return
            # What is wrong with its settings it says on standard error, all else in its log, too.
            output = (folder / "output").read_text(errors="replace")
            if not attempts_left or "in use" not in output:
                raise ServerError(f"PgBouncer {version} did not start:\n{output}")
        finally:
            stop_guarded(process)
            shutil.rmtree(folder, ignore_errors=True)


def _start(command: Sequence[str], folder: Path, files: Mapping[str, bytes]) -> "subprocess.Popen[bytes]":
    """Start the guard of a pooler, whose configuration is the file `ini`."""
    accounts = {entry.pw_name: policy.Account(entry.pw_name, entry.pw_uid, entry.pw_gid) for entry in pwd.getpwall()}
    account = policy.server_account(os.geteuid(), accounts)
    for name, content in files.items():
        path = folder / name
        path.write_bytes(content)
        path.chmod(0o600)
    if account is not None:
        for path in (folder, *folder.iterdir()):
            os.chown(path, account.uid, account.gid)
    # It is started by root and changes its user by itself: others may not be able to reach its program.
    user = () if account is None else ("-u", account.name)
    return start_guarded([*command, *user, "ini"], folder)


def _wait_until_ready(process: "subprocess.Popen[bytes]", folder: Path, port: int) -> bool:
    """Whether it takes connections; False if it ended, or was not ready in time."""
    deadline = time.monotonic() + _START_TIMEOUT
    while process.poll() is None and time.monotonic() < deadline:
        if (folder / "pid").exists() and (folder / "pid").read_text().endswith("\n"):
            with socket.socket() as probe:
                if probe.connect_ex((policy.HOST, port)) == 0:
                    return True
        time.sleep(0.01)
    return False


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _numbers(text: str) -> tuple[int, int]:
    """The first two numbers of a version, in "1.26" or "PgBouncer 1.26.1"."""
    major, minor = re.findall(r"\d+", text)[:2]
    return int(major), int(minor)


def fetch(version: str) -> tuple[tuple[str, ...], tuple[int, int]]:
    """The command that runs this version, from the cache or fetched into it, and what version it is in truth.

    Raises:
        ServerError: it cannot be had here.
    """
    if version not in FETCHABLE:
        raise ServerError(f"PgBouncer {version} cannot be fetched, only {', '.join(FETCHABLE)}")
    folder = cache_folder() / f"pgbouncer-{version}"
    # One process fetches, the others find it done.
    with open(f"{folder}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            if not folder.exists():
                unpack(FETCHABLE[version], folder, ["pgbouncer"])
            command = _command(folder)
            found = run([*command, "--version"], folder)
        except (OSError, subprocess.SubprocessError, ServerError) as error:
            raise ServerError(f"PgBouncer {version} cannot be fetched: {error}") from error
    if _numbers(found) < _numbers(version):
        raise ServerError(
            f"PgBouncer {version} cannot be fetched: Debian's {FETCHABLE[version]} has {found.splitlines()[0]}"
        )
    return command, _numbers(found)


def _command(folder: Path) -> tuple[str, ...]:
    return *loader(folder), str(folder / "usr/sbin/pgbouncer")


if __name__ == "__main__":
    try:
        for argument in sys.argv[1:]:
            print(*fetch(argument)[0], flush=True)
    except ServerError as error:
        sys.exit(str(error))
