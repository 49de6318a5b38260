"""numeric: any number of decimal digits (the server's numeric_send and numeric_recv).

    uint16  how many groups follow
    int16   weight: the first group counts 10000**weight
    uint16  sign: 0x0000 +, 0x4000 -, 0xC000 NaN, 0xD000 Infinity, 0xF000 -Infinity (infinities since PostgreSQL 14)
    uint16  scale: how many digits after the point are shown, 0 to 16383
    uint16  groups of four decimal digits, 0 to 9999, without zero groups at either end

Everything goes by way of decimal text: `Decimal` reads and writes it exactly, whatever the thread's decimal context is.
"""

import struct
from collections.abc import Callable
from decimal import Context, Decimal, InvalidOperation
from typing import Any, Final

from pgsansio.codecs.codec import CodecPair, codec_pair, text_encoder, type_name
from pgsansio.kernel.contract import Opcode

__all__ = ["CODECS", "SOURCE", "decode_numeric", "encode_numeric"]

#: Section of the manual.
SOURCE: Final = "Arbitrary Precision Numbers"

_unpack_header = struct.Struct(">HhHH").unpack_from
_pack_header = struct.Struct(">HhHH").pack

_NEGATIVE: Final = 0x4000
_SPECIAL: Final = {0xC000: Decimal("NaN"), 0xD000: Decimal("Infinity"), 0xF000: Decimal("-Infinity")}
_ZERO: Final = Decimal(0)

#: The scale has 14 bits (NUMERIC_DSCALE_MASK).
_MAX_SCALE: Final = 16383
#: The weight is an int16, so the first digit is at most in the group of 10000**32767.
_MAX_INTEGER_DIGITS: Final = 131072
#: As many bits, or some less, has the greatest integer of so many digits.
_MAX_INTEGER_BITS: Final = _MAX_INTEGER_DIGITS * 10 // 3

#: Zeros before the point that are written out. With more the value keeps an exponent, 1E+131068: else ten bytes of a
#: hostile server's would become 55 KB.
_MAX_WRITTEN_ZEROS: Final = 1000

#: Unpacks that many groups behind the header, and spells them; longer values make theirs as they come.
_UNPACK_GROUPS: Final[tuple[Callable[[bytes], tuple[int, ...]], ...]] = tuple(
    struct.Struct(f">8x{count}H").unpack for count in range(16)
)
_SPELL_GROUPS: Final[tuple[str, ...]] = tuple("%04d" * count for count in range(16))

#: Packs header and groups, likewise.
_PACK: Final = tuple(struct.Struct(f">HhHH{count}H").pack for count in range(16))

#: Only says what happens to bad input: precision plays no part in making a Decimal.
_CONTEXT: Final = Context(traps=[InvalidOperation])


def decode_numeric(data: bytes) -> Decimal:
    """A Decimal with the server's scale: 1.10 keeps its zero, and 10000 is not 1E+4 (unless its zeros are over 1000).

    Raises:
        ValueError: a length, sign, scale or digit that numeric_recv refuses, too; or digits beyond the scale.
    """
    try:
        header: tuple[int, int, int, int] = _unpack_header(data)
    except struct.error:
        raise ValueError(f"invalid numeric value: {len(data)} bytes are less than its header") from None
    count, weight, sign, scale = header
    if len(data) != 8 + 2 * count:
        raise ValueError(f"invalid numeric value: {len(data)} bytes with {count} groups of digits")
    if sign not in (0, _NEGATIVE):
        try:
            return _SPECIAL[sign]
        except KeyError:
            raise ValueError(f"invalid sign 0x{sign:04X} in a numeric value") from None
    if scale > _MAX_SCALE:
        raise ValueError(f"invalid scale {scale} in a numeric value")
    if count < 16:
        digits = _SPELL_GROUPS[count] % _UNPACK_GROUPS[count](data)
    else:
        digits = ("%04d" * count) % struct.unpack_from(f">{count}H", data, 8)
    if len(digits) != 4 * count:
        raise ValueError("invalid digit in a numeric value")
    point = 4 * weight + 4
    zeros = point - len(digits)
    if zeros > _MAX_WRITTEN_ZEROS and digits.strip("0"):
        return Decimal(f"{'-' if sign else ''}{digits}E+{zeros}")
    if point > 0:
        whole = digits[:point].ljust(point, "0")
        fraction = digits[point:]
    else:
        whole = "0"
        fraction = "0" * -point + digits
    if len(fraction) > scale:
        if fraction[scale:].strip("0"):
            raise ValueError(f"a numeric value has digits beyond its scale {scale}")
        fraction = fraction[:scale]
    else:
        fraction = fraction.ljust(scale, "0")
    return Decimal(f"-{whole}.{fraction}" if sign else f"{whole}.{fraction}")


def encode_numeric(value: Any) -> bytes:
    """Whatever `Decimal` takes; a float with its exact binary expansion.

    Raises:
        TypeError: `Decimal` does not take it.
        ValueError: text that is no number, more than 16383 digits after the point or 131072 before it.
    """
    if type(value) is not Decimal:
        value = _decimal(value)
    if not value.is_finite():
        if value.is_nan():
            return b"\x00\x00\x00\x00\xc0\x00\x00\x00"
        return b"\x00\x00\x00\x00\xd0\x00\x00\x00" if value > 0 else b"\x00\x00\x00\x00\xf0\x00\x00\x00"
    # Before writing it out: 1E+999999999 has that many digits.
    position = value.adjusted()
    if position < -_MAX_SCALE:
        raise ValueError("cannot encode Decimal value into numeric: exponent is too small")
    if position >= _MAX_INTEGER_DIGITS:
        if value:
            raise ValueError("cannot encode Decimal value into numeric: exponent is too large")
        value = _ZERO
    whole, _, fraction = format(value, "f").partition(".")
    scale = len(fraction)
    if scale > _MAX_SCALE:
        raise ValueError("cannot encode Decimal value into numeric: exponent is too small")
    sign = 0
    if whole[0] == "-":
        sign = _NEGATIVE
        whole = whole[1:]
    digits = whole.zfill(-len(whole) // 4 * -4) + fraction.ljust(-scale // 4 * -4, "0")
    groups = [int(digits[start : start + 4]) for start in range(0, len(digits), 4)]
    weight = (len(whole) - 1) // 4
    while groups and not groups[-1]:
        groups.pop()
    if not groups:
        # Zero has no sign and no weight.
        return _pack_header(0, 0, 0, scale)
    if not groups[0]:
        first = next(index for index, group in enumerate(groups) if group)
        del groups[:first]
        weight -= first
    count = len(groups)
    pack = _PACK[count] if count < 16 else struct.Struct(f">HhHH{count}H").pack
    return pack(count, weight, sign, scale, *groups)


def _decimal(value: Any) -> Decimal:
    if isinstance(value, int) and int.bit_length(value) > _MAX_INTEGER_BITS:
        # The time that Decimal takes grows with the square of the digits.
        raise ValueError("cannot encode Decimal value into numeric: exponent is too large")
    try:
        return Decimal(value, _CONTEXT)
    except InvalidOperation:
        raise ValueError(f"this {type_name(value)} is not a decimal number") from None


def decode_numeric_text(data: bytes) -> Decimal:
    return _decimal(data.decode("ascii"))


def _spell(value: Decimal) -> str:
    return format(value, "f")


CODECS: Final[tuple[CodecPair, ...]] = (
    codec_pair(
        "numeric",
        Opcode.NUMERIC,
        decode_numeric,
        encode_numeric,
        decode_numeric_text,
        text_encoder(encode_numeric, decode_numeric, _spell),
    ),
)
