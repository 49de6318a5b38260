"""Rows that are there already: how many of them are given away before others get their turn.

Where a loop has checkpoints (trio) one costs as much as dozens of rows. So those who give row after row are at a
checkpoint wherever they wait for rows, and before every fiftieth of those that are there.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from pgsansio.client.port import Port

__all__ = ["ROWS_PER_CHECKPOINT", "next_turn"]

ROWS_PER_CHECKPOINT: Final = 50


def next_turn(rows: Iterator[Any], port: Port) -> Iterator[Any]:
    """Those of `rows` that may be given away before the next checkpoint; takes them from there one by one."""
    return islice(rows, ROWS_PER_CHECKPOINT) if port.has_checkpoints else rows
