"""`python -m fuzz.with_atheris TARGET [libFuzzer's arguments]`: one target under atheris; see `fuzz.__main__`."""

import importlib
import sys
from typing import Any

atheris: Any = importlib.import_module("atheris")  # only there where somebody has installed it

with atheris.instrument_imports(include=["pgsansio"]):
    from fuzz.__main__ import TARGETS
    from fuzz.limits import execute


def main() -> None:
    target = TARGETS[sys.argv[1]].target
    atheris.Setup([sys.argv[0], *sys.argv[2:]], lambda data: execute(target, data))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
