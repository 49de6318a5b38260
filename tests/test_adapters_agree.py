"""Both adapters offer the same: names, signatures and docstrings, but for what their loop alone has."""

import importlib
import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import pgsansio_asyncio
import pgsansio_trio

#: What only one loop can offer.
ASYNCIO_ONLY = frozenset({"install_as_asyncpg"})
ASYNCIO_ONLY_PARAMETERS = {"loop"}

SHARED = sorted(set(pgsansio_asyncio.__all__) & set(pgsansio_trio.__all__))
ROOT = Path(__file__).parents[1]
MODULES = ("connection", "listener", "port", "cluster", "tls")


def test_the_same_names() -> None:
    assert set(pgsansio_asyncio.__all__) - ASYNCIO_ONLY == set(pgsansio_trio.__all__)


def neutral(text: str | None) -> str | None:
    """Without the name of the loop."""
    return None if text is None else text.replace("asyncio", "LOOP").replace("trio", "LOOP")


def signature(function: Any) -> str:
    found = inspect.signature(function)
    kept = [value for name, value in found.parameters.items() if name not in ASYNCIO_ONLY_PARAMETERS]
    return neutral(str(found.replace(parameters=kept))) or ""


def functions(owner: Any) -> dict[str, Any]:
    """Public functions defined in this class, or its bases but `object`."""
    return {
        name: value
        for base in reversed(owner.__mro__[:-1])
        for name, value in vars(base).items()
        if not name.startswith("_") and inspect.isfunction(value)
    }


@pytest.mark.parametrize("name", SHARED)
def test_the_same_interface(name: str) -> None:
    ours, theirs = getattr(pgsansio_asyncio, name), getattr(pgsansio_trio, name)
    if ours is theirs:
        return
    assert type(ours) is type(theirs)
    assert first_sentence(ours) == first_sentence(theirs)
    if inspect.isclass(ours):
        mine, others = functions(ours), functions(theirs)
        assert set(mine) == set(others)
        for method, function in mine.items():
            assert signature(function) == signature(others[method]), method
            assert neutral(function.__doc__) == neutral(others[method].__doc__), method
    elif callable(ours):
        assert signature(ours) == signature(theirs)
        assert neutral(ours.__doc__) == neutral(theirs.__doc__)


def first_sentence(value: Any) -> str | None:
    """What something is; how its own loop uses it may come after that."""
    return neutral((inspect.getdoc(value) or "").partition(".")[0])


@pytest.mark.parametrize("name", MODULES)
def test_the_same_files(name: str) -> None:
    def module(package: ModuleType) -> ModuleType:
        return importlib.import_module(f"{package.__name__}.{name}")

    mine, theirs = module(pgsansio_asyncio), module(pgsansio_trio)
    assert {neutral(text.lower()) for text in mine.__all__} == {neutral(text.lower()) for text in theirs.__all__}


@pytest.mark.parametrize(
    "name",
    ["files.py", "gss.py", "launcher.py", "origin.py", "process.py", "tcp.py", "terminal.py", "tls.py", "unix.py"],
)
def test_modules_that_are_the_same(name: str) -> None:
    """The pure package may import nothing that opens files, sockets or processes, and adapters not each other."""
    ours, theirs = (ROOT / f"pgsansio_{loop}" / name for loop in ("asyncio", "trio"))
    assert ours.read_bytes() == theirs.read_bytes()
