"""Programs of which this library is asyncpg: each in a process of its own, since that holds for the whole process."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

__all__ = ["ROOT", "require", "run"]

ROOT = Path(__file__).parents[2]

#: What says that an extra is there. `libraries` is large, and only .ci/full installs it.
REQUIRED = {"compat": "PGSANSIO_TEST_REQUIRE_SERVER", "libraries": "PGSANSIO_TEST_REQUIRE_LIBRARIES"}


def run(*arguments: str) -> str:
    """What this Python prints; a connection that is not closed is an error there, too.

    Raises:
        AssertionError: it failed; with what it said.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", *arguments],
        capture_output=True,
        check=False,
        env=environment,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def require(module: str, extra: str = "compat") -> None:
    """Skip the test without this module of that extra; with the extra's variable set that is a failure."""
    try:
        found = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        found = None
    if found is None:
        text = f"no module {module}; it comes with the extra `{extra}`"
        if os.environ.get(REQUIRED[extra]) == "1":
            pytest.fail(text, pytrace=False)
        pytest.skip(text)
