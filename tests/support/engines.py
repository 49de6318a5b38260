"""The engine over each of the two kernels, side by side in one process."""

import importlib
import os
import sys
from typing import Any

__all__ = ["sessions_over"]

#: What is made for one kernel.
_PARTS = ("pgsansio.codecs", "pgsansio.engine", "pgsansio.messages.data_row", "pgsansio.wire", "tests.support.sessions")


def _depends(name: str) -> bool:
    return name == "pgsansio.kernel" or any(name == part or name.startswith(part + ".") for part in _PARTS)


def _put(modules: dict[str, Any]) -> None:
    for name in [name for name in sys.modules if _depends(name)]:
        del sys.modules[name]
    sys.modules.update(modules)
    for name, module in modules.items():
        package, _, child = name.rpartition(".")
        setattr(sys.modules[package], child, module)


def sessions_over(kernel: str) -> Any:
    """`tests.support.sessions`, with the engine and the codecs below it, over the kernel of this name."""
    before = {name: module for name, module in sys.modules.items() if _depends(name)}
    chosen = os.environ.get("PGSANSIO_KERNEL")
    _put({})
    os.environ["PGSANSIO_KERNEL"] = kernel
    try:
        return importlib.import_module("tests.support.sessions")
    finally:
        if chosen is None:
            del os.environ["PGSANSIO_KERNEL"]
        else:
            os.environ["PGSANSIO_KERNEL"] = chosen
        _put(before)
