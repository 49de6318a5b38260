"""What all tests share: the loops, a real server, and an environment without PG* variables."""

import asyncio
import contextlib
import gc
import importlib
import os
import signal
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

import pytest

import pgsansio_asyncio
from pgsansio.policy.cluster import ClusterError
from tests.support.certificates import Certificates
from tests.support.faces import Faces, ServerCertificates, settings
from tests.support.pgbouncer import FETCHABLE, Pooler, fetch, running_pgbouncer
from tests.support.replicas import Pair, running_pair, running_standby
from tests.support.servers import Server, ServerError, find_programs, running_server

NO_SERVER = "no PostgreSQL server"
NO_POOLER = "no PgBouncer"


def pytest_configure(config: pytest.Config) -> None:
    """Drop the variables that libpq and PostgreSQL's programs know (tests that want some set them), and hear Ctrl-C.

    Here and not in a fixture, so that they are gone before the first module is imported, in xdist's workers, too.
    """
    # A shell without job control starts background jobs with SIGINT ignored, and what they start inherits that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in list(os.environ):
        if name.startswith("PG") and name != "PG_BIN" and not name.startswith("PGSANSIO_"):
            del os.environ[name]


def pytest_collection_finish() -> None:
    """Let the collector walk past the tests themselves, which are so many objects that it takes long every time."""
    # Who refers to what is frozen is not found any more; and hypothesis, if its own plugin is the first to import it,
    # asks in the end who keeps the random numbers of trio.
    importlib.import_module("hypothesis")
    gc.collect()
    gc.freeze()


@pytest.fixture(
    scope="session",
    params=[
        pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
        pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
        pytest.param(("trio", {}), id="trio"),
    ],
)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """The loops that tests marked `anyio` run on; anyio's plugin asks for this name."""
    return request.param


@pytest.fixture(scope="session")
def server_programs() -> str:
    """The folder of the programs of the server to test against; for tests that start one of their own.

    Which one: see `tests.support.servers`. Without one, tests that want it are skipped, and the summary says so in red;
    with PGSANSIO_TEST_REQUIRE_SERVER=1 they fail.
    """
    try:
        return find_programs(os.environ.get("PGSANSIO_TEST_POSTGRES"))
    except ServerError as error:
        if os.environ.get("PGSANSIO_TEST_REQUIRE_SERVER") == "1":
            pytest.fail(str(error), pytrace=False)
        pytest.skip(f"{NO_SERVER}: {error}")


@pytest.fixture(scope="session")
def postgres(server_programs: str) -> Iterator[Server]:
    """A running server, one for each xdist worker (starting one takes half a second); leave it as you found it."""
    with running_server(server_programs) as server:
        yield server


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """What the server of `tls_postgres` shows, and what clients may show to it."""
    return Certificates.make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def tls_postgres(server_programs: str, certificates: Certificates) -> Iterator[Server]:
    """A running server with TLS, and users whom it tells apart by how they come; skipped where it has no OpenSSL.

    Users have the superuser's password. `tls_user` has to come encrypted, `plain_user` in plain text, `nobody` not at
    all; `cert_user` shows a certificate of that name instead of a password (so does `mapped`, by a map), `careful` a
    certificate besides.
    """
    hba = (
        "hostnossl all tls_user all reject",
        "hostssl all plain_user all reject",
        "host all nobody all reject",
        "hostnossl all moody all reject",
        "hostssl all cert_user all cert",
        "hostssl all mapped all cert map=certificates",
        "hostnossl all cert_user all reject",
        "hostssl all careful all scram-sha-256 clientcert=verify-ca",
    )
    certificate, key = certificates.server
    settings = {
        "ssl_cert_file": "../server.crt",
        "ssl_key_file": "../server.key",
        "ssl_ca_file": "../ca.crt",
        "ssl_crl_file": "../clients.crl",
    }
    files = {
        "server.crt": certificate,
        "server.key": key,
        "ca.crt": certificates.authority,
        "clients.crl": certificates.revocations,
    }
    with _server_with_tls(server_programs, settings, files, hba) as server:
        names = ("tls_user", "plain_user", "nobody", "moody", "cert_user", "mapped", "careful")
        asyncio.run(_create_users(server, *names))
        asyncio.run(_write_map(server, "certificates cert_user mapped"))
        yield server


@pytest.fixture(scope="session")
def faces(server_programs: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faces]:
    """A running server that shows what `face` says; skipped where it has no OpenSSL."""
    certificates = ServerCertificates(tmp_path_factory.mktemp("faces"))
    with _server_with_tls(server_programs, settings("plain"), certificates.files) as server:
        yield Faces(server, certificates)


@pytest.fixture(scope="module")
def face(request: pytest.FixtureRequest, faces: Faces) -> Faces:
    """The server of `faces`, showing this one; to be parametrized indirectly."""
    faces.show(request.param)
    return faces


@contextlib.contextmanager
def _server_with_tls(
    programs: str, settings: Mapping[str, str], files: Mapping[str, bytes], hba: Sequence[str] = ()
) -> Iterator[Server]:
    try:
        with running_server(programs, server_settings={"ssl": "on", **settings}, hba=hba, files=files) as server:
            yield server
    except ClusterError as error:
        if "SSL is not supported by this build" not in str(error):
            raise
        text = f"{NO_SERVER} with OpenSSL; set PGSANSIO_TEST_POSTGRES to one that can be fetched"
        # The server of the extra `embedded` has none; those that are fetched are expected to.
        wanted = os.environ.get("PGSANSIO_TEST_POSTGRES", "")
        if os.environ.get("PGSANSIO_TEST_REQUIRE_SERVER") == "1" and wanted.isdigit():
            pytest.fail(text, pytrace=False)
        pytest.skip(text)


@pytest.fixture(scope="session")
def lax_postgres(server_programs: str) -> Iterator[Server]:
    """A running server that asks for something else of each of these users, in plain text too.

    `open` is let in, `clear` sends the password, and `hashed` its MD5; the superuser's password is theirs, too.
    """
    methods = {"open": "trust", "clear": "password", "hashed": "md5"}
    hba = [f"local all {user} {method}" for user, method in methods.items()]
    hba += [f"host all {user} all {method}" for user, method in methods.items()]
    with running_server(server_programs, server_settings={"password_encryption": "md5"}, hba=hba) as server:
        asyncio.run(_create_users(server, *methods))
        yield server


@pytest.fixture(scope="session")
def pair(server_programs: str) -> Iterator[Pair]:
    """A primary and its standby (started in half a second); leave them as you found them."""
    with running_pair(server_programs) as pair:
        yield pair


@pytest.fixture(scope="session")
def cold_standby(server_programs: str, pair: Pair) -> Iterator[Server]:
    """Another standby of the same primary, which takes no connections."""
    with running_standby(server_programs, pair.primary, server_settings={"hot_standby": "off"}) as standby:
        yield standby


# A pooler keeps connections to the server open, so it ends with the module that wanted it.


def fetched_pgbouncer(version: str) -> str:
    """This version, if it is to be had here; else as for `server_programs`."""
    try:
        fetch(version)
    except ServerError as error:
        if os.environ.get("PGSANSIO_TEST_REQUIRE_SERVER") == "1":
            pytest.fail(str(error), pytrace=False)
        pytest.skip(f"{NO_POOLER}: {error}")
    return version


@pytest.fixture(scope="session", params=list(FETCHABLE))
def pgbouncer_version(request: pytest.FixtureRequest) -> str:
    """Each version of PgBouncer; for tests that start one of their own (in 30 ms) by `running_pgbouncer`."""
    return fetched_pgbouncer(request.param)


@pytest.fixture(scope="module")
def pgbouncer(pgbouncer_version: str, postgres: Server) -> Iterator[Pooler]:
    """Each version of PgBouncer in turn, in transaction mode, in front of `postgres`."""
    with running_pgbouncer(pgbouncer_version, postgres) as pooler:
        yield pooler


@pytest.fixture(scope="module")
def pgbouncer_1_18(postgres: Server) -> Iterator[Pooler]:
    """The oldest PgBouncer, in transaction mode, in front of `postgres`; it knows nothing of prepared statements."""
    with running_pgbouncer(fetched_pgbouncer("1.18"), postgres) as pooler:
        yield pooler


@pytest.fixture(scope="module")
def pgbouncer_1_26(postgres: Server) -> Iterator[Pooler]:
    """The newest PgBouncer, in transaction mode, in front of `postgres`; it keeps prepared statements."""
    with running_pgbouncer(fetched_pgbouncer("1.26"), postgres) as pooler:
        yield pooler


async def _create_users(server: Server, *names: str) -> None:
    async with pgsansio_asyncio.connect(server.dsn) as connection:
        for name in names:
            await connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{server.password}'")


async def _write_map(server: Server, line: str) -> None:
    """Make this pg_ident.conf, and wait until new sessions come from a server that has read it."""
    async with pgsansio_asyncio.connect(server.dsn) as connection:
        before = await connection.fetchval("SELECT pg_conf_load_time()")
        path = await connection.fetchval("SHOW ident_file")
        await connection.execute(f"COPY (SELECT '{line}') TO '{path}'")
        await connection.execute("SELECT pg_reload_conf()")
    loaded = before
    while loaded == before:
        async with pgsansio_asyncio.connect(server.dsn) as connection:
            loaded = await connection.fetchval("SELECT pg_conf_load_time()")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    yield  # so that ours comes last
    faults: Counter[str] = Counter()
    for report in terminalreporter.getreports("passed"):
        faults.update({name: count for name, count in report.user_properties if name.startswith("faults: ")})
    if faults:
        kinds = ", ".join(f"{name.removeprefix('faults: ')} {count}" for name, count in sorted(faults.items()))
        terminalreporter.line(f"places of a session that were tried with a fault: {kinds}")
    skipped = terminalreporter.stats.get("skipped", [])
    count = sum(NO_SERVER in str(report.longrepr) for report in skipped)
    if count:
        terminalreporter.section(f"{count} tests were skipped: {NO_SERVER}", sep="!", red=True, bold=True)
        terminalreporter.line("pip install 'pgsansio[embedded]', or set PG_BIN or PGSANSIO_TEST_POSTGRES")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A report parses source. If the collector runs in the middle, and a finalizer's traceback is formatted, which
    parses, too, CPython 3.11 ends in a SystemError ("AST constructor recursion depth mismatch")."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
