"""numeric: the short cuts of the generated functions for values of up to eight groups of digits.

What they return None for is left to the codec.
"""

import struct
from decimal import Decimal
from typing import Final

__all__ = ["numeric_bytes", "numeric_value"]

#: Size of a numeric -> its header and digits, for up to 8 groups of digits.
_UNPACK: Final = {8 + 2 * groups: struct.Struct(f">HhHH{groups}H").unpack_from for groups in range(9)}
_POWERS: Final = tuple(10**power for power in range(128))
_EXPONENTS: Final = tuple(f"E-{scale}" for scale in range(41))

_NEGATIVE: Final = 0x4000


def numeric_value(data: bytes, at: int, size: int) -> Decimal | None:
    """The numeric in data[at:at + size], or None if it is long, or rare (NaN, infinity, an error).

    Its groups of four digits become one integer, since text is what Decimal reads fastest: "12345600" and "E-4".
    """
    unpack = _UNPACK.get(size)
    if unpack is None:
        return None
    fields: tuple[int, ...] = unpack(data, at)
    # Two groups or one are what most numerics have.
    if size == 12:
        count, weight, sign, scale, first, second = fields
        if count != 2 or first > 9999 or second > 9999:
            return None
        number = first * 10_000 + second
    elif size == 10:
        count, weight, sign, scale, number = fields
        if count != 1 or number > 9999:
            return None
    else:
        count, weight, sign, scale, *groups = fields
        if count != len(groups):
            return None
        number = 0
        for group in groups:
            if group > 9999:
                return None
            number = number * 10_000 + group
    if sign & 0xBFFF or scale > 40 or not -16 <= weight <= 16:
        return None
    surplus = 4 * (count - 1 - weight) - scale
    if surplus > 0:
        number, lost = divmod(number, _POWERS[surplus])
        if lost:
            return None
    elif surplus:
        number *= _POWERS[-surplus]
    return Decimal(f"-{number}{_EXPONENTS[scale]}" if sign else str(number) + _EXPONENTS[scale])


#: Header and one, two, three groups.
_pack_1 = struct.Struct(">HhHHH").pack
_pack_2 = struct.Struct(">HhHHHH").pack
_pack_3 = struct.Struct(">HhHHHHH").pack

#: Digits behind the point -> zeros that make them whole groups.
_ZEROS: Final = ("", "000", "00", "0", "", "000", "00", "0", "")


def numeric_bytes(value: Decimal) -> bytes | None:
    """The bytes of a value below 10**12 in steps of 10**-8 or more, if it has one to three groups of digits."""
    text = str(value)
    whole, _, fraction = text.partition(".")
    scale = len(fraction)
    if scale > 8 or len(whole) > 13:
        return None
    try:
        number = int(whole + fraction + _ZEROS[scale])
    except ValueError:
        # NaN, infinity, an exponent.
        return None
    sign = 0
    if number < 0:
        sign = _NEGATIVE
        number = -number
    # Of the last group.
    weight = -((scale + 3) // 4)
    high, low = divmod(number, 10_000)
    if not low:
        if not high:
            return None
        weight += 1
        high, low = divmod(high, 10_000)
        if not low:
            return None
    if not high:
        return _pack_1(1, weight, sign, scale, low)
    high, middle = divmod(high, 10_000)
    if not high:
        return _pack_2(2, weight + 1, sign, scale, middle, low)
    return _pack_3(3, weight + 2, sign, scale, high, middle, low) if high < 10_000 else None
