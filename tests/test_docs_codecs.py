"""The declarations of docs/codecs.md, without a server; `test_docs_run` runs all of the page."""

from typing import Any

import pytest

from pgsansio.codecs.catalog import BY_NAME
from pgsansio.codecs.custom import TypeCodec
from pgsansio.codecs.registry import Registry
from pgsansio.codecs.type_info import TypeInfo, TypeKind
from pgsansio.kernel.contract import ValueCodec
from tests.support.doc_blocks import DOCS, blocks


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    found: dict[str, Any] = {"__name__": "docs.codecs"}
    for block in blocks(DOCS / "codecs.md"):
        if block.kind == "":
            exec(compile(block.text, "docs/codecs.md", "exec"), found)
    return found


def test_the_declarations_are_made(names: dict[str, Any]) -> None:
    assert [declaration.typename for declaration in names["CODECS"]][:3] == ["mood", "address", "hstore"]


def test_a_date_that_python_does_not_have(names: dict[str, Any]) -> None:
    codec = built(names["Days"], "date")
    assert codec.decode(codec.encode(names["datetime"].date(1999, 12, 31))) == names["datetime"].date(1999, 12, 31)
    assert codec.decode(b"\xff\x00\x00\x00") == "distant past"
    assert codec.decode(b"\x7f\xff\xff\xff") == "distant future"


def test_functions_over_text(names: dict[str, Any]) -> None:
    codec = built(names["Hexadecimal"], "text")
    assert (codec.decode(b"ff"), codec.encode(255)) == (255, b"ff")
    codec = built(names["WholeArray"], "_text")
    assert (codec.decode(b"{a}"), codec.encode({"b", "a"})) == ("{a}", b"{a,b}")


def built(declaration: TypeCodec, name: str) -> ValueCodec:
    entry = BY_NAME[name]
    default = Registry().codec(entry.oid)
    assert default is not None
    return declaration.build(TypeInfo(entry.oid, name, "pg_catalog", name, TypeKind.BASE), default)
