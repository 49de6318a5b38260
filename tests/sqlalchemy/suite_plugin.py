"""A plugin of pytest for SQLAlchemy's own tests, run by `tests.sqlalchemy.suite`.

Tests that are about asyncpg's dialect ask for the driver's name, so ours goes by that name in here; nothing else of it
is changed. What became of each test is written to the file that PGSANSIO_OUTCOMES names, a line of JSON each.
"""

import json
import os
from pathlib import Path

import pytest
from sqlalchemy.dialects import registry

from pgsansio_asyncio.sqlalchemy import PGDialect_pgsansio


class Dialect(PGDialect_pgsansio):
    driver = "asyncpg"
    supports_statement_cache = True


registry.register("postgresql.pgsansio", __name__, "Dialect")


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    # The workers of xdist tell the process that started them.
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Recorder(Path(os.environ["PGSANSIO_OUTCOMES"])))


class _Recorder:
    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8", buffering=1)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # A test that was carried out is told by its call; set-up and the end only count if they did not pass.
        if report.when == "call" or not report.passed:
            # An expected failure of theirs is reported as skipped.
            self._file.write(json.dumps([report.nodeid, report.outcome]) + "\n")

    def pytest_unconfigure(self) -> None:
        self._file.close()
