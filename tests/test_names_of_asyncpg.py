"""The names of the asyncpg that is installed are ours, but for those in a table (part of docs/differences.md)."""

import inspect
import operator
import sys
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest

import pgsansio_asyncio
import pgsansio_trio
from pgsansio_asyncio.compat import asyncpg_tree
from tests.support.names_of_asyncpg import DIFFERENCES, DOCUMENTED, compare, modules_of_asyncpg

MODULES = modules_of_asyncpg()
DOCUMENTED_MODULES = {name: MODULES[name] for name in DOCUMENTED}


def installed(name: str) -> Any:
    return asyncpg_tree()[f"asyncpg.{name}".rstrip(".")]


def attribute_of(package: Any) -> Callable[[str], Any]:
    return lambda name: operator.attrgetter(name)(package) if name else package


#: What differs in each of our packages.
FOUND = {
    "installed": compare(MODULES, installed, frozenset()),
    "asyncio": compare(DOCUMENTED_MODULES, attribute_of(pgsansio_asyncio), frozenset()),
    "trio": compare(DOCUMENTED_MODULES, attribute_of(pgsansio_trio), frozenset({"loop"})),
}


def is_in(path: str, name: str) -> bool:
    return path == name or path.startswith(f"{name}.")


@pytest.mark.checklist("PKG-1", "PKG-4", "E-1")
@pytest.mark.parametrize("package", FOUND)
def test_every_name_is_there_or_in_the_table(package: str) -> None:
    assert [
        difference
        for difference in sorted(FOUND[package])
        if not any(is_in(difference.partition(":")[0], name) for name in DIFFERENCES)
    ] == []


@pytest.mark.parametrize("name", DIFFERENCES)
def test_every_row_of_the_table_is_true(name: str) -> None:
    paths = {difference.partition(":")[0] for found in FOUND.values() for difference in found}
    assert any(is_in(path, name) for path in paths)


@pytest.mark.checklist("PKG-1")
def test_many_names_are_compared() -> None:
    """An asyncpg that shows its names in another way must not make everything equal."""
    assert len([name for name, value in vars(asyncpg).items() if inspect.isclass(value)]) > 280
    assert len(MODULES) > 20


@pytest.mark.checklist("PKG-2", "PKG-3")
def test_what_a_star_imports() -> None:
    tree = asyncpg_tree()
    assert set(tree["asyncpg"].__all__) == set(asyncpg.__all__)
    assert len(tree["asyncpg"].__all__) == 281
    for module in ("asyncpg.exceptions", "asyncpg.types", "asyncpg.exceptions._base", "asyncpg.pgproto.types"):
        assert set(tree[module].__all__) == set(sys.modules[module].__all__), module
    assert not hasattr(tree["asyncpg"], "PostgresMessage")
    assert not hasattr(tree["asyncpg.exceptions"], "PostgresMessage")
    for package in (pgsansio_asyncio, pgsansio_trio):
        assert set(asyncpg.__all__) <= set(package.__all__)


@pytest.mark.checklist("PKG-1")
def test_the_version_is_that_of_the_interface() -> None:
    assert asyncpg_tree()["asyncpg"].__version__ == asyncpg.__version__
