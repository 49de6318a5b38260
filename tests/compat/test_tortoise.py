"""Tortoise ORM on this library finds what it finds on asyncpg."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.compat.programs import require, run
from tests.support.servers import Server

PROGRAM = Path(__file__).with_name("tortoise_program.py")


def findings(driver: str, server: Server) -> dict[str, Any]:
    arguments = (server.host, str(server.port), server.user, server.password, f"tortoise_{driver}")
    found = json.loads(run(str(PROGRAM), driver, *arguments))
    assert isinstance(found, dict)
    return found


@pytest.mark.checklist("PKG-5")
def test_tortoise_finds_the_same(postgres: Server) -> None:
    require("tortoise")
    theirs, ours = (findings(driver, postgres) for driver in ("asyncpg", "pgsansio"))
    assert len(theirs) >= 10
    for section, found in theirs.items():
        assert ours.pop(section) == found, section
    assert not ours
