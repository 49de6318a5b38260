"""The ids of the behaviours of asyncpg that tests show (`@pytest.mark.checklist`), by what they are about."""

from typing import Final

__all__ = ["DEMANDED"]

#: Title -> letters and count: ("Q", 3) is Q-1, Q-2 and Q-3. Each has a test.
DEMANDED: Final = {
    "Package surface": [("PKG", 6)],
    "Connecting": [("DSN", 7), ("HOST", 6), ("CON", 15)],
    "Authentication and TLS": [("AUTH", 4), ("TLS", 11)],
    "Connection": [("CN", 15)],
    "Query methods": [("Q", 15)],
    "Prepared statements": [("PS", 8)],
    "Statement cache": [("SC", 9)],
    "Cursors": [("CUR", 8)],
    "Transactions": [("TX", 8)],
    "COPY": [("CP", 11)],
    "Listeners and logging": [("L", 8)],
    "Timeouts, cancellation, loss of connection": [("T", 8)],
    "Pool": [("P", 17)],
    "Record": [("R", 11)],
    "Types": [("TY", 5)],
    "Custom codecs": [("K", 9)],
    "Introspection and derived codecs": [("I", 5)],
    "Exceptions": [("E", 10)],
    "Wire behaviour": [("W", 7)],
}
