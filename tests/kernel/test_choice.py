"""Which kernel runs is decided once, at import, so each case is a process."""

import os
import subprocess
import sys

import pytest

from pgsansio import kernel
from pgsansio.kernel import contract


def import_with(choice: str | None) -> tuple[str, str]:
    """(what it printed, what it complained about)"""
    environment = {name: value for name, value in os.environ.items() if name != "PGSANSIO_KERNEL"}
    if choice is not None:
        environment["PGSANSIO_KERNEL"] = choice
    done = subprocess.run(
        [sys.executable, "-c", "from pgsansio import kernel; print(kernel.NAME, '|', kernel.REASON)"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip(), done.stderr


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, "pure | no compiled kernel is built"),
        ("", "pure | no compiled kernel is built"),
        ("pure", "pure | PGSANSIO_KERNEL=pure"),
    ],
)
def test_choice(choice: str | None, expected: str) -> None:
    assert import_with(choice) == (expected, "")


@pytest.mark.parametrize(
    ("choice", "text"),
    [
        ("compiled", "ImportError: PGSANSIO_KERNEL=compiled, but the compiled kernel is not built"),
        ("fast", "ImportError: PGSANSIO_KERNEL=fast: expected 'pure' or 'compiled'"),
    ],
)
def test_refused_choice(choice: str, text: str) -> None:
    printed, complaint = import_with(choice)
    assert printed == ""
    assert text in complaint


def test_names_of_the_contract() -> None:
    assert kernel.CONTRACT_VERSION == contract.CONTRACT_VERSION
    for name in set(contract.Kernel.__annotations__) | {name for name in vars(contract.Kernel) if name[0] != "_"}:
        assert hasattr(kernel, name)
