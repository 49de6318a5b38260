import copy
import pickle
from typing import Any

import pytest

from pgsansio import kernel
from pgsansio.enums import Format
from pgsansio.kernel.contract import Opcode, ValueCodec
from tests.support.record_behaviour import CHECKS, Check, Maker


def _of(columns: list[tuple[str, Any]], record_class: type[Any]) -> Any:
    codec = ValueCodec(0, "any", Opcode.CALL, Format.BINARY, bytes, bytes)
    names = tuple(name for name, _ in columns)
    plan = kernel.row_plan(names, (codec,) * len(names), record_class)
    return plan.record([value for _, value in columns])


MAKE = Maker(kernel.Record, _of)


@pytest.mark.parametrize(
    "check",
    [pytest.param(check, id=check.run.__name__, marks=pytest.mark.checklist(check.point)) for check in CHECKS],
)
def test_behaviour(check: Check) -> None:
    check.run(MAKE)


class Row(kernel.Record):
    """Importable, for pickle."""


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("record_class", [kernel.Record, Row])
def test_pickle(protocol: int, record_class: type[Any]) -> None:
    record = MAKE(("a", 1), ("b", [2]), ("a", None), record_class=record_class)
    again = pickle.loads(pickle.dumps(record, protocol))
    assert type(again) is record_class
    assert again == record
    assert list(again.items()) == list(record.items())
    assert again["a"] is None


def test_pickle_names_no_implementation() -> None:
    assert b"pure" not in pickle.dumps(MAKE(("a", 1)))
    assert kernel.Record.__module__ == "pgsansio.kernel"


def test_copy_is_shallow_and_deepcopy_is_not() -> None:
    record = MAKE(("a", [1]), record_class=Row)
    record.note = "kept"
    shallow, deep = copy.copy(record), copy.deepcopy(record)
    assert type(shallow) is type(deep) is Row
    assert shallow == deep == record
    assert shallow.note == deep.note == "kept"
    assert shallow["a"] is record["a"]
    assert deep["a"] is not record["a"]


def test_a_plan_makes_records_of_its_size_only() -> None:
    codec = ValueCodec(0, "any", Opcode.CALL, Format.BINARY, bytes, bytes)
    plan = kernel.row_plan(("a", "b"), (codec, codec), kernel.Record)
    assert plan.names == ("a", "b")
    assert plan.codecs == (codec, codec)
    assert plan.record_class is kernel.Record
    assert plan.record((1, 2)) == (1, 2)
    with pytest.raises(ValueError, match="1 values for 2 columns"):
        plan.record([1])
    with pytest.raises(ValueError, match="2 column names for 1 codecs"):
        kernel.row_plan(("a", "b"), (codec,), kernel.Record)
