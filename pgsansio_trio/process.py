"""This process, as far as it says something of a connection."""

import getpass
import os
import sys
from typing import Final, cast

from pgsansio.client.parameters import Process
from pgsansio.policy.parameter_sources import VARIABLES

__all__ = ["this_process"]

#: Who the user is, and where at home.
_OF_THE_USER: Final = ("LOGNAME", "USER", "LNAME", "USERNAME", "HOME", "USERPROFILE", "HOMEDRIVE", "HOMEPATH")
_NAMES: Final = (*VARIABLES, *_OF_THE_USER)
_ENCODED: Final = tuple(map(os.environ.encodekey, _NAMES))

_last: tuple[list[object], Process] | None = None


def this_process() -> Process:
    """Where the parameters of connections are looked for: the same as before, if nothing has changed."""
    global _last  # noqa: PLW0603 - one process
    seen, last = _look(), _last
    if last is not None and last[0] == seen:
        return last[1]
    process = Process(
        environment={name: os.environ[name] for name in VARIABLES if name in os.environ},
        os_user=_user(),
        home=_home(),
        platform=sys.platform,
    )
    # A password stays where it is.
    _last = None if "PGPASSWORD" in process.environment else (seen, process)
    return process


def _look() -> list[object]:
    """What says whether anything has changed."""
    # Fifty questions to what is in it take less than one to os.environ itself, which encodes and decodes.
    inside: object = getattr(os.environ, "_data", None)
    if type(inside) is dict:
        found: list[object] = [*map(cast("dict[object, object]", inside).get, _ENCODED)]
    else:
        found = [*map(os.environ.get, _NAMES)]
    if sys.platform != "win32":
        found.append(os.getuid())
    return found


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return None


def _home() -> str | None:
    home = os.path.expanduser("~")
    return None if home == "~" else home
