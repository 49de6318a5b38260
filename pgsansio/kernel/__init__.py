"""The hot loops, chosen once, at import, by PGSANSIO_KERNEL: `pure`, `compiled`, or unset for the best there is.

`contract` says what the functions do. `NAME` says which implementation runs, `REASON` why.
"""

import os
from typing import Final

from pgsansio.kernel.contract import CONTRACT_VERSION
from pgsansio.kernel.pure import (
    NAME,
    UUID,
    ParameterPlan,
    Record,
    RowPlan,
    decode_copy,
    decode_rows,
    encode_bind,
    encode_copy,
    encode_many,
    parameter_plan,
    row_plan,
)

__all__ = [
    "CONTRACT_VERSION",
    "NAME",
    "REASON",
    "UUID",
    "ParameterPlan",
    "Record",
    "RowPlan",
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
