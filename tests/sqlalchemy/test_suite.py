"""What the comparison of SQLAlchemy's own tests makes of their outcomes."""

import json

from tests.sqlalchemy import suite

LISTED = next(iter(suite.DIFFERENT))


def full_name(name: str) -> str:
    """As pytest prints it there: the class has the database in its name."""
    path, group, test = name.split("::", 2)
    return f"{path}::{group}_postgresql+asyncpg_async_16_4::{test}"


def test_names() -> None:
    assert suite.plain_name(full_name("test/a.py::SomeTest::test_b[x::y]")) == "test/a.py::SomeTest::test_b[x::y]"
    assert suite.plain_name("test/a.py::SomeTest::test_b") == "test/a.py::SomeTest::test_b"
    assert suite.plain_name("test/a.py") == "test/a.py::"


def test_a_failure_counts_whatever_else_is_told() -> None:
    lines = [["a", "passed"], ["a", "failed"], ["b", "failed"], ["b", "passed"], ["c", "skipped"]]
    assert suite.read_outcomes(map(json.dumps, lines)) == {"a": "failed", "b": "failed", "c": "skipped"}


def test_differences() -> None:
    theirs = {"same": "passed", "worse": "passed", "theirs": "skipped"}
    ours = {"same": "passed", "worse": "failed", "ours": "passed"}
    assert suite.differences(theirs, ours) == {
        "ours": ("not run", "passed"),
        "theirs": ("skipped", "not run"),
        "worse": ("passed", "failed"),
    }


def test_only_listed_differences_are_right() -> None:
    listed = full_name(f"{LISTED}[x]")
    assert suite.judge({listed: ("passed", "failed")}, [listed, "test/a.py::B::c"]) == []
    (wrong,) = suite.judge({"test/a.py::B::c": ("passed", "failed")}, ["test/a.py::B::c"])
    assert wrong == "test/a.py::B::c: passed on asyncpg, failed on ours"


def test_what_is_listed_has_to_be_different() -> None:
    listed = full_name(f"{LISTED}[x]")
    (wrong,) = suite.judge({}, [listed])
    assert wrong == f"{listed}: listed as different, but it is not"
