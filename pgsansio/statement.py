"""A statement as the server described it: how its arguments are encoded and its rows decoded."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, Final

from pgsansio.codecs.parameter_plan import plan_parameters
from pgsansio.codecs.registry import RECORD_OIDS, Registry
from pgsansio.codecs.row_plan import ALL_BINARY, as_asked, plan_rows, result_formats, with_formats
from pgsansio.engine.operations import BARRIER, BEGINS, DISCARDS_ROWS, SYNC, DescribedAgain, Operation
from pgsansio.engine.routes import STEPS
from pgsansio.engine.states import Awaiting
from pgsansio.enums import Format
from pgsansio.errors import InterfaceError
from pgsansio.kernel import encode_bind, encode_many
from pgsansio.kernel.contract import Arguments, ParameterPlan, RowPlan, argument_count_error
from pgsansio.messages.backend import FieldDescription
from pgsansio.messages.frontend import Bind, Describe, Execute, Parse, Sync, Target
from pgsansio.policy.keywords import StatementKind, percent_placeholder_hint

__all__ = ["BATCH_BYTES", "MAX_ARGUMENTS", "Statement", "unnamed", "unprepared"]

#: executemany() hands over about this much at a time.
BATCH_BYTES: Final = 65536
#: Bind counts its parameters with an unsigned Int16.
MAX_ARGUMENTS: Final = 65535
#: Sets of codecs for single queries with which a statement is kept.
_MAX_VARIANTS: Final = 8
_SYNC: Final = Sync().encode()
_EXECUTE_ALL: Final = Execute("", 0).encode()
_TRAILERS: Final = {max_rows: Execute("", max_rows).encode() + _SYNC for max_rows in (0, 1)}
_EXECUTE: Final = STEPS(Awaiting.BIND_COMPLETE, Awaiting.EXECUTION, Awaiting.READY)
_BIND_AND_EXECUTE: Final = _EXECUTE[:-1]
_PARSE_AND_EXECUTE: Final = STEPS(Awaiting.PARSE_COMPLETE, Awaiting.BIND_COMPLETE, Awaiting.EXECUTION, Awaiting.READY)
_DESCRIBE_AND_EXECUTE: Final = STEPS(
    Awaiting.PARSE_COMPLETE,
    Awaiting.PARAMETER_DESCRIPTION,
    Awaiting.ROW_DESCRIPTION,
    Awaiting.BIND_COMPLETE,
    Awaiting.EXECUTION,
    Awaiting.READY,
)
_DESCRIBE: Final = Describe(Target.STATEMENT, "").encode()


class Statement:
    """A statement as the server described it.

    Attributes:
        query: its text.
        name: on the server; "" for one that is parsed again with each execution.
        parameter_oids, fields: its description.
        described: as `fields`, in the formats that the server has told them in.
        opening: what goes in front of each execution, or of many in one group; b"" for one with a name.
        kind: what its first words say.
        registry: whose codecs it uses.
        generation: of the registry, of these codecs.
        records_as_text: see `take_records_as_text`.
    """

    __slots__ = (
        "__weakref__", "_names", "_record_class", "_result_formats", "_row_plans", "_variants", "constant",
        "described", "fields", "generation", "kind", "name", "opening", "parameter_count", "parameter_oids",
        "parameter_plan", "query", "records_as_text", "registry", "row_plan", "steps", "traits",
    )  # fmt: skip

    name: str
    opening: bytes
    steps: tuple[Any, ...]

    def __init__(
        self,
        query: str,
        name: str,
        parameter_oids: tuple[int, ...],
        fields: tuple[FieldDescription, ...],
        registry: Registry,
        record_class: type[Any],
        kind: StatementKind,
        *,
        is_fixed: bool = False,
    ) -> None:
        """Make one.

        Args:
            is_fixed: without a name, and its columns are the same in every session.
        """
        self.registry = registry
        self.generation = registry.generation
        self.query = query
        self.parameter_oids = parameter_oids
        self.parameter_count = len(parameter_oids)
        self.kind = kind
        self.parameter_plan: ParameterPlan = plan_parameters(registry, parameter_oids)
        self._record_class = record_class
        self._variants: dict[int, Statement] = {}
        self.records_as_text = False
        self.described = fields
        self._plan_rows(with_formats(registry, fields))
        self._take_name(name)
        if is_fixed:
            self.opening = self.opening.removesuffix(_DESCRIBE)
            self.steps = _PARSE_AND_EXECUTE
        self.traits = SYNC | (BARRIER if kind.barrier else 0) | (BEGINS if kind.begins_transaction else 0)

    def _take_name(self, name: str) -> None:
        self.name = name
        self._names = b"\0" + name.encode() + b"\0"
        # A statement without a name goes with its own Parse, in one Sync group, and names its parameter types: another
        # task's statement, or a pooler's other backend, cannot come between. It is described in that group as well,
        # since its columns may be others in another session.
        self.opening = b"" if name else Parse("", self.query, self.parameter_oids).encode() + _DESCRIBE
        self.steps = _EXECUTE if name else _DESCRIBE_AND_EXECUTE

    def lose_name(self) -> None:
        """From now on it goes with its own Parse."""
        self.constant.clear()
        self._take_name("")
        for variant in self._variants.values():
            variant.lose_name()

    def _plan_rows(self, fields: tuple[FieldDescription, ...]) -> None:
        self.fields = fields
        self._result_formats = result_formats(fields)
        self.row_plan: RowPlan = plan_rows(self.registry, fields, self._record_class)
        self._row_plans: dict[type[Any], RowPlan] = {self._record_class: self.row_plan}
        #: Bind and Execute without arguments, by row limit.
        self.constant: dict[int, bytes] = {}

    def take_records_as_text(self) -> None:
        """Ask for anonymous records as text from now on, since the server cannot send a member of them in binary."""
        self.records_as_text = True
        self._plan_rows(
            tuple(
                [
                    dataclasses.replace(field, format=Format.TEXT) if field.type_oid in RECORD_OIDS else field
                    for field in self.fields
                ]
            )
        )
        self._variants.clear()

    @property
    def binary_records(self) -> bool:
        """Whether a column holds anonymous records, in binary: the server may be unable to send a member so."""
        return any(field.type_oid in RECORD_OIDS and field.format is Format.BINARY for field in self.fields)

    def rows_as(self, record_class: type[Any]) -> RowPlan:
        """How its rows become records of this class."""
        plan = self._row_plans.get(record_class)
        if plan is None:
            plan = self._row_plans[record_class] = plan_rows(self.registry, self.fields, record_class)
        return plan

    def with_codecs(self, registry: Registry, record_class: type[Any]) -> "Statement":
        """The same statement on the server, with another registry's codecs."""
        variant = self._variants.get(registry.generation)
        if variant is None:
            if len(self._variants) >= _MAX_VARIANTS:
                self._variants.clear()
            variant = Statement(
                self.query, self.name, self.parameter_oids, self.described, registry, record_class, self.kind
            )
            if self.records_as_text:
                variant.take_records_as_text()
            self._variants[registry.generation] = variant
        return variant

    def renewed(self) -> "Statement":
        """The same statement on the server, with the codecs that its registry has by now."""
        statement = Statement(
            self.query, self.name, self.parameter_oids, self.described, self.registry, self._record_class, self.kind
        )
        if self.records_as_text:
            statement.take_records_as_text()
        return statement

    def bind(self, arguments: Arguments, max_rows: int) -> bytes:
        """Bind and Execute with these arguments, and Sync; without `opening`.

        Raises:
            InterfaceError: the number of arguments is wrong.
            DataError: an argument cannot be encoded.
        """
        if self.parameter_count != len(arguments):
            raise _argument_count_error(self.parameter_count, len(arguments), self.query)
        trailer = _TRAILERS.get(max_rows) or Execute("", max_rows).encode() + _SYNC
        return encode_bind(self.parameter_plan, self._names, arguments, self._result_formats, trailer)

    def ask_in_binary(self) -> None:
        """Ask for whatever columns there are in binary: nobody knows them."""
        self._result_formats = ALL_BINARY

    def as_asked(self, fields: tuple[FieldDescription, ...]) -> tuple[FieldDescription, ...] | None:
        """What its columns have turned out to be, in the formats asked for; None: there were more or fewer."""
        return as_asked(fields, self._result_formats)

    def open(self, portal: str, arguments: Arguments, trailer: bytes) -> bytes:
        """Bind of a portal of this name with these arguments, and `trailer`, behind `opening`. Raises as `bind`."""
        if self.parameter_count != len(arguments):
            raise _argument_count_error(self.parameter_count, len(arguments), self.query)
        names = portal.encode() + self._names
        return self.opening + encode_bind(self.parameter_plan, names, arguments, self._result_formats, trailer)

    def bound(
        self, arguments: Arguments, max_rows: int, row_plan: RowPlan | None, compare: Callable[..., Any]
    ) -> Operation:
        """Bind and Execute for a group (`Frontend.group`).

        Args:
            row_plan: of the rows; None: they are not wanted.
            compare: of one without a name, as of `DescribedAgain`.
        Raises: as `bind`.
        """
        data = self.open("", arguments, Execute("", max_rows).encode())
        traits = 0 if row_plan is not None else DISCARDS_ROWS
        if self.name:
            return Operation(data, self.steps[:-1], traits, row_plan)
        return DescribedAgain(data, self.steps[:-1], traits, row_plan, self, compare)

    def bound_many(self, elements: Iterator[object]) -> Operation | None:
        """Bind and Execute for each element, for a group; None: there are no elements.

        Raises: as `many`, and whatever `elements` does.
        """
        parts: list[bytes] = []
        count, exhausted = 0, False
        while not exhausted:
            data, more, exhausted = self.many(elements, count, first=not count)
            parts.append(data)
            count += more
        if not count:
            return None
        return Operation(b"".join(parts), [*self.steps[:-3], *_BIND_AND_EXECUTE * count], DISCARDS_ROWS)

    def many(self, elements: Iterator[object], index: int, *, first: bool) -> tuple[bytes, int, bool]:
        """Bind and Execute for as many elements as make a batch: bytes, number of elements, whether that were all.

        Raises:
            DataError: an element is no sequence, or an argument cannot be encoded.
            InterfaceError: an element has the wrong number of arguments.
        """
        data, count, exhausted = encode_many(
            self.parameter_plan, self._names, elements, self._result_formats, _EXECUTE_ALL, BATCH_BYTES, index
        )
        return (self.opening + data if first else data), count, exhausted


def _argument_count_error(expected: int, given: int, query: str) -> InterfaceError:
    error = argument_count_error(expected, given)
    error.hint = percent_placeholder_hint(query) or error.hint
    return error


def unnamed(sql: str) -> bytes:
    """Parse, Bind and Execute of a statement without arguments and rows."""
    return Parse("", sql).encode() + Bind("", "").encode() + _EXECUTE_ALL


def unprepared(query: str) -> Operation:
    """Parse, Bind and Execute of a statement without arguments, for a group (`Frontend.group`); its rows, which are not
    wanted, come as text.

    Raises:
        InterfaceError: the text holds a zero byte.
    """
    return Operation(unnamed(query), _PARSE_AND_EXECUTE[:-1], DISCARDS_ROWS)
