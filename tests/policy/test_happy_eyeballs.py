"""Which of a name's addresses is opened when, beside a model with a clock that is a number."""

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pgsansio.policy.addresses import Address, TcpAddress, UnixAddress
from pgsansio.policy.happy_eyeballs import DELAY, HappyEyeballs

FOUR = [TcpAddress(f"10.0.0.{number}", 5432) for number in range(4)]
SIX = [TcpAddress(f"fd00::{number}", 5432) for number in range(4)]


def started(addresses: HappyEyeballs, now: float) -> list[Address]:
    found: list[Address] = []
    while (address := addresses.due(now)) is not None:
        found.append(address)
    return found


def all_in_order(given: list[TcpAddress]) -> list[Address]:
    """The order of starts, when none of them ever comes to an end."""
    addresses = HappyEyeballs(given)
    addresses.begin(0)
    found: list[Address] = []
    while addresses.next_at < math.inf:
        found += started(addresses, addresses.next_at)
    return found


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], []),
        ([SIX[0]], [SIX[0]]),
        ([SIX[0], SIX[1], FOUR[0], FOUR[1]], [SIX[0], FOUR[0], SIX[1], FOUR[1]]),
        ([FOUR[0], FOUR[1], FOUR[2], SIX[0]], [FOUR[0], SIX[0], FOUR[1], FOUR[2]]),
        ([FOUR[0], SIX[0], SIX[1], SIX[2]], [FOUR[0], SIX[0], SIX[1], SIX[2]]),
    ],
)
def test_families_take_turns(given: list[TcpAddress], expected: list[TcpAddress]) -> None:
    assert all_in_order(given) == expected


@given(st.lists(st.sampled_from(FOUR + SIX), unique=True))
def test_no_address_is_lost(given: list[TcpAddress]) -> None:
    found = all_in_order(given)
    assert found[:1] == given[:1]
    for family in (FOUR, SIX):
        assert [one for one in found if one in family] == [one for one in given if one in family]


def test_a_socket_of_unix_is_alone() -> None:
    address = UnixAddress("/s", 5432)
    addresses = HappyEyeballs([address])
    addresses.begin(7)
    assert started(addresses, 7) == [address]
    assert addresses.next_at == math.inf
    addresses.failed(address, 8)
    assert (addresses.remaining, addresses.next_at) == (0, math.inf)


def test_a_quarter_of_a_second_between_two() -> None:
    addresses = HappyEyeballs([FOUR[0], FOUR[1], FOUR[2]])
    addresses.begin(100)
    assert started(addresses, 100) == [FOUR[0]]
    assert addresses.next_at == 100.25
    assert started(addresses, 100.2) == []
    assert started(addresses, 100.3) == [FOUR[1]]
    # One that fails makes way for the next, whichever of them it is.
    addresses.failed(FOUR[0], 100.4)
    assert started(addresses, 100.4) == [FOUR[2]]
    assert addresses.next_at == math.inf


def test_what_the_winner_has_cut_off_comes_back_first() -> None:
    addresses = HappyEyeballs([FOUR[0], FOUR[1], FOUR[2], FOUR[3]])
    addresses.begin(0)
    for now in (0.0, 0.25, 0.5):
        started(addresses, now)
    assert addresses.opened(FOUR[1])
    assert not addresses.opened(FOUR[2])
    assert (addresses.next_at, addresses.remaining) == (math.inf, 3)
    # Its conversation has failed.
    addresses.begin(9)
    assert addresses.winner is None
    assert started(addresses, 9) == [FOUR[0]]
    assert started(addresses, 9.25) == [FOUR[2]]
    assert started(addresses, 9.5) == [FOUR[3]]


class Race(RuleBasedStateMachine):
    """Beside `HappyEyeballs`: what was started and when, what has failed, and who has won."""

    @initialize(given=st.lists(st.sampled_from(FOUR + SIX), unique=True))
    def start(self, given: list[TcpAddress]) -> None:
        self.addresses = HappyEyeballs(given)
        self.now = 0.0
        self.untouched = all_in_order(given)
        self.begin()

    def begin(self) -> None:
        self.opening: list[Address] = []
        self.winner: Address | None = None
        #: When the next one is due at the latest.
        self.due_at = self.now
        self.addresses.begin(self.now)
        self.start_due()

    def start_due(self) -> None:
        for address in started(self.addresses, self.now):
            assert self.winner is None
            assert self.now >= self.due_at, "too early"
            assert address == self.untouched.pop(0), "in another order"
            self.opening.append(address)
            self.due_at = self.now + DELAY
        assert self.winner is not None or not self.untouched or self.now < self.due_at, "too late"

    @rule(seconds=st.sampled_from([0.0, 0.1, DELAY, 1.0]))
    def time_passes(self, seconds: float) -> None:
        # A loop wakes up when it asked to be, if nothing happens before.
        end = self.now + seconds
        while self.addresses.next_at <= end:
            self.now = self.addresses.next_at
            self.start_due()
        self.now = end
        self.start_due()

    @precondition(lambda self: self.opening)
    @rule(choice=st.randoms(use_true_random=False))
    def one_fails(self, choice: Random) -> None:
        address = choice.choice(self.opening)
        self.opening.remove(address)
        self.addresses.failed(address, self.now)
        self.due_at = self.now
        self.start_due()

    @precondition(lambda self: self.opening)
    @rule(choice=st.randoms(use_true_random=False))
    def one_opens(self, choice: Random) -> None:
        address = choice.choice(self.opening)
        assert self.addresses.opened(address) is (self.winner is None)
        if self.winner is None:
            self.opening.remove(address)
            self.winner = address

    @precondition(lambda self: self.winner is not None)
    @rule()
    def the_winner_is_no_good(self) -> None:
        self.untouched = [*self.opening, *self.untouched]
        self.begin()

    @invariant()
    def nobody_is_forgotten(self) -> None:
        if hasattr(self, "addresses"):
            assert self.addresses.remaining == len(self.opening) + len(self.untouched)
            assert self.addresses.winner == self.winner
            waits = self.winner is None and bool(self.untouched)
            assert (self.addresses.next_at < math.inf) is waits


TestRace = Race.TestCase
