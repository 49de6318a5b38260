"""What may be said of a pool's sizes and times."""

import math
from typing import Any

import pytest

from pgsansio.policy.pool_limits import PoolLimits


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        ({"max_lifetime": -1}, "max_lifetime is expected to be greater or equal to zero"),
        ({"max_lifetime": math.nan}, "max_lifetime is expected to be greater or equal to zero"),
        ({"max_lifetime_jitter": -1}, "max_lifetime_jitter is expected to be greater or equal to zero"),
        ({"max_lifetime": 5, "max_lifetime_jitter": 5}, "max_lifetime_jitter is expected to be smaller than max_life"),
        ({"max_lifetime_jitter": 5}, "max_lifetime_jitter is expected to be smaller than max_lifetime"),
        ({"acquire_timeout": -1}, "acquire_timeout is expected to be greater or equal to zero"),
        ({"acquire_timeout": 0}, "acquire_timeout is expected to be greater than zero"),
        ({"check_after": -1}, "check is expected to be greater or equal to zero"),
        ({"max_waiting": -1}, "max_waiting is expected to be greater or equal to zero"),
        ({"multiplex": -1}, "multiplex is expected to be greater or equal to zero"),
        ({"multiplex": 10}, "multiplex is expected to be smaller than max_size"),
    ],
)
def test_numbers_that_contradict_each_other(limits: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        PoolLimits(**limits)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_size", "1"),
        ("init_size", "1"),
        ("min_size", None),
        ("max_lifetime", "1"),
        ("max_lifetime", True),
        ("max_lifetime_jitter", "1"),
        ("acquire_timeout", "1"),
        ("max_waiting", 1.5),
        ("max_waiting", True),
        ("multiplex", 1.5),
        ("multiplex", None),
    ],
)
def test_what_is_no_number(name: str, value: object) -> None:
    with pytest.raises(TypeError, match=f"{name} is expected to be"):
        PoolLimits(**{name: value})  # type: ignore[arg-type]
