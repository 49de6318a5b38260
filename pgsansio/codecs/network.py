r"""inet, cidr, macaddr, macaddr8.

    inet, cidr   uint8 family (2 IPv4, 3 IPv6)                         inet_send, inet_recv, cidr_send, cidr_recv
                 uint8 bits of the netmask
                 uint8 1 if it is a cidr (ignored by the server)
                 uint8 size of the address, 4 or 16; the address
    macaddr      6 bytes                                               macaddr_send, macaddr_recv
    macaddr8     8 bytes                                               macaddr8_send, macaddr8_recv

An address whose netmask has all its bits is an address of `ipaddress`, with fewer it is an interface, a cidr always a
network: as in asyncpg. MAC addresses are str, as the server prints them.
"""

import ipaddress
import re
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Any, Final, TypeAlias, cast

from pgsansio.codecs.codec import CodecPair, codec_pair, text_encoder, type_name, wrong_length
from pgsansio.kernel.contract import Opcode

__all__ = [
    "CODECS",
    "SOURCE",
    "decode_cidr",
    "decode_inet",
    "decode_macaddr",
    "decode_macaddr8",
    "encode_cidr",
    "encode_inet",
    "encode_macaddr",
    "encode_macaddr8",
]

SOURCE: Final = "Network Address Types"

_Address: TypeAlias = IPv4Address | IPv6Address
_Interface: TypeAlias = IPv4Interface | IPv6Interface
_Network: TypeAlias = IPv4Network | IPv6Network

#: PGSQL_AF_INET and PGSQL_AF_INET6 of the server's inet.h, which are the same on every system.
_IPV4: Final = 2
_IPV6: Final = 3


# inet and cidr


def decode_inet(data: bytes) -> _Address | _Interface:
    """An address; with fewer bits in the netmask than in the address, an interface.

    Raises:
        ValueError: a family, netmask or size that inet_recv refuses, too.
    """
    bits = _check_header("inet", data)
    packed = data[4:]
    if data[0] == _IPV4:
        return IPv4Address(packed) if bits == 32 else IPv4Interface((packed, bits))
    return IPv6Address(packed) if bits == 128 else IPv6Interface((packed, bits))


def decode_cidr(data: bytes) -> _Network:
    """A network.

    Raises:
        ValueError: as `decode_inet`; bits to the right of the netmask.
    """
    bits = _check_header("cidr", data)
    packed = data[4:]
    return IPv4Network((packed, bits)) if data[0] == _IPV4 else IPv6Network((packed, bits))


def _check_header(name: str, data: bytes) -> int:
    """The bits of the netmask."""
    if len(data) < 4:
        raise ValueError(f"invalid {name} value: {len(data)} bytes are less than its header")
    family, bits, _, size = data[:4]
    if family not in (_IPV4, _IPV6):
        raise ValueError(f"invalid {name} value: address family {family}")
    expected = 4 if family == _IPV4 else 16
    if size != expected or len(data) != 4 + expected:
        raise ValueError(f"invalid {name} value: {len(data) - 4} bytes of an address of {size}, instead of {expected}")
    if bits > 8 * expected:
        raise ValueError(f"invalid {name} value: netmask of {bits} bits")
    return bits


def encode_inet(value: Any) -> bytes:
    """An address, interface or network of `ipaddress`, or what `ip_address` or `ip_interface` make one of.

    That is: text, the number or the 4 or 16 bytes of an address, or a tuple of an address and its netmask.

    Raises:
        ValueError: anything else, or a scope (fe80::1%eth0), which PostgreSQL has not.
    """
    if not isinstance(value, _Address | _Network):
        value = _inet(value)
    if isinstance(value, _Interface):
        return _pack(value, value.network.prefixlen, is_cidr=False)
    if isinstance(value, _Network):
        return _pack(value.network_address, value.prefixlen, is_cidr=False)
    return _pack(value, value.max_prefixlen, is_cidr=False)


def encode_cidr(value: Any) -> bytes:
    """A network of `ipaddress`, or what `ip_network` makes one of: as for inet.

    Raises:
        ValueError: anything else, bits to the right of the netmask, or a scope.
    """
    if not isinstance(value, _Network):
        try:
            value = ipaddress.ip_network(_plain(value, "network"))
        except IndexError:
            # An empty tuple.
            raise _no_address(value, "network") from None
    return _pack(value.network_address, value.prefixlen, is_cidr=True)


def _inet(value: Any) -> _Address | _Interface:
    value = _plain(value, "interface")
    try:
        return ipaddress.ip_address(value)
    except ValueError:
        pass
    try:
        return ipaddress.ip_interface(value)
    except IndexError:
        raise _no_address(value, "interface") from None


def _plain(value: object, what: str) -> Any:
    """With exact integers: of others, such as enums, a network of `ipaddress` is made with a DeprecationWarning."""
    if isinstance(value, int):
        return int(value)
    if isinstance(value, list | dict | set | frozenset):
        # `ipaddress` would spell it out, however long it is.
        raise ValueError(f"this {type_name(cast('object', value))} does not appear to be an IPv4 or IPv6 {what}")
    if isinstance(value, tuple):
        return tuple([int(item) if isinstance(item, int) else item for item in cast("tuple[object, ...]", value)])
    return value


def _no_address(value: object, what: str) -> ValueError:
    return ValueError(f"{value!r} does not appear to be an IPv4 or IPv6 {what}")


def _pack(address: _Address, bits: int, is_cidr: bool) -> bytes:
    packed = address.packed
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            raise ValueError(f"{address} has a scope, which PostgreSQL does not keep")
        return bytes((_IPV6, bits, is_cidr, 16)) + packed
    return bytes((_IPV4, bits, is_cidr, 4)) + packed


def decode_inet_text(data: bytes) -> _Address | _Interface:
    return decode_inet(encode_inet(data.decode("ascii")))


def decode_cidr_text(data: bytes) -> _Network:
    return decode_cidr(encode_cidr(data.decode("ascii")))


# macaddr and macaddr8

#: What isspace means in the server's C locale; `str.strip` alone would take more.
_BLANKS: Final = " \t\n\v\f\r"
_HEX: Final = "([0-9a-fA-F]{%s})"
#: The spellings that the manual lists.
_MACADDR: Final = tuple(
    re.compile(pattern)
    for pattern in (
        ":".join([_HEX % "1,2"] * 6),
        "-".join([_HEX % "1,2"] * 6),
        (_HEX % 2) * 3 + "[:-]" + (_HEX % 2) * 3,
        r"\.".join([(_HEX % 2) * 2] * 3),
        "-".join([(_HEX % 2) * 2] * 3),
        (_HEX % 2) * 6,
    )
)
_MACADDR8: Final = re.compile("(?:[0-9a-fA-F]{2}[:.-]?){6}(?:(?:[0-9a-fA-F]{2}[:.-]?){2})?")
_SEPARATORS: Final = re.compile("[:.-]")


def decode_macaddr(data: bytes) -> str:
    """Lower case with colons: 08:00:2b:01:02:03."""
    if len(data) != 6:
        raise wrong_length("macaddr", data, 6)
    return data.hex(":")


def decode_macaddr8(data: bytes) -> str:
    """Lower case with colons: 08:00:2b:ff:fe:01:02:03."""
    if len(data) != 8:
        raise wrong_length("macaddr8", data, 8)
    return data.hex(":")


def encode_macaddr(value: Any) -> bytes:
    """Text in any of the spellings of the manual, in either case.

    Raises:
        TypeError: no str. ValueError: another spelling.
    """
    if (address := _as_printed(value, 17)) is not None:
        return address
    digits = _stripped(value)
    for pattern in _MACADDR:
        match = pattern.fullmatch(digits)
        if match is not None:
            return bytes([int(part, 16) for part in match.groups()])
    raise ValueError(f"invalid macaddr {value[:40]!r}")


def encode_macaddr8(value: Any) -> bytes:
    """Text in any of the spellings of the manual; of six bytes, ff:fe comes into the middle, as on the server.

    Raises:
        TypeError: no str. ValueError: another spelling.
    """
    if (address := _as_printed(value, 23)) is not None:
        return address
    digits = _stripped(value)
    if _MACADDR8.fullmatch(digits) is None or len(set(_SEPARATORS.findall(digits))) > 1:
        raise ValueError(f"invalid macaddr8 {value[:40]!r}")
    address = bytes.fromhex(_SEPARATORS.sub("", digits))
    return address if len(address) == 8 else address[:3] + b"\xff\xfe" + address[3:]


def _as_printed(value: object, size: int) -> bytes | None:
    """The bytes of the spelling that is printed, `size` characters, without a look at the others; None: another."""
    if type(value) is str and len(value) == size:
        try:
            address = bytes.fromhex(value.replace(":", ""))
        except ValueError:
            return None
        if address.hex(":") == value:
            return address
    return None


def _stripped(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected str, got {type_name(value)}")
    return value.strip(_BLANKS)


def decode_macaddr_text(data: bytes) -> str:
    return decode_macaddr(encode_macaddr(data.decode("ascii")))


def decode_macaddr8_text(data: bytes) -> str:
    return decode_macaddr8(encode_macaddr8(data.decode("ascii")))


CODECS: Final[tuple[CodecPair, ...]] = (
    # Interfaces and networks have a __dict__.
    codec_pair(
        "inet",
        Opcode.CALL,
        decode_inet,
        encode_inet,
        decode_inet_text,
        text_encoder(encode_inet, decode_inet, str),
        atomic=False,
    ),
    codec_pair(
        "cidr",
        Opcode.CALL,
        decode_cidr,
        encode_cidr,
        decode_cidr_text,
        text_encoder(encode_cidr, decode_cidr, str),
        atomic=False,
    ),
    codec_pair(
        "macaddr",
        Opcode.CALL,
        decode_macaddr,
        encode_macaddr,
        decode_macaddr_text,
        text_encoder(encode_macaddr, decode_macaddr, str),
    ),
    codec_pair(
        "macaddr8",
        Opcode.CALL,
        decode_macaddr8,
        encode_macaddr8,
        decode_macaddr8_text,
        text_encoder(encode_macaddr8, decode_macaddr8, str),
    ),
)
