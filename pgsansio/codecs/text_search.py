r"""tsvector and tsquery, as text: exactly what the server prints.

    tsvector   int32 number of lexemes                                 tsvectorsend, tsvectorrecv
               for each:  the lexeme and a zero byte, uint16 number of its positions
                   for each:  2 bits weight (3 A, 2 B, 1 C, 0 D), 14 bits position
    tsquery    int32 number of items, in prefix order, the right side of an operator before the left
               for each:                                               tsquerysend, tsqueryrecv
                   an operand:  uint8 1, uint8 weights (bits 3 A, 2 B, 1 C, 0 D), uint8 1 for a prefix, the lexeme and
                       a zero byte
                   an operator:  uint8 2, uint8 which (1 !, 2 &, 3 |, 4 <->); of the last int16 distance

Text is preferred, since only the server parses what a user writes (by its locale, 'a b' and 'fat & rat:ab*' alike).
The binary form is read, where it comes inside a record or COPY, and becomes the same str; for sending, it is the user
who has to have it.
"""

import struct
from typing import Any, Final, NamedTuple, TypeAlias

from pgsansio.codecs.bytea import encode_bytea
from pgsansio.codecs.codec import CodecPair, codec_pair
from pgsansio.codecs.text import decode_text, encode_text
from pgsansio.kernel.contract import Opcode

__all__ = ["CODECS", "SOURCE", "decode_tsquery", "decode_tsvector", "encode_parsed"]

SOURCE: Final = "Text Search Types"

_unpack_count = struct.Struct(">i").unpack_from
_unpack_uint2 = struct.Struct(">H").unpack_from
_unpack_int2 = struct.Struct(">h").unpack_from

#: What is printed behind a position for its weight.
_WEIGHTS: Final = ("", "C", "B", "A")

_OPERAND: Final = 1
_OPERATOR: Final = 2

_NOT: Final = 1
_AND: Final = 2
_OR: Final = 3
_PHRASE: Final = 4
#: How tightly an operator binds (tsearch_op_priority); the tightest has the highest number.
_PRIORITIES: Final = {_NOT: 4, _PHRASE: 3, _AND: 2, _OR: 1}


# tsvector


def decode_tsvector(data: bytes) -> str:
    r"""As the server prints it: 'fat':2,4 'it''s':3A."""
    (count,) = _header("tsvector", data)
    # A lexeme takes at least three bytes.
    if not 0 <= count <= (len(data) - 4) // 3:
        raise ValueError(f"tsvector of {count} lexemes in {len(data)} bytes")
    lexemes: list[str] = []
    offset = 4
    for _ in range(count):
        end = data.find(0, offset)
        if end < 0 or end + 3 > len(data):
            raise ValueError("tsvector value ends before its last lexeme")
        lexeme = _quoted(data[offset:end])
        (positions,) = _unpack_uint2(data, end + 1)
        offset = end + 3 + 2 * positions
        if offset > len(data):
            raise ValueError("tsvector value ends before its last position")
        if positions:
            entries = struct.unpack_from(f">{positions}H", data, end + 3)
            lexeme += ":" + ",".join([f"{entry & 0x3FFF}{_WEIGHTS[entry >> 14]}" for entry in entries])
        lexemes.append(lexeme)
    if offset != len(data):
        raise ValueError(f"{len(data) - offset} bytes after the last lexeme of a tsvector")
    return " ".join(lexemes)


def _header(name: str, data: bytes) -> tuple[int]:
    if len(data) < 4:
        raise ValueError(f"invalid {name} value: {len(data)} bytes are less than its header")
    return _unpack_count(data)


def _quoted(lexeme: bytes) -> str:
    return "'" + lexeme.decode().replace("'", "''").replace("\\", "\\\\") + "'"


# tsquery


class _Operation(NamedTuple):
    operator: int
    #: As it is printed.
    symbol: str
    #: None for the operator that has one side.
    left: "_Node | None"
    right: "_Node"


_Node: TypeAlias = str | _Operation


def decode_tsquery(data: bytes) -> str:
    """As the server prints it, with the parentheses that the operators' priorities leave: !( 'a' | 'b' ) & 'c':*."""
    items = _items(data)
    if not items:
        return ""
    # Backwards, the prefix order is one in which the sides of an operator are complete before it comes.
    nodes: list[_Node] = []
    for item in reversed(items):
        if isinstance(item, str):
            nodes.append(item)
            continue
        operator, symbol = item
        sides = 1 if operator == _NOT else 2
        if len(nodes) < sides:
            raise ValueError("an operator of a tsquery lacks an operand")
        right = nodes.pop()
        nodes.append(_Operation(operator, symbol, nodes.pop() if sides == 2 else None, right))
    if len(nodes) != 1:
        raise ValueError(f"tsquery of {len(nodes)} queries")
    return _spell(nodes[0])


def _items(data: bytes) -> list[str | tuple[int, str]]:
    """Operands as they are printed, operators with their symbols."""
    (count,) = _header("tsquery", data)
    # An operator takes at least two bytes.
    if not 0 <= count <= (len(data) - 4) // 2:
        raise ValueError(f"tsquery of {count} items in {len(data)} bytes")
    items: list[str | tuple[int, str]] = []
    offset = 4
    for _ in range(count):
        if offset + 2 > len(data):
            raise _ends_early()
        kind = data[offset]
        if kind == _OPERAND:
            end = data.find(0, offset + 3)
            if end < 0:
                raise _ends_early()
            items.append(_operand(data[offset + 3 : end], data[offset + 1], data[offset + 2]))
            offset = end + 1
        elif kind == _OPERATOR:
            operator = data[offset + 1]
            offset += 2
            if operator == _PHRASE:
                if offset + 2 > len(data):
                    raise _ends_early()
                (distance,) = _unpack_int2(data, offset)
                offset += 2
                items.append((operator, "<->" if distance == 1 else f"<{distance}>"))
            elif operator in _PRIORITIES:
                items.append((operator, {_NOT: "!", _AND: "&", _OR: "|"}[operator]))
            else:
                raise ValueError(f"invalid operator {operator} in a tsquery")
        else:
            raise ValueError(f"invalid item of kind {kind} in a tsquery")
    if offset != len(data):
        raise ValueError(f"{len(data) - offset} bytes after the last item of a tsquery")
    return items


def _ends_early() -> ValueError:
    return ValueError("tsquery value ends before its last item")


def _operand(lexeme: bytes, weights: int, prefix: int) -> str:
    if weights > 0xF or prefix > 1:
        raise ValueError(f"invalid weights {weights} or prefix {prefix} of an operand of a tsquery")
    flags = "*" * prefix + "".join(
        [letter for bit, letter in ((8, "A"), (4, "B"), (2, "C"), (1, "D")) if weights & bit]
    )
    return f"{_quoted(lexeme)}:{flags}" if flags else _quoted(lexeme)


def _spell(query: _Node) -> str:
    """Without recursion: a query of thousands of operators is as deep."""
    pieces: list[str] = []
    # What is still to be printed, the next at the end; with a node the priority of the operator around it, and whether
    # it is the right side of a phrase, whose order matters.
    pending: list[tuple[_Node, int, bool]] = [(query, 0, False)]
    while pending:
        node, around, in_phrase = pending.pop()
        if isinstance(node, str):
            pieces.append(node)
            continue
        operator, symbol, left, right = node
        priority = _PRIORITIES[operator]
        parenthesized = priority < around or (operator == _PHRASE and in_phrase)
        if parenthesized:
            pieces.append("( ")
            pending.append((" )", 0, False))
        pending.append((right, priority, operator == _PHRASE))
        if left is None:
            pieces.append(symbol)
        else:
            pending.append((f" {symbol} ", 0, False))
            pending.append((left, priority, False))
    return "".join(pieces)


# Both


def encode_parsed(value: Any) -> bytes:
    """What the server has parsed and sent in binary, as any buffer.

    Raises:
        TypeError: anything else, and text above all.
    """
    if isinstance(value, str):
        raise TypeError("text of this type is parsed by the server, so it cannot be sent in binary")
    return encode_bytea(value)


CODECS: Final[tuple[CodecPair, ...]] = (
    codec_pair("tsvector", Opcode.CALL, decode_tsvector, encode_parsed, decode_text, encode_text, Opcode.TEXT),
    codec_pair("tsquery", Opcode.CALL, decode_tsquery, encode_parsed, decode_text, encode_text, Opcode.TEXT),
)
