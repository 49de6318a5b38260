"""The hot loops, chosen once, at import, by PGSANSIO_KERNEL: `pure`, `compiled`, or unset for the best there is.

`contract` says what the functions do. `NAME` says which implementation runs, `REASON` why.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Final, cast

from pgsansio.kernel import pure
from pgsansio.kernel.contract import CONTRACT_VERSION, Kernel

if TYPE_CHECKING:
    from pgsansio.kernel.pure import UUID, BufferState, OperationState, Record, ResourceState, RowsState, SessionState

__all__ = [
    "CONTRACT_VERSION",
    "NAME",
    "REASON",
    "UUID",
    "BufferState",
    "OperationState",
    "Record",
    "ResourceState",
    "RowsState",
    "SessionState",
    "decode_copy",
    "decode_rows",
    "encode_bind",
    "encode_copy",
    "encode_many",
    "join_copy_data",
    "parameter_plan",
    "row_plan",
    "take_messages",
]


def _load() -> Kernel | str:
    """The compiled kernel, or why there is none."""
    try:
        # Not `from`: that raises a bare ImportError for a module that is missing.
        compiled = import_module("pgsansio.kernel._compiled")
    except ModuleNotFoundError:
        return "the compiled kernel is not built"
    except ImportError as error:
        return f"the compiled kernel cannot be imported: {error}"
    if compiled.CONTRACT_VERSION != CONTRACT_VERSION:
        return f"the compiled kernel is of version {compiled.CONTRACT_VERSION} of the contract, not {CONTRACT_VERSION}"
    return cast("Kernel", compiled)


def _choose(wanted: str | None) -> tuple[Kernel, str]:
    """The kernel to run, and why it does.

    Raises:
        ImportError: one is asked for that there is not.
    """
    # A kernel's functions take the plans that it made itself, and callers know no more of a plan than its contract.
    definition = cast("Kernel", pure)
    if wanted == "pure":
        return definition, "PGSANSIO_KERNEL=pure"
    if wanted not in (None, "", "compiled"):
        raise ImportError(f"PGSANSIO_KERNEL={wanted}: expected 'pure' or 'compiled'")
    compiled = _load()
    if not isinstance(compiled, str):
        return compiled, "PGSANSIO_KERNEL=compiled" if wanted else "the compiled kernel is built"
    if wanted:
        raise ImportError(f"PGSANSIO_KERNEL=compiled, but {compiled}")
    return definition, compiled


_chosen: Final = _choose(os.environ.get("PGSANSIO_KERNEL"))
_kernel: Final = _chosen[0]

NAME: Final = _kernel.NAME
#: Why that is the kernel that runs.
REASON: Final = _chosen[1]
row_plan: Final = _kernel.row_plan
parameter_plan: Final = _kernel.parameter_plan
decode_rows: Final = _kernel.decode_rows
decode_copy: Final = _kernel.decode_copy
encode_bind: Final = _kernel.encode_bind
encode_many: Final = _kernel.encode_many
encode_copy: Final = _kernel.encode_copy
join_copy_data: Final = _kernel.join_copy_data
take_messages: Final = _kernel.take_messages
if not TYPE_CHECKING:
    # To type checkers they are what they are defined as.
    Record = _kernel.Record
    UUID = _kernel.UUID
    OperationState = _kernel.OperationState
    SessionState = _kernel.SessionState
    BufferState = _kernel.BufferState
    ResourceState = _kernel.ResourceState
    RowsState = _kernel.RowsState
