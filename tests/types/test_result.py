"""Results, and the number of rows in a command tag."""

import dataclasses

import pytest

import pgsansio
from pgsansio.types import Result, affected_rows


@pytest.mark.parametrize(
    ("status", "affected"),
    [
        ("INSERT 0 5", 5),
        ("INSERT 16400 1", 1),
        ("UPDATE 3", 3),
        ("DELETE 0", 0),
        ("MERGE 2", 2),
        ("SELECT 1000", 1000),
        ("COPY 100", 100),
        ("MOVE 7", 7),
        ("FETCH 8", 8),
        ("SELECT 18446744073709551615", 2**64 - 1),
        ("CREATE TABLE", None),
        ("BEGIN", None),
        ("", None),
        ("SELECT", None),
        ("SELECT one", None),
        ("SELECT ²", None),
        ("SELECT -1", None),
        ("REFRESH 5", None),
        ("SELECT " + "9" * 5000, None),
    ],
)
def test_affected_rows(status: str, affected: int | None) -> None:
    assert affected_rows(status) == affected
    assert Result([], status).affected == affected


def test_a_result_is_a_value() -> None:
    result = pgsansio.Result([1], "SELECT 1")
    assert result == Result([1], "SELECT 1")
    assert repr(result) == "Result(rows=[1], status='SELECT 1')"
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.status = "SELECT 2"  # type: ignore[misc]
