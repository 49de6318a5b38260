"""Which kernel runs is decided once, at import, so each case is a process."""

import importlib.util
import os
import subprocess
import sys
import types
from importlib.machinery import ModuleSpec

import pytest

from pgsansio import kernel
from pgsansio.kernel import contract

IS_BUILT = importlib.util.find_spec("pgsansio.kernel._compiled") is not None
BUILT = pytest.mark.skipif(not IS_BUILT, reason="the compiled kernel is not built")

#: Run first, to make of it what was built for another version of the contract, or of Python, or not at all.
OTHER_VERSION = "import types; sys.modules[NAME] = types.SimpleNamespace(CONTRACT_VERSION=1); "
NOT_FOR_THIS_PYTHON = """
class Finder:
    def find_spec(self, name, path, target=None):
        if name == NAME: raise ImportError("undefined symbol: x")
sys.meta_path.insert(0, Finder())
"""
# As the import system does it: with the name, which tells a module that is missing from one that misses another.
NOT_BUILT = NOT_FOR_THIS_PYTHON.replace('ImportError("undefined symbol: x")', "ModuleNotFoundError(name, name=name)")


def import_with(choice: str | None, before: str = "") -> tuple[str, str]:
    """(what it printed, what it complained about)"""
    environment = {name: value for name, value in os.environ.items() if name != "PGSANSIO_KERNEL"}
    if choice is not None:
        environment["PGSANSIO_KERNEL"] = choice
    program = f"""
import sys
NAME = "pgsansio.kernel._compiled"
{before}
from pgsansio import kernel
print(kernel.NAME, '|', kernel.REASON)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip(), done.stderr


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        pytest.param(None, "compiled | the compiled kernel is built", marks=BUILT),
        pytest.param("", "compiled | the compiled kernel is built", marks=BUILT),
        pytest.param("compiled", "compiled | PGSANSIO_KERNEL=compiled", marks=BUILT),
        ("pure", "pure | PGSANSIO_KERNEL=pure"),
    ],
)
def test_choice(choice: str | None, expected: str) -> None:
    assert import_with(choice) == (expected, "")


WITHOUT = pytest.mark.parametrize(
    ("before", "reason"),
    [
        (NOT_BUILT, "the compiled kernel is not built"),
        (NOT_FOR_THIS_PYTHON, "the compiled kernel cannot be imported: undefined symbol: x"),
        (OTHER_VERSION, f"the compiled kernel is of version 1 of the contract, not {contract.CONTRACT_VERSION}"),
    ],
)


@WITHOUT
def test_without_a_compiled_kernel(before: str, reason: str) -> None:
    assert import_with(None, before) == (f"pure | {reason}", "")
    printed, complaint = import_with("compiled", before)
    assert printed == ""
    assert f"ImportError: PGSANSIO_KERNEL=compiled, but {reason}" in complaint


def test_refused_choice() -> None:
    printed, complaint = import_with("fast")
    assert printed == ""
    assert "ImportError: PGSANSIO_KERNEL=fast: expected 'pure' or 'compiled'" in complaint


def test_names_of_the_contract() -> None:
    assert kernel.CONTRACT_VERSION == contract.CONTRACT_VERSION
    for name in set(contract.Kernel.__annotations__) | {name for name in vars(contract.Kernel) if name[0] != "_"}:
        assert hasattr(kernel, name)


def test_why_there_is_no_compiled_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "pgsansio.kernel._compiled"
    monkeypatch.setitem(sys.modules, name, None)
    assert kernel._load() == "the compiled kernel is not built"
    assert kernel._choose("") == kernel._choose(None) == (kernel.pure, "the compiled kernel is not built")
    with pytest.raises(ImportError, match="PGSANSIO_KERNEL=compiled, but the compiled kernel is not built"):
        kernel._choose("compiled")
    other: object = types.SimpleNamespace(CONTRACT_VERSION=1)
    monkeypatch.setitem(sys.modules, name, other)
    expected = f"the compiled kernel is of version 1 of the contract, not {contract.CONTRACT_VERSION}"
    assert kernel._load() == expected
    monkeypatch.delitem(sys.modules, name)

    class Finder:
        @staticmethod
        def find_spec(wanted: str, path: object, target: object = None) -> ModuleSpec | None:
            if wanted == name:
                raise ImportError("undefined symbol: x")
            return None

    monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])
    assert kernel._load() == "the compiled kernel cannot be imported: undefined symbol: x"


def test_the_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    built: object = types.SimpleNamespace(CONTRACT_VERSION=contract.CONTRACT_VERSION)
    monkeypatch.setitem(sys.modules, "pgsansio.kernel._compiled", built)
    assert kernel._choose(None) == kernel._choose("") == (built, "the compiled kernel is built")
    assert kernel._choose("compiled") == (built, "PGSANSIO_KERNEL=compiled")
    assert kernel._choose("pure") == (kernel.pure, "PGSANSIO_KERNEL=pure")
    with pytest.raises(ImportError, match="PGSANSIO_KERNEL=fast: expected 'pure' or 'compiled'"):
        kernel._choose("fast")
