"""Who listens, what is due, and what transactions do to it."""

from typing import TypeAlias

import hypothesis.strategies as st
import pytest
from hypothesis import given
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pgsansio.errors import InterfaceError
from pgsansio.policy.subscriptions import Delivery, Listen, NotificationQueue, Overflow, Subscriptions, Unlisten

Subs: TypeAlias = Subscriptions[str]


def listening(channel: str = "c", subscriber: object = "f") -> Subs:
    subs = Subs()
    action = subs.listen(channel, subscriber)
    assert action == Listen(channel)
    subs.confirmed(action, in_transaction=False)
    return subs


@pytest.mark.checklist("L-1")
def test_listen_on_the_first_and_unlisten_behind_the_last() -> None:
    subs = listening("c", "f")
    assert subs.listen("c", "g") is None
    assert subs.listen("c", "f") is None  # counts once
    assert len(subs) == 2
    assert subs.dispatch("c", "n") == Delivery(("f", "g"), ())
    assert subs.unlisten("c", "f") is None
    assert subs.unlisten("c", "f") is None
    assert subs.dispatch("c", "n") == Delivery(("g",), ())
    action = subs.unlisten("c", "g")
    assert action == Unlisten("c")
    assert subs.dispatch("c", "n") is None
    subs.confirmed(action, in_transaction=False)
    assert subs.dispatch("c", "n") is None
    assert len(subs) == 0


@pytest.mark.checklist("L-1")
def test_callbacks_are_kept_by_equality() -> None:
    class Equal:
        def __eq__(self, other: object) -> bool:
            return isinstance(other, Equal)

        def __hash__(self) -> int:
            return 1

    subs = listening("c", Equal())
    assert subs.listen("c", Equal()) is None
    assert len(subs) == 1
    assert subs.unlisten("c", Equal()) == Unlisten("c")


@pytest.mark.checklist("L-1")
def test_removing_what_is_not_there_is_ignored() -> None:
    assert Subs().unlisten("c", "f") is None
    assert listening("c", "f").unlisten("c", "g") is None


@pytest.mark.checklist("L-1")
@pytest.mark.parametrize(
    ("channel", "quoted"),
    [("c", '"c"'), ("A b", '"A b"'), ('"', '""""'), ("ä;--", '"ä;--"'), ("x" * 63, f'"{"x" * 63}"')],
)
def test_names_are_quoted(channel: str, quoted: str) -> None:
    action = Subs().listen(channel, "f")
    assert action is not None
    assert action.sql == f"LISTEN {quoted};"
    assert Unlisten(channel).sql == f"UNLISTEN {quoted};"


@pytest.mark.parametrize("channel", ["", "a\0b", "x" * 64, "ä" * 32, "\ud800"])
def test_impossible_names_are_refused(channel: str) -> None:
    subs = Subs()
    with pytest.raises(InterfaceError, match="channel name"):
        subs.listen(channel, "f")
    assert len(subs) == 0


def test_while_a_statement_is_in_flight_everyone_sends_their_own() -> None:
    # The first LISTEN may fail, which must not leave the second subscriber deaf.
    subs = Subs()
    first, second = subs.listen("c", "f"), subs.listen("c", "g")
    assert first == second == Listen("c")
    assert first is not None
    assert second is not None
    subs.failed(first)
    assert subs.unlisten("c", "f") is None
    subs.confirmed(second, in_transaction=False)
    assert subs.listen("c", "h") is None


def test_listen_again_while_unlisten_is_in_flight() -> None:
    subs = listening()
    gone = subs.unlisten("c", "f")
    again = subs.listen("c", "f")
    assert again == Listen("c")
    assert gone is not None
    subs.confirmed(gone, in_transaction=False)
    subs.confirmed(again, in_transaction=False)
    assert subs.listen("c", "g") is None


def test_unlisten_while_listen_is_in_flight() -> None:
    subs = Subs()
    action = subs.listen("c", "f")
    gone = subs.unlisten("c", "f")
    assert gone == Unlisten("c")
    assert action is not None
    subs.confirmed(action, in_transaction=False)
    subs.confirmed(gone, in_transaction=False)
    assert subs.listen("c", "f") == Listen("c")


def test_a_refused_listen_is_taken_out_without_a_statement() -> None:
    subs = Subs()
    action = subs.listen("c", "f")
    assert action is not None
    subs.failed(action)
    assert subs.unlisten("c", "f") is None
    assert len(subs) == 0


def test_listen_in_a_transaction_is_repeated_after_its_rollback() -> None:
    subs = Subs()
    for channel in ("b", "a"):
        action = subs.listen(channel, "f")
        assert action is not None
        subs.confirmed(action, in_transaction=True)
    assert subs.listen("a", "g") is None
    assert subs.transaction_ended(committed=False) == [Listen("b"), Listen("a")]
    assert subs.listen("a", "h") == Listen("a")  # not confirmed yet


def test_unlisten_in_a_transaction_is_repeated_after_its_rollback() -> None:
    subs = listening()
    action = subs.unlisten("c", "f")
    assert action is not None
    subs.confirmed(action, in_transaction=True)
    (again,) = subs.transaction_ended(committed=False)
    assert again == Unlisten("c")
    subs.confirmed(again, in_transaction=False)
    assert subs.listen("c", "f") == Listen("c")


def test_a_commit_confirms() -> None:
    subs = Subs()
    action = subs.listen("c", "f")
    assert action is not None
    subs.confirmed(action, in_transaction=True)
    assert subs.transaction_ended(committed=True) == []
    assert subs.transaction_ended(committed=False) == []
    assert subs.listen("c", "g") is None


def test_listen_and_unlisten_in_one_transaction() -> None:
    for committed in (True, False):
        subs = Subs()
        action = subs.listen("c", "f")
        assert action is not None
        subs.confirmed(action, in_transaction=True)
        gone = subs.unlisten("c", "f")
        assert gone is not None
        subs.confirmed(gone, in_transaction=True)
        assert subs.transaction_ended(committed) == []
        assert subs.listen("c", "f") == Listen("c")


def test_a_savepoint_restores_what_came_behind_it_only() -> None:
    subs = Subs()
    outer = subs.listen("outer", "f")
    assert outer is not None
    subs.confirmed(outer, in_transaction=True)
    mark = subs.mark()
    inner = subs.listen("inner", "f")
    assert inner is not None
    subs.confirmed(inner, in_transaction=True)
    (again,) = subs.rolled_back_to(mark)
    assert again == Listen("inner")
    subs.confirmed(again, in_transaction=True)
    assert subs.transaction_ended(committed=True) == []
    assert subs.listen("inner", "g") is None
    assert subs.listen("outer", "g") is None


@pytest.mark.checklist("CN-10")
def test_clear_forgets_everything_even_what_is_in_flight() -> None:
    subs = listening("c", "f")
    queue: NotificationQueue[str] = NotificationQueue()
    late = subs.listen("d", queue)
    assert late is not None
    assert subs.clear() == [("c", "f"), ("d", queue)]
    assert len(subs) == 0
    action = subs.listen("d", "g")
    assert action == Listen("d")
    subs.confirmed(late, in_transaction=False)
    assert subs.listen("d", "h") == Listen("d")  # the old LISTEN is not taken for the new one
    subs.failed(late)
    assert subs.transaction_ended(committed=False) == []


def test_an_unlisten_that_nobody_waits_for_any_more() -> None:
    subs = listening("c", "f")
    action = subs.unlisten("c", "f")
    assert action == Unlisten("c")
    subs.failed(action, unknown=True)
    # Without a LISTEN the next one would be deaf, if that was carried out.
    action, another = subs.listen("c", "g"), subs.listen("c", "h")
    assert action == another == Listen("c")
    assert action is not None
    assert another is not None
    subs.confirmed(action, in_transaction=False)
    subs.failed(another, unknown=True)
    assert subs.listen("c", "i") is None


def test_dispatch_fills_queues_and_names_whom_to_wake() -> None:
    queue: NotificationQueue[str] = NotificationQueue()
    subs = listening("c", "f")
    subs.listen("c", queue)
    assert subs.dispatch("other", "x") is None
    assert subs.dispatch("c", "1") == Delivery(("f",), (queue,))
    assert subs.dispatch("c", "2") == Delivery(("f",), (queue,))
    assert [queue.take(), queue.take(), queue.take()] == ["1", "2", None]
    subs.unlisten("c", queue)
    assert subs.dispatch("c", "3") == Delivery(("f",), ())
    assert queue.take() is None


def test_a_full_queue_drops_the_oldest_and_says_so() -> None:
    queue: NotificationQueue[int] = NotificationQueue(2)
    for number in range(5):
        queue.put(number)
    assert len(queue) == 3
    assert [queue.take() for _ in range(4)] == [Overflow(3), 3, 4, None]
    queue.put(5)
    assert [len(queue), queue.take(), len(queue)] == [1, 5, 0]


def test_a_queue_needs_room() -> None:
    with pytest.raises(ValueError, match="size is expected to be greater than zero, got 0"):
        NotificationQueue(0)


@given(st.integers(1, 4), st.lists(st.booleans()))
def test_a_queue_loses_nothing_silently(size: int, puts: list[bool]) -> None:
    queue: NotificationQueue[int] = NotificationQueue(size)
    sent = seen = 0
    for put in [*puts, *[False] * (size + 2)]:
        if put:
            queue.put(sent)
            sent += 1
        else:
            match queue.take():
                case Overflow(lost):
                    assert lost > 0
                    seen += lost
                case None:
                    assert seen == sent
                case number:
                    assert number == seen
                    seen += 1
        assert len(queue) <= size + 1
    assert seen == sent


def confirm(subs: Subs, action: Listen | Unlisten | None, *, in_transaction: bool = False) -> None:
    assert action is not None
    subs.confirmed(action, in_transaction=in_transaction)


def test_a_refused_listen_does_not_hide_what_a_rollback_undoes() -> None:
    subs = Subs()
    confirm(subs, subs.listen("a", 1))
    confirm(subs, subs.unlisten("a", 1), in_transaction=True)
    action = subs.listen("a", 2)
    assert action is not None
    subs.failed(action)
    assert subs.unlisten("a", 2) is None
    (action,) = subs.transaction_ended(committed=False)
    assert action == Unlisten("a")
    confirm(subs, action)
    assert not subs._channels


def test_a_listen_for_several_that_got_lost() -> None:
    subs = Subs()
    confirm(subs, subs.listen("a", 1), in_transaction=True)
    assert subs.listen("a", 2) is None
    (action,) = subs.transaction_ended(committed=False)
    subs.failed(action, unknown=True)
    assert subs.unlisten("a", 2) == Listen("a")


class SubscriptionsBesideAServer(RuleBasedStateMachine):
    """The model: a server that carries statements out in order, with savepoints; everybody who listens is heard."""

    CHANNELS = st.sampled_from("ab")

    def __init__(self) -> None:
        super().__init__()
        self.subs = Subs()
        self.wanted: set[tuple[str, int]] = set()
        self.wire: list[Listen | Unlisten] = []
        #: Of these, what is due after a rollback: nobody gives it up.
        self.owed: list[Listen | Unlisten] = []
        #: Channels that the server may listen to although nobody wants that: an UNLISTEN was cancelled.
        self.stale: set[str] = set()
        #: One set of channels per open level; the first is what is committed.
        self.server: list[set[str]] = [set()]
        self.marks: list[int] = []

    @rule(channel=CHANNELS, subscriber=st.integers(0, 1))
    def listen(self, channel: str, subscriber: int) -> None:
        self.wanted.add((channel, subscriber))
        self.send(self.subs.listen(channel, subscriber))

    @rule(channel=CHANNELS, subscriber=st.integers(0, 1))
    def unlisten(self, channel: str, subscriber: int) -> None:
        self.wanted.discard((channel, subscriber))
        self.send(self.subs.unlisten(channel, subscriber))

    def send(self, *actions: Listen | Unlisten | None) -> None:
        self.wire.extend(action for action in actions if action is not None)

    @precondition(lambda self: self.wire)
    @rule()
    def carry_out(self) -> None:
        action = self.wire.pop(0)
        if isinstance(action, Listen):
            self.server[-1].add(action.channel)
        else:
            self.server[-1].discard(action.channel)
        self.subs.confirmed(action, in_transaction=len(self.server) > 1)

    @precondition(lambda self: self.wire)
    @rule()
    def refuse(self) -> None:
        # Whoever asked is told; here that is everybody who wants the channel.
        action = self.wire.pop(0)
        self.subs.failed(action)
        for pair in [pair for pair in sorted(self.wanted) if pair[0] == action.channel]:
            self.wanted.discard(pair)
            self.send(self.subs.unlisten(*pair))
        if isinstance(action, Unlisten) and action.channel in self.server[-1]:
            self.send(self.subs.listen(action.channel, 9), self.subs.unlisten(action.channel, 9))

    @precondition(lambda self: self.wire and all(self.wire[0] is not action for action in self.owed))
    @rule(happened=st.booleans())
    def lose_sight(self, happened: bool) -> None:
        # Whoever waited for it was cancelled, and takes back what was asked for.
        action = self.wire.pop(0)
        self.stale.add(action.channel)
        if happened and isinstance(action, Listen):
            self.server[-1].add(action.channel)
        elif happened:
            self.server[-1].discard(action.channel)
        self.subs.failed(action, unknown=True)
        asked = sorted(pair for pair in self.wanted if pair[0] == action.channel)
        if isinstance(action, Listen) and asked:
            self.wanted.discard(asked[-1])
            self.send(self.subs.unlisten(*asked[-1]))

    @rule()
    def begin(self) -> None:
        self.settle()
        self.server.append(set(self.server[-1]))
        self.marks.append(self.subs.mark())

    @precondition(lambda self: len(self.server) > 1)
    @rule(commit=st.booleans())
    def end(self, commit: bool) -> None:
        self.settle()
        top, mark = self.server.pop(), self.marks.pop()
        if commit:
            self.server[-1] = top
            if len(self.server) == 1:
                assert self.subs.transaction_ended(committed=True) == []
        else:
            ended = len(self.server) == 1
            self.owed = self.subs.transaction_ended(committed=False) if ended else self.subs.rolled_back_to(mark)
            self.send(*self.owed)

    @rule()
    def clear(self) -> None:
        assert sorted(self.subs.clear()) == sorted(self.wanted)
        self.wanted.clear()
        self.wire.clear()
        self.stale.clear()
        self.server = [set()]
        self.marks = []

    @rule()
    def settle(self) -> None:
        while self.wire:
            self.carry_out()

    @invariant()
    def the_server_listens_for_those_who_wait(self) -> None:
        assert len(self.subs) == len(self.wanted)
        if not self.wire:
            wanted = {channel for channel, _ in self.wanted}
            assert wanted <= self.server[-1] <= wanted | self.stale
        for channel in "ab":
            delivery = self.subs.dispatch(channel, "n")
            callbacks = () if delivery is None else delivery.callbacks
            assert {(channel, subscriber) for subscriber in callbacks} == {p for p in self.wanted if p[0] == channel}

    @invariant()
    def nothing_is_kept_of_channels_nobody_uses(self) -> None:
        if not self.wire and not self.wanted and len(self.server) == 1:
            assert not self.subs._channels


TestSubscriptionsBesideAServer = SubscriptionsBesideAServer.TestCase
