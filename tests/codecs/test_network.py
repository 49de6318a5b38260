"""inet, cidr, macaddr, macaddr8: what users may give, what is refused, round trips."""

from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgsansio.codecs.network import (
    CODECS,
    decode_cidr,
    decode_inet,
    decode_macaddr,
    decode_macaddr8,
    encode_cidr,
    encode_inet,
    encode_macaddr,
    encode_macaddr8,
)

TEXT = {pair[1].name: pair[1] for pair in CODECS}


@pytest.mark.parametrize(
    ("value", "inet", "cidr"),
    [
        ("1.2.3.4", "1.2.3.4", "1.2.3.4/32"),
        ("1.2.3.4/32", "1.2.3.4", "1.2.3.4/32"),
        ("1.2.3.0/24", "1.2.3.0/24", "1.2.3.0/24"),
        ("1.2.3.4/24", "1.2.3.4/24", None),
        ("::1", "::1", "::1/128"),
        (b"\x01\x02\x03\x04", "1.2.3.4", "1.2.3.4/32"),
        (b"x" * 16, "7878:7878:7878:7878:7878:7878:7878:7878", "7878:7878:7878:7878:7878:7878:7878:7878/128"),
        (5, "0.0.0.5", "0.0.0.5/32"),
        (2**40, "::100:0:0", "::100:0:0/128"),
        (("1.2.3.4", 24), "1.2.3.4/24", None),
        (IPv4Address("1.2.3.4"), "1.2.3.4", "1.2.3.4/32"),
        (IPv6Address("::1"), "::1", "::1/128"),
        (IPv4Interface("1.2.3.4/24"), "1.2.3.4/24", None),
        (IPv4Interface("1.2.3.4/32"), "1.2.3.4", "1.2.3.4/32"),
        (IPv6Interface("fe80::/10"), "fe80::/10", "fe80::/10"),
        (IPv4Network("10.0.0.0/8"), "10.0.0.0/8", "10.0.0.0/8"),
        (IPv6Network("2001:db8::/32"), "2001:db8::/32", "2001:db8::/32"),
    ],
)
def test_accepted(value: object, inet: str, cidr: str | None) -> None:
    # As asyncpg, value for value.
    assert str(decode_inet(encode_inet(value))) == inet
    assert TEXT["inet"].encode(value) == inet.encode()
    if cidr is not None:
        assert str(decode_cidr(encode_cidr(value))) == cidr
        assert TEXT["cidr"].encode(value) == cidr.encode()
    else:
        with pytest.raises(ValueError, match="has host bits set"):
            encode_cidr(value)


@pytest.mark.parametrize("value", [-1, 2**130, 1.5, "x", " 1.2.3.4", "1.2.3", [1], b"abc", bytearray(4), object(), ()])
def test_no_address(value: object) -> None:
    with pytest.raises(ValueError, match="does not appear to be an IPv4 or IPv6 interface"):
        encode_inet(value)
    with pytest.raises(ValueError, match="does not appear to be an IPv4 or IPv6 network"):
        encode_cidr(value)


@pytest.mark.parametrize("value", ["fe80::1%eth0", IPv6Address("fe80::1%eth0"), IPv6Interface("fe80::1%eth0/64")])
def test_a_scope_is_not_lost_unseen(value: object) -> None:
    with pytest.raises(ValueError, match="has a scope, which PostgreSQL does not keep"):
        encode_inet(value)
    if not isinstance(value, IPv6Interface):
        with pytest.raises(ValueError, match="has a scope, which PostgreSQL does not keep"):
            encode_cidr(value)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("", "invalid inet value: 0 bytes are less than its header"),
        ("022000", "invalid inet value: 3 bytes are less than its header"),
        ("01200004 01020304", "invalid inet value: address family 1"),
        ("02200010 01020304", "invalid inet value: 4 bytes of an address of 16, instead of 4"),
        ("02200004 010203", "invalid inet value: 3 bytes of an address of 4, instead of 4"),
        ("02210004 01020304", "invalid inet value: netmask of 33 bits"),
        ("03810010" + "00" * 16, "invalid inet value: netmask of 129 bits"),
    ],
)
def test_malformed_inet(data: str, reason: str) -> None:
    with pytest.raises(ValueError) as caught:
        decode_inet(bytes.fromhex(data))
    assert str(caught.value) == reason
    with pytest.raises(ValueError) as caught:
        decode_cidr(bytes.fromhex(data))
    assert str(caught.value) == reason.replace("inet", "cidr")


def test_host_bits_in_a_cidr() -> None:
    with pytest.raises(ValueError, match=r"10\.0\.0\.1/8 has host bits set"):
        decode_cidr(bytes.fromhex("02080104 0a000001"))
    with pytest.raises(ValueError, match=r"10\.0\.0\.1/8 has host bits set"):
        TEXT["cidr"].decode(b"10.0.0.1/8")


addresses = st.ip_addresses()


@given(addresses, st.data())
def test_inet_round_trip(address: Any, data: st.DataObject) -> None:
    bits = data.draw(st.integers(0, address.max_prefixlen))
    interface: Any = (IPv4Interface if address.version == 4 else IPv6Interface)((address.packed, bits))
    expected = address if bits == address.max_prefixlen else interface
    for decode, encode in ((decode_inet, encode_inet), (TEXT["inet"].decode, TEXT["inet"].encode)):
        back = decode(encode(interface))
        assert (back, type(back)) == (expected, type(expected))
        assert decode(encode(address)) == address
    for decode, encode in ((decode_cidr, encode_cidr), (TEXT["cidr"].decode, TEXT["cidr"].encode)):
        network = decode(encode(interface.network))
        assert (network, type(network)) == (interface.network, type(interface.network))


@pytest.mark.parametrize(
    "value",
    [
        "08:00:2b:01:02:03",
        "08-00-2b-01-02-03",
        "08002b:010203",
        "08002b-010203",
        "0800.2b01.0203",
        "0800-2b01-0203",
        "08002b010203",
        "08:00:2B:01:02:03",
        "\t08:00:2b:01:02:03 \n",
    ],
)
def test_spellings_of_the_manual(value: str) -> None:
    assert encode_macaddr(value).hex() == "08002b010203"
    assert encode_macaddr8(value).hex() == "08002bfffe010203"
    assert TEXT["macaddr"].encode(value) == b"08:00:2b:01:02:03"
    assert TEXT["macaddr8"].encode(value) == b"08:00:2b:ff:fe:01:02:03"


def test_single_digits_are_for_macaddr_only() -> None:
    assert decode_macaddr(encode_macaddr("8:0:2b:1:2:3")) == "08:00:2b:01:02:03"
    with pytest.raises(ValueError, match="invalid macaddr8 '8:0:2b:1:2:3'"):
        encode_macaddr8("8:0:2b:1:2:3")


@pytest.mark.parametrize(
    "value", ["08:00:2b:01:02:03:04:05", "08-00-2b-01-02-03-04-05", "08002b:0102030405", "0800.2b01.0203.0405"]
)
def test_eight_bytes_are_for_macaddr8_only(value: str) -> None:
    assert decode_macaddr8(encode_macaddr8(value)) == "08:00:2b:01:02:03:04:05"
    with pytest.raises(ValueError, match="invalid macaddr "):
        encode_macaddr(value)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "x",
        "1ff:0:2b:1:2:3",
        "08:00:2b:01:02",
        "08-00:2b:01:02:03",
        "08:00:2b:01:02:0g",
        "08:00:2b:01:02 03",
        "08002b01020",
        "\u00a008002b010203",
    ],
)
def test_no_mac_address(value: str) -> None:
    with pytest.raises(ValueError, match="invalid macaddr "):
        encode_macaddr(value)
    with pytest.raises(ValueError, match="invalid macaddr8 "):
        encode_macaddr8(value)


@pytest.mark.parametrize("value", [b"\x00" * 6, 1, ["08:00:2b:01:02:03"]])
def test_mac_addresses_are_str(value: object) -> None:
    for encode in (encode_macaddr, encode_macaddr8):
        with pytest.raises(TypeError, match=f"expected str, got {type(value).__name__}"):
            encode(value)


@given(st.binary(min_size=8, max_size=8))
def test_macaddr_round_trip(data: bytes) -> None:
    assert encode_macaddr(decode_macaddr(data[:6])) == data[:6]
    assert encode_macaddr8(decode_macaddr8(data)) == data
    assert TEXT["macaddr"].decode(decode_macaddr(data[:6]).encode()) == decode_macaddr(data[:6])
    assert TEXT["macaddr8"].decode(decode_macaddr8(data).encode()) == decode_macaddr8(data)
