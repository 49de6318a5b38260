"""Types: what the catalogue is asked about them, and rows that waited for the answer."""

import sys
from collections.abc import Collection, Iterable
from functools import cache
from typing import Final

from pgsansio.codecs import introspection
from pgsansio.codecs.descriptions import Description
from pgsansio.codecs.registry import Registry
from pgsansio.codecs.row_plan import plan_rows
from pgsansio.codecs.type_catalog import TypeCatalog, with_parts
from pgsansio.codecs.type_info import TypeInfo, TypeKind
from pgsansio.engine.operations import (
    FOLLOWS,
    SYNC,
    Operation,
    Preparation,
    RowsKept,
    SimpleQuery,
)
from pgsansio.engine.routes import SIMPLE
from pgsansio.enums import Outcome
from pgsansio.errors import (
    ProtocolError,
)
from pgsansio.frontend.statements import Statements
from pgsansio.kernel import Record, decode_rows, row_plan
from pgsansio.kernel.contract import (
    Arguments,
    OutdatedTypeError,
    UnknownTypeError,
)
from pgsansio.messages.frontend import (
    Query,
)
from pgsansio.policy.keywords import classify
from pgsansio.simple_statement import SimpleStatement
from pgsansio.statement import Statement
from pgsansio.types import parse_server_version
from pgsansio.wire.framing import last_frame

__all__ = ["Learning"]

#: For servers that do not say what they are.
_NEWEST_MAJOR: Final = 18
#: For what is asked about types.
_BUILTIN_ONLY: Final = Registry()


@cache
def _introspection(query: str, parameter_oids: tuple[int, ...]) -> Statement:
    """A question about types; of a registry of its own, so that no codec of anybody's changes how it is read."""
    kind = classify(query)
    return Statement(query, "", parameter_oids, introspection.FIELDS, Registry(), Record, kind, is_fixed=True)


def _nameless(oid: int) -> TypeInfo:
    """A type that its database does not know (any more)."""
    return TypeInfo(oid, f"type {oid}", "unknown", f"type {oid}", TypeKind.BASE, has_binary=False)


def _is_gone(catalog: TypeCatalog, oid: int) -> bool:
    """Whether this type, or one that it is made of, is none of the database's."""
    return any(info == _nameless(info.oid) for info in with_parts(catalog, [oid]))


class Learning(Statements):
    """Statements, and what there is to know of their types."""

    def missing_types(self, described: Preparation | Statement | Description) -> frozenset[int]:
        """Types of a described statement that nothing is known of."""
        oids = {field.type_oid for field in described.fields}
        oids.update(described.parameter_oids)
        return self.registry.catalog.missing(oids)

    def introspect(self, oids: Iterable[int]) -> Operation:
        """Ask the database about types, and everything that they are made of.

        In one Sync group, without a name on the server and with built-in types alone: nothing that a user, a pool or
        another session has set changes how it is read.
        """
        query = introspection.types_by_oid(self._server_major())
        return self._ask(query, introspection.PARAMETER_OIDS, (sorted(oids),), FOLLOWS)

    def introspect_name(self, schema: str | None, typename: str) -> Operation:
        """Ask the database about a type by its name; None for the schema: the one that the session finds it in."""
        query = introspection.types_by_name(self._server_major())
        return self._ask(query, introspection.NAME_PARAMETER_OIDS, introspection.name_arguments(schema, typename), 0)

    def _ask(self, query: str, parameter_oids: tuple[int, ...], arguments: Arguments, traits: int) -> Operation:
        if not self.is_simple:
            return self.execute(_introspection(query, parameter_oids), arguments, traits=traits)
        data = Query(SimpleStatement(query, _BUILTIN_ONLY, self.parameters).text(arguments)).encode()
        operation = SimpleQuery(data, SIMPLE, SYNC | traits, lambda fields: plan_rows(_BUILTIN_ONLY, fields, Record))
        self.submit(operation)
        return operation

    def _server_major(self) -> int:
        try:
            return parse_server_version(self.parameters["server_version"]).major
        except (KeyError, ValueError):
            return _NEWEST_MAJOR

    def learned(self, operation: Operation, oids: Iterable[int] = (), *, nameless: bool = True) -> frozenset[int]:
        """Keep the answer to `introspect`; which of the types asked about it does not tell of.

        Args:
            nameless: the database does not have those: they are known as text from now on.
        Raises:
            ProtocolError: the answer is none.
        """
        found = introspection.read_types(operation.rows)
        absent = frozenset(oids).difference([info.oid for info in found])
        self._learn([*found, *map(_nameless, absent)] if nameless else found)
        return absent

    def _learn(self, infos: Iterable[TypeInfo]) -> None:
        try:
            self.registry.catalog.learn(infos)
        except ValueError as error:
            raise ProtocolError(f"the server's description of types is wrong: {error}") from None

    def is_current(self, operation: Operation, registry: Registry) -> bool:
        """Whether the rows of an operation were decoded as types are known now."""
        plan = operation.row_plan
        return plan is not None and all(registry.codec_in(codec.oid, codec.format) is codec for codec in plan.codecs)

    def decode_kept(
        self, operation: Operation, kept: RowsKept, registry: Registry, absent: Collection[int] = ()
    ) -> None:
        """Go on with the rows of an operation that were kept, as types are known now; its `error` is what comes of
        it.

        Args:
            absent: unknown types that are taken for text, in these rows.
        """
        plan = operation.row_plan
        assert plan is not None
        catalog = registry.catalog
        absent = [oid for oid in absent if catalog.info(oid) is None]
        self._learn(map(_nameless, absent))
        try:
            codecs = tuple(
                [
                    # Of a type that was dropped meanwhile nothing better is known than what the plan has.
                    codec if _is_gone(catalog, codec.oid) else registry.codec_in(codec.oid, codec.format, codec.name)
                    for codec in plan.codecs
                ]
            )
            plan = operation.row_plan = row_plan(plan.names, codecs, plan.record_class)
            data = kept.data
            position, error = decode_rows(plan, data, 0, len(data), operation.rows, sys.maxsize)
        finally:
            catalog.forget(absent)
        if error is None:
            operation.error = None
            operation.outcome = Outcome.COMPLETED
        elif isinstance(error, UnknownTypeError | OutdatedTypeError):
            # The row that ends at `position` is the first of what is left.
            operation.error = RowsKept(error, data[last_frame(data, 0, position) :])
        else:
            operation.error = error
            operation.rows = []
