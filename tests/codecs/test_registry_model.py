"""Layers and what is known of types, through any changes, beside a model that keeps nothing and builds all anew.

For each question the model makes a catalogue of what should be known, and layers on it with what should be declared in
them, which nobody has asked before.
"""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pgsansio.codecs.custom import TypeCodec
from pgsansio.codecs.registry import Registry
from pgsansio.codecs.type_catalog import TypeCatalog
from pgsansio.codecs.type_info import TypeInfo, TypeKind
from pgsansio.enums import Format
from pgsansio.errors import UnsupportedClientFeatureError
from pgsansio.kernel.contract import Opcode, ValueCodec

INT4, INT4_ARRAY, MONEY, RECORD, RECORD_ARRAY = 23, 1007, 790, 2249, 2287
#: Each oid has one place in the order, and types are made of earlier ones only, so that they never contain themselves.
OIDS = tuple(range(20_000, 20_006))
ASKED = (INT4, INT4_ARRAY, MONEY, RECORD, RECORD_ARRAY, *OIDS)
NAMES = ("a", "b", "c")


@st.composite
def type_infos(draw: st.DrawFn) -> TypeInfo:
    oid = draw(st.sampled_from(OIDS))
    name, schema = draw(st.sampled_from(NAMES)), draw(st.sampled_from(["public", "pg_catalog"]))
    kinds = [TypeKind.BASE, TypeKind.ENUM, TypeKind.COMPOSITE, TypeKind.DOMAIN, TypeKind.ARRAY, TypeKind.RANGE]
    kind = draw(st.sampled_from(kinds))
    earlier = st.sampled_from([INT4, MONEY, *OIDS[: OIDS.index(oid)]])
    inner = 0
    attributes: tuple[tuple[str, int], ...] = ()
    if kind is TypeKind.COMPOSITE:
        attributes = tuple(draw(st.lists(st.tuples(st.sampled_from("xyz"), earlier), max_size=2)))
    elif kind in (TypeKind.DOMAIN, TypeKind.ARRAY, TypeKind.RANGE):
        inner = draw(earlier)
    extension = draw(st.sampled_from(["", "ext"]))
    has_binary = draw(st.booleans())
    return TypeInfo(oid, name, schema, f"{schema}.{name}", kind, ",", inner, attributes, extension, has_binary)


def marked(mark: int, wire_format: Format, oid: int) -> ValueCodec:
    def decode(data: bytes) -> object:
        return [mark, data]

    return ValueCodec(oid, f"mine {mark}", Opcode.CALL, wire_format, decode, bytes, atomic=False, user=True)


FORMATS = st.sampled_from(Format)

ASKS: tuple[Callable[[Registry, int], ValueCodec | None], ...] = (
    Registry.codec,
    lambda registry, oid: registry.codec_in(oid, Format.TEXT),
    lambda registry, oid: registry.codec_in(oid, Format.BINARY),
    Registry._member,
)


class Layer:
    """What is set in one layer, in order of `Registry.set_codec` and `declare`."""

    def __init__(self) -> None:
        self.own: dict[int, Any] = {}
        self.declared: list[TypeCodec] = []


def shape(codec: ValueCodec | None) -> object:
    """What tells two codecs apart that were built separately."""
    if codec is None:
        return None
    code = getattr(codec.decode, "__code__", codec.decode)
    cells: object = ()
    if codec.user:
        closure = getattr(codec.decode, "__closure__", None) or ()
        cells = tuple(shape_of_cell(cell.cell_contents) for cell in closure)
    return (
        codec.oid, codec.name, codec.opcode, codec.format, codec.atomic, codec.user, code, cells, codec.names,
        shape(codec.element), tuple(map(shape, codec.members)),
    )  # fmt: skip


def shape_of_cell(content: object) -> object:
    return shape(content) if isinstance(content, ValueCodec) else getattr(content, "mark", None) or repr(content)


def outcome(ask: Callable[[], ValueCodec | None]) -> object:
    try:
        return shape(ask())
    except UnsupportedClientFeatureError as error:
        return str(error)


class Mark:
    """A user's function, known by its number."""

    def __init__(self, mark: int) -> None:
        self.mark = mark

    def __call__(self, value: object) -> Any:
        return value

    def __repr__(self) -> str:
        return f"Mark({self.mark})"


class Learning(RuleBasedStateMachine):
    """Two connections on one shared registry, and a layer for single queries on the first of them."""

    @initialize()
    def begin(self) -> None:
        self.catalog = TypeCatalog()
        shared = Registry(catalog=self.catalog)
        one = Registry(shared)
        self.registries = [shared, one, Registry(shared), Registry(one)]
        self.paths = [[0], [0, 1], [0, 2], [0, 1, 3]]
        self.layers = [Layer() for _ in self.registries]
        self.known: dict[int, TypeInfo] = {}
        self.marks = 0
        self.told = [0] * 4
        self.answers: list[dict[int, object]] = [{} for _ in self.registries]
        self.seen = [(0, -1)] * 4
        for number, registry in enumerate(self.registries):
            registry.on_change = self.teller(number)

    def teller(self, number: int) -> Callable[[], None]:
        def tell() -> None:
            self.told[number] += 1

        return tell

    def mark(self) -> Mark:
        self.marks += 1
        return Mark(self.marks)

    # the catalogue

    @rule(infos=st.lists(type_infos(), max_size=3))
    def learn(self, infos: list[TypeInfo]) -> None:
        try:
            self.catalog.learn(infos)
        except ValueError:
            return
        for info in infos:
            known = self.known.get(info.oid)
            if known is not None and known == info:
                continue
            for other in list(self.known.values()):
                if other.oid != info.oid and (other.schema, other.name) == (info.schema, info.name):
                    # Of another oid by the same name: forgotten with what is made of it, unless it was told now.
                    told = {each.oid for each in infos}
                    self.forget_known([other.oid], told)
        for info in infos:
            self.known[info.oid] = info

    def forget_known(self, oids: list[int], excepted: set[int]) -> None:
        waiting = list(oids)
        while waiting:
            oid = waiting.pop()
            self.known.pop(oid, None)
            waiting += [
                info.oid
                for info in self.known.values()
                if info.oid not in excepted and (info.inner_oid == oid or oid in [part for _, part in info.attributes])
            ]

    @rule(oids=st.lists(st.sampled_from(ASKED), max_size=2))
    def forget(self, oids: list[int]) -> None:
        self.catalog.forget(oids)
        self.forget_known(oids, set())

    @rule()
    def clear(self) -> None:
        self.catalog.clear()
        self.known.clear()

    # declarations

    @rule(layer=st.integers(0, 3), oid=st.sampled_from((INT4, MONEY, *OIDS)), wire_format=FORMATS)
    def set_codec(self, layer: int, oid: int, wire_format: Format) -> None:
        self.marks += 1
        codec = marked(self.marks, wire_format, oid)
        self.registries[layer].set_codec(oid, codec)
        self.layers[layer].own[oid] = codec

    @rule(layer=st.integers(0, 3), oid=st.sampled_from((INT4, *OIDS)))
    def remove(self, layer: int, oid: int) -> None:
        self.registries[layer].remove(oid)
        self.layers[layer].own.pop(oid, None)

    @rule(
        layer=st.integers(0, 3),
        name=st.sampled_from(["a", "b", "a[]", "int4"]),
        schema=st.sampled_from(["public", "pg_catalog", None]),
        wire_format=st.sampled_from(["text", "binary"]),
    )
    def declare(self, layer: int, name: str, schema: str | None, wire_format: Any) -> None:
        item = TypeCodec(name, schema=schema, encoder=self.mark(), decoder=self.mark(), format=wire_format)
        self.registries[layer].declare([item])
        self.layers[layer].declared.append(item)

    @rule(layer=st.integers(0, 3), name=st.sampled_from(["a", "b", "int4"]), schema=st.sampled_from(["public", None]))
    def retract(self, layer: int, name: str, schema: str | None) -> None:
        self.registries[layer].retract(name, schema)
        kept = [item for item in self.layers[layer].declared if (item.typename, item.schema) != (name, schema)]
        self.layers[layer].declared = kept

    # the same

    def model(self, number: int) -> Registry:
        catalog = TypeCatalog()
        catalog.learn(self.known.values())
        registry = Registry(catalog=catalog)
        first = True
        for layer in [self.layers[index] for index in self.paths[number]]:
            if not first:
                registry = Registry(registry)
            first = False
            registry.declare(layer.declared)
            for oid, codec in layer.own.items():
                registry.set_codec(oid, codec)
        return registry

    @rule(number=st.integers(0, 3), oid=st.sampled_from(ASKED), wire_format=FORMATS)
    def ask(self, number: int, oid: int, wire_format: Format) -> None:
        # Only what was asked about before can be out of date afterwards.
        outcome(lambda: self.registries[number].codec(oid))
        outcome(lambda: self.registries[number].codec_in(oid, wire_format))

    @invariant()
    def is_as_if_built_anew(self) -> None:
        if not hasattr(self, "registries"):
            return
        assert {oid: self.catalog.info(oid) for oid in OIDS} == {oid: self.known.get(oid) for oid in OIDS}
        for number, registry in enumerate(self.registries):
            model = self.model(number)
            for oid in ASKED:
                for ask in ASKS:
                    assert outcome(lambda: ask(registry, oid)) == outcome(lambda: ask(model, oid))  # noqa: B023

    @invariant()
    def tells_of_what_has_changed(self) -> None:
        for number, registry in enumerate(getattr(self, "registries", ())):
            answers = {oid: outcome(lambda: registry.codec(oid)) for oid in ASKED}  # noqa: B023
            told, generation = self.seen[number]
            if any(before is not None and before != answers[oid] for oid, before in self.answers[number].items()):
                assert self.told[number] > told
                assert registry.generation != generation
            self.answers[number] = answers
            self.seen[number] = self.told[number], registry.generation
            for other, its_answers in zip(self.registries[:number], self.answers, strict=False):
                assert other.generation != registry.generation or its_answers == answers

    @invariant()
    def keeps_nothing_of_what_is_unknown(self) -> None:
        for registry in getattr(self, "registries", ()):
            known = {*self.known, INT4, INT4_ARRAY, MONEY, RECORD, RECORD_ARRAY}
            own = {oid for layer in self.layers for oid in layer.own}
            assert {oid for oid, _ in registry._natives} <= known
            assert {oid for oid, _ in registry._in_format} <= known
            assert set(registry._touched) <= known
            assert set(registry._found) <= known | own


TestLearning = Learning.TestCase
TestLearning.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)


@pytest.mark.parametrize("wire_format", Format)
def test_the_model_tells_codecs_apart(wire_format: Format) -> None:
    one, other = (marked(number, wire_format, INT4) for number in (1, 2))
    assert shape(one) != shape(other)
    assert shape(Registry().codec(INT4)) != shape(Registry().codec(MONEY))
