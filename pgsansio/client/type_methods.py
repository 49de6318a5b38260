"""Types and codecs of a connection, as a user calls them."""

from collections.abc import Callable, Iterable
from typing import Any, Final, Literal, TypeAlias

from pgsansio.client.preparing import Preparations
from pgsansio.codecs import introspection
from pgsansio.codecs.custom import AliasCodec, TypeCodec
from pgsansio.codecs.declaration import CodecDeclaration
from pgsansio.codecs.registry import Registry
from pgsansio.codecs.row_plan import plan_rows
from pgsansio.codecs.type_catalog import TypeCatalog, builtin_info, builtin_oid
from pgsansio.codecs.type_info import TypeInfo
from pgsansio.kernel.contract import RowPlan
from pgsansio.messages.backend import FieldDescription
from pgsansio.statement import Statement

__all__ = ["Codecs", "TypeMethods"]

#: Sets of codecs for single queries that are kept.
_MAX_LAYERS: Final = 32

Codecs: TypeAlias = Iterable[CodecDeclaration]


class TypeMethods(Preparations):
    """What is known of types, and codecs for them."""

    __slots__ = ()

    @property
    def type_catalog(self) -> TypeCatalog:
        """What is known of the database's types; shared with the pool's other connections to it."""
        return self._frontend.registry.catalog

    async def set_type_codec(
        self,
        typename: str,
        *,
        schema: str = "public",
        encoder: Callable[[Any], Any],
        decoder: Callable[[Any], Any],
        format: Literal["text", "binary", "tuple"] = "text",
    ) -> None:
        """Use these functions for values of a type, on this connection, also inside of arrays, composites and ranges.

        Args:
            typename, schema: of the type; in pg_catalog it may be as in SQL, 'double precision'.
            encoder, decoder: value -> data and data -> value; NULL never reaches them.
            format: what data is: 'text' (str), 'binary' (bytes) or 'tuple' (of numbers or attributes, for some types).
        Raises:
            InterfaceError: the format is unknown, or the type does not support it.
            ValueError: there is no such type.
        """
        self._check_open()
        declaration = TypeCodec(typename, schema=schema, encoder=encoder, decoder=decoder, format=format)
        info = await self._type_named(typename, schema)
        self._frontend.registry.set_codec(info.oid, declaration)

    async def reset_type_codec(self, typename: str, *, schema: str = "public") -> None:
        """Use again what the type had before `set_type_codec`.

        Raises:
            ValueError: there is no such type.
        """
        self._check_open()
        info = await self._type_named(typename, schema)
        self._frontend.registry.remove(info.oid)

    async def set_builtin_type_codec(
        self, typename: str, *, schema: str = "public", codec_name: str, format: Literal["text", "binary"] | None = None
    ) -> None:
        """Use one of the library's codecs for a type, on this connection.

        Args:
            codec_name: a core type ('int', 'decimal', 'text'), or one of an extension ('pg_contrib.hstore').
            format: 'text' or 'binary'; None: binary if there is one.
        Raises:
            InterfaceError: the type is no scalar, or there is no such codec.
            ValueError: there is no such type.
        """
        self._check_open()
        info = await self._type_named(typename, schema)
        declaration = AliasCodec(typename, schema=schema, codec_name=codec_name, format=format)
        self._frontend.registry.set_codec(info.oid, declaration)

    def declare_codecs(self, *declarations: CodecDeclaration) -> None:
        """Use these codecs on this connection for the types that they name, whenever such a type is met."""
        self._port.guard()
        self._frontend.registry.declare(declarations)

    async def load_types(self, *names: str, schema: str = "public") -> None:
        """Learn these types now, so that the first statement that uses them need not ask.

        Raises:
            ValueError: there is no such type.
        """
        self._check_open()
        if not names:
            await self._port.checkpoint()
        for name in names:
            await self._type_named(name, schema)

    async def reload_schema_state(self) -> None:
        """Forget what is known of the database's types, and all prepared statements: the schema has changed."""
        self._check_open()
        self._frontend.registry.catalog.clear()
        self._frontend.registry.forget_statements()
        await self._port.checkpoint()

    async def _type_named(self, typename: str, schema: str) -> TypeInfo:
        """A type by its name. The database is asked: a type that is known by this name may have another one by now.

        Raises:
            ValueError: there is no such type.
        """
        frontend = self._frontend
        oid = builtin_oid(typename) if schema == "pg_catalog" else None
        info = None if oid is None else builtin_info(oid)
        if info is not None:
            await self._port.checkpoint()
            return info
        self._check_alone()
        async with self._limit(self._deadline(None)):
            operation = frontend.introspect_name(schema, typename)
            await self._finish(operation)
        if operation.error is not None:
            raise self._failure(operation, "")
        frontend.learned(operation)
        asked = introspection.asked_oids(operation.rows)
        info = frontend.registry.catalog.info(next(iter(asked))) if asked else None
        if info is None:
            raise ValueError(f"unknown type: {schema}.{typename}")
        return info

    def _with_codecs(self, statement: Statement, codecs: Codecs) -> Statement:
        """A statement with codecs of a single query."""
        return statement.with_codecs(self._codec_layer(codecs), self._frontend.record_class)

    def _codec_layer(self, codecs: Codecs) -> Registry:
        """The connection's codecs with those of a single query on top."""
        layer = self._layers.get(codecs) if isinstance(codecs, tuple) else None
        if layer is None:
            codecs = tuple(codecs)
            if not codecs:
                return self._frontend.registry
            layer = self._layers.get(codecs)
            if layer is None:
                if len(self._layers) >= _MAX_LAYERS:
                    self._layers.clear()
                layer = self._layers[codecs] = Registry(self._frontend.registry)
                layer.declare(codecs)
        return layer

    def _row_plan(
        self, registry: Registry, fields: tuple[FieldDescription, ...], record_class: type[Any] | None
    ) -> RowPlan:
        """How rows become records of this class, or of the connection's.

        Raises:
            InterfaceError: it is no class of records.
        """
        record_class = self._checked_record_class(record_class)
        return plan_rows(registry, fields, record_class or self._frontend.record_class)
