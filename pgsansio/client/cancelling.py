"""Cancelling what runs on the server: a CancelRequest over a connection of its own, and waiting for its end.

A late CancelRequest kills whatever runs when it arrives, so a session writes nothing until the server has closed the
connection that carried it ("Canceling Requests in Progress"; closing is the only answer there is).
"""

from typing import TYPE_CHECKING, Final

from pgsansio.client.encrypting import Channel, open_channel
from pgsansio.client.port import Address, Port
from pgsansio.engine.operations import Operation
from pgsansio.engine.routes import RESET
from pgsansio.errors import InterfaceError, ProtocolError
from pgsansio.frontend import Frontend

if TYPE_CHECKING:
    from pgsansio.client.core import ConnectionCore

__all__ = ["cancel_abandoned", "cancel_until", "send_cancel_request"]

#: A statement that still runs so long after its CancelRequest was handed on gets another one.
REPEAT_SECONDS: Final = 0.25


async def send_cancel_request(port: Port, frontend: Frontend, address: Address, way: Channel) -> bool:
    """Cancel whatever runs on this connection's backend; returns when the server has seen it.

    Args:
        way: encrypted as the connection is, for the request holds the key to it.
    Returns:
        Whether it could be sent. False: the server gave no key for it.
    Raises:
        OSError, ProtocolError, InterfaceError: no connection could be made for it. Anything else: cancelled; nothing
            tells whether the server has seen it.
    """
    exchange = frontend.cancel_exchange()
    if exchange is None:
        return False
    other = port.sibling()
    try:
        await open_channel(other, address, exchange, way)
        await other.wait(exchange.operation)
    finally:
        other.abort()
    return True


async def cancel_until(connection: "ConnectionCore", farewell: Operation, *, is_sent: bool = False) -> None:
    """Cancel what runs on a connection that has said goodbye, until the server has hung up.

    One request may not do: none is heeded that comes before the backend has begun with the statement.

    Args:
        is_sent: the first request.
    Raises: as `send_cancel_request`.
    """
    port = connection._port
    while is_sent or await send_cancel_request(port, connection._frontend, connection._address, connection._channel):
        is_sent = False
        try:
            async with port.deadline(port.clock() + REPEAT_SECONDS):
                await port.wait(farewell)
        except TimeoutError:
            continue
        return


async def cancel_abandoned(connection: "ConnectionCore") -> None:
    """Cancel what runs, all of which is abandoned, and wait until it has ended.

    One request may not do: it hits only the statement that runs, and none if it comes before the backend has read it.
    If that fails in any way the connection is terminated: what it does next would be anyone's guess.
    """
    session, port = connection._frontend, connection._port
    if not session.cancel_due:
        return
    session.cancel_began()
    try:
        while session.is_open and (in_flight := session.in_flight):
            is_reset = in_flight[0].steps is RESET  # behind a query of a pool: it ends by itself soon
            if not is_reset and not await send_cancel_request(port, session, connection._address, connection._channel):
                connection.terminate()
                return
            try:
                async with port.deadline(port.clock() + REPEAT_SECONDS):
                    await port.wait(in_flight[0])
            except TimeoutError:
                continue
        session.cancel_ended()
        port.flush()
    except (OSError, ProtocolError, InterfaceError):
        connection.terminate()
    except BaseException:
        connection.terminate()
        raise
