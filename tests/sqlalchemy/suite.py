"""SQLAlchemy's own tests, on `postgresql+asyncpg` and on `postgresql+pgsansio`: what they find has to be the same.

`python -m tests.sqlalchemy.suite [PATH...]` fetches the source of the SQLAlchemy that is installed (its tests are in
there), starts a server, runs the tests on both, and fails if any test ends otherwise on ours than on asyncpg and is not
listed in `DIFFERENT`, or if one that is listed does not. PATH: what to run of it, `test/dialect/postgresql`.

Which server, and where things are kept: see `tests.support.servers`. The default is PostgreSQL 16, since these tests
want its contrib extensions.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

import pgsansio_asyncio
from tests.support.servers import ServerError, cache_folder, find_programs, running_server

ROOT: Final = Path(__file__).parents[2]

#: Tests that end otherwise on ours, by how their names begin, and why.
DIFFERENT: Final = {
    "test/dialect/postgresql/test_dialect.py::MiscBackendTest::test_asyncpg_transactional_ping": (
        "It wants a ping to begin a transaction. Ours is an empty text by the simple protocol, which needs none to get "
        "through a pooler, and takes one round trip instead of three."
    ),
}

#: What is run: the dialect's tests, and those of the rest that go to the database.
RUNS: Final = (
    ("test/dialect/postgresql", "test/dialect/test_suite.py"),
    ("--backend-only", "test/base", "test/engine", "test/ext", "test/orm", "test/sql"),
)

#: As SQLAlchemy's README.unittests.rst has it.
PREPARATION: Final = """
    CREATE SCHEMA test_schema;
    CREATE SCHEMA test_schema_2;
    CREATE EXTENSION hstore;
    CREATE EXTENSION citext;
    ALTER DATABASE {name} SET default_text_search_config = 'pg_catalog.english';
"""

DRIVERS: Final = ("asyncpg", "pgsansio")


def fetch_source() -> Path:
    """The folder of the installed SQLAlchemy's source, from the cache or fetched into it.

    Raises:
        ServerError: it cannot be fetched.
    """
    release = version("sqlalchemy")
    folder = cache_folder() / f"sqlalchemy-{release}"
    if not folder.is_dir():
        with tempfile.TemporaryDirectory(dir=folder.parent) as name:
            _download(release, Path(name))
            # Complete or not there at all, also when two do this at the same time.
            try:
                Path(name, f"sqlalchemy-{release}").rename(folder)
            except OSError:
                if not folder.is_dir():
                    raise
    return folder


def _download(release: str, folder: Path) -> None:
    """Fetch and unpack it in here."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary=sqlalchemy"]
    result = subprocess.run([*command, f"--dest={folder}", f"sqlalchemy=={release}"], check=False)
    archives = list(folder.glob("*.tar.gz"))
    if result.returncode != 0 or len(archives) != 1:
        raise ServerError(f"the source of SQLAlchemy {release} could not be fetched")
    with tarfile.open(archives[0]) as archive:
        archive.extractall(folder, filter="data")


async def prepare(dsn: str, name: str) -> None:
    """Make an empty database as the tests want it."""
    async with pgsansio_asyncio.connect(dsn) as connection:
        await connection.execute(f"CREATE DATABASE {name} ENCODING 'utf8' TEMPLATE template0")
    async with pgsansio_asyncio.connect(dsn, database=name) as connection:
        await connection.execute(PREPARATION.format(name=name))


def run(source: Path, url: str, arguments: Sequence[str], *, explain: bool = False) -> dict[str, str]:
    """Run these tests on this database; what became of each of them.

    Args:
        explain: print the failures.
    """
    command = [sys.executable, "-m", "pytest", "-p", "tests.sqlalchemy.suite_plugin", "-p", "no:cacheprovider", "-n2"]
    command += ["--quiet", "--quiet", "--maxfail=1000000"]
    command += ["--tb=short", "-rfE"] if explain else ["--tb=no", "-rN"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "PYTEST_"))}
    with tempfile.NamedTemporaryFile(suffix=".json") as outcomes:
        environment |= {
            "PGSANSIO_OUTCOMES": outcomes.name,
            "PYTHONNOUSERSITE": "1",  # with the SQLAlchemy that is installed, not with the one beside the tests
            "PYTHONPATH": str(ROOT),
        }
        subprocess.run([*command, "--dburi", url, *arguments], cwd=source, env=environment, check=False)
        return read_outcomes(Path(outcomes.name).read_text(encoding="utf-8").splitlines())


def read_outcomes(lines: Iterable[str]) -> dict[str, str]:
    """What became of each test; the worst, if something is told about it twice."""
    found: dict[str, str] = {}
    for line in lines:
        name, outcome = json.loads(line)
        if found.get(name) != "failed":
            found[name] = outcome
    return found


def plain_name(name: str) -> str:
    """A test's name without the database's: 'test_x.py::SomeTest_postgresql+asyncpg_async_16_4::test_y[a]'."""
    path, _, rest = name.partition("::")
    group, separator, test = rest.partition("::")
    return f"{path}::{group.partition('_postgresql+')[0]}{separator}{test}"


def differences(theirs: dict[str, str], ours: dict[str, str]) -> dict[str, tuple[str, str]]:
    """Tests that ended in two ways, by name: theirs and ours."""
    return {
        name: pair
        for name in sorted(theirs.keys() | ours.keys())
        if len(set(pair := (theirs.get(name, "not run"), ours.get(name, "not run")))) > 1
    }


def judge(found: dict[str, tuple[str, str]], ran: Iterable[str]) -> list[str]:
    """What is wrong: differences without a reason, and reasons without a difference among the tests that ran."""
    wrong = []
    for name, (theirs, ours) in found.items():
        if not plain_name(name).startswith(tuple(DIFFERENT)):
            wrong.append(f"{name}: {theirs} on asyncpg, {ours} on ours")
    for listed in DIFFERENT:
        names = [name for name in ran if plain_name(name).startswith(listed)]
        wrong += [f"{name}: listed as different, but it is not" for name in names if name not in found]
    return wrong


def compare(source: Path, urls: dict[str, str], arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Run these tests on both.

    Returns:
        A line with the counts for each driver, and what is wrong.
    """
    counts, outcomes = [], {}
    for driver in DRIVERS:
        print(f"\n{driver}: {' '.join(arguments)}", flush=True)
        outcomes[driver] = run(source, urls[driver], arguments)
        counted = Counter(outcomes[driver].values())
        counts.append(f"{driver:10}" + "".join(f"{counted[name]:8} {name}" for name in ("passed", "failed", "skipped")))
    theirs, ours = (outcomes[driver] for driver in DRIVERS)
    if not any(outcome == "passed" for outcome in ours.values()):
        return counts, ["no test has passed"]
    found = differences(theirs, ours)
    # Some watch the clock or the collector, which a busy machine disturbs: only what is different twice counts.
    if again := sorted(
        {name.partition("::")[0] for name in found if not plain_name(name).startswith(tuple(DIFFERENT))}
    ):
        print(f"\nonce more: {' '.join(again)}", flush=True)
        options = [argument for argument in arguments if argument.startswith("-")]
        second = differences(*(run(source, urls[driver], [*options, *again], explain=True) for driver in DRIVERS))
        found = {name: pair for name, pair in found.items() if name in second or name.partition("::")[0] not in again}
    return counts, judge(found, ours)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sqlalchemy.suite", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "paths", nargs="*", metavar="PATH", help="what to run of SQLAlchemy's tests; default: all that go to a database"
    )
    paths: list[str] = parser.parse_args().paths
    try:
        source = fetch_source()
        programs = find_programs(os.environ.get("PGSANSIO_TEST_POSTGRES", "16"))
    except ServerError as error:
        print(error, file=sys.stderr)
        return 2
    settings = {"max_prepared_transactions": "10", "max_connections": "200"}
    report, wrong = [], []
    with running_server(programs, server_settings=settings) as server:
        urls = {}
        for driver in DRIVERS:
            asyncio.run(prepare(server.dsn, f"test_{driver}"))
            urls[driver] = (
                f"postgresql+{driver}://{server.user}:{server.password}@{server.host}:{server.port}/test_{driver}"
            )
        for arguments in [paths] if paths else RUNS:
            counts, found = compare(source, urls, arguments)
            report += [" ".join(arguments), *counts]
            wrong += found
    print("", *report, "", *(wrong or ["no difference but those listed:"]), sep="\n")
    if not wrong:
        print(*(f"{name}: {reason}" for name, reason in DIFFERENT.items()), sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
