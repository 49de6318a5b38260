"""What a port does by itself, whatever the engine: on each loop, over a Unix socket."""

import contextlib
import gc
import os
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import trio

import pgsansio_asyncio.port
import pgsansio_trio.baton
import pgsansio_trio.port
from pgsansio.engine.operations import Operation
from pgsansio.policy.conninfo import UnixAddress
from pgsansio_trio.port import TrioPort
from tests.support.clients import PATIENCE_SECONDS
from tests.support.toy_engine import CANCEL, PAUSE, SETTLED, TOKEN, ToyEngine


def make_port(loop: str) -> Any:
    return pgsansio_trio.port.TrioPort() if loop == "trio" else pgsansio_asyncio.port.AsyncioPort()


@contextlib.asynccontextmanager
async def connected(port: Any, engine: ToyEngine) -> AsyncIterator[socket.socket]:
    """Open this port; the server's end."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        address = UnixAddress(f"{folder}/socket", 5432)
        listening.bind(address.path)
        listening.listen()
        await port.open_stream(address, engine)
        server, _ = listening.accept()
    with server:
        server.setblocking(False)
        yield server
        await port.close()


async def wait(port: Any, operation: Operation) -> None:
    await port.wait(operation)


@pytest.mark.anyio
async def test_what_the_engine_does_not_want_is_not_read(anyio_backend_name: str) -> None:
    engine, port = ToyEngine(), make_port(anyio_backend_name)
    async with connected(port, engine) as server, anyio.create_task_group() as tasks:
        first, second = engine.submit(1), engine.submit(1)
        tasks.start_soon(wait, port, first)
        await anyio.lowlevel.checkpoint()
        server.send(TOKEN.pack(PAUSE, 0))
        with anyio.fail_after(PATIENCE_SECONDS):
            while not engine.reading_paused:
                await anyio.lowlevel.checkpoint()
        tasks.start_soon(wait, port, second)
        server.send(TOKEN.pack(SETTLED, 1) + TOKEN.pack(SETTLED, 0))
        for _ in range(30):
            await anyio.lowlevel.checkpoint()
        assert not first.settled
        assert not second.settled
        # Somebody has taken what was there, or does not want it any more; whoever waits next has it read on.
        engine.reading_paused = False
        with anyio.fail_after(PATIENCE_SECONDS):
            await port.wait(second)
        assert second.settled


@pytest.mark.anyio
async def test_a_cancellation_that_falls_due_has_a_time_limit(
    anyio_backend_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pgsansio_asyncio.port, "_CANCEL_SECONDS", 0.01)
    monkeypatch.setattr(pgsansio_trio.baton, "CANCEL_GRACE", 0.01)
    engine, port = ToyEngine(), make_port(anyio_backend_name)
    over = anyio.Event()

    async def cancel() -> None:
        engine.cancel_due = False
        try:
            await anyio.sleep_forever()
        finally:
            over.set()

    port.on_cancel_due = cancel
    async with connected(port, engine) as server, anyio.create_task_group() as tasks:
        tasks.start_soon(wait, port, engine.submit(1))
        await anyio.lowlevel.checkpoint()
        server.send(TOKEN.pack(CANCEL, 0))
        with anyio.fail_after(PATIENCE_SECONDS):
            await over.wait()
        port.abort()


@pytest.mark.anyio
async def test_a_block_ends_in_time(anyio_backend_name: str) -> None:
    port = make_port(anyio_backend_name)
    over, later = port.clock() - 1, port.clock() + PATIENCE_SECONDS
    with pytest.raises(TimeoutError):
        async with port.deadline(over):
            await anyio.sleep_forever()
    # The one whose time is over says so, and the one inside is left by a cancellation.
    left = []

    async def wait_within() -> None:
        async with port.deadline(later):
            try:
                await anyio.sleep_forever()
            finally:
                left.append(sys.exception())

    with pytest.raises(TimeoutError):
        async with port.deadline(over):
            await wait_within()
    assert isinstance(left[0], anyio.get_cancelled_exc_class())
    # What ends in time, or fails by itself, is never cancelled.
    for at in (None, later):
        async with port.deadline(at):
            await anyio.lowlevel.checkpoint()
    with pytest.raises(ZeroDivisionError):
        async with port.deadline(over):
            raise ZeroDivisionError
    await anyio.lowlevel.checkpoint()


@pytest.mark.anyio
async def test_a_cancellation_from_outside_is_not_a_matter_of_time(anyio_backend_name: str) -> None:
    port = make_port(anyio_backend_name)
    with anyio.CancelScope() as scope:
        async with port.deadline(port.clock() + PATIENCE_SECONDS):
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    await anyio.lowlevel.checkpoint()


def test_a_unix_socket_that_takes_no_more_is_not_waited_for() -> None:
    async def connect(address: UnixAddress) -> None:
        ports = [TrioPort() for _ in range(10)]
        try:
            for port in ports:
                await port.open_stream(address, ToyEngine())
        finally:
            for port in ports:
                port.abort()

    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(f"{folder}/socket")
        listening.listen(1)
        with pytest.raises(BlockingIOError):
            trio.run(connect, UnixAddress(f"{folder}/socket", 5432))


@pytest.mark.anyio
async def test_closing_what_was_never_opened(anyio_backend_name: str) -> None:
    port = make_port(anyio_backend_name)
    port.abort()
    await port.close()
    await port.close()


def test_aborting_after_the_end_of_the_run() -> None:
    engine = ToyEngine()

    async def main(listening: socket.socket, address: UnixAddress) -> TrioPort:
        port = TrioPort()
        listening.bind(address.path)
        listening.listen()
        await port.open_stream(address, engine)
        return port

    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        port = trio.run(main, listening, UnixAddress(f"{folder}/socket", 5432))
        port.abort()
    assert engine.ended


@pytest.mark.anyio
async def test_files_are_opened(anyio_backend_name: str, tmp_path: Path) -> None:
    port = make_port(anyio_backend_name)
    for path in (tmp_path / "a", str(tmp_path / "b"), bytes(tmp_path / "c")):
        file = await port.open_file(path, writing=True)
        assert file.write(b"\r\n\xff") == 3
        file.close()
        file = await port.open_file(path, writing=False)
        assert file.read(5) == b"\r\n\xff"
        file.close()
    with pytest.raises(FileNotFoundError):
        await port.open_file(tmp_path / "d", writing=False)


@pytest.mark.anyio
async def test_a_file_whose_opening_is_cancelled_is_closed(anyio_backend_name: str, tmp_path: Path) -> None:
    """One that were left open would be a ResourceWarning, which fails the test."""
    port = make_port(anyio_backend_name)

    async def use(path: Path) -> None:
        (await port.open_file(path, writing=True)).close()

    for number in range(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(use, tmp_path / str(number))
            await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
    await port.run_elsewhere(lambda: None)
    gc.collect()


@pytest.mark.anyio
@pytest.mark.filterwarnings("always:.*is ignored")
async def test_nobody_waits_for_a_named_pipe(anyio_backend_name: str, tmp_path: Path) -> None:
    """Not even a thread, which would keep the process from ending."""
    pipe = tmp_path / "pgpass"
    os.mkfifo(pipe, 0o600)
    with anyio.fail_after(PATIENCE_SECONDS), pytest.warns(UserWarning, match="is expected to be a plain file"):
        assert await make_port(anyio_backend_name).read_file(str(pipe), private=True) is None
