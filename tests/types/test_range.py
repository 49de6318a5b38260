"""Ranges: asyncpg's behaviour on both."""

from datetime import date
from decimal import Decimal
from typing import Any

import asyncpg.types
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pgsansio
import pgsansio.types
from pgsansio.types import Range


@pytest.mark.checklist("TY-1")
def test_what_a_range_says(types: Any) -> None:
    cases: list[tuple[Any, tuple[object, ...], str]] = [
        (types.Range(1, 5), (1, 5, True, False, False, False, False), "<Range [1, 5)>"),
        (
            types.Range(1, 5, lower_inc=False, upper_inc=True),
            (1, 5, False, True, False, False, False),
            "<Range (1, 5]>",
        ),
        (types.Range(1), (1, None, True, False, False, True, False), "<Range [1, )>"),
        (types.Range(None, 5, upper_inc=True), (None, 5, False, True, True, False, False), "<Range (, 5]>"),
        (types.Range(upper_inc=True), (None, None, False, False, True, True, False), "<Range (, )>"),
        (types.Range(empty=True), (None, None, False, False, False, False, True), "<Range empty>"),
        (
            types.Range(1, 5, upper_inc=True, empty=True),
            (None, None, False, False, False, False, True),
            "<Range empty>",
        ),
        (
            types.Range(date(2000, 1, 1), None),
            (date(2000, 1, 1), None, True, False, False, True, False),
            "<Range [datetime.date(2000, 1, 1), )>",
        ),
        # Nothing is normalised.
        (types.Range(5, 5), (5, 5, True, False, False, False, False), "<Range [5, 5)>"),
        (types.Range(5, 1), (5, 1, True, False, False, False, False), "<Range [5, 1)>"),
    ]
    for value, parts, shown in cases:
        assert (
            value.lower,
            value.upper,
            value.lower_inc,
            value.upper_inc,
            value.lower_inf,
            value.upper_inf,
            value.isempty,
        ) == parts
        assert repr(value) == str(value) == shown
        assert bool(value) is not value.isempty


@pytest.mark.checklist("TY-1")
def test_ranges_are_values(types: Any) -> None:
    value = types.Range(1, 5)
    assert value == types.Range(Decimal(1), 5.0)
    assert hash(value) == hash(types.Range(1, 5, lower_inc=True))
    for other in (
        types.Range(1, 5, lower_inc=False),
        types.Range(1, 5, upper_inc=True),
        types.Range(2, 5),
        types.Range(1, 6),
        types.Range(1),
        types.Range(None, 5),
        types.Range(empty=True),
        (1, 5),
    ):
        assert value != other
    assert types.Range(empty=True) == types.Range(1, 2, empty=True)
    assert types.Range(empty=True) != types.Range()
    with pytest.raises(TypeError):
        hash(types.Range([1], [2]))
    for name in ("lower", "upper", "lower_inc", "upper_inc", "lower_inf", "upper_inf", "isempty", "other"):
        with pytest.raises(AttributeError):
            setattr(value, name, 1)
    with pytest.raises(TypeError):
        types.Range(1, 5, False)
    assert isinstance(types.Range[int](1, 5), types.Range)


BOUNDS = st.none() | st.integers(0, 4)


@st.composite
def range_arguments(draw: st.DrawFn) -> tuple[tuple[int | None, int | None], dict[str, bool]]:
    flags = {name: draw(st.booleans()) for name in ("lower_inc", "upper_inc")}
    return (draw(BOUNDS), draw(BOUNDS)), flags | {"empty": draw(st.integers(0, 9)) == 0}


@given(range_arguments(), range_arguments())
def test_subsets_are_asyncpgs(one: Any, other: Any) -> None:
    (one_bounds, one_flags), (other_bounds, other_flags) = one, other
    found = [
        (a.issubset(b), a.issuperset(b), b.issubset(a), b.issuperset(a), a == b, a != b, bool(a), repr(a))
        for module in (asyncpg.types, pgsansio.types)
        for a, b in [(module.Range(*one_bounds, **one_flags), module.Range(*other_bounds, **other_flags))]
    ]
    assert found[0] == found[1]


@given(range_arguments(), range_arguments())
def test_a_subset_has_no_value_of_its_own(one: Any, other: Any) -> None:
    a, b = Range(*one[0], **one[1]), Range(*other[0], **other[1])

    def values(found: Range[int]) -> set[float]:
        """Those in it of a grid that is finer than the bounds, and wider."""
        return {
            x
            for x in (step / 2 for step in range(-3, 12))
            if not found.isempty
            and (found.lower is None or x > found.lower or (x == found.lower and found.lower_inc))
            and (found.upper is None or x < found.upper or (x == found.upper and found.upper_inc))
        }

    if a.issubset(b):
        assert values(a) <= values(b)
    elif values(a):
        # One that is empty without saying so is compared by its bounds.
        assert not values(a) <= values(b)


@pytest.mark.checklist("TY-1")
def test_subsets(types: Any) -> None:
    inside, outside = types.Range(1, 5), types.Range(1, 5, upper_inc=True)
    assert inside.issubset(outside)
    assert outside.issuperset(inside)
    assert not outside.issubset(inside)
    assert types.Range(empty=True).issubset(types.Range(empty=True))
    assert inside.issuperset(types.Range(empty=True))
    assert not inside.issubset(types.Range(empty=True))
    assert inside.issubset(types.Range())
    assert not types.Range(None, 5).issubset(inside)
    assert not types.Range(1).issubset(inside)
