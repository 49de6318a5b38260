"""What nesting levels send, and who may leave."""

import hypothesis.strategies as st
import pytest
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pgsansio.enums import TransactionStatus
from pgsansio.errors import InterfaceError
from pgsansio.policy.transactions import Level, Levels, TransactionState

IDLE = TransactionStatus.IDLE
OPEN = TransactionStatus.IN_TRANSACTION
COMMITTED, ROLLEDBACK, FAILED = TransactionState.COMMITTED, TransactionState.ROLLEDBACK, TransactionState.FAILED


def opened(levels: Levels, **options: object) -> Level:
    level = Level(**options)  # type: ignore[arg-type]
    levels.start(level, OPEN if levels.depth else IDLE)
    return level


@pytest.mark.checklist("TX-3")
@pytest.mark.parametrize(
    ("isolation", "readonly", "deferrable", "sql"),
    [
        (None, False, False, "BEGIN;"),
        (None, True, False, "BEGIN READ ONLY;"),
        (None, False, True, "BEGIN DEFERRABLE;"),
        ("serializable", True, True, "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE;"),
        ("repeatable_read", False, False, "BEGIN ISOLATION LEVEL REPEATABLE READ;"),
        ("read_committed", False, False, "BEGIN ISOLATION LEVEL READ COMMITTED;"),
        ("read_uncommitted", False, False, "BEGIN ISOLATION LEVEL READ UNCOMMITTED;"),
    ],
)
def test_begin(isolation: str | None, readonly: bool, deferrable: bool, sql: str) -> None:
    level = Level(isolation=isolation, readonly=readonly, deferrable=deferrable)
    assert Levels().start(level, IDLE) == sql


@pytest.mark.checklist("TX-3")
def test_an_unknown_isolation_is_refused_at_creation() -> None:
    with pytest.raises(ValueError, match=r"isolation is expected to be either of .*'serializable'.*, got 'chaos'"):
        Level(isolation="chaos")


@pytest.mark.checklist("TX-4")
def test_nested_levels_are_savepoints_with_names_of_their_own() -> None:
    levels = Levels()
    outer = opened(levels)
    assert levels.innermost is outer
    first, second = Level(readonly=True), Level()
    assert levels.start(first, OPEN) == "SAVEPOINT __pgsansio_savepoint_1__;"
    assert levels.start(second, OPEN) == "SAVEPOINT __pgsansio_savepoint_2__;"
    assert levels.end(second, commit=True) == "RELEASE SAVEPOINT __pgsansio_savepoint_2__;"
    levels.ended(second, COMMITTED)
    assert (
        levels.end(first, commit=False)
        == "ROLLBACK TO __pgsansio_savepoint_1__; RELEASE SAVEPOINT __pgsansio_savepoint_1__;"
    )
    levels.ended(first, ROLLEDBACK)
    assert levels.end(outer, commit=True) == "COMMIT;"
    levels.ended(outer, COMMITTED)
    assert (first.state, second.state, outer.state) == (ROLLEDBACK, COMMITTED, COMMITTED)
    assert (levels.depth, levels.innermost) == (0, None)
    again = opened(levels)
    assert levels.start(Level(), OPEN) == "SAVEPOINT __pgsansio_savepoint_3__;"
    levels.reset()
    assert again.state is ROLLEDBACK


@pytest.mark.checklist("TX-4")
def test_nested_isolation_must_be_the_outermost_ones() -> None:
    levels = Levels()
    opened(levels, isolation="serializable")
    assert not levels.isolation_unknown(Level(isolation="serializable"))
    opened(levels, isolation="serializable")
    opened(levels)
    level = Level(isolation="read_committed")
    with pytest.raises(
        InterfaceError,
        match="nested transaction has a different isolation level: current 'read_committed' != outer 'serializable'",
    ):
        levels.start(level, OPEN)
    assert (level.state, levels.depth) == (TransactionState.NEW, 3)


@pytest.mark.checklist("TX-4")
def test_the_servers_word_decides_when_the_outermost_level_set_none() -> None:
    levels = Levels()
    level = Level(isolation="repeatable_read")
    assert not levels.isolation_unknown(level)
    outer = opened(levels)
    assert not levels.isolation_unknown(Level())
    assert levels.isolation_unknown(level)
    levels.outer_isolation("read committed")
    assert not levels.isolation_unknown(level)
    with pytest.raises(InterfaceError, match="current 'repeatable_read' != outer 'read_committed'"):
        levels.start(level, OPEN)
    levels.start(Level(isolation="read_committed"), OPEN)
    levels.reset()
    assert outer.state is ROLLEDBACK
    opened(levels)
    assert levels.isolation_unknown(level)  # of this transaction nothing is known yet


@pytest.mark.checklist("TX-5")
@pytest.mark.parametrize("status", [TransactionStatus.IN_TRANSACTION, TransactionStatus.FAILED])
def test_refused_in_a_manually_started_transaction(status: TransactionStatus) -> None:
    level = Level()
    with pytest.raises(
        InterfaceError, match=r"cannot use Connection.transaction\(\) in a manually started transaction"
    ):
        Levels().start(level, status)
    assert level.state is TransactionState.NEW


@pytest.mark.checklist("TX-6")
def test_state_checks() -> None:
    levels = Levels()
    level = Level()
    for commit, verb in ((True, "commit"), (False, "rollback")):
        with pytest.raises(InterfaceError, match=f"cannot {verb}; the transaction is not yet started"):
            levels.end(level, commit=commit)
    levels.start(level, IDLE)
    with pytest.raises(InterfaceError, match="cannot start; the transaction is already started"):
        levels.start(level, OPEN)


@pytest.mark.checklist("TX-6")
@pytest.mark.parametrize(
    ("state", "text"),
    [
        (COMMITTED, "the transaction is already committed"),
        (ROLLEDBACK, "the transaction is already rolled back"),
        (FAILED, "the transaction is in error state"),
    ],
)
def test_a_level_that_is_over_is_over(state: TransactionState, text: str) -> None:
    levels = Levels()
    level = opened(levels)
    levels.end(level, commit=True)
    levels.ended(level, state)
    with pytest.raises(InterfaceError, match=f"cannot start; {text}"):
        levels.start(level, IDLE)
    with pytest.raises(InterfaceError, match=f"cannot commit; {text}"):
        levels.end(level, commit=True)
    with pytest.raises(InterfaceError, match=f"cannot rollback; {text}"):
        levels.end(level, commit=False)


@pytest.mark.checklist("TX-2", "TX-6")
def test_async_with_blocks_end_their_level_themselves() -> None:
    level = Level()
    level.check_manual("commit")
    level.enter()
    with pytest.raises(InterfaceError, match="cannot enter context: already in an `async with` block"):
        level.enter()
    with pytest.raises(InterfaceError, match="cannot manually commit from within an `async with` block"):
        level.check_manual("commit")
    with pytest.raises(InterfaceError, match="cannot manually rollback from within an `async with` block"):
        level.check_manual("rollback")
    level.leave()
    level.check_manual("rollback")


def test_only_the_innermost_level_can_be_left() -> None:
    levels = Levels()
    outer = opened(levels)
    inner = opened(levels)
    for commit, verb in ((True, "commit"), (False, "rollback")):
        with pytest.raises(InterfaceError, match=f"cannot {verb}; the transaction is not the innermost one"):
            levels.end(outer, commit=commit)
    assert outer.state is inner.state is TransactionState.STARTED


def test_a_failed_begin_takes_the_levels_inside_with_it() -> None:
    levels = Levels()
    outer, inner = Level(), Level()
    levels.start(outer, IDLE)
    levels.start(inner, IDLE)
    levels.start_failed(outer)
    assert outer.state is inner.state is FAILED
    levels.start_failed(outer)  # told twice
    assert outer.state is FAILED


@pytest.mark.checklist("CN-10")
def test_reset_rolls_everything_back() -> None:
    levels = Levels()
    outer, inner = opened(levels), opened(levels)
    assert levels.reset() == 2
    assert levels.reset() == 0
    assert outer.state is inner.state is ROLLEDBACK


@pytest.mark.checklist("TX-8")
def test_description() -> None:
    level = Level(isolation="serializable", readonly=True, deferrable=True)
    assert level.describe() == "state:new serializable readonly deferrable"
    Levels().start(level, IDLE)
    assert level.describe() == "state:started serializable readonly deferrable"
    assert Level().describe() == "state:new"
    assert [state.name.lower() for state in TransactionState] == [
        *("new", "started", "committed", "rolledback", "failed", "prepared")
    ]


@pytest.mark.parametrize(
    ("gid", "sql"),
    [
        ("a", "PREPARE TRANSACTION 'a';"),
        ("it's", "PREPARE TRANSACTION 'it''s';"),
        ("\\", "PREPARE TRANSACTION  E'\\\\';"),
    ],
)
def test_preparing(gid: str, sql: str) -> None:
    levels, level = Levels(), Level(prepare_as=gid)
    assert levels.start(level, IDLE) == "BEGIN;"
    with pytest.raises(InterfaceError, match="only the outermost transaction can be prepared"):
        levels.start(Level(prepare_as="b"), OPEN)
    assert levels.end(level, commit=False) == "ROLLBACK;"
    assert levels.end(level, commit=True) == sql
    levels.ended(level, TransactionState.PREPARED)
    with pytest.raises(InterfaceError, match="already prepared"):
        levels.end(level, commit=True)


class LevelsBesideAServer(RuleBasedStateMachine):
    """The model is the server: it understands the SQL, and its savepoints are those of the open levels, no more."""

    def __init__(self) -> None:
        super().__init__()
        self.levels = Levels()
        self.open: list[Level] = []
        self.server: list[str] | None = None

    def send(self, script: str) -> None:
        for sql in filter(None, (part.strip() for part in script.split(";"))):
            match sql.split():
                case ["BEGIN"]:
                    assert self.server is None
                    self.server = []
                case ["SAVEPOINT", name]:
                    assert self.server is not None
                    assert name not in self.server
                    self.server.append(name)
                case ["RELEASE", "SAVEPOINT", name]:
                    assert self.server is not None
                    del self.server[self.server.index(name) :]
                case ["ROLLBACK", "TO", name]:
                    assert self.server is not None
                    del self.server[self.server.index(name) + 1 :]
                case ["COMMIT"] | ["ROLLBACK"]:
                    assert self.server is not None
                    self.server = None
                case _:
                    raise AssertionError(sql)

    @rule()
    def start(self) -> None:
        level = Level()
        self.send(self.levels.start(level, IDLE if self.server is None else OPEN))
        self.open.append(level)

    @precondition(lambda self: self.open)
    @rule(commit=st.booleans(), data=st.data())
    def leave(self, commit: bool, data: st.DataObject) -> None:
        level = data.draw(st.sampled_from(self.open))
        if level is not self.open[-1]:
            with pytest.raises(InterfaceError):
                self.levels.end(level, commit=commit)
            return
        self.send(self.levels.end(level, commit=commit))
        self.levels.ended(level, COMMITTED if commit else ROLLEDBACK)
        self.open.pop()

    @precondition(lambda self: self.open)
    @rule()
    def lose(self) -> None:
        assert self.levels.reset() == len(self.open)
        self.open = []
        self.server = None

    @invariant()
    def the_server_has_the_open_levels_only(self) -> None:
        assert self.levels.depth == len(self.open)
        assert self.server == ([level.savepoint for level in self.open[1:]] if self.open else None)
        assert all(level.state is TransactionState.STARTED for level in self.open)


TestLevelsBesideAServer = LevelsBesideAServer.TestCase


def test_what_starting_would_send_changes_nothing() -> None:
    levels, outer, inner = Levels(), Level(isolation="serializable"), Level()
    assert levels.starting_sql(outer, IDLE) == "BEGIN ISOLATION LEVEL SERIALIZABLE;"
    assert (levels.depth, outer.state) == (0, TransactionState.NEW)
    sql = levels.start(outer, IDLE)
    assert sql == "BEGIN ISOLATION LEVEL SERIALIZABLE;"
    asked = levels.starting_sql(inner, OPEN)
    assert inner.savepoint is None
    assert asked == levels.start(inner, OPEN)
