"""What SCRAM's slow step has given, kept for the next connection with the same password to the same role."""

from typing import Final

from pgsansio.authentication.scram import PasswordWork
from pgsansio.types.secret import Secret

__all__ = ["SaltedPasswords"]

_SIZE: Final = 64


class SaltedPasswords:
    """Salted passwords that servers have accepted, the newest ones.

    The step is made slow for whoever guesses passwords; who has the password anyway would only do it again, which is
    most of the processor time of connecting. Whoever could read this memory could read the password there, too.
    """

    def __init__(self, size: int = _SIZE) -> None:
        self._size = size
        self._salted: dict[PasswordWork, Secret[bytes]] = {}

    def find(self, work: PasswordWork) -> Secret[bytes] | None:
        """What this step has given before; None: nobody has done it, or too long ago."""
        return self._salted.get(work)

    def keep(self, work: PasswordWork, salted: Secret[bytes]) -> None:
        """Take note of what a server has accepted; if there are too many, the oldest goes."""
        # A new dictionary, since other threads may be at it.
        kept = [each for each in self._salted.items() if each[0] != work]
        self._salted = dict([*kept, (work, salted)][-self._size :])
