"""Imports go downwards only, and the pure package imports nothing that waits, asks a clock or touches the system."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

#: What each part of `pgsansio` may import besides itself. A part is a module or a package directly below it.
BASE = {"errors", "enums", "types", "_error_base", "sqlstates"}
WIRE = BASE | {"wire"}
MESSAGES = WIRE | {"messages"}
AUTHENTICATION = MESSAGES | {"authentication"}
ENGINE = AUTHENTICATION | {"kernel", "engine", "policy"}
BELOW: dict[str, set[str]] = {
    "enums": set(),
    "_error_base": {"enums"},
    "sqlstates": {"enums", "_error_base"},
    "errors": {"enums", "_error_base", "sqlstates"},
    "types": {"enums", "errors"},
    "kernel": BASE,
    "wire": BASE | {"kernel"},
    "messages": WIRE | {"kernel"},
    "authentication": MESSAGES,
    "policy": BASE | {"messages"},
    "engine": ENGINE,
    "codecs": MESSAGES | {"kernel"},
    "statement": ENGINE | {"codecs"},
    "simple_statement": ENGINE | {"codecs", "statement"},
    "frontend": ENGINE | {"codecs", "statement", "simple_statement"},
    "backend": ENGINE,
    "tap": ENGINE | {"frontend"},
    "tls": ENGINE,
    "client": ENGINE | {"codecs", "statement", "simple_statement", "frontend", "tap"},
    "testing": ENGINE | {"codecs", "statement", "simple_statement", "frontend", "backend", "client"},
    "cli": ENGINE | {"codecs", "statement", "frontend", "tap", "client"},
}
FORBIDDEN = {
    *("socket", "ssl", "select", "selectors", "asyncio", "trio", "anyio", "uvloop", "threading", "multiprocessing"),
    *("concurrent", "signal", "time", "random", "secrets", "subprocess", "tempfile", "pathlib", "io"),
}
ADAPTERS = {"pgsansio_asyncio", "pgsansio_trio"}

PURE = sorted((ROOT / "pgsansio").rglob("*.py"))
ADAPTER_FILES = [path for adapter in sorted(ADAPTERS) for path in sorted((ROOT / adapter).rglob("*.py"))]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports(tree: ast.AST) -> Iterator[str]:
    """Every imported module; those of `if TYPE_CHECKING` too, since they are knowledge as well."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import"
            assert node.module is not None
            yield node.module
            if node.module == "pgsansio":
                yield from (f"pgsansio.{alias.name}" for alias in node.names if alias.name != "__version__")


def part_of(path: Path) -> str:
    return path.relative_to(ROOT / "pgsansio").parts[0].removesuffix(".py")


def test_the_files_are_found() -> None:
    assert len(PURE) > 50
    assert len(ADAPTER_FILES) > 4
    assert {part_of(path) for path in PURE} - {"__init__"} == set(BELOW), "a part without a place"


@pytest.mark.parametrize("path", [path for path in PURE if part_of(path) != "__init__"], ids=name_of)
def test_imports_go_downwards(path: Path) -> None:
    part = part_of(path)
    used = {name.split(".")[1] for name in imports(ast.parse(path.read_text())) if name.startswith("pgsansio.")}
    assert used - {part} <= BELOW[part]


@pytest.mark.parametrize("path", PURE, ids=name_of)
def test_the_pure_package_is_pure(path: Path) -> None:
    tree = ast.parse(path.read_text())
    used = {name.split(".")[0] for name in imports(tree)}
    assert not used & (FORBIDDEN | ADAPTERS)
    if name_of(path) != "pgsansio/kernel/__init__.py":
        assert "os" not in used
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert not called & {"open", "input", "print", "__import__"}


@pytest.mark.parametrize("path", ADAPTER_FILES, ids=name_of)
def test_adapters_do_not_know_each_other(path: Path) -> None:
    others = ADAPTERS - {path.relative_to(ROOT).parts[0]}
    assert not {name.split(".")[0] for name in imports(ast.parse(path.read_text()))} & others


def test_no_part_imports_one_that_imports_it() -> None:
    """The table itself goes downwards: following it never leads back."""
    done: set[str] = set()
    while set(BELOW) - done:
        free = {part for part in set(BELOW) - done if BELOW[part] - {part} <= done}
        assert free, f"a circle among {sorted(set(BELOW) - done)}"
        done |= free
