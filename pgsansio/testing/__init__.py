"""What tests are made of that have no PostgreSQL: servers that say what they are told to, recordings, faults, a loop.

All of it is values and calls. `pgsansio_asyncio.testing` and `pgsansio_trio.testing` put such a server behind a socket.
"""

from pgsansio.testing.faults import Cut, Duplicate, Fault, Faulty, Flip, Split, Stall
from pgsansio.testing.loop import Cancelled, Stuck, Task, VirtualLoop, VirtualPool, VirtualPort
from pgsansio.testing.peer import Deaf, Peer, Unasked
from pgsansio.testing.recording import Difference, Entry, Recorder, Recording, Replayer
from pgsansio.testing.script import ScriptedBackend, expect, hang_up, login, send, send_bytes
from pgsansio.testing.server import Call, ScriptedServer, Session

__all__ = [
    "Call",
    "Cancelled",
    "Cut",
    "Deaf",
    "Difference",
    "Duplicate",
    "Entry",
    "Fault",
    "Faulty",
    "Flip",
    "Peer",
    "Recorder",
    "Recording",
    "Replayer",
    "ScriptedBackend",
    "ScriptedServer",
    "Session",
    "Split",
    "Stall",
    "Stuck",
    "Task",
    "Unasked",
    "VirtualLoop",
    "VirtualPool",
    "VirtualPort",
    "expect",
    "hang_up",
    "login",
    "send",
    "send_bytes",
]
