"""Both kernels give rows one by one in the same way, and what is awaited for a row is as good as a coroutine."""

import asyncio
import gc
import inspect
import weakref
from collections.abc import Coroutine, Generator, Iterator
from types import coroutine
from typing import Any

import pytest

from pgsansio.kernel import pure

compiled: Any = pytest.importorskip("pgsansio.kernel._compiled", reason="the compiled kernel is not built")

KERNELS: dict[str, Any] = {"pure": pure, "compiled": compiled}


class Lent:
    """A connection, as far as it matters here."""

    def __init__(self) -> None:
        self._releases = 0


@coroutine
def paused(*values: object) -> Generator[object, object, list[object]]:
    answers = []
    for value in values:
        answers.append((yield value))  # noqa: PERF401 - a comprehension cannot yield
    return answers


def giver_of(kernel: str, rows: Iterator[Any], then: tuple[object, ...] = ()) -> Any:
    """Something that gives these rows; behind them it asks the loop for those of `then`, and gives the answers."""

    class Giver(KERNELS[kernel].RowsState):  # type: ignore[misc]
        __slots__ = ("__weakref__", "asked")

        def __aiter__(self) -> Any:
            return self

        async def _further(self) -> Any:
            self.asked += 1
            if not then:
                raise StopAsyncIteration
            return await paused(*then)

    giver = Giver()
    giver.asked = 0
    giver._connection, giver._releases, giver._turn = Lent(), 0, rows
    return giver


def refusal(call: Any, *args: object) -> tuple[type[BaseException], tuple[object, ...]]:
    with pytest.raises(BaseException) as caught:
        call(*args)
    return type(caught.value), caught.value.args


@pytest.fixture(params=list(KERNELS))
def kernel(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_loop(kernel: str) -> None:
    giver = giver_of(kernel, iter([1, (2, 3), None]))

    async def work() -> list[Any]:
        return [row async for row in giver]

    assert asyncio.run(work()) == [1, (2, 3), None]
    assert giver.asked == 1


def test_a_row_is_taken_when_it_is_awaited(kernel: str) -> None:
    giver = giver_of(kernel, iter("abc"))

    async def work() -> list[Any]:
        first, second = giver.__anext__(), giver.__anext__()
        giver.__anext__().close()
        taken = [await second, await first]
        task = asyncio.create_task(giver.__anext__())
        task.cancel()
        await asyncio.wait([task])
        return [*taken, await asyncio.wait_for(giver.__anext__(), 10), await asyncio.create_task(last())]

    async def last() -> object:
        return await anext(giver, "none")

    assert asyncio.run(work()) == ["a", "b", "c", "none"]


def test_what_is_awaited(kernel: str) -> None:
    giver = giver_of(kernel, iter([(1, 2), StopIteration(3)]), (4, 5))
    row = giver.__anext__()
    assert isinstance(row, Coroutine)
    assert inspect.isawaitable(row)
    assert refusal(row.send, 1)[0] is TypeError
    assert refusal(row.send, None) == (StopIteration, ((1, 2),))
    assert refusal(row.send, None) == (RuntimeError, ("cannot reuse already awaited coroutine",))
    assert refusal(row.throw, LookupError()) == (RuntimeError, ("cannot reuse already awaited coroutine",))
    row.close()
    with pytest.raises(StopIteration) as caught:
        giver.__anext__().__await__().__next__()
    assert isinstance(caught.value.value, StopIteration)
    further = giver.__anext__()
    assert [further.send(None), further.send("x")] == [4, 5]
    assert refusal(further.send, "y") == (StopIteration, (["x", "y"],))
    assert refusal(further.send, None)[0] is RuntimeError
    assert giver.asked == 1


def test_an_exception_is_thrown_in(kernel: str) -> None:
    giver = giver_of(kernel, iter([1]), (4,))
    assert refusal(giver.__anext__().throw, LookupError("before")) == (LookupError, ("before",))
    assert refusal(giver.__anext__().send, None) == (StopIteration, (1,)), "the row was not taken"
    further = giver.__anext__()
    assert further.send(None) == 4
    assert refusal(further.throw, LookupError("in between")) == (LookupError, ("in between",))
    assert refusal(further.send, None)[0] is RuntimeError
    further = giver.__anext__()
    further.send(None)
    further.close()
    further.close()
    assert refusal(further.send, None)[0] is RuntimeError


def test_a_connection_that_was_given_back(kernel: str) -> None:
    giver = giver_of(kernel, iter([1, 2, 3]), (4,))
    assert refusal(giver.__anext__().send, None) == (StopIteration, (1,))
    giver._connection._releases = 10**6
    assert giver.__anext__().send(None) == 4
    giver._releases = 10**6  # another object of the same value
    assert refusal(giver.__anext__().send, None) == (StopIteration, (2,))


def test_rows_that_fail(kernel: str) -> None:
    def rows() -> Iterator[int]:
        yield 1
        raise LookupError("broken")

    giver = giver_of(kernel, rows())
    giver.__anext__().close()
    assert refusal(giver.__anext__().send, None) == (StopIteration, (1,))
    assert refusal(giver.__anext__().send, None) == (LookupError, ("broken",))
    del giver._connection
    assert refusal(giver.__anext__().send, None)[0] is AttributeError
    giver._connection = Lent()
    giver._turn = 5
    assert refusal(giver.__anext__().send, None)[0] is TypeError


def test_it_is_collected(kernel: str) -> None:
    giver = giver_of(kernel, iter([1]), (4,))
    held = giver.__anext__(), giver.__anext__()
    held[0].close()
    giver._connection.rows = held  # a cycle
    died = weakref.ref(giver)
    for row in held[1:]:
        row.close() if kernel == "pure" else None  # else Python warns that it was never awaited
    del giver, held, row
    gc.collect()
    assert died() is None


def test_both_have_the_same_attributes() -> None:
    members = {"_connection", "_releases", "_turn", "__anext__"}
    for name in ("ResourceState", "RowsState"):
        assert members & set(dir(getattr(compiled, name))) == members & set(dir(getattr(pure, name)))
