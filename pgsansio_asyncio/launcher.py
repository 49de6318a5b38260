"""Files and processes of a throw-away server, as `pgsansio.policy.cluster` decides them; nothing here waits for long.

This module is the same, byte for byte, in both adapters (a test compares them): `pgsansio` does no I/O, and the
adapters do not import each other.

The process is a plain `subprocess.Popen`. asyncio's own transport kills its process when its loop is closed; here that
would be the guard, and its server would be left behind.
"""

import glob
import importlib.util
import os
import pwd
import random
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from pgsansio.policy import cluster as policy
from pgsansio.policy.cluster import Account, ClusterError, ClusterOptions, ClusterPlan, FileFacts

__all__ = ["LaunchedServer", "find_programs"]

#: Free ports that turn out to be taken when the server binds, before we give up.
_PORT_ATTEMPTS = 3


class LaunchedServer:
    """A server that was started, and its guard (see the policy); starting takes some milliseconds, being ready longer.

    Args:
        bin_dir: what `find_programs` returned.
    Raises:
        ClusterError: there is no account to run as, or no folder to use.
        OSError: a file cannot be written, or the process not be started.
    """

    def __init__(self, bin_dir: str, options: ClusterOptions) -> None:
        self._bin_dir = bin_dir
        self._options = options
        self._attempts_left = _PORT_ATTEMPTS
        self._launch()

    def _launch(self) -> None:
        account = _account()
        folder = tempfile.mkdtemp(prefix=policy.FOLDER_PREFIX, dir=_folder_parent(account))
        try:
            self.plan = policy.plan_cluster(
                folder=folder,
                bin_dir=self._bin_dir,
                port=_free_port(),
                password=secrets.token_hex(16),
                options=self._options,
                environment=os.environ,
                has_own_libpq=os.path.exists(f"{os.path.dirname(self._bin_dir)}/lib/libpq.so.5"),
            )
            self._process = _start(self.plan, account)
        except BaseException:
            shutil.rmtree(folder)
            raise

    def is_ready(self) -> bool:
        """Whether connections are taken; to be asked again and again.

        Raises:
            ClusterError: the server ended; nothing is left of it. (If another process took its port, it is started
                again instead, with another one.)
        """
        if (status := self._process.poll()) is None:
            postmaster = self._postmaster()
            return postmaster is not None and postmaster.ready
        log = self.read_log()
        self.tell()
        shutil.rmtree(self.plan.folder, ignore_errors=True)
        self._attempts_left -= 1
        if not policy.address_in_use(log) or not self._attempts_left:
            raise ClusterError(policy.failure_text(status, log))
        self._launch()
        return False

    def _postmaster(self) -> policy.PostmasterStatus | None:
        try:
            with open(self.plan.pid_file) as file:
                return policy.parse_postmaster_pid(file.read())
        except FileNotFoundError:
            return None

    @property
    def pid(self) -> int | None:
        """Of the postmaster; None before it starts and after it ended in an orderly way."""
        postmaster = self._postmaster()
        return postmaster.pid if postmaster is not None else None

    def major_version(self) -> int:
        with open(self.plan.version_file) as file:
            return int(file.read())

    def read_log(self) -> str:
        """What initdb and the server have printed so far; empty if they did not begin to."""
        try:
            with open(self.plan.log, encoding="utf-8", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def tell(self) -> None:
        """Have the guard stop the server and delete its folder, which takes some 50 ms; once is enough."""
        assert self._process.stdin is not None
        if self._process.stdin.closed:
            return
        try:
            # A line, since the pipe does not end while a forked process holds it, too.
            self._process.stdin.write(b"stop\n")
        except BrokenPipeError:
            pass
        self._process.stdin.close()

    def has_ended(self) -> bool:
        """Whether server and guard are gone, and the folder with them."""
        if self._process.poll() is None:
            return False
        # The guard leaves the folder to us if the server had ended before it was told.
        shutil.rmtree(self.plan.folder, ignore_errors=True)
        return True


def _start(plan: ClusterPlan, account: Account | None) -> "subprocess.Popen[bytes]":
    for path, content in plan.files:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            if account is not None:
                os.fchown(file.fileno(), account.uid, account.gid)
    if account is not None:
        os.chown(plan.folder, account.uid, account.gid)
    return subprocess.Popen(
        plan.command,
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env=plan.environment,
        umask=0o077,
        # Out of reach of the terminal's Ctrl-C, which is for us.
        start_new_session=True,
        user=account.uid if account is not None else None,
        group=account.gid if account is not None else None,
        extra_groups=[] if account is not None else None,
    )


def _account() -> Account | None:
    accounts = {entry.pw_name: Account(entry.pw_name, entry.pw_uid, entry.pw_gid) for entry in pwd.getpwall()}
    return policy.server_account(os.geteuid(), accounts)


def _folder_parent(account: Account | None) -> str:
    for parent in policy.folder_parents(os.path.abspath(tempfile.gettempdir())):
        if os.access(parent, os.W_OK | os.X_OK) and policy.socket_fits(parent, sys.platform):
            if policy.may_use(account, _facts_along(parent)):
                return parent
    raise ClusterError("no folder for temporary files has a short path and lets the server in (see TMPDIR)")


def _free_port() -> int:
    for port in random.sample(policy.PORTS, 100):
        with socket.socket() as probe:
            try:
                probe.bind((policy.HOST, port))
            except OSError:
                continue
            return port
    raise ClusterError(f"no free port found on {policy.HOST}")


def find_programs(bin_dir: str | None = None) -> str:
    """The folder of `initdb` and `postgres`, where the account that is to run them can reach them.

    As root this may copy some 75 MB, once; else it takes a millisecond.

    Args:
        bin_dir: look only there; None looks at PG_BIN, PATH, the usual folders and the optional packages.
    Raises:
        ClusterError: there are no such programs, or no account to run them.
        OSError: they cannot be copied.
    """
    candidates = _candidates() if bin_dir is None else [bin_dir]
    for folder in candidates:
        if all(os.path.isfile(f"{folder}/{name}") for name in policy.PROGRAMS):
            break
    else:
        raise ClusterError(policy.no_programs_text(candidates))
    found = os.path.abspath(folder)
    if policy.may_use(_account(), _facts_along(f"{found}/postgres")):
        return found
    return _copied(found)


def _candidates() -> list[str]:
    on_path = shutil.which("initdb")
    specs = {name: importlib.util.find_spec(name) for name in policy.PACKAGES}
    return policy.candidate_folders(
        pg_bin=os.environ.get("PG_BIN"),
        on_path=os.path.dirname(os.path.realpath(on_path)) if on_path else None,
        installed=glob.glob(policy.INSTALLED_PATTERN),
        packages={name: os.path.dirname(spec.origin) for name, spec in specs.items() if spec and spec.origin},
    )


def _copied(bin_dir: str) -> str:
    """The folder of a copy of these programs that every account can reach, made if it is not there yet."""
    layout = policy.copy_layout(bin_dir)
    files = [
        (place + path.removeprefix(source), os.lstat(path).st_size)
        for source, place in layout.folders
        for path in _files_below(source)
    ]
    with open(f"{bin_dir}/postgres", "rb") as program:
        target = policy.copy_target(policy.content_mark(files, program.read()))
    if not os.path.lexists(target):
        # Made under another name, so that nobody finds half of it.
        part = tempfile.mkdtemp(prefix=f"{os.path.basename(target)}.", dir=os.path.dirname(target))
        try:
            for source, place in layout.folders:
                if os.path.isdir(source):
                    shutil.copytree(source, f"{part}/{place}", symlinks=True)
            _open_up(part)
            os.rename(part, target)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            # Another process may have been quicker with the same copy.
            if not os.path.lexists(target):
                raise
    if not policy.copy_is_safe(_facts(target), os.geteuid()):
        raise ClusterError(f"{target} belongs to somebody else; remove it")
    return f"{target}/{layout.bin_dir}"


def _files_below(folder: str) -> Iterator[str]:
    for parent, _, names in os.walk(folder):
        for name in names:
            yield f"{parent}/{name}"


def _open_up(folder: str) -> None:
    """Let everybody read, and run what the owner may run: an installation may have been made with a strict umask."""
    for parent, _, names in os.walk(folder):
        os.chmod(parent, 0o755)
        for name in names:
            path = f"{parent}/{name}"
            if not os.path.islink(path):
                os.chmod(path, 0o755 if os.lstat(path).st_mode & 0o100 else 0o644)


def _facts(path: str) -> FileFacts:
    status = os.lstat(path)
    return FileFacts(status.st_mode & 0o7777, status.st_uid, status.st_gid)


def _facts_along(path: str) -> Iterator[FileFacts]:
    """Of a path, links resolved, and of every folder above it."""
    path = os.path.realpath(path)
    yield _facts(path)
    while path != (parent := os.path.dirname(path)):
        path = parent
        yield _facts(path)
