"""Prepared statements by their names: which the server has, which are kept, and whether names are of use at all."""

import logging
from collections.abc import Sequence
from typing import Final
from weakref import WeakSet

from pgsansio.codecs.descriptions import Descriptions
from pgsansio.engine.events import Event, StatementsDiscarded
from pgsansio.engine.operations import (
    DISCARDS_ROWS,
    INTERNAL,
    SYNC,
    Operation,
    Preparation,
)
from pgsansio.engine.routes import STEPS
from pgsansio.engine.states import Awaiting
from pgsansio.enums import Outcome, StatementMode
from pgsansio.frontend.start_up import StartUp
from pgsansio.messages.frontend import (
    Bind,
    Close,
    Describe,
    Execute,
    Parse,
    Sync,
    Target,
)
from pgsansio.policy.pooling import PROBE, PROBE_NAME, is_process_id, mode_found, mode_told
from pgsansio.policy.statement_cache import StatementCache
from pgsansio.policy.statement_names import StatementNames, own_name_in
from pgsansio.statement import Statement
from pgsansio.wire.framing import ReceiveBuffer

__all__ = ["Names"]

_logger: Final = logging.getLogger("pgsansio")

_SYNC: Final = Sync().encode()
_EXECUTE_ALL: Final = Execute("", 0).encode()
_CLOSE: Final = STEPS(Awaiting.CLOSE_COMPLETE, Awaiting.READY)
_PROBE_STEPS: Final = STEPS(
    Awaiting.CLOSE_COMPLETE,
    Awaiting.PARSE_COMPLETE,
    Awaiting.BIND_COMPLETE,
    Awaiting.EXECUTION,
    Awaiting.CLOSE_COMPLETE,
    Awaiting.READY,
)
_CLOSE_PROBE: Final = Close(Target.STATEMENT, PROBE_NAME).encode()
# Closed in front as well, since one that was cancelled has left it behind.
_PROBE: Final = b"".join(
    [_CLOSE_PROBE, Parse(PROBE_NAME, PROBE).encode(), Bind("", PROBE_NAME).encode(), _EXECUTE_ALL, _CLOSE_PROBE, _SYNC]
)


class Names(StartUp):
    """Statements of one session and the names that they have on the server.

    Attributes:
        descriptions: of statements; what is shared with other connections to the same database.
        statement_mode: how it sends statements: as it was told, or as has turned out to be right so far.
        statements: its statement cache.
    """

    #: There may be a pooler, and nobody knows whether it keeps track of statements. Until the answer to this question
    #: has come they are sent without names.
    _is_unsure = False
    _probe: Operation | None = None
    #: Statements with names that are somebody's own; None: there was none yet.
    _own: WeakSet[Statement] | None = None

    def __init__(
        self,
        descriptions: Descriptions | None,
        statement_mode: StatementMode | None,
        cache_size: int,
        lifetime: float,
        max_statement_size: int,
    ) -> None:
        """
        Args: as of `Frontend`.
        """
        super().__init__(ReceiveBuffer())
        self.statement_mode = StatementMode.CACHED if statement_mode is None else statement_mode
        #: Nobody has said how statements are to be sent.
        self._finds_mode = statement_mode is None
        self.descriptions = descriptions if descriptions is not None else Descriptions()
        self.statements: StatementCache[Statement] = StatementCache(
            size=0 if statement_mode is StatementMode.SIMPLE else cache_size,
            max_statement_size=max_statement_size,
            lifetime=lifetime,
        )
        #: `cached(query, now)`: the statement for this text, if it is prepared and not too old.
        self.cached = self.statements.get
        self._names = StatementNames()
        #: Names of statements that the server still has and nobody needs.
        self._to_close: list[str] = []
        #: What makes statements or closes them, on its way.
        self._preparations: list[Preparation] = []

    @property
    def is_simple(self) -> bool:
        """Whether it does without the extended protocol."""
        return self.statement_mode is StatementMode.SIMPLE

    def next_event(self) -> Event | None:
        """The oldest event that nobody has taken."""
        while self.events:
            event = self.events.popleft()
            if not isinstance(event, StatementsDiscarded):
                return event
            # One of them, or all: closing a name that the server does not know does no harm.
            self._note_names()
            self._names.discarded()
            self._to_close += [statement.name for statement in self.statements.clear() if statement.name]
        self.news = self.cancel_due or not self.is_open
        return None

    def _session_begins(self) -> None:
        """Decide how statements are sent, by what is known of sessions like it, or by what it has told of itself."""
        if not self._finds_mode:
            return
        mode = self.descriptions.statement_mode or mode_told(self.parameters)
        if mode is None and not is_process_id(self.process_id):
            mode, self._is_unsure = StatementMode.UNNAMED, True
        self.statement_mode = mode or StatementMode.CACHED

    def _may_name(self) -> bool:
        """Whether names of statements are of use, as far as that is known now."""
        if self._finds_mode:
            self._look_at_mode()
        return self.statement_mode is StatementMode.CACHED

    def _look_at_mode(self) -> None:
        """Do as other sessions of the kind have found to be right, or find out what is."""
        probe = self._probe
        if self._is_unsure and self.descriptions.statement_mode is None:
            if probe is None and self.pipelining and not self.in_transaction:
                # In front of the user's own statement, and nobody waits for it.
                probe = Operation(_PROBE, _PROBE_STEPS, SYNC | INTERNAL | DISCARDS_ROWS)
                self.submit(probe)
                self._probe = probe
            if probe is None or not probe.settled:
                return
            self._is_unsure = False
            if probe.error is not None:
                return  # it cannot be asked
            self._tell_mode(mode_found(probe.tag))
        found = self.descriptions.statement_mode
        if found is None or found is self.statement_mode:
            return
        self._is_unsure = False
        self.statement_mode = found
        if found is StatementMode.CACHED:
            self.statements.clear()  # they have no names
        else:
            self._lose_names()

    def _names_are_lost(self) -> None:
        """Prepared statements are not there any more, or others' are, though nothing has been done about them here: a
        pooler gives each transaction to another session of the server."""
        if self.statement_mode is StatementMode.CACHED:
            if self._finds_mode:
                self._tell_mode(StatementMode.UNNAMED)
                self.statement_mode = StatementMode.UNNAMED
            self._lose_names()

    def _tell_mode(self, mode: StatementMode) -> None:
        """Have all sessions of the kind use this mode, and the user know of it."""
        if mode is StatementMode.UNNAMED and self.descriptions.statement_mode is not mode:
            _logger.info(
                "A pooler that does not seem to keep track of prepared statements is between this client and the "
                "server: statements are parsed with each execution (statement_mode='unnamed')"
            )
        self.descriptions.statement_mode = mode

    def _lose_names(self) -> None:
        """Statements that were prepared so far are of use only without their names, which are not closed: they may be
        another client's as well."""
        for statement in [*self.statements.values(), *(self._own or ())]:
            if own_name_in(statement.name) == statement.name:
                statement.lose_name()
        self._names.clear()

    def _opening(
        self, query: str, parameter_oids: tuple[int, ...], name: str | None
    ) -> tuple[str, bytes, tuple[str, ...]]:
        """Close of what was evicted or released, Parse and Describe.

        Args:
            name: None: one is made, if names are of use.
        Returns:
            The name, the messages, and the names that they close.
        Raises:
            InterfaceError: the text or the name holds a zero byte.
        """
        is_named = name is None and self._may_name() and query not in self.descriptions.nameless
        self._note_names()
        # At once, since the collector may release another one meanwhile.
        released, self._to_close = self._to_close, []
        closing = self._names.to_close(released)
        name = self._names.take(query, parameter_oids) if is_named else name or ""
        try:
            closes = [Close(Target.STATEMENT, one).encode() for one in closing]
            parse = Parse(name, query, parameter_oids).encode()
            return name, b"".join([*closes, parse, Describe(Target.STATEMENT, name).encode()]), closing
        except BaseException:
            self._not_sent(name, closing)
            raise

    def _not_sent(self, name: str, closing: Sequence[str]) -> None:
        """What `_opening` has given will not be sent."""
        self._names.free([name])
        self._names.not_closed(closing)
        self._to_close += closing

    def _note_names(self) -> None:
        """Take note of what has become of the names that were on their way."""
        pending: list[Preparation] = []
        for operation in self._preparations:
            if not operation.settled:
                pending.append(operation)
                continue
            # A step for each answer, and those to Close come first; -1 where all of it was skipped.
            answered = max(operation.step, 0)
            self._names.free(operation.closing[:answered])
            unanswered = operation.closing[answered:]
            self._names.not_closed(unanswered)
            self._to_close += unanswered
            if operation.is_parsed:
                self._names.parsed(operation.name)
            else:
                self._names.free([operation.name])
        self._preparations = pending

    def _kept_name(self, operation: Preparation) -> str:
        """Under which name what was prepared can be used."""
        name = operation.name
        return "" if self.statement_mode is not StatementMode.CACHED and own_name_in(name) == name else name

    def _keep(self, statement: Statement, now: float) -> None:
        evicted = self.statements.put(statement.query, statement, now)
        self._to_close += [one.name for one in evicted if one.name]

    def submit_preparation(self, operation: Preparation) -> None:
        """Raises InterfaceError as `Session.submit`."""
        try:
            self.submit(operation)
        except BaseException:
            self._not_sent(operation.name, operation.closing)
            raise
        self._preparations.append(operation)

    def drop(self, operation: Preparation) -> None:
        """Nobody makes a statement of what this has prepared; it is closed on the server when there is an occasion."""
        if operation.is_parsed and operation.name and not operation.abandoned:
            self._to_close.append(operation.name)

    def forget(self, statement: Statement) -> None:
        """Do not use this statement again, if it is a cached one; it is closed on the server when there is an
        occasion."""
        cached = self.statements.discard(statement.query)
        if cached is not None:
            self.release(cached)

    def release(self, statement: Statement) -> None:
        """Nobody uses it any more; it is closed on the server when there is an occasion. Callable in any thread."""
        if statement.name:
            self._to_close.append(statement.name)

    def forget_all(self) -> None:
        """Do not use any of the cached statements again."""
        self._to_close += [statement.name for statement in self.statements.clear() if statement.name]

    def close_statement(self, name: str) -> Operation:
        """Close of a prepared statement. Raises InterfaceError as `Session.submit`."""
        # It is in nobody's way, unless a BEGIN goes out with it.
        traits = SYNC if self.begin_is_due else SYNC | INTERNAL
        self._note_names()
        closing = self._names.to_close([name])
        operation = Preparation(Close(Target.STATEMENT, name).encode() + _SYNC, _CLOSE, traits, "", closing)
        self.submit_preparation(operation)
        return operation

    def _settle(self, operation: Operation, outcome: Outcome) -> None:
        super()._settle(operation, outcome)
        # Only what it has made itself: under a user's name there may have been another one before.
        if operation.abandoned and isinstance(operation, Preparation) and operation.is_parsed and operation.name:
            self._to_close.append(operation.name)
