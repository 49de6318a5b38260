"""What the user calls, written once for every loop: coroutines that await nothing but their port."""

from pgsansio.client.connection import Connection
from pgsansio.client.copy_stream import CopyChunks, CopyRecords
from pgsansio.client.cursor import Cursor, CursorFactory, CursorIterator
from pgsansio.client.listener import Notifications
from pgsansio.client.pipeline import Pipeline, PipelineResult
from pgsansio.client.pool import Pool, PoolAcquireContext, PoolConnectionProxy
from pgsansio.client.port import ConcurrentPort, Port
from pgsansio.client.reconnecting import ReconnectingListener
from pgsansio.client.sequential import SequentialPort, run
from pgsansio.client.statement import PreparedStatement
from pgsansio.client.stream import Stream
from pgsansio.client.transaction import Transaction

__all__ = [
    "ConcurrentPort",
    "Connection",
    "CopyChunks",
    "CopyRecords",
    "Cursor",
    "CursorFactory",
    "CursorIterator",
    "Notifications",
    "Pipeline",
    "PipelineResult",
    "Pool",
    "PoolAcquireContext",
    "PoolConnectionProxy",
    "Port",
    "PreparedStatement",
    "ReconnectingListener",
    "SequentialPort",
    "Stream",
    "Transaction",
    "run",
]
