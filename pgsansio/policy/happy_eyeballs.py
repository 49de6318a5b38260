"""Which of a name's addresses to connect to: several at once, where the first does not answer soon.

How this works. The families of addresses take turns, beginning with the resolver's first. A round begins with the first
address; another one is started whenever `DELAY` has passed since the last start, or at once when one has failed. Who
opens first has won, and the round is over: the others are closed. If the conversation with the winner then fails,
another round goes on with all that have not failed, those that were closed in front.

Source: RFC 8305, "Happy Eyeballs Version 2", sections 4, 5 and 8. Names are looked up by the system, both families at
once, so its section 3 has nothing to decide here.
"""

import math
from collections.abc import Sequence
from itertools import chain, zip_longest
from typing import Final

from pgsansio.policy.addresses import Address, TcpAddress

__all__ = ["DELAY", "MAX_ADDRESSES", "HappyEyeballs"]

#: Seconds from one start to the next: the "Connection Attempt Delay" that the RFC recommends.
DELAY: Final = 0.25
#: A name can have thousands, and each that does not answer holds a socket.
MAX_ADDRESSES: Final = 100


class HappyEyeballs:
    """The addresses of one host.

    Attributes:
        next_at: when `due` is to be asked again if nothing happens before; infinite: it need not be.
    """

    def __init__(self, addresses: Sequence[Address]) -> None:
        """
        Args:
            addresses: in the order of the resolver, or in random order; each once. `MAX_ADDRESSES` are tried.
        """
        self._waiting = _families_in_turn(addresses)[:MAX_ADDRESSES]
        self._opening: list[Address] = []
        self._winner: Address | None = None
        self.next_at = math.inf

    @property
    def remaining(self) -> int:
        """How many addresses are still worth trying, those that are being opened among them."""
        return len(self._waiting) + len(self._opening)

    @property
    def winner(self) -> Address | None:
        """Who has opened first in this round."""
        return self._winner

    def begin(self, now: float) -> None:
        """Begin a round. What the last one has left opening is closed by now."""
        self._waiting = [*self._opening, *self._waiting]
        self._opening = []
        self._winner = None
        self.next_at = now if self._waiting else math.inf

    def due(self, now: float) -> Address | None:
        """The address to start now; it counts as started. None: none. Ask until it is None."""
        if now < self.next_at:
            return None
        address = self._waiting.pop(0)
        self._opening.append(address)
        self.next_at = now + DELAY if self._waiting else math.inf
        return address

    def failed(self, address: Address, now: float) -> None:
        """This one could not be opened."""
        self._opening.remove(address)
        if self._waiting and self._winner is None:
            self.next_at = now

    def opened(self, address: Address) -> bool:
        """This one is open. False: it came too late, and is to be closed."""
        if self._winner is not None:
            return False
        self._opening.remove(address)
        self._winner = address
        self.next_at = math.inf
        return True


def _families_in_turn(addresses: Sequence[Address]) -> list[Address]:
    if len(addresses) < 2:
        return list(addresses)
    first = [address for address in addresses if _is_ipv6(address) is _is_ipv6(addresses[0])]
    second = [address for address in addresses if _is_ipv6(address) is not _is_ipv6(addresses[0])]
    pairs = chain.from_iterable(zip_longest(first, second))
    return [address for address in pairs if address is not None]


def _is_ipv6(address: Address) -> bool:
    return isinstance(address, TcpAddress) and ":" in address.host
