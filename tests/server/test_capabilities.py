"""Servers that are no PostgreSQL, and say so: what is not sent to them."""

from typing import Any

import pytest

from pgsansio.authentication.server import Trust
from pgsansio.backend import Backend
from pgsansio.messages.backend import BindComplete, CommandComplete, ParameterDescription, ParseComplete
from pgsansio.messages.frontend import Bind, Describe, Execute, Parse, Query, Sync, Terminate
from pgsansio.messages.startup import StartupMessage
from pgsansio.testing.script import error, ready, row_description
from tests.support.clients import Client
from tests.support.wire import serving

pytestmark = [pytest.mark.anyio, pytest.mark.server]

#: What the catalogue is not asked about before it is met.
UNKNOWN_TYPE = 91234


class Relative:
    """A server that reports these parameters. It does what a script says, and refuses questions about its types."""

    def __init__(self, reported: dict[str, str]) -> None:
        self._backend = Backend()
        self._reported = {"client_encoding": "UTF8", "server_version": "16.4", **reported}
        self._refused = False
        #: What it was sent.
        self.scripts: list[str] = []
        self.statements: list[str] = []
        self.hung_up = False

    def receive_data(self, data: bytes) -> None:
        self._backend.receive_data(data)
        while (message := self._backend.next_message()) is not None:
            self._answer(message)

    def data_to_send(self) -> bytes:
        return self._backend.data_to_send()

    def _answer(self, message: Any) -> None:
        send = self._backend.send
        match message:
            case StartupMessage():
                self._backend.authenticate(Trust())
                self._backend.welcome(self._reported, 1, b"key!")
            case Query():
                self.scripts.append(message.query)
                send(CommandComplete("SET"), ready())
            case Parse():
                self.statements.append(message.query)
                self._refused = len(self.statements) > 1
                send(error("42601", "what is pg_type?") if self._refused else ParseComplete())
            case Describe() if not self._refused:
                send(ParameterDescription(()), row_description(("a", UNKNOWN_TYPE)))
            case Bind() if not self._refused:
                send(BindComplete())
            case Execute() if not self._refused:
                send(CommandComplete("SELECT 0"))
            case Sync():
                send(ready())
            case Terminate():
                self.hung_up = True


RELATIVES = [
    pytest.param({"padb_revision": "1"}, "RESET ALL;", id="Redshift"),
    pytest.param({"crdb_version": "CockroachDB 24"}, "", id="CockroachDB"),
    pytest.param({"crate_version": "5"}, "", id="CrateDB"),
]


@pytest.mark.checklist("CN-12")
@pytest.mark.parametrize(("reported", "reset_query"), RELATIVES)
async def test_what_it_is_not_sent(client: Client, reported: dict[str, str], reset_query: str) -> None:
    relative = Relative(reported)
    async with serving(client, lambda: relative) as served, served.connect() as connection:
        assert connection.get_reset_query() == reset_query
        await connection.reset()
        assert relative.scripts == ([reset_query] if reset_query else [])
        with pytest.raises(client.UnsupportedServerFeatureError, match="the `where` parameter requires PostgreSQL 12"):
            await connection.copy_to_table("t", source=bytearray(b"1\n"), where="a > 1")
        assert relative.statements == []


@pytest.mark.checklist("CN-12")
@pytest.mark.parametrize(("reported", "reset_query"), RELATIVES)
async def test_it_is_not_told_to_compile_nothing(client: Client, reported: dict[str, str], reset_query: str) -> None:
    relative = Relative(reported)
    async with serving(client, lambda: relative) as served, served.connect() as connection:
        with pytest.raises(client.PostgresSyntaxError, match="what is pg_type"):
            await connection.fetch("SELECT a")
        assert "SELECT a" in relative.statements
        assert len(relative.statements) == 2, "the question about the type"
        assert not [statement for statement in relative.statements if "'jit'" in statement]
