"""What is known of the types of one database.

The types that every server has under the same oids are known from the start (`catalog.py`); all others are learned from
rows of the server's own catalogue (`introspection.py`) or from an export of what was learned before.

How this works: `TypeCatalog` holds a TypeInfo per oid and, the other way round, which types are made of which. With
that, a type that is forgotten or told anew takes along whatever was built on it.
"""

from collections import ChainMap
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import fields, replace
from typing import Final, Protocol, TypeVar, cast
from weakref import ref

from pgsansio.codecs.catalog import BY_NAME, BY_OID, ELEMENTS, TypeEntry
from pgsansio.codecs.type_info import TypeInfo, TypeKind

__all__ = [
    "MAX_ATTRIBUTES",
    "MAX_DEPTH",
    "CatalogObserver",
    "TypeCatalog",
    "builtin_info",
    "builtin_oid",
    "check_type",
    "parts_first",
    "parts_of",
    "with_parts",
]

T = TypeVar("T")

#: A row has at most as many attributes (manual, "PostgreSQL Limits", columns per table).
MAX_ATTRIBUTES: Final = 1600

#: Types within types: far more than anybody has, and few enough that codecs may be built by recursion.
MAX_DEPTH: Final = 64

_KINDS: Final = {
    "b": TypeKind.BASE,
    "d": TypeKind.DOMAIN,
    "e": TypeKind.ENUM,
    "m": TypeKind.MULTIRANGE,
    "p": TypeKind.PSEUDO,
    "r": TypeKind.RANGE,
}

#: Kinds of which `TypeInfo.inner_oid` says what they are made of.
_WRAPPERS: Final = frozenset({TypeKind.ARRAY, TypeKind.RANGE, TypeKind.MULTIRANGE, TypeKind.DOMAIN})


def _builtin(entry: TypeEntry) -> TypeInfo:
    is_array = entry.oid in ELEMENTS
    return TypeInfo(
        oid=entry.oid,
        name=entry.name,
        schema="pg_catalog",
        sql_name=entry.sql_name,
        kind=TypeKind.ARRAY if is_array else _KINDS[entry.typtype],
        delimiter=entry.delimiter,
        inner_oid=entry.element_oid if is_array else entry.subtype_oid,
        has_binary=entry.has_binary,
    )


#: Without the row types of catalogue tables: which attributes those have depends on the server's version.
_BUILTIN: Final[Mapping[int, TypeInfo]] = {
    oid: _builtin(entry) for oid, entry in BY_OID.items() if ELEMENTS.get(oid, entry).typtype != "c"
}

#: What SQL calls a type, where format_type and typname do not say so. "Data Types" has most of them; those with
#: "timezone" are asyncpg's.
_ALIASES: Final[Mapping[str, str]] = {
    "int": "int4",
    "float": "float8",
    "dec": "numeric",
    "decimal": "numeric",
    "char": "bpchar",
    "nchar": "bpchar",
    "national char": "bpchar",
    "national character": "bpchar",
    "char varying": "varchar",
    "nchar varying": "varchar",
    "national char varying": "varchar",
    "national character varying": "varchar",
    "time with timezone": "timetz",
    "time without timezone": "time",
    "timestamp with timezone": "timestamptz",
    "timestamp without timezone": "timestamp",
}

#: Later ones win: char is what SQL means by it, the type of that typname has to be quoted.
_OIDS_BY_NAME: Final[Mapping[str, int]] = (
    {info.name: oid for oid, info in _BUILTIN.items()}
    | {info.sql_name: oid for oid, info in _BUILTIN.items()}
    | {alias: BY_NAME[name].oid for alias, name in _ALIASES.items()}
    | {f"{alias}[]": BY_NAME[name].array_oid for alias, name in _ALIASES.items()}
    | {f"{info.name}[]": BY_OID[oid].array_oid for oid, info in _BUILTIN.items() if BY_OID[oid].array_oid}
    | {"char[]": BY_NAME["bpchar"].array_oid}
)


def builtin_info(oid: int) -> TypeInfo | None:
    """A type that every server has under this oid; None if it is none of them.

    The row types of the tables in pg_catalog are not among them: their attributes differ between versions.
    """
    return _BUILTIN.get(oid)


def builtin_oid(name: str) -> int | None:
    """The oid of the built-in type that a name means in schema pg_catalog; None if it means none of them.

    Args:
        name: typname or as SQL writes it, without modifiers, in upper or lower case: "int", "double precision",
            "timestamp with time zone"; "char" is character, '"char"' the type of one byte. With [] behind it: the
            array of these.
    """
    return _OIDS_BY_NAME.get(" ".join(name.lower().split()))


def parts_of(info: TypeInfo) -> tuple[int, ...]:
    """Oids of the types that values of this type are made of; one may be there more than once."""
    if info.kind is TypeKind.COMPOSITE:
        return tuple([oid for _, oid in info.attributes])
    return (info.inner_oid,) if info.inner_oid else ()


def with_parts(catalog: "TypeCatalog", oids: Iterable[int]) -> list[TypeInfo]:
    """What is known of these types, and of what they are made of."""
    waiting = list(oids)
    found: dict[int, TypeInfo] = {}
    while waiting:
        info = catalog.info(waiting.pop())
        if info is not None and info.oid not in found:
            found[info.oid] = info
            waiting += parts_of(info)
    return list(found.values())


def check_type(info: TypeInfo) -> None:
    """What has to hold of a description by itself.

    Raises:
        ValueError: it does not.
    """
    if not all(0 < oid < 2**32 for oid in (info.oid, *parts_of(info))):
        raise ValueError(f"the description of type {info.oid} has an impossible oid in it")
    if not info.name or not info.schema:
        raise ValueError(f"type {info.oid} has no name or no schema")
    if len(info.delimiter) != 1 or not info.delimiter.isascii():
        raise ValueError(f"type {info.oid} has no single character of ASCII for a delimiter")
    if bool(info.inner_oid) is not (info.kind in _WRAPPERS):
        raise ValueError(f"type {info.oid}, of kind {info.kind.value}, is made of type {info.inner_oid}")
    if info.attributes and info.kind is not TypeKind.COMPOSITE:
        raise ValueError(f"type {info.oid}, of kind {info.kind.value}, has attributes")
    if len(info.attributes) > MAX_ATTRIBUTES:
        raise ValueError(f"type {info.oid} has {len(info.attributes)} attributes, more than {MAX_ATTRIBUTES}")


def parts_first(infos: Mapping[int, TypeInfo], starts: Iterable[int]) -> list[int]:
    """These types and all that they are made of, as far as it is in `infos`, each once and behind its parts.

    Raises:
        ValueError: a type is made of itself or of what its kind cannot be made of, or types are nested deeper than
            MAX_DEPTH.
    """
    ordered: list[int] = []
    # 0 while the parts of a type are looked at; then how deep it is.
    depths: dict[int, int] = {}
    for start in starts:
        # Without recursion, since it is not known yet that there is an end.
        path: list[tuple[int, Iterator[int]]] = []
        entering: int | None = start
        while True:
            if entering is not None and entering in infos and entering not in depths:
                depths[entering] = 0
                path.append((entering, iter(parts_of(infos[entering]))))
            elif entering is not None and depths.get(entering) == 0:
                raise ValueError(f"type {entering} is made of itself")
            if not path:
                break
            oid, parts = path[-1]
            entering = next(parts, None)
            if entering is None:
                path.pop()
                _check_inner(infos[oid], infos)
                depths[oid] = 1 + max([depths.get(part, 0) for part in parts_of(infos[oid])], default=0)
                if depths[oid] > MAX_DEPTH:
                    raise ValueError(f"type {oid} is made of types within types, more than {MAX_DEPTH} deep")
                ordered.append(oid)
    return ordered


def _check_inner(info: TypeInfo, infos: Mapping[int, TypeInfo]) -> None:
    inner = _BUILTIN.get(info.inner_oid) or infos.get(info.inner_oid)
    if inner is None:
        return
    is_array_of_arrays = info.kind is TypeKind.ARRAY and inner.kind is TypeKind.ARRAY
    if is_array_of_arrays or (info.kind is TypeKind.MULTIRANGE and inner.kind is not TypeKind.RANGE):
        raise ValueError(f"type {info.oid}, of kind {info.kind.value}, is made of one of kind {inner.kind.value}")


class CatalogObserver(Protocol):
    """Who has to hear of changes, since it keeps what it has made of the answers; weakly referable and hashable."""

    def types_changed(self) -> None:
        """An answer that the catalogue has given does not hold any more."""
        ...


class TypeCatalog:
    """What is known of one database's types; to be shared by all that are connected to it.

    Built-in types are known without being learned, and cannot be learned, changed or forgotten.

    An answer holds until `generation` changes and observers are told: that is, until a type was forgotten or described
    anew, or a type was learned that one known before is made of. That something is not known is no answer to be kept:
    of a type learned for the first time nobody is told.
    """

    __slots__ = ("__weakref__", "_by_name", "_infos", "_observers", "_users", "generation")

    #: Raised with every change that can alter an answer given before. Only to be read.
    generation: int

    def __init__(self) -> None:
        self.generation = 0
        self._infos: dict[int, TypeInfo] = {}
        self._by_name: dict[tuple[str, str], int] = {}
        #: Oid of a part, known or not, -> the learned types that are made of it.
        self._users: dict[int, set[int]] = {}
        self._observers: list[ref[CatalogObserver]] = []

    def observe(self, observer: CatalogObserver) -> None:
        """Call `observer.types_changed()` after each change that raises `generation`, for as long as it lives."""
        self._observers = [each for each in self._observers if each() is not None]
        self._observers.append(ref(observer))

    def info(self, oid: int) -> TypeInfo | None:
        """What is known of this type; None if nothing is."""
        return _BUILTIN.get(oid) or self._infos.get(oid)

    def find(self, schema: str, name: str) -> TypeInfo | None:
        """The type of this name; None if none is known.

        Args:
            schema: for pg_catalog, `name` may be as in SQL (see `builtin_oid`).
            name: typname; or, for an array type, its element's with [] behind it.
        """
        oid = builtin_oid(name) if schema == "pg_catalog" else None
        if oid is None:
            oid = self._by_name.get((schema, name))
        if oid is not None:
            return self.info(oid)
        element = self._by_name.get((schema, name.removesuffix("[]"))) if name.endswith("[]") else None
        arrays = [self._infos[user] for user in self._users.get(element, ())] if element is not None else []
        return next((info for info in arrays if info.kind is TypeKind.ARRAY), None)

    def missing(self, oids: Iterable[int]) -> frozenset[int]:
        """Which of these types, and of those that they are made of, are not known."""
        unknown: set[int] = set()
        seen: set[int] = set()
        waiting = list(oids)
        while waiting:
            oid = waiting.pop()
            if oid in seen or oid in _BUILTIN:
                continue
            seen.add(oid)
            info = self._infos.get(oid)
            if info is None:
                unknown.add(oid)
            else:
                waiting.extend(parts_of(info))
        return frozenset(unknown)

    def learn(self, infos: Iterable[TypeInfo]) -> None:
        """Take these descriptions in; what was known before and contradicts them is forgotten.

        A type of another oid that had the name of a new one has been dropped or renamed: it is forgotten with all that
        is made of it. `sql_name` alone is no contradiction (it depends on the search_path of who asked): the first is
        kept. The parts of a type need not be known; see `missing`.

        Raises:
            ValueError: a description is impossible, or makes types be made of themselves or nested too deeply. Nothing
                was learned.
        """
        told: dict[int, TypeInfo] = {}
        names: dict[tuple[str, str], int] = {}
        for info in infos:
            check_type(info)
            if info.oid in _BUILTIN:
                continue
            namesake = names.setdefault((info.schema, info.name), info.oid)
            if namesake != info.oid or told.get(info.oid, info) != info:
                raise ValueError(f"there are two descriptions of type {info.schema}.{info.name}, or of oid {info.oid}")
            told[info.oid] = info
        if not told:
            return
        for oid in [oid for oid, info in told.items() if self._says_nothing_new(info)]:
            del told[oid]
        held = ((self._by_name.get(name), oid) for name, oid in names.items())
        replaced = {holder for holder, oid in held if holder is not None and holder != oid}
        stale = self._with_users(replaced - told.keys(), excepted=told)
        changed = bool(stale) or any(oid in self._infos or oid in self._users for oid in told)
        future: Mapping[int, TypeInfo] = ChainMap(told, self._infos)
        if stale:
            future = {oid: info for oid, info in future.items() if oid not in stale}
        # What was known before can only become wrong if it is made of something that is told now.
        parts_first(future, self._with_users(told) if changed else told)
        for oid in (*stale, *(told.keys() & self._infos.keys())):
            self._remove(oid)
        for info in told.values():
            self._infos[info.oid] = info
            self._by_name[info.schema, info.name] = info.oid
            for part in parts_of(info):
                self._users.setdefault(part, set()).add(info.oid)
        if changed:
            self._changed()

    def forget(self, oids: Iterable[int]) -> None:
        """Know nothing any more of these types and of all that is made of them; built-in ones stay."""
        known = self._with_users(oids) & self._infos.keys()
        for oid in known:
            self._remove(oid)
        if known:
            self._changed()

    def clear(self) -> None:
        """Forget all that was learned."""
        if self._infos:
            self._infos.clear()
            self._by_name.clear()
            self._users.clear()
            self._changed()

    def export(self) -> list[dict[str, object]]:
        """All that was learned, parts before what is made of them, for `json.dumps` and `learn_export`.

        It is true of this database alone, and until its types change: another one, or a copy made by pg_dump, has
        other oids.
        """
        return [_entry(self._infos[oid]) for oid in parts_first(self._infos, self._infos)]

    @classmethod
    def from_export(cls, entries: Iterable[Mapping[str, object]]) -> "TypeCatalog":
        """A catalogue that knows what another one has exported, so that no server has to be asked for it.

        Raises:
            ValueError: as `learn_export`.
        """
        catalog = cls()
        catalog.learn_export(entries)
        return catalog

    def learn_export(self, entries: Iterable[Mapping[str, object]]) -> None:
        """`learn` from what `export` has returned; sql_name and what has its usual value may be left out.

        Raises:
            ValueError: that is not what `entries` are; as `learn`.
        """
        self.learn([_described(number, entry) for number, entry in enumerate(entries)])

    def _says_nothing_new(self, info: TypeInfo) -> bool:
        known = self._infos.get(info.oid)
        return known is not None and known == replace(info, sql_name=known.sql_name)

    def _with_users(self, oids: Iterable[int], excepted: Collection[int] = ()) -> set[int]:
        """These types and all that is known to be made of them, but not through those that are excepted."""
        found: set[int] = set()
        waiting = set(oids)
        while waiting:
            oid = waiting.pop()
            found.add(oid)
            waiting.update(user for user in self._users.get(oid, ()) if user not in found and user not in excepted)
        return found

    def _remove(self, oid: int) -> None:
        info = self._infos.pop(oid)
        del self._by_name[info.schema, info.name]
        for part in set(parts_of(info)):
            users = self._users[part]
            users.remove(oid)
            if not users:
                del self._users[part]

    def _changed(self) -> None:
        self.generation += 1
        for each in self._observers.copy():
            observer = each()
            if observer is not None:
                observer.types_changed()


def _entry(info: TypeInfo) -> dict[str, object]:
    return {
        "oid": info.oid,
        "schema": info.schema,
        "name": info.name,
        "sql_name": info.sql_name,
        "kind": info.kind.value,
        "delimiter": info.delimiter,
        "inner_oid": info.inner_oid,
        "attributes": [[name, oid] for name, oid in info.attributes],
        "extension": info.extension,
        "has_binary": info.has_binary,
    }


_ENTRY_KEYS: Final = frozenset(field.name for field in fields(TypeInfo))


def _described(number: int, entry: object) -> TypeInfo:
    """Raises ValueError for what is not of the shape of `_entry`'s."""
    what = f"entry {number} of the exported types"
    if not isinstance(entry, Mapping):
        raise ValueError(f"{what} is not a mapping")
    values = cast("Mapping[object, object]", entry)
    unknown = [key for key in values if key not in _ENTRY_KEYS]
    if unknown:
        raise ValueError(f"{what} has an unknown key: {unknown[0]!r}")
    name, schema = _value(what, values, "name", str), _value(what, values, "schema", str)
    kind = _value(what, values, "kind", str)
    try:
        type_kind = TypeKind(kind)
    except ValueError:
        raise ValueError(f"{what} has an unknown kind: {kind!r}") from None
    attributes: list[tuple[str, int]] = []
    for attribute in cast("list[object]", _value(what, values, "attributes", list, [])):
        pair = cast("list[object]", attribute) if isinstance(attribute, list | tuple) else []
        if [type(item) for item in pair] != [str, int]:
            raise ValueError(f"{what} has an attribute that is not a name and an oid: {attribute!r}")
        attributes.append(cast("tuple[str, int]", tuple(pair)))
    return TypeInfo(
        oid=_value(what, values, "oid", int),
        name=name,
        schema=schema,
        sql_name=_value(what, values, "sql_name", str, f"{schema}.{name}"),
        kind=type_kind,
        delimiter=_value(what, values, "delimiter", str, ","),
        inner_oid=_value(what, values, "inner_oid", int, 0),
        attributes=tuple(attributes),
        extension=_value(what, values, "extension", str, ""),
        has_binary=_value(what, values, "has_binary", bool, True),
    )


def _value(what: str, values: Mapping[object, object], key: str, kind: type[T], default: T | None = None) -> T:
    value = values.get(key, default)
    # Exactly: True is no oid.
    if type(value) is not kind:
        raise ValueError(f"{what} has {'no' if value is None else 'a wrong'} {key}: {value!r}")
    return value
