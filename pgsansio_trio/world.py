"""What a connection asks of the world besides its server: time, names, files, threads, chance, the user's functions."""

import base64
import inspect
import os
import secrets
import socket
import time
from collections.abc import Callable
from typing import Any, TypeVar, cast

import trio

from pgsansio.client.port import BinaryFile, FilePath, GssContext
from pgsansio.policy.conninfo import TcpAddress
from pgsansio.policy.gss import GssTarget
from pgsansio.policy.tls_settings import TlsSettings
from pgsansio_trio.files import read_small
from pgsansio_trio.gss import gss_context
from pgsansio_trio.tcp import numeric_host
from pgsansio_trio.tls import tls_context

__all__ = ["World"]

T = TypeVar("T")


class World:
    """This part of the port has no state."""

    def task(self) -> object:
        return trio.lowlevel.current_task()

    def stopwatch(self) -> float:
        return time.perf_counter()

    def nonce(self) -> str:
        return base64.b64encode(secrets.token_bytes(18)).decode()

    async def resolve(self, host: str, port: int) -> list[TcpAddress]:
        found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(TcpAddress(numeric_host(entry[4]), port) for entry in found))

    async def tls_context(self, settings: TlsSettings) -> object:
        # Files may be far away, and connecting has a time limit.
        return await trio.to_thread.run_sync(tls_context, settings, abandon_on_cancel=True)

    async def read_file(self, path: str, *, private: bool = False) -> str | None:
        # Most machines have no such file, and a thread takes much longer than this question.
        if not os.path.exists(path):  # noqa: ASYNC240
            return None
        # It may be far away, and connecting has a time limit.
        return await trio.to_thread.run_sync(read_small, path, private, abandon_on_cancel=True)

    async def open_file(self, path: FilePath, *, writing: bool) -> BinaryFile:
        # A thread that has begun is waited for, whatever is cancelled.
        return cast(BinaryFile, await trio.to_thread.run_sync(open, path, "wb" if writing else "rb"))

    async def run_elsewhere(self, function: Callable[[], T], *, may_abandon: bool = False) -> T:
        return await trio.to_thread.run_sync(function, abandon_on_cancel=may_abandon)

    def gss_context(self, target: GssTarget) -> GssContext:
        return gss_context(target)

    async def call_user(self, function: Callable[..., Any], *arguments: object) -> Any:
        result = function(*arguments)
        if inspect.isawaitable(result):
            return await result
        await trio.lowlevel.checkpoint()
        return result
