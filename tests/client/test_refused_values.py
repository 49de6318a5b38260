"""A value that cannot be decoded fails its query, with an error that says where; the connection stays."""

import struct
from typing import Final

import pytest

from pgsansio.codecs.builtin import PREFERRED
from pgsansio.codecs.catalog import BY_NAME
from pgsansio.enums import Format
from pgsansio.errors import InvalidValueError
from pgsansio.kernel.contract import Opcode
from pgsansio.messages.backend import BindComplete, ParseComplete
from pgsansio.messages.frontend import Sync
from pgsansio.testing.script import ScriptedBackend, Step, expect_execution, ready, row, selected, send
from tests.client.test_hostile_server import connect, executed, loop_with
from tests.support.every_codec import Case, builtin_cases

#: The types that are asked for in binary.
BINARY: Final = tuple(
    case
    for case in builtin_cases()
    if case.codec.format is PREFERRED[case.codec.oid] is Format.BINARY and case.codec.opcode is not Opcode.BYTEA
)


def hexadecimal(text: str) -> bytes:
    return bytes.fromhex(text)


def expect_question() -> Step:
    """Whatever is sent up to the next Sync."""

    def step(server: ScriptedBackend) -> bool:
        message = server.take()
        while message is not None and not isinstance(message, Sync):
            message = server.take()
        return message is not None

    return step


def check(type_name: str, oid: int, bad: bytes, good: bytes, reason: str, *, questions: int = 0) -> None:
    query = "SELECT 1"
    no_such_type = [expect_question(), send(ParseComplete(), BindComplete(), selected("SELECT 0"), ready())]
    loop = loop_with(
        [
            *executed(query, [("spalte", oid)], row(good), row(bad), row(good), selected("SELECT 3"), ready()),
            *(no_such_type * questions),
            *expect_execution(),
            send(BindComplete(), row(good), row(None), selected("SELECT 2"), ready()),
        ]
    )
    connection = connect(loop)
    with pytest.raises(InvalidValueError) as caught:
        loop.finish(connection.fetch(query))
    assert f"column 1 ('spalte') of type {type_name}" in str(caught.value) or (
        f"column 1, 'spalte', of type {type_name}" in str(caught.value)
    )
    assert reason in str(caught.value)
    assert loop.finish(connection.fetch(query))[1] == (None,)
    assert not connection.is_closed()


@pytest.mark.parametrize("case", BINARY, ids=lambda case: case.codec.name)
def test_of_each_type(case: Case) -> None:
    assert case.valid is not None
    # No text, and no type has three bytes.
    check(case.codec.name, case.codec.oid, b"\xff\xff\xff", case.valid, "")


INT4_ARRAY: Final = hexadecimal("00000001 00000000 00000017 00000001 00000001 00000004 00000007")


@pytest.mark.parametrize(
    ("name", "bad", "good", "reason"),
    [
        ("_int4", INT4_ARRAY[:-1], INT4_ARRAY, "longer than its array"),
        ("_int4", b"\x00\x00\x00\x06" + INT4_ARRAY[4:], INT4_ARRAY, "with 6 dimensions"),
        ("int4range", b"\xff", b"\x01", "invalid range flags: 0xff"),
        ("int4multirange", b"\x7f\xff\xff\xff", bytes(4), "multirange of 2147483647 ranges in 4 bytes"),
        ("record", struct.pack(">i", -1), bytes(4), "composite value of -1 members"),
    ],
)
def test_of_what_is_made_of_parts(name: str, bad: bytes, good: bytes, reason: str) -> None:
    sql_names = {"_int4": ("integer[]", 1007)}
    type_name, oid = sql_names.get(name) or (name, BY_NAME[name].oid)
    check(type_name, oid, bad, good, reason)


def test_of_another_type_than_the_catalogue_says() -> None:
    other = INT4_ARRAY.replace(b"\x00\x00\x00\x17", b"\x00\x00\x00\x19")
    check("integer[]", 1007, other, INT4_ARRAY, "array of type 25 instead of 23", questions=1)
