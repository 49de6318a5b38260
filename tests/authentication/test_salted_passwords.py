"""Salted passwords that are kept: the newest ones, for exactly the same step."""

from pgsansio.authentication.salted_passwords import SaltedPasswords
from pgsansio.authentication.scram import PasswordWork
from pgsansio.types.secret import Secret


def work(password: bytes = b"secret", salt: bytes = b"salt", iterations: int = 1) -> PasswordWork:
    return PasswordWork(Secret(password), salt, iterations)


def test_the_same_step_is_found() -> None:
    known = SaltedPasswords()
    assert known.find(work()) is None
    salted = work()()
    known.keep(work(), salted)
    assert known.find(work()) is salted


def test_another_password_salt_or_count_is_another_step() -> None:
    known = SaltedPasswords()
    known.keep(work(), work()())
    assert known.find(work(password=b"other")) is None
    assert known.find(work(salt=b"other")) is None
    assert known.find(work(iterations=2)) is None


def test_the_oldest_goes_first() -> None:
    known = SaltedPasswords(size=2)
    steps = [work(salt=bytes([number])) for number in range(3)]
    known.keep(steps[0], steps[0]())
    known.keep(steps[1], steps[1]())
    known.keep(steps[0], steps[0]())
    known.keep(steps[2], steps[2]())
    assert [known.find(step) is not None for step in steps] == [True, False, True]


def test_nothing_is_shown() -> None:
    known = SaltedPasswords()
    salted = work()()
    known.keep(work(), salted)
    assert "secret" not in repr(vars(known))
    assert repr(salted.reveal()) not in repr(vars(known))
