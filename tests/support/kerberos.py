"""A Kerberos realm for the tests: its server, principals, tickets; and the package `gssapi`, which has to be built.

`python -m tests.support.kerberos` fetches and builds what is needed into the cache of `tests.support.servers` and
prints where it is; tests use what is there. The key distribution centre is Debian's, unpacked (see
`tests.support.debian`). The package has no wheel for Linux; its source is built with Debian's headers and the
libgssapi_krb5.so.2 of the system (some 20 s), for all versions of Python from 3.11 on.
"""

import contextlib
import fcntl
import importlib.util
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pgsansio.policy import cluster as policy
from tests.support.debian import loader, run, unpack
from tests.support.guarded import free_port, start_guarded, stop_guarded
from tests.support.servers import ServerError, cache_folder

__all__ = ["HOST", "REALM", "Kerberos", "fetch", "make_importable", "running_kerberos"]

REALM: Final = "PGSANSIO.TEST"
#: The name by which servers are known to Kerberos.
HOST: Final = "localhost"

_RELEASE: Final = "bookworm"
_PROGRAMS: Final = ("krb5-kdc", "krb5-admin-server", "krb5-user")
_HEADERS: Final = ("libkrb5-dev", "krb5-multidev", "comerr-dev")
_PACKAGE: Final = "gssapi==1.12.0"
_LIBRARY: Final = "libgssapi_krb5.so.2"

_START_TIMEOUT: Final = 30.0
_PORT_ATTEMPTS: Final = 3

# No name is looked up anywhere, and no domain is added to one.
_KRB5_CONF: Final = """\
[libdefaults]
    default_realm = {realm}
    dns_lookup_kdc = false
    dns_lookup_realm = false
    dns_canonicalize_hostname = false
    qualify_shortname = ""
    rdns = false
    udp_preference_limit = 1
[realms]
    {realm} = {{
        kdc = {address}:{port}
    }}
[domain_realm]
    {host} = {realm}
"""
_KDC_CONF: Final = """\
[libdefaults]
    plugin_base_dir = {plugins}
[realms]
    {realm} = {{
        kdc_listen = {address}:{port}
        kdc_tcp_listen = {address}:{port}
        database_name = {folder}/principal
        key_stash_file = {folder}/stash
        supported_enctypes = aes256-cts-hmac-sha1-96:normal
    }}
[dbmodules]
    db_module_dir = {plugins}/kdb
[logging]
    kdc = FILE:{folder}/log
"""


@dataclass(frozen=True, slots=True)
class Kerberos:
    """A realm with a running server; `postgres/localhost` and the users that were asked for are in it.

    Attributes:
        keytab: of `postgres/localhost`, for krb_server_keyfile.
        tickets: user -> what has to be in the environment of a process that has its ticket.
        environment: of one that has none.
    """

    keytab: bytes
    tickets: dict[str, dict[str, str]]
    environment: dict[str, str]


@contextlib.contextmanager
def running_kerberos(*users: str) -> Iterator[Kerberos]:
    """A realm of one's own, until the block ends; these users have tickets.

    Raises:
        ServerError: what it takes has not been fetched, or does not work here.
    """
    programs = _kdc_folder()
    if not programs.exists():
        raise ServerError("no Kerberos server was fetched; run python -m tests.support.kerberos")
    begin = loader(programs)
    plugins = next(programs.rglob("krb5/plugins"))
    with tempfile.TemporaryDirectory(prefix="pgsansio-kerberos-") as name:
        folder = Path(name)
        environment = {"KRB5_CONFIG": f"{folder}/krb5.conf", "KRB5CCNAME": f"FILE:{folder}/nobody"}
        own = {**environment, "KRB5_KDC_PROFILE": f"{folder}/kdc.conf"}

        def write_configuration(port: int) -> None:
            values = {"realm": REALM, "host": HOST, "address": policy.HOST, "port": port, "folder": folder}
            for file, text in (("krb5.conf", _KRB5_CONF), ("kdc.conf", _KDC_CONF)):
                (folder / file).write_text(text.format(plugins=plugins, **values))

        def command(program: str, *arguments: str) -> list[str]:
            return [*begin, str(next(programs.glob(f"usr/*bin/{program}"))), *arguments]

        write_configuration(0)
        service = f"postgres/{HOST}"
        run(command("kdb5_util", "create", "-s", "-r", REALM, "-P", "secret"), folder, own)
        for principal in (service, *users):
            keytab = "keytab" if principal is service else f"{principal}.keytab"
            run(command("kadmin.local", "addprinc", "-randkey", principal), folder, own)
            run(command("kadmin.local", "ktadd", "-k", keytab, principal), folder, own)
        with _running_kdc(command("krb5kdc", "-n"), folder, own, write_configuration):
            tickets: dict[str, dict[str, str]] = {}
            for user in users:
                tickets[user] = {**environment, "KRB5CCNAME": f"FILE:{folder}/{user}"}
                run(command("kinit", "-k", "-f", "-t", f"{user}.keytab", user), folder, tickets[user])
            yield Kerberos((folder / "keytab").read_bytes(), tickets, environment)


@contextlib.contextmanager
def _running_kdc(
    command: list[str], folder: Path, environment: dict[str, str], configure: Callable[[int], None]
) -> Iterator[None]:
    for attempts_left in reversed(range(_PORT_ATTEMPTS)):
        port = free_port()
        configure(port)
        process = start_guarded(command, folder, environment)
        try:
            if _is_ready(process, port):
                yield
                return
            if not attempts_left or process.poll() is None:
                files = [folder / name for name in ("output", "log") if (folder / name).exists()]
                said = [file.read_text(errors="replace") for file in files]
                raise ServerError("the Kerberos server did not start:\n" + "\n".join(said))
        finally:
            stop_guarded(process)


def _is_ready(process: "subprocess.Popen[bytes]", port: int) -> bool:
    deadline = time.monotonic() + _START_TIMEOUT
    while process.poll() is None and time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex((policy.HOST, port)) == 0:
                return True
        time.sleep(0.01)
    return False


def make_importable() -> None:
    """Let `import gssapi` find the package that was built, if it is not installed.

    Raises:
        ServerError: it was not built.
    """
    if importlib.util.find_spec("gssapi") is not None:
        return
    folder = _package_folder()
    if not folder.exists():
        raise ServerError("the package gssapi was not built; run python -m tests.support.kerberos")
    sys.path.append(str(folder))


def _kdc_folder() -> Path:
    return cache_folder() / f"krb5-{_RELEASE}"


def _package_folder() -> Path:
    return cache_folder() / _PACKAGE.replace("==", "-")


def fetch() -> tuple[Path, Path]:
    """The folders of the server and of the package, from the cache or fetched into it.

    Raises:
        ServerError: they cannot be had here.
    """
    kdc, headers, package = _kdc_folder(), cache_folder() / f"krb5-headers-{_RELEASE}", _package_folder()
    # One process fetches, the others find it done.
    with open(f"{kdc}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            if not kdc.exists():
                unpack(_RELEASE, kdc, _PROGRAMS)
            if not headers.exists():
                unpack(_RELEASE, headers, (), _HEADERS)
            if not package.exists():
                _build(headers / "usr/include", package)
        except (OSError, subprocess.SubprocessError) as error:
            raise ServerError(f"no Kerberos can be fetched: {error}") from error
    return kdc, package


def _build(headers: Path, package: Path) -> None:
    with tempfile.TemporaryDirectory(prefix=f"{package.name}.", dir=package.parent) as work:
        environment = {
            # Read by its setup.py, which else asks krb5-config.
            "GSSAPI_COMPILER_ARGS": f"-DHAS_GSSAPI_EXT_H -I{headers} -I{headers}/mit-krb5",
            "GSSAPI_LINKER_ARGS": f"-l:{_LIBRARY}",
            "GSSAPI_MAIN_LIB": _LIBRARY,
            # It computes next to nothing here, and it is compiled for long.
            "CFLAGS": "-O0 -g0",
        }
        target = Path(work, "package")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-binary=gssapi", "--target", str(target)]
        run([*pip, _PACKAGE], Path(work), environment)
        target.rename(package)


if __name__ == "__main__":
    try:
        print(*fetch(), sep="\n", flush=True)
    except ServerError as error:
        sys.exit(str(error))
