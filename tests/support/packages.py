"""What is published, made from this tree as CONTRIBUTING.md says, and tried: `python -m tests.support.packages`.

Made are the sdist, a wheel of this version of Python with the compiled kernel, and the wheel of every Python without
it; each is installed into an environment of its own, the sdist also as if there were no compiler. That needs a
compiler, git, and the package index, of which pip gets setuptools and `build`. With `--quick`, nothing is compiled: the
wheel with the compiled kernel is left out, and the sdist is installed without a compiler only.
"""

import argparse
import os
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pgsansio import __version__

ROOT: Final = Path(__file__).parents[2]
#: What each call says itself, whatever whoever calls this has said.
SAID: Final = ("CC", "PGSANSIO_KERNEL", "PYTHONPATH")
#: As if there were no compiler.
NO_COMPILER: Final = {"CC": "/nonexistent/cc"}
BUILT: Final = "compiled kernel: the compiled kernel is built"
NOT_BUILT: Final = "pure kernel: the compiled kernel is not built"


def run(command: Sequence[str | Path], environment: dict[str, str], folder: Path = ROOT) -> str:
    """What it prints.

    Raises:
        SystemExit: it fails; what it said is shown.
    """
    inherited = {name: value for name, value in os.environ.items() if name not in SAID}
    done = subprocess.run(
        command, cwd=folder, env={**inherited, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def build(folder: Path, *, quick: bool) -> list[Path]:
    """The sdist, the pure wheel, and, unless `quick`, the wheel with the compiled kernel."""
    tools, made = folder / "tools", folder / "dist"
    run([sys.executable, "-m", "venv", "--without-pip", tools], {})
    run([sys.executable, "-m", "pip", "--python", tools / "bin/python", "install", "--quiet", "build"], {})
    build = [tools / "bin/python", "-m", "build", "--outdir", made]
    # Without an option it is the sdist, and the wheel from it.
    run([*build, *(["--sdist"] if quick else [])], {"PGSANSIO_KERNEL": "compiled"})
    run([*build, "--wheel"], {"PGSANSIO_KERNEL": "pure"})
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    endings = [".tar.gz", "-py3-none-any.whl", *([] if quick else [f"-{tag}-{tag}-{platform}.whl"])]
    packages = [made / f"pgsansio-{__version__}{ending}" for ending in endings]
    expect("what is made", set(made.iterdir()), set(packages))
    return packages


def check_sdist(sdist: Path) -> None:
    """All that is in the repository, and what setuptools adds."""
    with tarfile.open(sdist) as archive:
        found = {name.partition("/")[2] for name in archive.getnames() if archive.getmember(name).isfile()}
    wanted = set(run(["git", "ls-files"], {}).split("\n")) - {""}
    added = {name for name in found if name.startswith("pgsansio.egg-info/")} | {"PKG-INFO", "setup.cfg"}
    expect("the sdist's files", found - added, wanted)


def check_wheel(wheel: Path, extension: set[str]) -> None:
    """The modules and what type checkers want of them, and no source in C."""
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    tracked = run(["git", "ls-files", "pgsansio", "pgsansio_asyncio", "pgsansio_trio"], {}).split()
    wanted = {name for name in tracked if name.endswith((".py", ".pyi", "/py.typed"))}
    expect(f"the files of {wheel.name}", found, wanted | extension)


def check_installed(title: str, package: Path, environment: dict[str, str], expected: str, folder: Path) -> None:
    """It can be installed here, and runs this kernel."""
    place = folder / title.replace(" ", "-")
    python = place / "bin/python"
    run([sys.executable, "-m", "venv", "--without-pip", place], {})
    run([sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", package], environment)
    said = run([python, "-m", "pgsansio_asyncio", "--version"], {}, folder)
    expect(title, " ".join(said.split()), f"pgsansio_asyncio {__version__}, {expected}")
    print(f"{title}: {said}", end="", flush=True)


def expect(title: str, found: object, wanted: object) -> None:
    """Raises SystemExit if they differ."""
    if isinstance(found, set) and isinstance(wanted, set) and found != wanted:
        raise SystemExit(f"{title}: missing {sorted(wanted - found)}, surplus {sorted(found - wanted)}")
    if found != wanted:
        raise SystemExit(f"{title}: {found!r}, expected {wanted!r}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.support.packages")
    parser.add_argument("--quick", action="store_true", help="compile nothing")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory(prefix="pgsansio-packages.") as name:
        folder = Path(name)
        sdist, pure, *others = build(folder, quick=quick)
        check_sdist(sdist)
        check_wheel(pure, set())
        check_installed("the pure wheel", pure, {}, NOT_BUILT, folder)
        check_installed("the sdist without a compiler", sdist, NO_COMPILER, NOT_BUILT, folder)
        for compiled in others:
            check_wheel(compiled, {f"pgsansio/kernel/_compiled{sysconfig.get_config_var('EXT_SUFFIX')}"})
            check_installed("the wheel of this Python", compiled, NO_COMPILER, BUILT, folder)
            check_installed("the sdist", sdist, {}, BUILT, folder)


if __name__ == "__main__":
    main()
