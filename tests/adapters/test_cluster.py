"""Throw-away servers, for real: they take connections, and they are gone afterwards, whatever happens."""

import contextlib
import glob
import importlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio.lowlevel
import pytest

from pgsansio.policy import cluster as policy
from pgsansio_asyncio import launcher

pytestmark = pytest.mark.server

ROOT = Path(__file__).parents[2]


@pytest.fixture
def adapter(anyio_backend_name: str) -> ModuleType:
    return importlib.import_module(f"pgsansio_{anyio_backend_name}.cluster")


def answer_to_ssl_request(family: socket.AddressFamily, address: tuple[str, int] | str) -> bytes:
    """The byte a server answers an SSLRequest with; b"" if it closes (manual, "Message Formats", SSLRequest)."""
    with socket.socket(family) as client:
        client.settimeout(10)
        client.connect(address)
        client.sendall(b"\x00\x00\x00\x08\x04\xd2\x16\x2f")
        return client.recv(1)


def takes_connections(port: int) -> bool:
    try:
        return answer_to_ssl_request(socket.AF_INET, ("127.0.0.1", port)) in (b"S", b"N")
    except ConnectionError:
        return False


def is_alive(pid: int) -> bool:
    """Zombies are not: where the first process of a container does not collect them they stay for ever."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], check=False, capture_output=True, text=True)
    return not done.stdout.startswith("Z")


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether something that other processes do by themselves happens within some seconds."""
    deadline = time.monotonic() + 20
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def assert_gone(port: int, pid: int, folder: str) -> None:
    assert not takes_connections(port)
    assert not is_alive(pid)
    assert not os.path.exists(folder)


def test_launchers_are_the_same() -> None:
    ours, theirs = (ROOT / f"pgsansio_{loop}" / "launcher.py" for loop in ("asyncio", "trio"))
    assert ours.read_bytes() == theirs.read_bytes()


@pytest.mark.anyio
async def test_a_server_for_a_block(adapter: ModuleType, server_programs: str) -> None:
    cluster = adapter.TempCluster(bin_dir=server_programs, server_settings={"log_connections": "on"})
    async with cluster as entered:
        assert entered is cluster
        assert cluster.is_running()
        assert cluster.connect_kwargs() == {
            "host": cluster.host,
            "port": cluster.port,
            "user": "postgres",
            "password": cluster.password,
            "database": "postgres",
        }
        assert cluster.dsn == f"postgresql://postgres:{cluster.password}@127.0.0.1:{cluster.port}/postgres"
        assert answer_to_ssl_request(socket.AF_INET, (cluster.host, cluster.port)) == b"N"
        assert answer_to_ssl_request(socket.AF_UNIX, f"{cluster.socket_dir}/.s.PGSQL.{cluster.port}") == b"N"
        assert f"starting PostgreSQL {cluster.major_version}." in cluster.read_log()
        assert "connection received: host=127.0.0.1" in cluster.read_log()
        assert "password" not in os.listdir(cluster.socket_dir)
        place = (cluster.port, cluster.pid, cluster.socket_dir)
        assert is_alive(cluster.pid)
        with pytest.raises(policy.ClusterError, match="running already"):
            await cluster.start()
    assert_gone(*place)
    assert not cluster.is_running()
    await cluster.stop()


@pytest.mark.anyio
async def test_started_again_it_is_another_server(adapter: ModuleType, server_programs: str) -> None:
    cluster = adapter.TempCluster(bin_dir=server_programs)
    passwords = []
    for _ in range(2):
        await cluster.start()
        passwords.append(cluster.password)
        await cluster.stop()
    assert passwords[0] != passwords[1]


@pytest.mark.anyio
async def test_gone_after_an_exception(adapter: ModuleType, server_programs: str) -> None:
    async def fail() -> None:
        async with adapter.TempCluster(bin_dir=server_programs) as cluster:
            place.extend((cluster.port, cluster.pid, cluster.socket_dir))
            raise LookupError

    place: list[Any] = []
    with pytest.raises(LookupError):
        await fail()
    assert_gone(*place)


@pytest.mark.anyio
async def test_gone_after_a_cancellation(adapter: ModuleType, server_programs: str) -> None:
    with anyio.CancelScope() as scope:
        async with adapter.TempCluster(bin_dir=server_programs) as cluster:
            place = (cluster.port, cluster.pid, cluster.socket_dir)
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert_gone(*place)


@pytest.fixture
def temporary_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty folder for the clusters' folders; pytest's own is too deep for sockets, and closed to other accounts."""
    with tempfile.TemporaryDirectory(prefix="pgsansio-test-") as name:
        os.chmod(name, 0o777)
        monkeypatch.setattr(tempfile, "tempdir", name)
        yield name


@pytest.mark.anyio
async def test_cancelled_while_it_starts(adapter: ModuleType, server_programs: str, temporary_folder: str) -> None:
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(adapter.TempCluster(bin_dir=server_programs).start)
            while not glob.glob(f"{temporary_folder}/*/data/postmaster.pid"):
                await anyio.lowlevel.checkpoint()
            scope.cancel()
    assert not os.listdir(temporary_folder)


@pytest.mark.anyio
async def test_not_ready_in_time(adapter: ModuleType, server_programs: str, temporary_folder: str) -> None:
    with pytest.raises(policy.ClusterError, match=r"not ready within 0\.001 s"):
        await adapter.TempCluster(bin_dir=server_programs, start_timeout=0.001).start()
    assert not os.listdir(temporary_folder)


@pytest.mark.anyio
async def test_a_setting_the_server_refuses(adapter: ModuleType, server_programs: str, temporary_folder: str) -> None:
    cluster = adapter.TempCluster(bin_dir=server_programs, server_settings={"max_connections": "many"})
    with pytest.raises(policy.ClusterError, match='invalid value for parameter "max_connections": "many"'):
        await cluster.start()
    assert not os.listdir(temporary_folder)
    assert not cluster.is_running()


@pytest.mark.anyio
async def test_a_server_that_died_is_cleared_away(adapter: ModuleType, server_programs: str) -> None:
    async with adapter.TempCluster(bin_dir=server_programs) as cluster:
        place = (cluster.port, cluster.pid, cluster.socket_dir)
        os.kill(cluster.pid, signal.SIGKILL)
        assert eventually(lambda: not takes_connections(place[0]))
    assert_gone(*place)


@pytest.mark.anyio
async def test_a_stopped_server_can_be_stopped(adapter: ModuleType, server_programs: str) -> None:
    async with adapter.TempCluster(bin_dir=server_programs) as cluster:
        place = (cluster.port, cluster.pid, cluster.socket_dir)
        os.kill(cluster.pid, signal.SIGSTOP)
    assert_gone(*place)


@pytest.mark.anyio
async def test_another_port_if_one_is_taken(
    adapter: ModuleType, server_programs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module(adapter.__name__.replace("cluster", "launcher"))
    choose = module._free_port
    with socket.create_server(("127.0.0.1", 0)) as other:
        ports = iter([other.getsockname()[1]])
        monkeypatch.setattr(module, "_free_port", lambda: next(ports, None) or choose())
        async with adapter.TempCluster(bin_dir=server_programs) as cluster:
            assert cluster.port != other.getsockname()[1]
            assert takes_connections(cluster.port)


@pytest.mark.anyio
async def test_no_programs(adapter: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(policy.ClusterError, match=r"no PostgreSQL server programs .* set PG_BIN"):
        await adapter.TempCluster(bin_dir=str(tmp_path)).start()


SCRIPT = """
import asyncio, sys, time
from pgsansio_asyncio.cluster import TempCluster

async def main(programs, way):
    cluster = TempCluster(bin_dir=programs)
    await cluster.start()
    print(cluster.port, cluster.pid, cluster.socket_dir, flush=True)
    if way == "exit":
        sys.exit(3)
    try:
        await asyncio.sleep(60)
    finally:
        if way == "interrupt":
            await cluster.stop()

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("way", "signal_number", "status"),
    [
        pytest.param("exit", None, 3, id="exit"),
        pytest.param("interrupt", signal.SIGINT, -signal.SIGINT, id="interrupt"),
        pytest.param("wait", signal.SIGTERM, -signal.SIGTERM, id="terminate"),
        pytest.param("wait", signal.SIGKILL, -signal.SIGKILL, id="kill"),
    ],
)
def test_gone_however_we_end(server_programs: str, way: str, signal_number: signal.Signals | None, status: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", SCRIPT, server_programs, way],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        port, pid, folder = process.stdout.readline().split()
        if signal_number is not None:
            assert takes_connections(int(port))
            process.send_signal(signal_number)
        assert process.wait(30) == status
    assert eventually(lambda: not os.path.exists(folder))
    assert eventually(lambda: not is_alive(int(pid)))
    assert not takes_connections(int(port))


def reachable_python() -> str | None:
    """An interpreter that every account can run: ours may be in root's home."""
    nobody = pwd.getpwnam("nobody")
    for name in (sys.executable, "/usr/bin/python3"):
        command = [name, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
        with contextlib.suppress(OSError):
            if not subprocess.run(command, check=False, user=nobody.pw_uid, group=nobody.pw_gid, cwd="/").returncode:
                return name
    return None


@pytest.mark.skipif(os.geteuid() != 0, reason="every other test here runs as an ordinary user")
def test_as_an_ordinary_user(server_programs: str) -> None:
    python = reachable_python()
    if python is None:
        pytest.skip("no Python 3.11 or newer that another account can run")
    nobody = pwd.getpwnam("nobody")
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        for package in ("pgsansio", "pgsansio_asyncio"):
            shutil.copytree(ROOT / package, Path(folder, package), ignore=shutil.ignore_patterns("__pycache__"))
        done = subprocess.run(
            [python, "-B", "-c", SCRIPT, server_programs, "exit"],
            check=False,
            cwd=folder,
            env={"PATH": os.defpath},
            capture_output=True,
            text=True,
            user=nobody.pw_uid,
            group=nobody.pw_gid,
            extra_groups=[],
        )
    assert done.returncode == 3, done.stderr
    port, _, cluster_folder = done.stdout.split()
    assert eventually(lambda: not os.path.exists(cluster_folder))
    assert not takes_connections(int(port))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes accounts")
def test_programs_in_a_closed_folder_are_copied(server_programs: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory() as closed, tempfile.TemporaryDirectory() as copies:
        os.chmod(copies, 0o755)
        monkeypatch.setattr(policy, "_COPIES", f"{copies}/programs-")
        os.makedirs(f"{closed}/package/prefix/bin", 0o700)
        for name in policy.PROGRAMS:
            Path(closed, "package/prefix/bin", name).write_text(f"#!/bin/sh\necho {name}\n")
            Path(closed, "package/prefix/bin", name).chmod(0o700)
        Path(closed, "package.libs").mkdir()
        Path(closed, "package.libs/libx.so").write_bytes(b"x")
        found = launcher.find_programs(f"{closed}/package/prefix/bin")
        assert found.startswith(f"{copies}/programs-")
        assert found.endswith("/package/prefix/bin")
        assert Path(found, "../../../package.libs/libx.so").read_bytes() == b"x"
        nobody = pwd.getpwnam("nobody")
        run = subprocess.run([f"{found}/initdb"], capture_output=True, check=True, user=nobody.pw_uid, cwd="/")
        assert run.stdout == b"initdb\n"
        assert os.stat(closed).st_mode & 0o777 == 0o700
        # A second time the copy is used again, but not if somebody else could have changed it.
        marker = Path(found, "marker")
        marker.touch()
        assert launcher.find_programs(f"{closed}/package/prefix/bin") == found
        assert marker.exists()
        (copy,) = Path(copies).iterdir()
        copy.chmod(0o777)
        with pytest.raises(policy.ClusterError, match="belongs to somebody else"):
            launcher.find_programs(f"{closed}/package/prefix/bin")
