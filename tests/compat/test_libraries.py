"""Libraries that import asyncpg find on this library what they find on asyncpg.

They come with the extra `libraries`, and want an environment of their own.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.compat.programs import require, run
from tests.support.servers import Server

PROGRAM = Path(__file__).with_name("library_program.py")


def findings(driver: str, library: str, server: Server) -> list[Any]:
    found = json.loads(run(str(PROGRAM), driver, library, server.dsn, f"{library}_{driver}"))
    assert isinstance(found, list)
    return found


@pytest.mark.checklist("PKG-5")
@pytest.mark.parametrize(
    "library",
    [
        *("apscheduler", "asyncpg_listen", "asyncpg_trek", "buildpg", "databases"),
        *("pgqueuer", "pgvector", "piccolo", "quart_db", "taskiq_pg"),
    ],
)
def test_a_library_finds_the_same(library: str, postgres: Server) -> None:
    require(library, "libraries")
    theirs, ours = (findings(driver, library, postgres) for driver in ("asyncpg", "pgsansio"))
    assert theirs
    assert ours == theirs
