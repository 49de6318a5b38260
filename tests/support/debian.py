"""Debian's packages for the tests: unpacked, not installed, by an apt that knows nothing of this machine.

Needed are `apt-get`, `dpkg-deb` and the keys of Debian's archive (package `debian-archive-keyring`), and no root. What
is unpacked with the libraries that it needs, down to libc, and started by their loader runs on any release.
"""

import os
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.support.servers import ServerError

__all__ = ["loader", "run", "unpack"]

_MIRROR: Final = "http://deb.debian.org/debian"
_KEYS: Final = (
    "/usr/share/keyrings/debian-archive-keyring.gpg",
    "/usr/share/keyrings/debian-archive-keyring.pgp",
)
#: Of what a package depends on, what a program needs that nobody installs.
_LIBRARY: Final = re.compile(r"lib(?!c-bin)|zlib")


def unpack(release: str, folder: Path, programs: Sequence[str], others: Sequence[str] = ()) -> None:
    """Unpack packages of this release into `folder`, all of them or none.

    Args:
        folder: is made.
        programs: packages that are wanted with all libraries below them.
        others: packages that are wanted alone.
    Raises:
        ServerError: they cannot be had here.
        OSError, subprocess.SubprocessError.
    """
    with tempfile.TemporaryDirectory(prefix=f"{folder.name}.", dir=folder.parent) as work:
        apt, unpacked = Path(work, "apt"), Path(work, "unpacked")
        for name in ("lists/partial", "cache/archives/partial"):
            (apt / name).mkdir(parents=True)
        key = next((key for key in _KEYS if os.path.exists(key)), None)
        if key is None:
            raise ServerError("there are no keys of Debian's archive here (package debian-archive-keyring)")
        (apt / "sources.list").write_text(f"deb [signed-by={key}] {_MIRROR} {release} main\n")
        (apt / "status").touch()
        options = {
            "Dir::Etc::SourceList": apt / "sources.list",
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::Etc::Preferences": "/dev/null",
            "Dir::Etc::PreferencesParts": "/dev/null",
            "Dir::State": apt,
            "Dir::State::Status": apt / "status",
            "Dir::Cache": apt / "cache",
            "Acquire::Languages": "none",
            # As root it would become another user, who may not write here.
            "APT::Sandbox::User": "root",
        }
        flags = [f"-o{name}={value}" for name, value in options.items()]
        run(["apt-get", *flags, "-q", "update"], apt)
        wanted = list(others)
        if programs:
            depends = run(["apt-cache", *flags, "depends", "--recurse", "--important", *programs], apt)
            wanted += _needed(programs, depends)
        run(["apt-get", *flags, "-q", "download", *wanted], apt)
        for package in apt.glob("*.deb"):
            run(["dpkg-deb", "-x", str(package), str(unpacked)], apt)
        unpacked.rename(folder)


def _needed(programs: Sequence[str], depends: str) -> list[str]:
    """These packages and all libraries below them, by what `apt-cache depends --recurse` says."""
    graph: dict[str, list[str]] = {}
    for line in depends.splitlines():
        if not line.startswith((" ", "<")):
            below = graph[line] = []
        elif (match := re.fullmatch(r" [ |](?:Pre)?Depends: ([^<>]+)", line)) and _LIBRARY.match(match[1]):
            below.append(match[1])
    needed = list(programs)
    for name in needed:
        needed += (other for other in graph.get(name, ()) if other not in needed)
    return needed


def loader(folder: Path) -> tuple[str, ...]:
    """How a command begins whose program was unpacked there: the loader, and the folders of its libraries.

    Raises:
        ServerError: there is none.
    """
    loaders = sorted(path for path in folder.rglob("ld-linux*.so.*") if path.exists())
    if not loaders:
        raise ServerError(f"there is no loader in {folder}")
    libraries = sorted({str(path.parent) for path in folder.rglob("*-linux-gnu/*.so.*")})
    return str(loaders[0]), "--library-path", ":".join(libraries)


def run(command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None) -> str:
    """Run this in a folder, with these variables besides; what it says on standard output.

    Raises:
        ServerError: it fails.
        OSError, subprocess.SubprocessError.
    """
    done = subprocess.run(
        command,
        check=False,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        env=None if environment is None else {**os.environ, **environment},
    )
    if done.returncode:
        output = (done.stderr or done.stdout).strip()[-1000:]
        raise ServerError(f"{' '.join(command)} ended with {done.returncode}: {output}")
    return done.stdout
