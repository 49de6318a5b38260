"""Places and moments in a database: tid, pg_lsn, pg_snapshot and its older name txid_snapshot.

    tid                          uint32 block, uint16 offset           tidsend, tidrecv
    pg_lsn                       uint64 position in the WAL, in bytes  pg_lsn_send, pg_lsn_recv
    pg_snapshot, txid_snapshot   int32 number of the transactions xip  pg_snapshot_send, pg_snapshot_recv,
                                 int64 xmin, int64 xmax                txid_snapshot_send, txid_snapshot_recv
                                 int64 each of them

As text: (0,1), 16/B374D848 (two hexadecimal halves), 10:20:10,14,15. (The identifiers of one number, oid, xid, cid and
xid8, are in integer.py.)
"""

import re
import struct
from collections.abc import Sequence
from typing import Any, Final, cast

from pgsansio.codecs.codec import CodecPair, codec_pair, items_of, text_encoder, type_name, wrong_length
from pgsansio.codecs.integer import decode_uint8, encode_int8, encode_uint8, whole_number
from pgsansio.kernel.contract import Opcode

__all__ = [
    "CODECS",
    "SOURCE",
    "decode_lsn",
    "decode_snapshot",
    "decode_tid",
    "encode_lsn",
    "encode_snapshot",
    "encode_tid",
]

SOURCE: Final = "Object Identifier Types; pg_lsn Type; Transaction ID and Snapshot Information Functions"

_unpack_tid = struct.Struct(">IH").unpack
_pack_tid = struct.Struct(">IH").pack
#: By the size of the value, for as many transactions as are usual: a format that struct has to look for takes longer.
_SNAPSHOTS: Final = {20 + 8 * count: struct.Struct(f">i{2 + count}q") for count in range(64)}
_pack_length = struct.Struct(">i").pack

_match_tid = re.compile(r"\(([0-9]{1,10}),([0-9]{1,5})\)", re.ASCII).fullmatch
_match_lsn = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})", re.ASCII).fullmatch
_match_snapshot = re.compile(r"([0-9]{1,19}):([0-9]{1,19}):((?:[0-9]{1,19}(?:,[0-9]{1,19})*)?)", re.ASCII).fullmatch


# tid


def decode_tid(data: bytes) -> tuple[int, int]:
    """(block, offset)"""
    try:
        return cast("tuple[int, int]", _unpack_tid(data))
    except struct.error:
        raise wrong_length("tid", data, 6) from None


def encode_tid(value: Any) -> bytes:
    """A tuple or list of block, below 2**32, and offset, below 2**16.

    Raises:
        TypeError: neither, or what is in it is no integer. ValueError: not two. OverflowError: out of range.
    """
    block, offset = map(whole_number, _items("tid", value, 2))
    if not 0 <= block < 2**32:
        raise OverflowError("tuple id block value out of uint32 range")
    if not 0 <= offset < 2**16:
        raise OverflowError("tuple id offset value out of uint16 range")
    return _pack_tid(block, offset)


def decode_tid_text(data: bytes) -> tuple[int, int]:
    match = _match_tid(data.decode("ascii"))
    if match is None:
        raise ValueError(f"invalid tid text {data[:40]!r}")
    block, offset = int(match[1]), int(match[2])
    if block >= 2**32 or offset >= 2**16:
        raise ValueError(f"tid text {data!r} is out of range")
    return block, offset


def _spell_tid(value: tuple[int, int]) -> str:
    return f"({value[0]},{value[1]})"


def _items(name: str, value: Any, count: int) -> tuple[Any, ...]:
    if not isinstance(value, tuple | list):
        raise TypeError(f"list or tuple expected (got type {type(value)})")
    items = tuple(items_of(cast("Sequence[Any]", value)))
    if len(items) != count:
        raise ValueError(f"invalid number of elements in {name} tuple, expecting {count}")
    return items


# pg_lsn


def decode_lsn(data: bytes) -> int:
    """Bytes since the beginning of the WAL, 0 to 2**64 - 1 (asyncpg's are negative from 2**63 on)."""
    return decode_uint8(data)


def encode_lsn(value: Any) -> bytes:
    """An integer, 0 to 2**64 - 1. Raises as `encode_uint8`."""
    return encode_uint8(value)


def decode_lsn_text(data: bytes) -> int:
    match = _match_lsn(data.decode("ascii"))
    if match is None:
        raise ValueError(f"invalid pg_lsn text {data[:40]!r}")
    return int(match[1], 16) << 32 | int(match[2], 16)


def _spell_lsn(value: int) -> str:
    return f"{value >> 32:X}/{value & 0xFFFFFFFF:X}"


# pg_snapshot and txid_snapshot


def decode_snapshot(data: bytes) -> tuple[int, int, tuple[int, ...]]:
    """(xmin, xmax, transactions in progress)"""
    size = len(data)
    layout = _SNAPSHOTS.get(size)
    if layout is None:
        if size < 20:
            raise ValueError(f"invalid snapshot value: {size} bytes are less than its header")
        layout = struct.Struct(f">i{(size - 4) // 8}q")
    found = layout.unpack_from(data)
    if size != 20 + 8 * found[0]:
        raise ValueError(f"invalid snapshot value: {size} bytes with {found[0]} transactions")
    return found[1], found[2], found[3:]


def encode_snapshot(value: Any) -> bytes:
    """A tuple or list: xmin, xmax, a tuple or list of the transactions in progress. The server checks their order.

    Raises:
        TypeError: neither, or what is in it is no integer. ValueError: not three. OverflowError: out of range.
    """
    ordinary = value.__class__ is tuple and len(value) == 3
    xmin, xmax, transactions = value if ordinary else _items("txid_snapshot", value, 3)
    if not isinstance(transactions, tuple | list):
        raise TypeError(f"list or tuple of transactions expected (got type {type_name(transactions)!r})")
    numbers: tuple[Any, ...] = (xmin, xmax, *items_of(cast("Sequence[Any]", transactions)))
    count = len(numbers) - 2
    layout = _SNAPSHOTS.get(20 + 8 * count) or struct.Struct(f">i{2 + count}q")
    try:
        return layout.pack(count, *numbers)
    except struct.error:  # one of them: its own encoder takes it after all, or says why not
        return _pack_length(count) + b"".join([encode_int8(number) for number in numbers])


def decode_snapshot_text(data: bytes) -> tuple[int, int, tuple[int, ...]]:
    match = _match_snapshot(data.decode("ascii"))
    if match is None:
        raise ValueError(f"invalid snapshot text {data[:40]!r}")
    return int(match[1]), int(match[2]), tuple(map(int, match[3].split(","))) if match[3] else ()


def _spell_snapshot(value: tuple[int, int, tuple[int, ...]]) -> str:
    return f"{value[0]}:{value[1]}:{','.join(map(str, value[2]))}"


def _snapshot_pair(name: str) -> CodecPair:
    return codec_pair(
        name,
        Opcode.CALL,
        decode_snapshot,
        encode_snapshot,
        decode_snapshot_text,
        text_encoder(encode_snapshot, decode_snapshot, _spell_snapshot),
    )


CODECS: Final[tuple[CodecPair, ...]] = (
    codec_pair(
        "tid",
        Opcode.TID,
        decode_tid,
        encode_tid,
        decode_tid_text,
        text_encoder(encode_tid, decode_tid, _spell_tid),
    ),
    codec_pair(
        "pg_lsn",
        Opcode.UINT8,
        decode_lsn,
        encode_lsn,
        decode_lsn_text,
        text_encoder(encode_lsn, decode_lsn, _spell_lsn),
    ),
    _snapshot_pair("pg_snapshot"),
    _snapshot_pair("txid_snapshot"),
)
