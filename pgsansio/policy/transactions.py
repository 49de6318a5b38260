"""The nesting of transactions on one connection: what to send, who may leave, what is known about the state.

The outermost level is BEGIN ... COMMIT, deeper ones are savepoints. `Levels` says what to send and keeps the stack; it
is told what came of it. A level counts as started from the moment its statement was asked for, since BEGIN may share a
Sync group with the first statement.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Final

from pgsansio.enums import TransactionStatus
from pgsansio.errors import InterfaceError
from pgsansio.policy.quoting import quote_literal

__all__ = ["ISOLATION_LEVELS", "Level", "Levels", "TransactionState"]


class TransactionState(Enum):
    """What became of one transaction or savepoint. All but the first two are final."""

    NEW = 0
    STARTED = 1
    COMMITTED = 2
    ROLLEDBACK = 3
    FAILED = 4
    PREPARED = 5


_ISOLATION_SQL: Final[Mapping[str, str]] = {
    "read_committed": "READ COMMITTED",
    "read_uncommitted": "READ UNCOMMITTED",
    "repeatable_read": "REPEATABLE READ",
    "serializable": "SERIALIZABLE",
}

ISOLATION_LEVELS: Final = frozenset(_ISOLATION_SQL)

#: Why a level that is over cannot be used again.
_OVER: Final[Mapping[TransactionState, str]] = {
    TransactionState.COMMITTED: "the transaction is already committed",
    TransactionState.ROLLEDBACK: "the transaction is already rolled back",
    TransactionState.FAILED: "the transaction is in error state",
    TransactionState.PREPARED: "the transaction is already prepared",
}


# Looking up a member of an Enum costs a tenth of a microsecond in Python 3.11.
_NEW: Final = TransactionState.NEW
_STARTED: Final = TransactionState.STARTED
_NO_TRANSACTION: Final = TransactionStatus.IDLE


class Level:
    """One transaction or savepoint: what was asked for, and how far it got.

    Args:
        isolation: one of `ISOLATION_LEVELS`; None: the session's default.
        readonly, deferrable: ignored by a savepoint, which has those of its transaction.
        prepare_as: prepare it for two-phase commit under this identifier, in the place of committing it.
    Raises:
        ValueError: `isolation` is unknown.
    """

    __slots__ = ("deferrable", "isolation", "managed", "prepare_as", "readonly", "savepoint", "state")

    def __init__(
        self,
        *,
        isolation: str | None = None,
        readonly: bool = False,
        deferrable: bool = False,
        prepare_as: str | None = None,
    ) -> None:
        if isolation is not None and isolation not in ISOLATION_LEVELS:
            choices = ", ".join(repr(name) for name in sorted(ISOLATION_LEVELS))
            raise ValueError(f"isolation is expected to be either of {{{choices}}}, got {isolation!r}")
        self.isolation = isolation
        self.readonly = readonly
        self.deferrable = deferrable
        self.prepare_as = prepare_as
        self.state = _NEW
        #: Within an `async with` block, which alone ends it.
        self.managed = False
        #: Its name, once it has started inside another level.
        self.savepoint: str | None = None

    def describe(self) -> str:
        """The part of its repr that tells the state: "state:started serializable readonly deferrable"."""
        words = [f"state:{self.state.name.lower()}"]
        if self.isolation is not None:
            words.append(self.isolation)
        if self.readonly:
            words.append("readonly")
        if self.deferrable:
            words.append("deferrable")
        return " ".join(words)

    def enter(self) -> None:
        """An `async with` block begins.

        Raises:
            InterfaceError: it is in one already.
        """
        if self.managed:
            raise InterfaceError("cannot enter context: already in an `async with` block")
        self.managed = True

    def leave(self) -> None:
        """The `async with` block is over, whatever came of it."""
        self.managed = False

    def check_manual(self, verb: str) -> None:
        """The user himself asks to commit or to roll back (`verb`).

        Raises:
            InterfaceError: an `async with` block will do that.
        """
        if self.managed:
            raise InterfaceError(f"cannot manually {verb} from within an `async with` block")

    def check_not_over(self, verb: str) -> None:
        """Raises InterfaceError: it is."""
        why = _OVER.get(self.state)
        if why is not None:
            raise InterfaceError(f"cannot {verb}; {why}")

    def undo_sql(self) -> str:
        """The SQL that undoes it, if it has started, with what was left open inside it."""
        if self.savepoint is None:
            return "ROLLBACK;"
        # ROLLBACK TO keeps its savepoint. Without the release, a loop of failing blocks would pile them up in the
        # server, each with locks and memory of its own, until the transaction ends. One script is one round trip.
        return f"ROLLBACK TO {self.savepoint}; RELEASE SAVEPOINT {self.savepoint};"

    def begin_sql(self) -> str:
        """The SQL that begins it, if it is the outermost one."""
        if self.isolation is None and not self.readonly and not self.deferrable:
            return "BEGIN;"
        sql = "BEGIN"
        if self.isolation is not None:
            sql += f" ISOLATION LEVEL {_ISOLATION_SQL[self.isolation]}"
        if self.readonly:
            sql += " READ ONLY"
        if self.deferrable:
            sql += " DEFERRABLE"
        return sql + ";"


class Levels:
    """The levels that are open on one connection, outermost first."""

    __slots__ = ("_outer_isolation", "_savepoints", "_stack", "depth")

    def __init__(self) -> None:
        self._stack: list[Level] = []
        #: Levels that are open; 0: no transaction of ours.
        self.depth = 0
        self._savepoints = 0
        #: Of the outermost level: what it asked for, or what SHOW said.
        self._outer_isolation: str | None = None

    @property
    def innermost(self) -> Level | None:
        return self._stack[-1] if self._stack else None

    @property
    def managed(self) -> bool:
        """The outermost level belongs to an `async with` block, which will hear of whatever becomes of it."""
        return bool(self._stack) and self._stack[0].managed

    def isolation_unknown(self, level: Level) -> bool:
        """Must `SHOW transaction_isolation;` be asked, and `outer_isolation` told, before `level` may start?"""
        return bool(self._stack) and level.isolation is not None and self._outer_isolation is None

    def outer_isolation(self, shown: str) -> None:
        """What SHOW said: "read committed" and so on."""
        self._outer_isolation = shown.replace(" ", "_")

    def start(self, level: Level, status: TransactionStatus) -> str:
        """Open `level` inside those that are open.

        Args:
            status: of the last ReadyForQuery.
        Returns:
            The SQL that is due. If it fails, call `start_failed`.
        Raises:
            InterfaceError: as `starting_sql`. Nothing has changed then.
        """
        sql = self.starting_sql(level, status)
        if self._stack:
            self._savepoints += 1
            level.savepoint = self._savepoint_name(self._savepoints)
        else:
            self._outer_isolation = level.isolation
        level.state = _STARTED
        self._stack.append(level)
        self.depth += 1
        return sql

    def starting_sql(self, level: Level, status: TransactionStatus) -> str:
        """What `start` would return now; nothing changes.

        Raises:
            InterfaceError: it has started before; the transaction was begun by the user's own SQL; its isolation
                differs from the outermost level's.
        """
        if level.state is not _NEW:
            level.check_not_over("start")
            raise InterfaceError("cannot start; the transaction is already started")
        if self._stack and level.prepare_as is not None:
            raise InterfaceError("cannot start; only the outermost transaction can be prepared, and not a savepoint")
        if not self._stack:
            if status is not _NO_TRANSACTION:
                raise InterfaceError("cannot use Connection.transaction() in a manually started transaction")
            return level.begin_sql()
        if level.isolation is not None and level.isolation != self._outer_isolation:
            raise InterfaceError(
                f"nested transaction has a different isolation level: "
                f"current {level.isolation!r} != outer {self._outer_isolation!r}"
            )
        return f"SAVEPOINT {self._savepoint_name(self._savepoints + 1)};"

    @staticmethod
    def _savepoint_name(number: int) -> str:
        return f"__pgsansio_savepoint_{number:x}__"

    def start_failed(self, level: Level) -> None:
        """It has not, or nobody knows: the level is over before it began, and those inside it with it."""
        self._close(level, TransactionState.FAILED)

    def end(self, level: Level, *, commit: bool) -> str:
        """Ask to leave `level`, which must be the innermost one.

        Returns:
            The SQL that is due. Then call `ended`.
        Raises:
            InterfaceError: the level is not open, or is not the innermost one. Nothing has changed then.
        """
        if level.state is not _STARTED:
            verb = "commit" if commit else "rollback"
            level.check_not_over(verb)
            raise InterfaceError(f"cannot {verb}; the transaction is not yet started")
        if self._stack[-1] is not level:
            raise InterfaceError(
                f"cannot {'commit' if commit else 'rollback'}; the transaction is not the innermost one",
                hint="Leave the transactions that were started inside it first.",
            )
        if not commit:
            return level.undo_sql()
        if level.savepoint is not None:
            return f"RELEASE SAVEPOINT {level.savepoint};"
        return "COMMIT;" if level.prepare_as is None else f"PREPARE TRANSACTION {quote_literal(level.prepare_as)};"

    def ended(self, level: Level, state: TransactionState) -> None:
        """What came of it.

        Args:
            state: COMMITTED; ROLLEDBACK, also after a COMMIT that the server answered with ROLLBACK, since the
                transaction was aborted; FAILED if it was refused or nobody knows. The level is over in each case:
                what is left of a savepoint goes with the level around it.
        """
        stack = self._stack
        if stack and stack[-1] is level:
            stack.pop()
            self.depth -= 1
            level.state = state
        else:
            self._close(level, state)

    def _close(self, level: Level, state: TransactionState) -> None:
        while level in self._stack:
            inner = self._stack.pop()
            self.depth -= 1
            inner.state = state if inner is level else TransactionState.FAILED

    def reset(self) -> int:
        """The connection was reset or is gone: every level was rolled back. Returns how many were open."""
        count = len(self._stack)
        while self._stack:
            self._close(self._stack[-1], TransactionState.ROLLEDBACK)
        return count
