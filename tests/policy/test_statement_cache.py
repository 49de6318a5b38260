"""Which statements are kept, and which come back for closing."""

import hypothesis.strategies as st
import pytest
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pgsansio.policy.statement_cache import StatementCache


@pytest.mark.checklist("SC-1")
def test_least_recently_used_goes_first() -> None:
    cache: StatementCache[str] = StatementCache(size=2)
    assert cache.put("a", "A", 0) == []
    assert cache.put("b", "B", 1) == []
    assert cache.get("a", 2) == "A"
    assert cache.put("c", "C", 3) == ["B"]
    assert cache.get("b", 4) is None
    assert (cache.get("a", 4), cache.get("c", 4)) == ("A", "C")
    assert (cache.hits, cache.misses, len(cache)) == (3, 1, 2)


@pytest.mark.checklist("SC-1")
def test_size_zero_keeps_nothing() -> None:
    cache: StatementCache[str] = StatementCache(size=0)
    assert not cache.cacheable("select 1")
    assert cache.put("a", "A", 0) == ["A"]
    assert cache.get("a", 0) is None


@pytest.mark.checklist("SC-3")
@pytest.mark.parametrize(("limit", "length", "expected"), [(10, 10, True), (10, 11, False), (0, 100_000, True)])
def test_long_statements_are_not_cacheable(limit: int, length: int, expected: bool) -> None:
    assert StatementCache[str](max_statement_size=limit).cacheable("x" * length) is expected


@pytest.mark.checklist("SC-4")
def test_hits_do_not_renew_the_age() -> None:
    cache: StatementCache[str] = StatementCache(lifetime=10)
    cache.put("a", "A", 100)
    assert cache.get("a", 109.9) == "A"
    assert cache.get("a", 110) is None
    assert len(cache) == 1  # until somebody can close it
    assert cache.put("b", "B", 110) == ["A"]
    assert len(cache) == 1


@pytest.mark.checklist("SC-4")
def test_lifetime_zero_is_for_ever() -> None:
    cache: StatementCache[str] = StatementCache(lifetime=0)
    cache.put("a", "A", 0)
    assert cache.get("a", 1e12) == "A"
    assert cache.put("b", "B", 1e12) == []


def test_a_key_put_again_evicts_its_former_entry_and_is_young_again() -> None:
    cache: StatementCache[str] = StatementCache(lifetime=10)
    cache.put("a", "old", 0)
    assert cache.put("a", "new", 9) == ["old"]
    assert cache.get("a", 18) == "new"


@pytest.mark.checklist("SC-6")
def test_clear_and_discard_return_what_they_forget() -> None:
    cache: StatementCache[str] = StatementCache()
    for key in "abc":
        cache.put(key, key.upper(), 0)
    cache.get("a", 0)
    assert cache.discard("b") == "B"
    assert cache.discard("b") is None
    assert cache.clear() == ["C", "A"]
    assert len(cache) == 0
    assert cache.clear() == []


class CacheBesideAModel(RuleBasedStateMachine):
    """The model: a list of (key, entry, age), least recently used first."""

    def __init__(self) -> None:
        super().__init__()
        self.cache: StatementCache[int] = StatementCache(size=3, lifetime=5)
        self.model: list[tuple[int, int, float]] = []
        self.now = 0.0
        self.serial = 0

    @rule(seconds=st.floats(0, 4))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(key=st.integers(0, 5))
    def get(self, key: int) -> None:
        expected = None
        for slot in self.model:
            if slot[0] == key and self.now - slot[2] < 5:
                expected = slot[1]
                self.model.remove(slot)
                self.model.append(slot)
                break
        assert self.cache.get(key, self.now) == expected

    @rule(key=st.integers(0, 5))
    def put(self, key: int) -> None:
        self.serial += 1
        gone = {slot for slot in self.model if slot[0] == key or self.now - slot[2] >= 5}
        self.model = [slot for slot in self.model if slot not in gone] + [(key, self.serial, self.now)]
        if len(self.model) > 3:
            gone.add(self.model.pop(0))
        evicted = self.cache.put(key, self.serial, self.now)
        assert sorted(evicted) == sorted(slot[1] for slot in gone)

    @rule(key=st.integers(0, 5))
    def discard(self, key: int) -> None:
        expected = next((slot for slot in self.model if slot[0] == key), None)
        if expected is not None:
            self.model.remove(expected)
        assert self.cache.discard(key) == (expected and expected[1])

    @rule()
    def clear(self) -> None:
        assert self.cache.clear() == [slot[1] for slot in self.model]
        self.model = []

    @invariant()
    def never_above_its_size(self) -> None:
        assert len(self.cache) == len(self.model) <= 3


TestCacheBesideAModel = CacheBesideAModel.TestCase
