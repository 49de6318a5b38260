"""CodecSet: declared codecs, and what was learned of the databases that they are used in."""

from collections.abc import Hashable, Iterable, Mapping
from typing import cast

from pgsansio.codecs.custom import json_codecs
from pgsansio.codecs.declaration import CodecDeclaration, last_of_each
from pgsansio.codecs.descriptions import Descriptions
from pgsansio.codecs.registry import Registry
from pgsansio.codecs.type_catalog import TypeCatalog
from pgsansio.errors import InterfaceError

__all__ = ["CodecSet", "codec_set"]


class CodecSet:
    """What the connections of a pool share: codecs by name, and per database what is known of its types.

    A pool makes its own; one that is given to several pools, or to `connect()`, is shared by all of them. Databases are
    told apart by address and name, so that types of one never mix with those of another.
    """

    def __init__(
        self, declarations: Iterable[CodecDeclaration] = (), *, types: Iterable[Mapping[str, object]] = ()
    ) -> None:
        """Make a set.

        Args:
            declarations: codecs for the types that they name; of two for one type the last counts.
            types: what `TypeCatalog.export()` gave: known from the start, in every database.
        Raises:
            ValueError: `types` is nothing of the kind.
        """
        self._declarations = last_of_each(declarations)
        self._types = list(types)
        TypeCatalog.from_export(self._types)
        self._registries: dict[Hashable, Registry] = {}
        self._descriptions: dict[Hashable, Descriptions] = {}

    def declare(self, *declarations: CodecDeclaration) -> None:
        """Use these as well, also on the connections that are open."""
        self._declarations = last_of_each([*self._declarations, *declarations])
        for registry in self._registries.values():
            registry.declare(declarations)

    def retract(self, typename: str, schema: str | None = "public") -> None:
        """Take back what was declared for a type of this name and schema; does nothing if nothing was."""
        kept = [item for item in self._declarations if (item.typename, item.schema) != (typename, schema)]
        self._declarations = kept
        for registry in self._registries.values():
            registry.retract(typename, schema)

    def forget_types(self) -> None:
        """Forget what was learned of any database: types have changed."""
        for registry in self._registries.values():
            registry.catalog.clear()

    def registry(self, database: Hashable) -> Registry:
        """The registry that all connections to this database share; each puts a layer of its own on it.

        Args:
            database: what tells it from others: address and name.
        """
        registry = self._registries.get(database)
        if registry is None:
            registry = self._registries[database] = Registry(catalog=TypeCatalog.from_export(self._types))
            registry.declare(self._declarations)
        return registry

    def descriptions(self, sessions: Hashable) -> Descriptions:
        """What was learned of statements by all sessions of one kind.

        Args:
            sessions: what tells them from others: address, database, and whatever makes a text mean something else.
        """
        return self._descriptions.setdefault(sessions, Descriptions())


def codec_set(codecs: CodecSet | Iterable[CodecDeclaration], json: object) -> CodecSet:
    """The set for what was given as `codecs=` and `json=`.

    Raises:
        InterfaceError: both a set, which may be shared, and `json`.
        TypeError, ValueError: `json` are no JSON functions, or `codecs` no codecs.
    """
    if not isinstance(codecs, CodecSet):
        declared = list(codecs) if isinstance(cast(object, codecs), Iterable) else [codecs]
        for one in declared:
            if not hasattr(one, "typename"):
                raise TypeError(
                    "codecs is expected to be a list of codecs (TypeCodec, EnumCodec, ...) or a CodecSet, "
                    f"got {type(codecs if one is codecs else one).__name__}"
                )
        return CodecSet((*(() if json is None else json_codecs(json)), *cast("list[CodecDeclaration]", declared)))
    if json is not None:
        raise InterfaceError(
            "the `json` argument cannot be combined with a CodecSet",
            hint="Put json_codecs(...) into the CodecSet.",
        )
    return codecs
