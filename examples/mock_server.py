"""A PostgreSQL server in a hundred lines: every SELECT gets one row. From the Backend role, on asyncio.

    python examples/mock_server.py 54321
    psql "host=127.0.0.1 port=54321 user=me dbname=any" -c "SELECT anything"

Messages come out of `Backend`, answers go in; it keeps the protocol's state and refuses what would be illegal to send.
What is left to say is what this server knows: one table with one row.
"""

import asyncio
import sys
from collections.abc import Callable

from pgsansio import Backend, Format, TransactionStatus
from pgsansio.authentication.server import Trust
from pgsansio.messages.backend import (
    BindComplete,
    CloseComplete,
    CommandComplete,
    DataRow,
    EmptyQueryResponse,
    ErrorResponse,
    FieldDescription,
    NoData,
    ParameterDescription,
    ParseComplete,
    ReadyForQuery,
    RowDescription,
)
from pgsansio.messages.frontend import Bind, Close, Describe, Execute, Parse, Query, Sync
from pgsansio.messages.startup import GSSENCRequest, SSLRequest, StartupMessage
from pgsansio.messages.tags import FrontendMessage

GREETING = b"hello from pgsansio"
FIELDS = (FieldDescription("greeting", 0, 0, 25, -1, -1, Format.TEXT),)
READY = ReadyForQuery(TransactionStatus.IDLE)
REFUSED = ErrorResponse({"S": "ERROR", "V": "ERROR", "C": "0A000", "M": "this server knows SELECT only"})


class Conversation:
    """What the server says to one client."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        #: Text of each prepared statement, and of each portal.
        self.statements: dict[str, str] = {}
        self.portals: dict[str, str] = {}

    def answer(self, message: FrontendMessage) -> None:
        send = self.backend.send
        if isinstance(message, SSLRequest | GSSENCRequest):
            self.backend.answer_encryption(b"N")
        elif isinstance(message, StartupMessage):
            self.backend.authenticate(Trust())
            self.backend.welcome({"server_version": "16.0", "client_encoding": "UTF8"}, process_id=1)
        elif isinstance(message, Query):
            if not message.query.strip(" ;\n"):
                send(EmptyQueryResponse(), READY)
            elif is_select(message.query):
                send(RowDescription(FIELDS), DataRow((GREETING,)), CommandComplete("SELECT 1"), READY)
            else:
                send(REFUSED, READY)
        elif isinstance(message, Parse):
            self.statements[message.statement] = message.query
            # After the error the backend hands nothing over until Sync.
            send(ParseComplete() if is_select(message.query) else REFUSED)
        elif isinstance(message, Bind):
            self.portals[message.portal] = self.statements.get(message.statement, "")
            send(BindComplete())
        elif isinstance(message, Describe):
            if message.target.value == "S":
                send(ParameterDescription(()))
            known = self.statements if message.target.value == "S" else self.portals
            send(RowDescription(FIELDS) if message.name in known else NoData())
        elif isinstance(message, Execute):
            send(DataRow((GREETING,)), CommandComplete("SELECT 1"))
        elif isinstance(message, Close):
            send(CloseComplete())
        elif isinstance(message, Sync):
            send(READY)


def is_select(query: str) -> bool:
    return query.lstrip().upper().startswith("SELECT")


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection, until one side ends it."""
    backend = Backend()
    conversation = Conversation(backend)
    try:
        while not backend.ended:
            data = await reader.read(65536)
            if not data:
                backend.receive_eof()
            backend.receive_data(data)
            while (message := backend.next_message()) is not None:
                conversation.answer(message)
            writer.write(backend.data_to_send())
            await writer.drain()
    except ConnectionError:
        pass  # the client has gone
    finally:
        writer.close()


async def run(host: str, port: int, started: Callable[[int], object] = print) -> None:
    """Serve until cancelled; `started` is told the port."""
    server = await asyncio.start_server(serve, host, port)
    async with server:
        started(server.sockets[0].getsockname()[1])
        await server.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(run("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 0))
    except KeyboardInterrupt:
        pass
