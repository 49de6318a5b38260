"""ToyPooler: toy servers behind a pooler that lends a server session for one transaction, and tracks no statements."""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from pgsansio.client.port import Address
from pgsansio.enums import TransactionStatus
from pgsansio.messages.backend import CommandComplete
from pgsansio.messages.frontend import Bind, Describe, Parse, Sync, Target, Terminate
from pgsansio.messages.startup import CancelRequest, StartupMessage
from pgsansio.policy.pooling import PROBE, PROBE_NAME
from tests.support.toy_server import Refused, ToyCluster, ToyServer

__all__ = ["PooledClient", "ToyPooler"]


class ToyPooler(ToyCluster):
    """Makes what its clients talk to.

    Attributes:
        sessions_statements: of each session of the server.
        order: which of them the next transactions have.
    """

    def __init__(
        self,
        sessions: int = 2,
        *,
        process_id: int = 1000,
        renames: bool = False,
        probe_error: tuple[str, str] | None = None,
    ) -> None:
        super().__init__()
        #: It keeps track of each client's statements, which have names of its own giving on the server.
        self.renames = renames
        self.probe_error = probe_error
        self.sessions_statements: list[dict[str, str]] = [{} for _ in range(sessions)]
        self.order: Iterator[int] = itertools.cycle(range(sessions))
        self.process_id = process_id

    def give(self, *sessions: int, then: Iterable[int] = ()) -> None:
        """The next transactions have these sessions; behind them, without end, `then`, or the last of them."""
        self.order = itertools.chain(sessions, itertools.cycle(list(then) or [sessions[-1]]))

    def __call__(self, address: Address) -> ToyServer:
        server = PooledClient(self, self.process_id + len(self.servers))
        self.servers.append(server)
        return server


class PooledClient(ToyServer):
    """What a client of the pooler talks to."""

    def __init__(self, pooler: ToyPooler, process_id: int) -> None:
        super().__init__(pooler, process_id)
        self._pooler = pooler
        self._has_session = False
        #: What it has sent, start-up apart, since somebody has emptied this.
        self.received: list[Any] = []

    def _answer(self, message: Any) -> None:
        if not isinstance(message, StartupMessage):
            self.received.append(message)
        if not self._has_session and not isinstance(message, StartupMessage | CancelRequest | Terminate):
            session = self._pooler.sessions_statements[next(self._pooler.order)]
            if not self._pooler.renames:
                self._statements = session
            self._has_session = True
        if not self._skipping or isinstance(message, Sync):
            match message:
                case Parse() if message.statement and message.statement in self._statements:
                    self._fail(Refused("42P05", f'prepared statement "{message.statement}" already exists'))
                    return
                case Bind() if message.statement not in self._statements:
                    self._fail(Refused("26000", f'prepared statement "{message.statement}" does not exist'))
                    return
                case Describe() if message.target is Target.STATEMENT and message.name not in self._statements:
                    self._fail(Refused("26000", f'prepared statement "{message.name}" does not exist'))
                    return
                case _:
                    pass
        super()._answer(message)

    def _ready(self) -> None:
        super()._ready()
        self._has_session = self.status is not TransactionStatus.IDLE

    def _execute(self, sql: str, parameters: tuple[bytes | None, ...], *, simple: bool = False) -> bool:
        if sql == PROBE:
            if self._pooler.probe_error is not None:
                self._fail(Refused(*self._pooler.probe_error))
            else:
                found = PROBE_NAME in self._statements and not self._pooler.renames
                self.backend.send(CommandComplete(f"SELECT {int(found)}"))
            return True
        if sql.startswith(("DISCARD", "DEALLOCATE")):
            self._statements.clear()
            self.backend.send(CommandComplete(sql))
            return True
        return super()._execute(sql, parameters, simple=simple)
