"""The order of hosts."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from pgsansio.policy.hosts import in_random_order


@given(st.lists(st.integers()), st.text())
def test_nothing_is_lost_and_nothing_is_new(items: list[int], chance: str) -> None:
    assert Counter(in_random_order(items, chance)) == Counter(items)
    assert in_random_order(items, chance) == in_random_order(items, chance)


def test_each_order_is_as_likely_as_any_other() -> None:
    counts = Counter(in_random_order("abc", str(number)) for number in range(6000))
    assert len(counts) == 6
    # 1000 each are expected; one that is off by more than 6 standard deviations has no chance.
    assert all(820 < count < 1180 for count in counts.values()), counts
