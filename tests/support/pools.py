"""Pools under test, and what they do behind the scenes; ours or asyncpg's."""

from typing import Any

from tests.support.clients import Client

__all__ = ["at_rest", "make_pool", "waiting"]


def make_pool(client: Client, min_size: int = 1, max_size: int = 1, **arguments: Any) -> Any:
    return client.create_pool(**client.settings(min_size=min_size, max_size=max_size, **arguments))


def at_rest(client: Client, pool: Any) -> bool:
    """Whether all that it may hold are open and idle. Ours counts as idle also what is still being reset."""
    if pool.get_idle_size() != pool.get_max_size():
        return False
    return not client.is_ours or pool._policy.statistics().resetting == 0


def waiting(client: Client, pool: Any) -> int:
    """How many tasks wait for a connection."""
    if client.is_ours:
        count: int = pool._policy.statistics().waiting
        return count
    return sum(not getter.done() for getter in pool._queue._getters)
