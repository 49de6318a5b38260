r"""What the text literals of composites and ranges share: items between commas, quoted where they must be.

An item stands as it is, or in double quotes, within which `""` and `\"` are a quote, `\\` a backslash. No item at all
is NULL, or a bound that is not there; an empty item is `""`. Read as record_out and range_out print it: without the
blanks, and the quotes within an item, that record_in and range_in would take, too. Time and memory follow the length of
the literal, without recursion or backtracking, whatever it says.
"""

import re
from typing import Final

__all__ = ["malformed", "quoted", "read_item"]

#: What ends a run of plain bytes within quotes.
_QUOTE_OR_BACKSLASH: Final = re.compile(rb'["\\]')
_ESCAPED: Final = re.compile(rb'["\\](.)', re.DOTALL)


def read_item(data: bytes, at: int, special: re.Pattern[bytes], name: str) -> tuple[bytes | None, int]:
    """The item that begins at `at`, None if there is none, and the offset of what stands behind it.

    Args:
        special: what cannot be part of an item without quotes, quotes and backslashes included.
        name: of what the literal is for, for the error.
    Raises:
        ValueError: the literal ends within the item, or there is a quote or a backslash out of place.
    """
    match = special.search(data, at)
    if match is None:
        raise malformed(data, len(data), name)
    end = match.start()
    if data[end] not in b'"\\':
        return (data[at:end] if end > at else None), end
    if end > at or data[end] != 0x22:
        raise malformed(data, end, name)
    start = at = end + 1
    escapes = False
    while True:
        match = _QUOTE_OR_BACKSLASH.search(data, at)
        if match is None:
            raise malformed(data, len(data), name)
        end = match.start()
        if data[end] == 0x22 and data[end + 1 : end + 2] != b'"':
            break
        escapes = True
        at = end + 2
    item = data[start:end]
    return (_ESCAPED.sub(rb"\1", item) if escapes else item), end + 1


def quoted(item: bytes, special: re.Pattern[bytes]) -> bytes:
    """The item as it stands in the literal: in quotes if it is empty or holds anything `special`."""
    if item and special.search(item) is None:
        return item
    return b'"%b"' % item.replace(b"\\", b"\\\\").replace(b'"', b'""')


def malformed(data: bytes, at: int, name: str) -> ValueError:
    """The error for a literal that is none, from the byte at `at` on."""
    return ValueError(f"malformed {name} text at byte {at}: {data[at : at + 20]!r}")
