"""Each behaviour of asyncpg on the checklist has a test: one body for asyncpg and for ours wherever that can be."""

import ast
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from tests.support.checklist_ids import DEMANDED
from tests.support.record_behaviour import CHECKS

TESTS = Path(__file__).parent


def ids(sections: Mapping[str, Sequence[tuple[str, int]]]) -> list[str]:
    return [
        f"{letters}-{number}" for groups in sections.values() for letters, n in groups for number in range(1, n + 1)
    ]


def shown_by(path: Path) -> Iterator[str]:
    """The ids of a module's tests."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.checklist":
            yield from (str(word.value) for word in node.args if isinstance(word, ast.Constant))


#: Modules by the ids that they show. Records have theirs in a table, which is run on asyncpg's and on ours.
SHOWN: dict[str, set[Path]] = {}
for _path in TESTS.rglob("test_*.py"):
    for _id in shown_by(_path):
        SHOWN.setdefault(_id, set()).add(_path)
for _check in CHECKS:
    SHOWN.setdefault(_check.point, set()).add(TESTS / "server" / "test_records.py")


@pytest.mark.parametrize("point", ids(DEMANDED))
def test_it_is_shown(point: str) -> None:
    assert point in SHOWN


@pytest.mark.parametrize("point", ids(DEMANDED))
def test_it_is_shown_of_asyncpg(point: str) -> None:
    def runs_asyncpg(path: Path) -> bool:
        return path.parent.name == "server" or "import asyncpg" in path.read_text(encoding="utf-8")

    assert any(runs_asyncpg(path) for path in SHOWN.get(point, ()))


def test_no_other_ids_are_shown() -> None:
    # "15 uuid" and the like are lines of the table of types.
    points = {point for point in SHOWN if not point.startswith("15 ")}
    assert points <= set(ids(DEMANDED))
