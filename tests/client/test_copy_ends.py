"""Where the data of a COPY comes from and goes to, when that is no file of the system."""

import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pgsansio.client import copy_ends
from pgsansio.testing.loop import Cancelled, VirtualLoop
from tests.support.toy_server import ToyCluster


class File(io.BytesIO):
    """One that keeps what was written when it is closed, and may take little at a time, or refuse to close."""

    def __init__(self, data: bytes = b"", *, takes: int = 1 << 20, closing: BaseException | None = None) -> None:
        super().__init__(data)
        self.takes = takes
        self.closing = closing
        self.content = b""

    def write(self, data: Any) -> int:
        return super().write(bytes(data)[: self.takes])

    def close(self) -> None:
        if not self.closed:
            self.content = self.getvalue()
            super().close()
            if self.closing is not None:
                raise self.closing


class AsyncFile:
    def __init__(self) -> None:
        self.content = b""
        self.left = [b"ab", b"c", b""]

    async def write(self, data: bytes) -> None:
        self.content += data

    async def read(self, size: int) -> bytes:
        return self.left.pop(0)


def new_loop(file: File | None = None) -> VirtualLoop:
    loop = VirtualLoop(ToyCluster())
    if file is not None:
        loop.open_file = lambda path, writing: file  # type: ignore[assignment]
    return loop


async def chunks() -> AsyncIterator[bytes]:
    yield b"ab"
    yield b"c"


async def read_all(source: copy_ends.SourceReader) -> bytes:
    found = b""
    while (piece := await source.read()) is not None:
        found += piece
    return found


# Where it goes


@pytest.mark.parametrize("path", ["out", b"out", Path("out")])
def test_a_path_is_opened_written_to_and_closed(path: Any) -> None:
    file = File(takes=2)
    loop = new_loop(file)

    async def body() -> None:
        sink = await copy_ends.open_sink(loop.port(), path)
        await sink.write(b"abcde")
        await sink.close(None)

    loop.finish(body())
    assert file.closed
    assert file.content == b"abcde"


def test_a_file_is_its_owners() -> None:
    loop, file, asynchronous = new_loop(), File(), AsyncFile()
    found: list[bytes] = []

    async def function(data: bytes) -> None:
        found.append(data)

    async def body() -> None:
        for output in (file, asynchronous, function):
            sink = await copy_ends.open_sink(loop.port(), output)
            await sink.write(b"abc")
            await sink.close(None)

    loop.finish(body())
    assert not file.closed
    assert [file.getvalue(), asynchronous.content, *found] == [b"abc"] * 3


def test_what_is_no_output() -> None:
    loop = new_loop()
    with pytest.raises(TypeError, match=r"a file-like object, a path-like object or a coroutine function, not int"):
        loop.finish(copy_ends.open_sink(loop.port(), 7))
    with pytest.raises(TypeError, match="output is expected to be a file opened in binary mode, got a text file"):
        loop.finish(copy_ends.open_sink(loop.port(), io.StringIO()))
    with pytest.raises(FileNotFoundError):
        loop.finish(copy_ends.open_sink(loop.port(), "out"))


FULL = OSError(28, "No space left on device")


def test_an_error_of_closing_counts_if_there_is_no_other() -> None:
    async def body(error: BaseException | None) -> None:
        loop_file = await copy_ends.open_sink(loop.port(), "out")
        await loop_file.close(error)

    loop = new_loop(File(closing=FULL))
    with pytest.raises(OSError, match="No space left"):
        loop.finish(body(None))
    file = File(closing=FULL)
    loop = new_loop(file)
    loop.finish(body(KeyError("mine")))
    assert file.closed


@pytest.mark.parametrize("error", [GeneratorExit(), Cancelled()])
def test_what_leaves_a_file_behind_closes_it_all_the_same(error: BaseException) -> None:
    file = File()
    loop = new_loop(file)

    async def body() -> None:
        sink = await copy_ends.open_sink(loop.port(), "out")
        await sink.close(error)

    loop.finish(body())
    loop.run()
    assert file.closed
    assert not loop.failures


def test_closing_that_is_cancelled_is_owed() -> None:
    file = File()
    loop = new_loop(file)

    async def body() -> None:
        sink = await copy_ends.open_sink(loop.port(), "out")
        await sink.close(None)

    task = loop.start(body())
    while task.stop is None or task.stop.name != "run_elsewhere":
        loop.step()
    task.cancel()
    loop.run()
    assert isinstance(task.error, Cancelled)
    assert file.closed


# Where it comes from


@pytest.mark.parametrize(
    "source",
    [
        "in",
        Path("in"),
        io.BytesIO(b"abc"),
        AsyncFile(),
        chunks(),
        b"abc",
        bytearray(b"abc"),
        memoryview(b"abc"),
    ],
    ids=["str", "Path", "file", "asynchronous file", "chunks", "bytes", "bytearray", "memoryview"],
)
def test_all_of_a_source_is_read(source: Any) -> None:
    file = File(b"abc")
    loop = new_loop(file)

    async def body() -> bytes:
        reader = await copy_ends.open_source(loop.port(), source)
        found = await read_all(reader)
        await reader.close(None)
        return found

    assert loop.finish(body()) == b"abc"
    assert file.closed == isinstance(source, str | Path)
    assert not getattr(source, "closed", False)


def test_what_is_no_source() -> None:
    loop = new_loop()

    async def wrong() -> AsyncIterator[Any]:
        yield "text"

    class Text:
        def read(self, size: int) -> str:
            return "text"

    async def body(source: Any) -> None:
        await read_all(await copy_ends.open_source(loop.port(), source))

    for source, text in (
        (7, "source is expected to be a path, a binary file, bytes or an async iterable, got int"),
        (io.StringIO("x"), "source is expected to be a file opened in binary mode, got a text file"),
        (wrong(), "a COPY source is expected to yield bytes, got str"),
        (Text(), r"read\(\) of a COPY source is expected to return bytes, got str"),
    ):
        with pytest.raises(TypeError, match=text):
            loop.finish(body(source))
    with pytest.raises(FileNotFoundError):
        loop.finish(body("in"))


@pytest.mark.parametrize("fails", [False, True])
def test_a_generator_that_an_error_leaves_is_closed(fails: bool) -> None:
    loop = new_loop()
    closed: list[bool] = []

    async def generator() -> AsyncIterator[bytes]:
        try:
            yield b"ab"
            yield b"c"
        finally:
            closed.append(True)
            if fails:
                raise OSError

    async def body() -> None:
        reader = await copy_ends.open_source(loop.port(), generator())
        assert await reader.read() == b"ab"
        await reader.close(KeyError("mine"))

    loop.finish(body())
    assert closed == [True]
