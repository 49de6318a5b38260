"""Which codec each type has: the built-in ones, what the catalogue says of others, what a pool or connection declared.

How this works. A registry is a layer. The lowest one has the built-in codecs and a `TypeCatalog`, and builds what is
made of parts (arrays, composites, ranges, domains) from the codecs of the parts; a layer above adds declarations. A
layer in which nothing of its own touches a type, nor anything that the type is made of, asks the one below; otherwise
it builds the type anew, with its own parts.

A type has a *native* codec in up to two formats. A value made of parts travels in one format: binary if all parts
prefer that, else text if all of them have a native text codec, else binary (text where the server has no binary form)
with the parts that lack it *bridged*: the user's text codec is given what the built-in codecs make of the binary value,
or the other way round. What was found is kept until something changes, here, below, or in what is known of the
database's types.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import count
from typing import Any, Final, NoReturn
from weakref import WeakSet

from pgsansio.codecs import bytea, text
from pgsansio.codecs.array import array_codec
from pgsansio.codecs.builtin import BUILTIN, PREFERRED
from pgsansio.codecs.catalog import BY_NAME
from pgsansio.codecs.composite import composite_codec
from pgsansio.codecs.contrib import DEFAULTS
from pgsansio.codecs.declaration import CodecDeclaration, applies, last_of_each
from pgsansio.codecs.range import multirange_codec, range_codec
from pgsansio.codecs.record import record_codecs
from pgsansio.codecs.type_catalog import TypeCatalog, builtin_info, parts_of
from pgsansio.codecs.type_info import TypeInfo, TypeKind
from pgsansio.enums import Format
from pgsansio.errors import UnsupportedClientFeatureError
from pgsansio.kernel.contract import Opcode, ValueCodec

__all__ = ["RECORD_OIDS", "Registry"]

_RECORD: Final = BY_NAME["record"].oid
#: Types whose members are told by the values alone: record, record[].
RECORD_OIDS: Final = frozenset({_RECORD, BY_NAME["record"].array_oid})

#: Types of extensions whose values are text in binary, too.
_EXTENSION_TYPES: Final = {(item.extension, item.typename): item for item in DEFAULTS}

_OTHER: Final = {Format.BINARY: Format.TEXT, Format.TEXT: Format.BINARY}

#: Built-in types made of parts, built once for all registries in which nothing touches them.
_shared: Final[dict[tuple[int, Format], ValueCodec]] = {}

#: One number for every state that any registry is brought into.
_generations: Final = count(1)

_Key = tuple[int, Format]


class Registry:
    """Codecs by pg_type.oid, in layers.

    `Registry(shared)` is a layer on `shared`, for one connection: what is declared in it is seen nowhere else, and what
    is declared in `shared` is seen in it at once, except where it has something of its own.

    Attributes:
        catalog: what is known of the database's types; one for all layers.
        generation: a number for the codecs that are in force here: where it is the same, so are they.
        on_change: called when codecs have changed that may be in use.
        on_outdated: called when described statements are outdated.
    """

    __slots__ = (
        "__weakref__", "_above", "_below", "_declared", "_formats", "_found", "_in_format", "_natives", "_own",
        "_plain", "_touched", "catalog", "generation", "on_change", "on_outdated",
    )  # fmt: skip

    def __init__(self, below: "Registry | None" = None, *, catalog: TypeCatalog | None = None) -> None:
        self._below = below
        #: None: none yet, and most connections never have one.
        self._above: WeakSet[Registry] | None = None
        #: By oid: a codec, or what builds one.
        self._own: dict[int, ValueCodec | CodecDeclaration] = {}
        #: By name; of two for one type the last counts.
        self._declared: list[CodecDeclaration] = []
        self._found: dict[int, ValueCodec] = {}
        self._formats: dict[int, Format] = {}
        self._in_format: dict[_Key, ValueCodec] = {}
        self._natives: dict[_Key, ValueCodec | None] = {}
        self._touched: dict[int, bool] = {}
        #: Of the lowest layer: see `_undeclared`.
        self._plain: Registry | None = None
        self.on_change: Callable[[], None] | None = None
        self.on_outdated: Callable[[], None] | None = None
        if below is None:
            self.catalog = TypeCatalog() if catalog is None else catalog
            self.catalog.observe(self)
            self.generation = 0
        else:
            self.catalog = below.catalog
            self.generation = below.generation
            if below._above is None:
                below._above = WeakSet()
            below._above.add(self)

    # asking

    def codec(self, oid: int) -> ValueCodec | None:
        """The codec in whose format values of a type should be sent and asked for; None if it is unknown.

        Raises:
            UnsupportedClientFeatureError: no format suits all parts of the type.
        """
        try:
            return self._found[oid]
        except KeyError:
            if self._below is not None and not self._is_touched(oid):
                found = self._below.codec(oid)
                if self._declared and self.catalog.info(oid) is None:
                    return None  # one that was set for the oid below; but something here may be for its name
            else:
                wanted = self._preferred_format(oid)
                if wanted is None:
                    return None
                self._check_parts(oid, wanted)
                found = self.codec_in(oid, wanted)
            # What is unknown is not kept: any number of oids may be.
            if found is not None:
                self._found[oid] = found
            return found

    def codec_in(self, oid: int, wire_format: Format, name: str = "") -> ValueCodec:
        """A codec for values that come in this format, whichever is preferred.

        Of a type that has none, text becomes str and binary bytes. One whose declared codec has no form for text
        refuses every value (UnsupportedClientFeatureError).

        Args:
            name: the type's name for error texts, if it is an unknown one.
        """
        found = self._in_format.get((oid, wire_format))
        if found is None:
            if self._below is not None and not self._is_touched(oid):
                return self._below.codec_in(oid, wire_format, name)
            info = self.catalog.info(oid)
            if info is None:
                own = self._declaration(oid)
                if isinstance(own, ValueCodec) and own.format is wire_format:
                    return own
                return _untyped(oid, wire_format, name)
            found = self._native_or_bridged(oid, wire_format)
            if found is None and wire_format is Format.TEXT and self.declares(oid):
                found = _refusing(info)
            if found is None:
                found = _composed(info, [self.codec_in(part, wire_format) for part in parts_of(info)], wire_format)
            found = self._in_format[oid, wire_format] = found or _untyped(oid, wire_format, info.sql_name)
        return found

    def codecs_in_common(self, oids: Sequence[int]) -> tuple[Format, tuple[ValueCodec, ...]]:
        """One format for values of all these types, and their codecs in it: for what COPY sends.

        Chosen as for a type that is made of these: binary if all of them prefer it, else text.

        Raises:
            UnsupportedClientFeatureError: no format suits all of them.
        """
        wanted = self._format_of_all(oids)
        for oid in oids:
            if not self.has_codec(oid, wanted):
                info = self.catalog.info(oid)
                raise UnsupportedClientFeatureError(
                    f"no format suits all of the columns: type {info.sql_name if info else oid} has no codec for "
                    f"{wanted.name.lower()}",
                    hint="Declare the codecs of all columns' types in one format.",
                )
        return wanted, tuple([self.codec_in(oid, wanted) for oid in oids])

    def text_codec(self, oid: int, name: str = "") -> ValueCodec:
        """`codec_in` text: for a type of which nothing is known, str both ways."""
        return self.codec_in(oid, Format.TEXT, name)

    @property
    def has_declarations(self) -> bool:
        """Whether codecs were declared, here or below."""
        if self._own or self._declared:
            return True
        return self._below is not None and self._below.has_declarations

    def declares(self, oid: int) -> bool:
        """Whether a codec was declared for this type itself, here or below."""
        return self._declaration(oid) is not None

    def declarations(self) -> Iterator[ValueCodec | CodecDeclaration]:
        """All that was declared here and below, the last one first."""
        yield from reversed(self._own.values())
        yield from reversed(self._declared)
        if self._below is not None:
            yield from self._below.declarations()

    # declaring

    def set_codec(self, oid: int, codec: ValueCodec | CodecDeclaration) -> None:
        """Use this codec for a type, and for whatever is made of it, in this registry and those above.

        Plans that were made before keep the codecs they were made with.

        Raises:
            ValueError: the codec is another type's.
            InterfaceError: the type cannot have such a codec.
        """
        if isinstance(codec, ValueCodec):
            if codec.oid != oid:
                raise ValueError(f"a codec of type {codec.oid} cannot be set for type {oid}")
        else:
            info = self.catalog.info(oid)
            if info is not None:
                codec.build(info, self._below_codec(oid))
        self._own[oid] = codec
        self._changed()

    def _below_codec(self, oid: int) -> ValueCodec:
        """What a declaration for this type would be built around."""
        wanted = self._preferred_format(oid) or Format.TEXT
        return self._default(oid, wanted) or _untyped(oid, wanted, "")

    def declare(self, declarations: Iterable[CodecDeclaration]) -> None:
        """Use these codecs for the types that they name, whenever such a type is met."""
        added = list(declarations)
        if added:
            self._declared = last_of_each([*self._declared, *added])
            self._changed()

    def remove(self, oid: int) -> None:
        """Take back what `set_codec` did here, if it did."""
        if self._own.pop(oid, None) is not None:
            self._changed()

    def retract(self, typename: str, schema: str | None) -> None:
        """Take back what was declared here for a type of this name and schema, if it was."""
        kept = [item for item in self._declared if (item.typename, item.schema) != (typename, schema)]
        if len(kept) != len(self._declared):
            self._declared = kept
            self._changed()

    def types_changed(self) -> None:
        """What is known of types has changed (the catalogue calls it)."""
        self._changed()

    def forget_statements(self) -> None:
        """The database's schema has changed: whoever has statements is told, whichever layer he has."""
        lowest = self
        while lowest._below is not None:
            lowest = lowest._below
        lowest._tell()

    def _tell(self) -> None:
        if self.on_outdated is not None:
            self.on_outdated()
        for registry in list(self._above or ()):
            registry._tell()

    def _changed(self) -> None:
        self._found.clear()
        self._formats.clear()
        self._in_format.clear()
        self._natives.clear()
        self._touched.clear()
        if self._own or self._declared or (self._below is None and self.catalog.generation):
            self.generation = next(_generations)
        else:
            self.generation = 0 if self._below is None else self._below.generation
        if self.on_change is not None:
            self.on_change()
        for registry in list(self._above or ()):
            registry._changed()

    # finding

    def _preferred_format(self, oid: int) -> Format | None:
        """None: the type is unknown."""
        # Kept, since a part may be part of many others.
        preferred = self._formats.get(oid)
        if preferred is None:
            preferred = self._find_format(oid)
            if preferred is not None and self.catalog.info(oid) is not None:
                self._formats[oid] = preferred
        return preferred

    def _find_format(self, oid: int) -> Format | None:
        if self._declaration(oid) is not None:
            natives = [wire_format for wire_format in Format if self._native(oid, wire_format) is not None]
            if len(natives) == 1:
                return natives[0]
        preferred = PREFERRED.get(oid)
        if preferred is not None:
            return preferred
        info = self.catalog.info(oid)
        if info is None:
            return None
        if oid == _RECORD or info.kind is TypeKind.ENUM:
            return Format.BINARY
        parts = parts_of(info)
        if not parts and info.kind is not TypeKind.COMPOSITE:
            return Format.TEXT if self._native(oid, Format.BINARY) is None else Format.BINARY
        # Where the server has no binary form of some part, the others have to come as text, too.
        return self._format_of_all(parts) if info.has_binary else Format.TEXT

    def _format_of_all(self, oids: Iterable[int]) -> Format:
        """The format in which values of these types travel as parts of one."""
        if all(self._preferred_format(oid) is Format.BINARY for oid in oids):
            return Format.BINARY
        if all(self._native(oid, Format.TEXT) is not None for oid in oids):
            return Format.TEXT
        return Format.BINARY

    def has_codec(self, oid: int, wire_format: Format) -> bool:
        """Whether values of a type can be sent in this format: by a codec, a bridge, or those of its parts."""
        if self._native_or_bridged(oid, wire_format) is not None:
            return True
        info = self.catalog.info(oid)
        if info is None or self._declaration(oid) is not None:
            return False
        parts = parts_of(info)
        return bool(parts) and all(self.has_codec(part, wire_format) for part in parts)

    def reads_alike(self, oid: int, wire_format: Format) -> bool:
        """Whether values that come in this format become what they would be in the format that is preferred.

        A bridge does not see to that: the text that a user's codec is given by one may differ from the server's.

        Raises:
            UnsupportedClientFeatureError: no format suits all parts of the type.
        """
        preferred = self.codec(oid)
        return preferred is not None and (preferred.format is wire_format or self._native(oid, wire_format) is not None)

    def _check_parts(self, oid: int, wire_format: Format) -> None:
        """Whatever a user has declared has to be honoured in what is made of it, or refused."""
        checked: set[int] = set()
        waiting = [oid]
        while waiting:
            whole = waiting.pop()
            info = self.catalog.info(whole)
            if whole in checked or info is None or self._native(whole, wire_format) is not None:
                continue
            checked.add(whole)
            for part in parts_of(info):
                declared = self._declaration(part) is not None
                if declared and self._native_or_bridged(part, wire_format) is None:
                    part_info = self.catalog.info(part)
                    raise UnsupportedClientFeatureError(
                        f"no format suits all parts of type {info.sql_name}: its part of type "
                        f"{part_info.sql_name if part_info else part} has no codec for {wire_format.name.lower()}",
                        hint="Declare the codecs of all parts in one format, or one for the whole type.",
                    )
                waiting.append(part)

    def _declaration(self, oid: int) -> ValueCodec | CodecDeclaration | None:
        """What was declared for this type itself, here or below."""
        own = self._own_declaration(oid)
        if own is None and self._below is not None:
            return self._below._declaration(oid)
        return own

    def _own_declaration(self, oid: int) -> ValueCodec | CodecDeclaration | None:
        own = self._own.get(oid)
        if own is None and self._declared:
            info = self.catalog.info(oid)
            if info is not None:
                canonical = info.name
                if info.kind is TypeKind.ARRAY:
                    element = self.catalog.info(info.inner_oid)
                    canonical = f"{element.name}[]" if element is not None else info.name
                return next((item for item in reversed(self._declared) if applies(item, info, canonical)), None)
        return own

    def _is_touched(self, oid: int) -> bool:
        """Whether something of this layer's own is for this type, or for a part of it."""
        if not self._own and not self._declared:
            return False
        touched = self._touched.get(oid)
        if touched is None:
            info = self.catalog.info(oid)
            touched = (
                oid == _RECORD  # it may hold anything
                or self._own_declaration(oid) is not None
                or (info is not None and any(self._is_touched(part) for part in parts_of(info)))
            )
            if info is not None:
                self._touched[oid] = touched
        return touched

    def _native(self, oid: int, wire_format: Format) -> ValueCodec | None:
        """The codec of a type in this format, if it has one without a bridge."""
        if self._below is not None and not self._is_touched(oid):
            return self._below._native(oid, wire_format)
        try:
            return self._natives[oid, wire_format]
        except KeyError:
            info = self.catalog.info(oid)
            found: ValueCodec | None
            declared = self._declaration(oid)
            if declared is None:
                found = self._default(oid, wire_format)
            else:
                if isinstance(declared, ValueCodec):
                    found = declared
                elif info is None:
                    found = None
                else:
                    # Around nothing in binary where the server has no such form: only a codec that says so is binary.
                    around = wire_format if info.has_binary else Format.TEXT
                    default = self._default(oid, around) or _untyped(oid, around, info.sql_name)
                    found = declared.build(info, default)
                if found is not None and found.format is not wire_format:
                    found = None
            if info is not None:
                self._natives[oid, wire_format] = found
            return found

    def _native_or_bridged(self, oid: int, wire_format: Format) -> ValueCodec | None:
        """The codec of a type in this format that is its own, and not one made of its parts for want of any."""
        return self._native(oid, wire_format) or self._bridged(oid, wire_format)

    def _default(self, oid: int, wire_format: Format) -> ValueCodec | None:
        """The codec that a type has in this format if nothing is declared for it itself."""
        builtin = BUILTIN.get((oid, wire_format))
        if builtin is not None:
            return builtin
        info = self.catalog.info(oid)
        if info is None:
            return _untyped(oid, wire_format, "") if wire_format is Format.TEXT else None
        if oid == _RECORD:
            return record_codecs(self._member)[0 if wire_format is Format.BINARY else 1]
        extension_type = _EXTENSION_TYPES.get((info.extension, info.name)) if info.extension else None
        if extension_type is not None:
            if wire_format is Format.BINARY and not info.has_binary:
                return None
            return extension_type.build(info, _untyped(oid, wire_format, info.sql_name))
        # Only what every server has under this oid: what is learned is true of one database, in pg_catalog, too.
        shared = builtin_info(oid) is not None and oid not in RECORD_OIDS and not self._any_touched(oid)
        if shared and (oid, wire_format) in _shared:
            return _shared[oid, wire_format]
        parts = [self._native(part, wire_format) for part in parts_of(info)]
        if None in parts:
            return None
        found = _composed(info, [part for part in parts if part is not None], wire_format)
        if found is None and (wire_format is Format.TEXT or info.kind is TypeKind.ENUM):
            # An enum's label is the same in binary.
            found = text.text_codec(oid, info.sql_name, wire_format)
        if shared and found is not None:
            _shared[oid, wire_format] = found
        return found

    def _any_touched(self, oid: int) -> bool:
        return self._is_touched(oid) or (self._below is not None and self._below._any_touched(oid))

    def _member(self, oid: int) -> ValueCodec | None:
        """The codec of a member of an anonymous record; None: its type is not known yet."""
        info = self.catalog.info(oid)
        if info is None:
            return None
        found = self._native_or_bridged(oid, Format.BINARY)
        if found is None and not parts_of(info) and (oid, Format.TEXT) not in BUILTIN:
            return ValueCodec(oid, info.sql_name, Opcode.CALL, Format.BINARY, _text_or_bytes, bytea.encode_bytea)
        return found or self.codec_in(oid, Format.BINARY)

    def _undeclared(self) -> "Registry":
        """A registry in which nothing is declared, not for the parts of a type either."""
        if self._below is not None:
            return self._below._undeclared()
        if self._plain is None:
            self._plain = Registry(catalog=self.catalog)
        return self._plain

    def _bridged(self, oid: int, wire_format: Format) -> ValueCodec | None:
        """A user's codec for the other format, by way of the built-in codecs for both; None: there are none."""
        if self._declaration(oid) is None:
            return None
        user = self._native(oid, _OTHER[wire_format])
        undeclared = self._undeclared()
        here, there = undeclared._native(oid, wire_format), undeclared._native(oid, _OTHER[wire_format])
        if user is None or here is None or there is None:
            return None
        return _bridge(user, here, there)


def _composed(info: TypeInfo, parts: list[ValueCodec], wire_format: Format) -> ValueCodec | None:
    """The codec of a type that is made of parts, all of them in one format; None: it is not."""
    match info.kind:
        case TypeKind.COMPOSITE:
            names = tuple([name for name, _ in info.attributes])
            return composite_codec(info.oid, info.sql_name, names, tuple(parts), wire_format)
        case TypeKind.ARRAY:
            return array_codec(info.oid, info.sql_name, parts[0], info.delimiter)
        case TypeKind.RANGE:
            return range_codec(info.oid, info.sql_name, parts[0])
        case TypeKind.MULTIRANGE:
            return multirange_codec(info.oid, info.sql_name, parts[0])
        case TypeKind.DOMAIN:
            return replace(parts[0], oid=info.oid, name=info.sql_name)
        case _:
            return None


def _text_or_bytes(data: bytes) -> str | bytes:
    """A member of an anonymous record whose type has no binary form that is known here: most of those are text."""
    try:
        return data if b"\0" in data else data.decode()
    except UnicodeDecodeError:
        return data


def _refusing(info: TypeInfo) -> ValueCodec:
    """For text, where the codec that is declared for a type knows binary only: it is to be honoured, and cannot be."""

    def refuse(value: object) -> NoReturn:
        raise UnsupportedClientFeatureError(
            f"the codec that is declared for type {info.sql_name} has no form for text",
            hint="Declare one for that format: the simple protocol has no other.",
        )

    return ValueCodec(info.oid, info.sql_name, Opcode.CALL, Format.TEXT, refuse, refuse, atomic=False, user=True)


def _untyped(oid: int, wire_format: Format, name: str) -> ValueCodec:
    name = name or f"type {oid}"
    if wire_format is Format.TEXT:
        return text.text_codec(oid, name)
    return ValueCodec(oid, name, Opcode.BYTEA, Format.BINARY, bytea.decode_bytea, bytea.encode_bytea)


def _bridge(user: ValueCodec, here: ValueCodec, there: ValueCodec) -> ValueCodec:
    def decode(data: bytes) -> Any:
        return user.decode(there.encode(here.decode(data)))

    def encode(value: Any) -> bytes:
        return here.encode(there.decode(user.encode(value)))

    return ValueCodec(user.oid, user.name, Opcode.CALL, here.format, decode, encode, atomic=False, user=True)
