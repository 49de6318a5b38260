"""The hot loops, chosen once, at import, by PGSANSIO_KERNEL: `pure`, `compiled`, or unset for the best there is.

`contract` says what the functions do. `NAME` says which implementation runs, `REASON` why.
"""

import os
from typing import Final, cast

from pgsansio.kernel import pure
from pgsansio.kernel.contract import CONTRACT_VERSION, Kernel
from pgsansio.kernel.pure import UUID, Record

__all__ = [
    "CONTRACT_VERSION",
    "NAME",
    "REASON",
    "UUID",
    "Record",
    "decode_copy",
    "decode_rows",
    "encode_bind",
    "encode_copy",
    "encode_many",
    "parameter_plan",
    "row_plan",
]


def _reason(wanted: str | None) -> str:
    """Why the pure kernel runs.

    Raises:
        ImportError: another one is asked for.
    """
    if not wanted:
        return "no compiled kernel is built"
    if wanted == "pure":
        return "PGSANSIO_KERNEL=pure"
    if wanted == "compiled":
        raise ImportError("PGSANSIO_KERNEL=compiled, but the compiled kernel is not built")
    raise ImportError(f"PGSANSIO_KERNEL={wanted}: expected 'pure' or 'compiled'")


#: Why `NAME` is the kernel that runs.
REASON: Final = _reason(os.environ.get("PGSANSIO_KERNEL"))

# A kernel's functions take the plans that it made itself, and callers know no more of a plan than its contract says.
_kernel: Final = cast("Kernel", pure)

NAME: Final = _kernel.NAME
row_plan: Final = _kernel.row_plan
parameter_plan: Final = _kernel.parameter_plan
decode_rows: Final = _kernel.decode_rows
decode_copy: Final = _kernel.decode_copy
encode_bind: Final = _kernel.encode_bind
encode_many: Final = _kernel.encode_many
encode_copy: Final = _kernel.encode_copy
