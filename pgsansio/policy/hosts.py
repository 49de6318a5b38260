"""Which of several hosts will do, and whether another one is worth trying (libpq, "Specifying Multiple Hosts")."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

from pgsansio.errors import ConnectionDoesNotExistError
from pgsansio.policy.conninfo import SessionAttribute
from pgsansio.policy.encryption_mode import is_of_the_server

__all__ = ["accepts", "another_host_may_do", "in_random_order", "needs_query"]

T = TypeVar("T")

#: No connection to it, or none that can be trusted; and nothing but the connection's end for an answer.
_OF_THIS_HOST: Final = (OSError, ConnectionDoesNotExistError)


def another_host_may_do(error: BaseException) -> bool:
    """Whether this failure to connect says nothing about the other hosts (a wrong password, for example, does).

    Every OSError is of this host alone, as for asyncpg: a time-out, and also a certificate that is not to be trusted.
    Another host's is verified just the same.
    """
    return isinstance(error, _OF_THIS_HOST) or is_of_the_server(error)


def in_random_order(items: Sequence[T], chance: str) -> tuple[T, ...]:
    """These in an order that `chance`, a fresh and random text, decides; each order is as likely as any other."""
    # Sorting by a hash of the place needs no generator of random numbers.
    places = sorted(range(len(items)), key=lambda place: hashlib.sha256(f"{place},{chance}".encode()).digest())
    return tuple([items[place] for place in places])


def needs_query(attribute: SessionAttribute, parameters: Mapping[str, str]) -> bool:
    """Whether the server (before 14) has to be asked, since it does not report what decides."""
    if attribute is SessionAttribute.any:
        return False
    return not {"in_hot_standby", "default_transaction_read_only"} <= parameters.keys()


def accepts(attribute: SessionAttribute, parameters: Mapping[str, str]) -> bool:
    """Whether a server with these reported parameters is what `target_session_attrs` asks for.

    Args:
        parameters: `in_hot_standby` and `default_transaction_read_only`, 'on' or 'off'.
    """
    standby = parameters.get("in_hot_standby") == "on"
    read_only = standby or parameters.get("default_transaction_read_only") == "on"
    match attribute:
        case SessionAttribute.any:
            return True
        case SessionAttribute.primary:
            return not standby
        case SessionAttribute.standby | SessionAttribute.prefer_standby:
            return standby
        case SessionAttribute.read_write:
            return not read_only
        case SessionAttribute.read_only:
            return read_only
