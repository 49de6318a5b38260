"""The user's ends of a COPY: what its data comes from, and where it goes.

Files are opened, read, written and closed through the port, off the loop. A file that the caller has opened is his to
close.
"""

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from inspect import iscoroutinefunction
from typing import Any, Final, Protocol, TypeAlias, cast

from pgsansio.client.copy_stream import CopyChunks
from pgsansio.client.port import BinaryFile, FilePath, Port
from pgsansio.codecs.copy_format import HEADER, TRAILER, text_lines
from pgsansio.enums import Format
from pgsansio.kernel import encode_copy, parameter_plan
from pgsansio.kernel.contract import Buffer, ValueCodec

__all__ = [
    "Output",
    "ReadableFile",
    "RecordSource",
    "Records",
    "Sink",
    "Source",
    "SourceReader",
    "WritableFile",
    "open_sink",
    "open_source",
]


class ReadableFile(Protocol):
    """A file opened in binary mode, or like one; its methods may be coroutine functions."""

    def read(self, size: int, /) -> Any: ...


class WritableFile(Protocol):
    """A file opened in binary mode, or like one; its methods may be coroutine functions."""

    def write(self, data: bytes, /) -> Any: ...


Source: TypeAlias = FilePath | ReadableFile | AsyncIterable[Buffer] | Buffer
Output: TypeAlias = FilePath | WritableFile | Callable[[bytes], Awaitable[object]]
Records: TypeAlias = Iterable[Sequence[object]] | AsyncIterable[Sequence[object]]

#: Files are read so much at a time.
_READ_BYTES: Final = 1 << 19
#: Records are encoded so much at a time. Two such pieces (one is framed) are less than the 128 KiB above which glibc's
#: malloc gives free memory back to the system, to get it again for the next one.
_BATCH_BYTES: Final = 48 << 10
#: How long closing a file may take that a cancelled COPY leaves behind.
_CLOSE_SECONDS: Final = 10.0
#: Records of an asynchronous iterable that are collected before they are encoded.
_MAX_COLLECTED: Final = 1000


async def _call(port: Port, method: Callable[[Any], Any], argument: object) -> Any:
    """A method of a file: off the loop, unless it is made for a loop."""
    if iscoroutinefunction(method):
        return await port.call_user(method, argument)
    return await port.run_elsewhere(partial(method, argument))


async def _close_opened(port: Port, file: BinaryFile, error: BaseException | None) -> None:
    """Close a file that was opened here.

    Args:
        error: what the COPY ends with; None: nothing, so that an error of closing counts (the last bytes may not have
            been written).
    """
    if error is None or isinstance(error, Exception):
        try:
            await port.run_elsewhere(file.close)
        except Exception:
            if error is None:
                raise
        except BaseException as cancelled:
            await _close_opened(port, file, cancelled)
            raise
    elif isinstance(error, GeneratorExit):
        file.close()
    else:
        await port.owe(partial(port.run_elsewhere, file.close), _CLOSE_SECONDS)


def _check_binary(file: object, what: str) -> None:
    if hasattr(file, "encoding") and hasattr(file, "newlines"):
        raise TypeError(f"{what} is expected to be a file opened in binary mode, got a text file: {file!r}")


def _is_path(value: object) -> bool:
    return isinstance(value, str) or hasattr(type(value), "__fspath__")


# where it goes


class Sink:
    """Where the data of a COPY TO STDOUT goes."""

    __slots__ = ("_file", "_port", "write")

    def __init__(self, port: Port, write: Callable[[bytes], Awaitable[object]], file: BinaryFile | None = None) -> None:
        self._port = port
        #: Takes the next bytes: a function of the user's, or what writes to a file. Raises what the user's side raises.
        self.write = write
        #: To be closed here.
        self._file = file

    async def close(self, error: BaseException | None) -> None:
        """Nothing more comes; because of this error."""
        if self._file is not None:
            await _close_opened(self._port, self._file, error)


async def open_sink(port: Port, output: object) -> Sink:
    """Where to write: to a path, a file, or a coroutine function.

    Raises:
        TypeError: it is none of these.
        OSError: the file cannot be opened.
    """
    if _is_path(output) or isinstance(output, bytes):
        opened = await port.open_file(cast(FilePath, output), writing=True)
        return Sink(port, partial(_write_file, port, opened), opened)
    if hasattr(output, "write"):
        _check_binary(output, "output")
        return Sink(port, partial(_write_file, port, cast(WritableFile, output)))
    if callable(output):
        return Sink(port, partial(port.call_user, output))
    raise TypeError(
        "output is expected to be a file-like object, a path-like object or a coroutine function, "
        f"not {type(output).__name__}"
    )


async def _write_file(port: Port, file: WritableFile, data: bytes) -> None:
    """All of it; a file without a buffer may take less at a time."""
    while True:
        written = await _call(port, file.write, data)
        if not isinstance(written, int) or not 0 < written < len(data):
            return
        data = data[written:]


# where it comes from


class SourceReader(Protocol):
    """Where the data of a COPY FROM STDIN comes from."""

    async def read(self) -> bytes | memoryview | None:
        """The next piece; None at the end. Raises: whatever the user's side raises."""
        ...

    async def close(self, error: BaseException | None) -> None:
        """Nothing more is asked for, because of this error."""
        ...


async def open_source(port: Port, source: object) -> SourceReader:
    """What to read: a path, a file, an asynchronous iterable, or bytes themselves.

    Raises:
        TypeError: it is none of these.
        OSError: the file cannot be opened.
    """
    if _is_path(source):
        opened = await port.open_file(cast(FilePath, source), writing=False)
        return _FileSource(port, opened, opened)
    if hasattr(source, "read"):
        _check_binary(source, "source")
        return _FileSource(port, cast(ReadableFile, source), None)
    if isinstance(source, AsyncIterable):
        return _ChunkSource(port, aiter(cast(Any, source)))
    return _BufferSource(_view(source, "source is expected to be a path, a binary file, bytes or an async iterable"))


def _view(data: object, expected: str) -> memoryview:
    try:
        return memoryview(cast(bytes, data)).cast("B")
    except TypeError:
        raise TypeError(f"{expected}, got {type(data).__name__}") from None


class _FileSource:
    def __init__(self, port: Port, file: ReadableFile, opened: BinaryFile | None) -> None:
        self._port = port
        self._file = file
        self._opened = opened

    async def read(self) -> memoryview | None:
        data = await _call(self._port, self._file.read, _READ_BYTES)
        return _view(data, "read() of a COPY source is expected to return bytes") if data != b"" else None

    async def close(self, error: BaseException | None) -> None:
        if self._opened is not None:
            await _close_opened(self._port, self._opened, error)


class _BufferSource:
    def __init__(self, data: memoryview) -> None:
        self._data: memoryview | None = data

    async def read(self) -> memoryview | None:
        data, self._data = self._data, None
        return data

    async def close(self, error: BaseException | None) -> None:
        """It is the caller's."""


class _ChunkSource:
    def __init__(self, port: Port, chunks: AsyncIterator[Any]) -> None:
        self._port = port
        self._chunks = chunks

    async def read(self) -> memoryview | None:
        try:
            chunk = await self._port.call_user(self._chunks.__anext__)
        except StopAsyncIteration:
            return None
        return _view(chunk, "a COPY source is expected to yield bytes")

    async def close(self, error: BaseException | None) -> None:
        await _close_iterator(self._port, self._chunks, error)


async def _close_iterator(port: Port, iterator: AsyncIterator[Any], error: BaseException | None) -> None:
    """An iterator that is not at its end is not asked any more: a generator closes what it has opened."""
    if isinstance(iterator, CopyChunks):
        if error is not None:
            await iterator._leave(error)
    elif isinstance(error, Exception) and hasattr(iterator, "aclose"):
        with suppress(Exception):
            await port.call_user(cast(Any, iterator).aclose)


# records


class RecordSource:
    """Records, encoded some 50 KiB at a time; a `SourceReader`.

    Attributes:
        rows: how many were read.
    """

    def __init__(self, port: Port, records: object, codecs: tuple[ValueCodec, ...], wire_format: Format) -> None:
        """Raises TypeError: `records` is no iterable."""
        self._port = port
        self._plan = parameter_plan(codecs)
        self._is_text = wire_format is Format.TEXT
        self._asynchronous: AsyncIterator[Any] | None = None
        self._elements: Iterator[Any] = iter(())
        if isinstance(records, AsyncIterable):
            self._asynchronous = aiter(cast(Any, records))
        else:
            self._elements = iter(cast(Iterable[Any], records))
        #: All of `_elements` was encoded.
        self._used_up = self._asynchronous is not None
        self._begun = self._ended = False
        self._wanted = 16
        self.rows = 0

    async def read(self) -> bytes | None:
        """Raises: DataError of a record that cannot be encoded; whatever the iterable raises."""
        if self._ended:
            return None
        if self._used_up and self._asynchronous is not None:
            await self._collect(self._asynchronous)
        data, count, self._used_up = encode_copy(self._plan, self._elements, _BATCH_BYTES, self.rows)
        self.rows += count
        self._wanted = max(1, min(_MAX_COLLECTED, _BATCH_BYTES * count // max(len(data), 1)))
        self._ended = self._used_up and self._asynchronous is None
        if self._is_text:
            return text_lines(data)
        if not self._begun:
            self._begun = True
            data = HEADER + data
        return data + TRAILER if self._ended else data

    async def _collect(self, records: AsyncIterator[Any]) -> None:
        collected: list[Any] = []
        try:
            while len(collected) < self._wanted:
                collected.append(await self._port.call_user(records.__anext__))
        except StopAsyncIteration:
            self._asynchronous = None
        self._elements = iter(collected)

    async def close(self, error: BaseException | None) -> None:
        if self._asynchronous is not None:
            await _close_iterator(self._port, self._asynchronous, error)
