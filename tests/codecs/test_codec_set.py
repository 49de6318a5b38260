"""CodecSet: what connections share, now and later."""

from typing import Any

import pytest

from pgsansio.codecs.codec_set import CodecSet, codec_set
from pgsansio.codecs.custom import TypeCodec, json_codecs
from pgsansio.codecs.registry import Registry
from pgsansio.codecs.type_catalog import TypeCatalog
from pgsansio.codecs.type_info import TypeInfo, TypeKind
from pgsansio.enums import Format
from pgsansio.errors import InterfaceError

MOOD = TypeInfo(16400, "mood", "public", "mood", TypeKind.ENUM)
JSON = 114


def upper(typename: str = "mood", **keywords: Any) -> TypeCodec:
    return TypeCodec(typename, encoder=str.lower, decoder=str.upper, **keywords)


def decoded(registry: Registry, data: bytes, oid: int = MOOD.oid) -> object:
    return registry.codec_in(oid, Format.TEXT).decode(data)


def test_registries_know_what_is_declared_now_and_later() -> None:
    codecs = CodecSet(types=_export(MOOD))
    registry = codecs.registry("one")
    assert codecs.registry("one") is registry
    assert codecs.registry("other") is not registry
    layer = Registry(registry)  # of a connection
    assert decoded(layer, b"sad") == "sad"
    codecs.declare(upper())
    assert decoded(layer, b"sad") == decoded(codecs.registry("later"), b"sad") == "SAD"
    codecs.declare(TypeCodec("mood", encoder=str, decoder=len))
    assert decoded(layer, b"sad") == decoded(codecs.registry("even later"), b"sad") == 3


def test_what_was_declared_can_be_taken_back() -> None:
    codecs = CodecSet([upper()], types=_export(MOOD))
    before = codecs.registry("before")
    assert decoded(before, b"sad") == "SAD"
    codecs.retract("mood", "elsewhere")
    codecs.retract("humour")
    assert decoded(before, b"sad") == decoded(codecs.registry("between"), b"sad") == "SAD"
    codecs.retract("mood")
    assert decoded(before, b"sad") == decoded(codecs.registry("after"), b"sad") == "sad"


def test_what_was_learned_is_forgotten_everywhere() -> None:
    codecs = CodecSet()
    registries = [codecs.registry(name) for name in ("one", "other")]
    for registry in registries:
        registry.catalog.learn([MOOD])
    codecs.forget_types()
    assert [registry.catalog.info(MOOD.oid) for registry in registries] == [None, None]


def test_types_that_are_none() -> None:
    with pytest.raises(ValueError, match="entry 0 of the exported types has no schema"):
        CodecSet(types=[{"name": "mood"}])


def test_what_connect_takes_as_codecs() -> None:
    given = CodecSet([upper()])
    assert codec_set(given, None) is given
    made = codec_set([upper()], None)
    made.registry("d").catalog.learn([MOOD])
    assert decoded(made.registry("d"), b"sad") == "SAD"
    made = codec_set(iter([upper()]), (lambda value: "[]", lambda text: 7))
    assert decoded(made.registry("d"), b"{}", JSON) == 7
    assert codec_set(json_codecs((str, len)), None).registry("d").codec_in(JSON, Format.TEXT).decode(b"[1]") == 3


def test_what_it_does_not_take() -> None:
    with pytest.raises(InterfaceError, match="the `json` argument cannot be combined with a CodecSet") as caught:
        codec_set(CodecSet(), (str, len))
    assert caught.value.hint == "Put json_codecs(...) into the CodecSet."
    for wrong, name in ((upper, "function"), (7, "int"), ([upper(), "mood"], "str")):
        with pytest.raises(TypeError, match=rf"codecs is expected to be a list of codecs .*, got {name}$"):
            codec_set(wrong, None)  # type: ignore[arg-type]


def _export(*infos: TypeInfo) -> list[dict[str, object]]:
    catalog = TypeCatalog()
    catalog.learn(infos)
    return catalog.export()
