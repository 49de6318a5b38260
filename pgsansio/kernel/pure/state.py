"""Where operations and sessions keep what a kernel has to know of them."""

from collections import deque
from collections.abc import Sequence
from typing import Any

from pgsansio.enums import Outcome, TransactionStatus
from pgsansio.kernel.contract import Row, RowPlan

__all__ = ["OperationState", "SessionState"]

_PENDING = Outcome.PENDING


class OperationState:
    """What `engine.operations.Operation` keeps, which says what it means; and `completed` for its `Batch`."""

    __slots__ = (
        "abandoned", "attention", "completed", "data", "error", "outcome", "row_plan", "rows", "size_bytes", "step",
        "steps", "suspended", "tag", "traits", "waiter", "written",
    )  # fmt: skip

    completed: int

    def __init__(self, data: bytes, steps: Sequence[Row], traits: int, row_plan: RowPlan | None = None) -> None:
        self.data = data
        self.size_bytes = len(data)
        self.steps = steps
        self.step = 0
        self.traits = traits
        self.row_plan = row_plan
        self.rows: list[Any] = []
        self.tag: bytes | bytearray | None = None
        self.error: BaseException | None = None
        self.outcome = _PENDING
        self.suspended = False
        self.abandoned = False
        self.written = False
        self.attention = False
        self.waiter: Any = None


class SessionState:
    """What `contract.Session` says; `engine.queue` fills it."""

    __slots__ = (
        "abandoned", "active", "idle_row", "row", "sent", "sent_bytes", "transaction_status", "woken",
    )  # fmt: skip

    abandoned: int
    active: int
    idle_row: Row
    row: Row
    sent: deque[Any]
    sent_bytes: int
    transaction_status: TransactionStatus
    woken: list[Any]
