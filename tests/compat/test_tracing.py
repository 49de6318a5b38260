"""Tracing libraries see of this library what they see of asyncpg."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.compat.programs import require, run
from tests.support.servers import Server

PROGRAM = Path(__file__).with_name("traced_program.py")

#: Names of savepoints differ, and here a savepoint that was rolled back is released, too.
SAVEPOINT = re.compile(r"__(asyncpg|pgsansio)_savepoint_[0-9a-f]+__(; RELEASE SAVEPOINT \w+(?=;))?")


def spans(driver: str, tracer: str, server: Server) -> list[dict[str, Any]]:
    printed = run(str(PROGRAM), driver, tracer, server.dsn, server.socket_dir)
    found = json.loads(SAVEPOINT.sub("SAVEPOINT", printed))
    assert isinstance(found, list)
    return found


@pytest.mark.checklist("PKG-5")
@pytest.mark.parametrize(
    ("tracer", "module", "count"),
    [
        ("sentry", "sentry_sdk", 80),
        ("opentelemetry", "opentelemetry.instrumentation.asyncpg", 90),
    ],
)
def test_the_spans_are_those_of_asyncpg(tracer: str, module: str, count: int, postgres: Server) -> None:
    require(module)
    theirs, ours = (spans(driver, tracer, postgres) for driver in ("asyncpg", "pgsansio"))
    assert len(theirs) >= count
    assert ours == theirs
