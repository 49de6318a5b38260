"""What is owed for a request that nobody waits for any more."""

import pytest

from pgsansio.policy.cancellation import Owed, owed_for


@pytest.mark.parametrize(
    ("settled", "written", "abandoned", "under_way", "owed"),
    [
        (True, True, [], False, Owed.NOTHING),
        (True, False, [True], True, Owed.NOTHING),
        (False, False, [True], False, Owed.DROP),
        (False, False, [False], True, Owed.DROP),
        (False, True, [True], False, Owed.CANCEL),
        (False, True, [True, True], False, Owed.CANCEL),
        (False, True, [True, False], False, Owed.DRAIN),
        (False, True, [True], True, Owed.DRAIN),
    ],
)
def test_what_is_owed(settled: bool, written: bool, abandoned: list[bool], under_way: bool, owed: Owed) -> None:
    assert owed_for(settled, written, abandoned, under_way) is owed
