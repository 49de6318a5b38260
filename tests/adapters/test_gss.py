"""What adapters do with the packages for GSSAPI and SSPI; with a real one: tests/server/test_kerberos.py."""

import importlib
import socket
import sys
import threading
from collections.abc import Callable
from enum import IntEnum, IntFlag
from types import ModuleType
from typing import Any

import anyio
import pytest

from pgsansio.client.port import GssContext
from pgsansio.errors import InterfaceError
from pgsansio.messages.authentication import AuthenticationGSS
from pgsansio.policy.gss import GssTarget
from tests.support.clients import PATIENCE_SECONDS

KERBEROS = GssTarget("gssapi", "postgres", "db.example")
WINDOWS = GssTarget("sspi", "postgres", "db.example")


@pytest.fixture(params=["asyncio", "trio"])
def gss_context(request: pytest.FixtureRequest) -> Callable[[GssTarget], GssContext]:
    function: Callable[[GssTarget], GssContext] = importlib.import_module(f"pgsansio_{request.param}.gss").gss_context
    return function


class RequirementFlag(IntEnum):
    delegate_to_peer = 1
    mutual_authentication = 2


class IscReq(IntFlag):
    ISC_REQ_DELEGATE = 1
    ISC_REQ_MUTUAL_AUTH = 2


class Library(ModuleType):
    """As much of `gssapi` and `sspilib` as is used. Contexts are established by the second step."""

    RequirementFlag = RequirementFlag
    NameType = type("NameType", (), {"hostbased_service": "host"})
    raw = type("raw", (), {"IscReq": IscReq})

    def __init__(self, *, actual: frozenset[RequirementFlag] = frozenset(RequirementFlag)) -> None:
        super().__init__("library")
        self.actual = actual
        self.made: list[dict[str, Any]] = []

    def Name(self, *words: str) -> tuple[str, ...]:
        return words

    def UserCredential(self, *, protocol: str) -> str:
        return protocol

    def SecurityContext(self, **arguments: Any) -> "Context":
        self.made.append(arguments)
        return Context(self.actual)

    ClientSecurityContext = SecurityContext


class Context:
    def __init__(self, actual: frozenset[RequirementFlag]) -> None:
        self.actual_flags = actual
        self.complete = False

    def step(self, token: bytes | None) -> bytes | None:
        self.complete = token is not None
        return None if self.complete else b"ours"


@pytest.mark.parametrize(("delegate", "flags"), [(False, [2]), (True, [2, 1])])
def test_gssapi(
    gss_context: Callable[[GssTarget], GssContext], delegate: bool, flags: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    library = Library()
    monkeypatch.setitem(sys.modules, "gssapi", library)
    context = gss_context(GssTarget("gssapi", "postgres", "db.example", delegate=delegate))
    assert library.made == [{"name": ("postgres@db.example", "host"), "flags": flags, "usage": "initiate"}]
    assert context.step(None) == (b"ours", False)
    assert context.step(b"x") == (None, True)


def test_a_mechanism_without_mutual_authentication(
    gss_context: Callable[[GssTarget], GssContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gssapi", Library(actual=frozenset()))
    context = gss_context(KERBEROS)
    assert context.step(None) == (b"ours", False)
    with pytest.raises(InterfaceError, match="was to prove who it is"):
        context.step(b"x")


@pytest.mark.parametrize(("negotiate", "protocol"), [(False, "Kerberos"), (True, "Negotiate")])
@pytest.mark.parametrize(("delegate", "flags"), [(False, None), (True, 3)])
def test_sspi(
    gss_context: Callable[[GssTarget], GssContext],
    negotiate: bool,
    protocol: str,
    delegate: bool,
    flags: int | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    library = Library()
    monkeypatch.setitem(sys.modules, "sspilib", library)
    context = gss_context(GssTarget("sspi", "postgres", "db.example", negotiate=negotiate, delegate=delegate))
    assert library.made == [{"target_name": "postgres/db.example", "credential": protocol, "flags": flags}]
    assert context.step(None) == (b"ours", False)
    assert context.step(b"x") == (None, True)


@pytest.mark.parametrize(("target", "name"), [(KERBEROS, "gssapi"), (WINDOWS, "sspilib")])
def test_a_package_that_does_not_work(
    gss_context: Callable[[GssTarget], GssContext], target: GssTarget, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Finder:
        error: ImportError = ModuleNotFoundError("no module")

        def find_spec(self, wanted: str, *arguments: object) -> None:
            if wanted == name:
                raise self.error

    finder = Finder()
    monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(sys, "meta_path", [finder, *sys.meta_path])
    with pytest.raises(InterfaceError, match=rf"^{name} module not found; please install pgsansio\[gssauth\] to use"):
        gss_context(target)
    finder.error = ImportError("libgssapi_krb5.so.2: cannot open shared object file")
    with pytest.raises(InterfaceError, match=f"^{name} module cannot be imported: libgssapi_krb5"):
        gss_context(target)


@pytest.mark.anyio
async def test_a_step_that_takes_long(anyio_backend_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kerberos's servers may not answer; that keeps nobody from cancelling."""
    begun, go_on = threading.Event(), threading.Event()

    class Slow(Context):
        def step(self, token: bytes | None) -> bytes | None:
            begun.set()
            go_on.wait(PATIENCE_SECONDS)
            return b"ours"

    library = Library()
    monkeypatch.setattr(library, "SecurityContext", lambda **arguments: Slow(frozenset()), raising=False)
    monkeypatch.setitem(sys.modules, "gssapi", library)
    module = importlib.import_module(f"pgsansio_{anyio_backend_name}")
    heard: list[bytes] = []

    def serve(listening: socket.socket) -> None:
        peer, _ = listening.accept()
        with peer:
            peer.settimeout(PATIENCE_SECONDS)
            peer.recv(1000)
            peer.sendall(AuthenticationGSS().encode())
            heard.append(peer.recv(1000))

    async def connect(port: int) -> None:
        await module.connect(host="127.0.0.1", port=port, user="u", database="d", ssl=False)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(PATIENCE_SECONDS)
        server = threading.Thread(target=serve, args=(listening,))
        server.start()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(connect, listening.getsockname()[1])
                assert await anyio.to_thread.run_sync(begun.wait, PATIENCE_SECONDS)
                tasks.cancel_scope.cancel()
            await anyio.to_thread.run_sync(server.join)
            assert heard == [b""]
            assert not go_on.is_set()
        finally:
            go_on.set()
