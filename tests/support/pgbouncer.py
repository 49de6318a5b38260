"""PgBouncer for the tests: fetched once, kept in the cache of `tests.support.servers`, started in front of a server.

`python -m tests.support.pgbouncer 1.18 1.26` fetches these and prints the commands that run them.

Debian's releases each have one version. It is unpacked, not installed, together with the libraries that it needs down
to libc, and started by their loader, so that any release runs all versions, without root and without its daemon. Needed
are `apt-get` and `dpkg-deb` and the keys of Debian's archive (package `debian-archive-keyring`). An archive keeps only
what is newest of each release, so exact versions are not fixed; that of a release to come may be newer than its name.
"""

import contextlib
import fcntl
import os
import pwd
import random
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
from tests.support.servers import Server, ServerError, cache_folder

__all__ = ["FETCHABLE", "Pooler", "fetch", "running_pgbouncer"]

#: Version -> release of Debian. In transaction mode 1.18 keeps no prepared statements, 1.24 and later do; 1.26 has
#: direct TLS besides.
FETCHABLE: Final[Mapping[str, str]] = {"1.18": "bookworm", "1.24": "trixie", "1.26": "forky"}

_MIRROR: Final = "http://deb.debian.org/debian"
_KEYS: Final = (
    "/usr/share/keyrings/debian-archive-keyring.gpg",
    "/usr/share/keyrings/debian-archive-keyring.pgp",
)
#: Of what a package depends on, what a program needs that nobody installs.
_LIBRARY: Final = re.compile(r"lib(?!c-bin)|zlib")

#: Seconds until it takes connections.
_START_TIMEOUT: Final = 30.0
_PORT_ATTEMPTS: Final = 3

# As the guard of `pgsansio.policy.cluster`: standard input is a pipe that only we hold, so neither the
# pooler nor its folder outlive us.
_GUARD: Final = """\
exec 3<&0 </dev/null
folder=$1
shift
"$@" 3<&- &
pooler=$!
(read -r _ <&3; rm -rf "$folder"; kill -KILL "$pooler") &
reader=$!
exec 3<&-
wait "$pooler"
status=$?
kill "$reader"
exit "$status"
"""


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
        folder, port = Path(tempfile.mkdtemp(prefix="pgsansio-pgbouncer-")), _free_port()
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
            assert process.stdin is not None
            process.stdin.close()
            process.wait()
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
    with open(folder / "output", "wb") as output:
        return subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "sh", str(folder), *command, *user, "ini"],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            cwd=folder,
            # Out of reach of the terminal's Ctrl-C, which is for us.
            start_new_session=True,
        )


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


def _free_port() -> int:
    for port in random.sample(policy.PORTS, 100):
        with socket.socket() as probe:
            try:
                probe.bind((policy.HOST, port))
            except OSError:
                continue
            return port
    raise ServerError(f"no free port found on {policy.HOST}")


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
                with tempfile.TemporaryDirectory(prefix=f"{folder.name}.", dir=folder.parent) as work:
                    _unpack(FETCHABLE[version], Path(work, "apt"), Path(work, "unpacked"))
                    Path(work, "unpacked").rename(folder)
            command = _command(folder)
            found = _run([*command, "--version"], folder)
        except (OSError, subprocess.SubprocessError, ServerError) as error:
            raise ServerError(f"PgBouncer {version} cannot be fetched: {error}") from error
    if _numbers(found) < _numbers(version):
        raise ServerError(
            f"PgBouncer {version} cannot be fetched: Debian's {FETCHABLE[version]} has {found.splitlines()[0]}"
        )
    return command, _numbers(found)


def _unpack(release: str, apt: Path, unpacked: Path) -> None:
    """Unpack the packages of this release into a folder, by an apt that knows nothing of this machine."""
    for name in ("lists/partial", "cache/archives/partial"):
        (apt / name).mkdir(parents=True)
    key = next((key for key in _KEYS if os.path.exists(key)), None)
    if key is None:
        raise ServerError("there are no keys of Debian's archive here (package debian-archive-keyring)")
    (apt / "sources.list").write_text(f"deb [signed-by={key}] {_MIRROR} {release} main\n")
    (apt / "status").touch()
    options = {
        "Dir::Etc::SourceList": apt / "sources.list",
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::Etc::Preferences": "/dev/null",
        "Dir::Etc::PreferencesParts": "/dev/null",
        "Dir::State": apt,
        "Dir::State::Status": apt / "status",
        "Dir::Cache": apt / "cache",
        "Acquire::Languages": "none",
        # As root it would become another user, who may not write here.
        "APT::Sandbox::User": "root",
    }
    flags = [f"-o{name}={value}" for name, value in options.items()]
    _run(["apt-get", *flags, "-q", "update"], apt)
    depends = _run(["apt-cache", *flags, "depends", "--recurse", "--important", "pgbouncer"], apt)
    _run(["apt-get", *flags, "-q", "download", *_needed("pgbouncer", depends)], apt)
    for package in apt.glob("*.deb"):
        _run(["dpkg-deb", "-x", str(package), str(unpacked)], apt)


def _needed(program: str, depends: str) -> list[str]:
    """A program's package and all libraries below it, by what `apt-cache depends --recurse` says."""
    graph: dict[str, list[str]] = {}
    for line in depends.splitlines():
        if not line.startswith((" ", "<")):
            below = graph[line] = []
        elif (match := re.fullmatch(r" [ |](?:Pre)?Depends: ([^<>]+)", line)) and _LIBRARY.match(match[1]):
            below.append(match[1])
    needed = [program]
    for name in needed:
        needed += (other for other in graph.get(name, ()) if other not in needed)
    return needed


def _command(folder: Path) -> tuple[str, ...]:
    """The loader that was unpacked, with the folders of the libraries beside it, and the program."""
    loaders = sorted(path for path in folder.rglob("ld-linux*.so.*") if path.exists())
    if not loaders:
        raise ServerError(f"there is no loader in {folder}")
    libraries = sorted({str(path.parent) for path in folder.rglob("*-linux-gnu/*.so.*")})
    return str(loaders[0]), "--library-path", ":".join(libraries), str(folder / "usr/sbin/pgbouncer")


def _run(command: list[str], folder: Path) -> str:
    done = subprocess.run(
        command, check=False, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600
    )
    if done.returncode:
        output = (done.stderr or done.stdout).strip()[-1000:]
        raise ServerError(f"{' '.join(command[:1])} ended with {done.returncode}: {output}")
    return done.stdout


if __name__ == "__main__":
    try:
        for argument in sys.argv[1:]:
            print(*fetch(argument)[0], flush=True)
    except ServerError as error:
        sys.exit(str(error))
