"""The kernel in Python: the definition of what a kernel does.

record.py uuid.py       what rows hold
rows.py                 decoding rows, whole or as it is defined; row_source.py writes the decoders that do it fast
parameters.py           encoding arguments, likewise; parameter_source.py
state.py                what operations, sessions and givers of rows keep; messages.py   what answers them
inline.py               what both of these know of the types; numeric.py has more of numeric
containers.py           arrays, ranges and composites of such types
"""

from typing import Final

from pgsansio.kernel.contract import CONTRACT_VERSION
from pgsansio.kernel.pure.messages import join_copy_data, take_messages
from pgsansio.kernel.pure.parameters import ParameterPlan, encode_bind, encode_copy, encode_many, parameter_plan
from pgsansio.kernel.pure.record import Record
from pgsansio.kernel.pure.rows import RowPlan, decode_copy, decode_rows, row_plan
from pgsansio.kernel.pure.state import BufferState, OperationState, ResourceState, RowsState, SessionState
from pgsansio.kernel.pure.uuid import UUID

__all__ = [
    "CONTRACT_VERSION",
    "NAME",
    "UUID",
    "BufferState",
    "OperationState",
    "ParameterPlan",
    "Record",
    "ResourceState",
    "RowPlan",
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

NAME: Final = "pure"
