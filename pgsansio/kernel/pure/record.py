"""Record: a row, read by position or by column name."""

import reprlib
from collections.abc import Iterator, Mapping
from typing import Any, Final, Self, SupportsIndex, cast, overload

from pgsansio.kernel.contract import column_indexes

__all__ = ["Columns", "Record", "fields_repr", "make_record"]


class Columns:
    """The column names of a result, shared by its records."""

    __slots__ = ("names", "positions")

    #: In order; they may repeat.
    names: tuple[str, ...]
    #: Name -> position; of equal names the last.
    positions: Mapping[str, int]

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.positions = column_indexes(names)


class Record:
    """A row of a result, or a composite value: a sequence of values that also answers to its column names.

    Compares, orders and hashes as the tuple of its values; the names do not count. Iterates over values, while `in`
    asks for a column name. Made by the library only; it can be copied and pickled.
    """

    # The generated decoders assign them, with plain stores on an object of object.__new__: the cheapest way there is.
    __slots__ = ("_columns", "_values")

    _columns: Columns
    _values: tuple[Any, ...]

    def __new__(cls, *args: object, **kwargs: object) -> Self:
        raise TypeError(f"cannot create '{cls.__module__}.{cls.__qualname__}' instances")

    @classmethod
    def _restore(cls, names: tuple[str, ...], values: tuple[Any, ...]) -> "Record":
        """What unpickling and copying call."""
        return make_record(cls, Columns(names), values)

    def __reduce__(self) -> tuple[Any, ...]:
        # A subclass without __slots__ has a __dict__, which travels as the state.
        state: object = getattr(self, "__dict__", None) or None
        return type(self)._restore, (self._columns.names, self._values), state

    @overload
    def __getitem__(self, key: str | SupportsIndex, /) -> Any: ...
    @overload
    def __getitem__(self, key: slice, /) -> tuple[Any, ...]: ...
    def __getitem__(self, key: Any, /) -> Any:
        """The value at a position, a tuple for a slice, or the value of a column.

        Raises:
            IndexError: there is no such position.
            KeyError: there is no such column, or `key` is neither a position nor a name.
        """
        if type(key) is not str:
            try:
                return self._values[key]
            except IndexError:
                raise IndexError("record index out of range") from None
            except TypeError:
                if isinstance(key, slice):
                    raise
        try:
            return self._values[self._columns.positions[key]]
        except (KeyError, TypeError):  # TypeError: not hashable
            raise KeyError(key) from None

    def get(self, key: str, default: Any = None, /) -> Any:
        """The value of a column, or `default` if there is no such column."""
        try:
            return self._values[self._columns.positions[key]]
        except (KeyError, TypeError):
            return default

    def __contains__(self, key: object, /) -> bool:
        """Is there a column of this name?"""
        try:
            return key in self._columns.positions
        except TypeError:
            return False

    def keys(self) -> Iterator[str]:
        """The column names in order."""
        return iter(self._columns.names)

    def values(self) -> Iterator[Any]:
        """The values in order."""
        return iter(self._values)

    def items(self) -> Iterator[tuple[str, Any]]:
        """Pairs of column name and value, in order."""
        return iter(tuple(zip(self._columns.names, self._values, strict=True)))

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        return hash(self._values)

    def __eq__(self, other: object, /) -> bool:
        return NotImplemented if (values := _values_of(other)) is None else self._values == values

    def __ne__(self, other: object, /) -> bool:
        return NotImplemented if (values := _values_of(other)) is None else self._values != values

    def __lt__(self, other: object, /) -> bool:
        return NotImplemented if (values := _values_of(other)) is None else self._values < values

    def __le__(self, other: object, /) -> bool:
        return NotImplemented if (values := _values_of(other)) is None else self._values <= values

    def __gt__(self, other: object, /) -> bool:
        return NotImplemented if (values := _values_of(other)) is None else self._values > values

    def __ge__(self, other: object, /) -> bool:
        return NotImplemented if (values := _values_of(other)) is None else self._values >= values

    def __repr__(self) -> str:
        fields = fields_repr(self)
        return f"<{type(self).__name__} {fields}>" if fields else f"<{type(self).__name__}>"


# The name under which it is found and pickled does not depend on the implementation.
Record.__module__ = "pgsansio.kernel"


def make_record(record_class: type[Record], columns: Columns, values: tuple[Any, ...]) -> Record:
    """A record of `record_class` with these values, one per column."""
    record: Record = _new(record_class)
    record._values = values
    record._columns = columns
    return record


_new: Final[Any] = object.__new__


def _values_of(other: object) -> tuple[Any, ...] | None:
    """What a record compares with: a record's values, or a tuple."""
    if isinstance(other, Record):
        return other._values
    return cast("Any", other) if isinstance(other, tuple) else None


@reprlib.recursive_repr("...")
def fields_repr(record: Record) -> str:
    """The fields of a record of either kernel, as its repr shows them."""
    return " ".join(f"{name}={value!r}" for name, value in record.items())
