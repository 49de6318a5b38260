"""trio's reading baton beside a model: nobody is left without a reader, no two tasks wait on one socket."""

import contextlib
import shutil
import socket
import tempfile
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import cast

import trio
import trio.lowlevel
import trio.testing
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pgsansio.engine.operations import Operation
from pgsansio.policy.conninfo import UnixAddress
from pgsansio_trio.port import TrioPort
from tests.support.toy_engine import CANCEL, NEWS, PAUSE, SETTLED, TOKEN, ToyEngine

#: More than this waits in no socket buffer (Linux keeps some 200 KB of a Unix socket's).
LARGE = 500_000
#: Enough for the nursery's task to step in.
IDLE_SECONDS = 0.041
#: What a task may wait for, with so many bytes to be sent.
WAITS = st.tuples(st.sampled_from(["wait", "wait", "progress", "low"]), st.sampled_from([0, 7, LARGE]))
#: What the server may say, and of which operation that is not settled.
WORDS = st.tuples(st.sampled_from([SETTLED, SETTLED, SETTLED, NEWS, PAUSE, CANCEL]), st.integers(0, 5))
#: See `BatonModel`.
HOLD = st.sampled_from([None, None, 0, 0, 1, 2])


@dataclass(eq=False)
class Waiter:
    """A task that waits, and for what."""

    kind: str
    operation: Operation | None
    task: trio.lowlevel.Task | None = None
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    done: bool = False
    raised: BaseException | None = None
    #: It carries out a cancellation, protected from its own.
    called_away: bool = False

    @property
    def due(self) -> bool:
        """What it waits for has happened."""
        operation = self.operation
        return operation is not None and (operation.settled or (self.kind == "progress" and operation.attention))


class Loop:
    """A trio run in a thread of its own, whose clock stands still."""

    def __init__(self, main: Callable[[], Awaitable[None]]) -> None:
        self.clock = trio.testing.MockClock()
        self._main = main
        self._token: Future[trio.lowlevel.TrioToken] = Future()
        self._stop: trio.Event
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            trio.run(self._root, clock=self.clock)
        except BaseException as error:
            self._failure = error
            if not self._token.done():
                self._token.set_exception(error)

    async def _root(self) -> None:
        self._stop = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._main)
            await trio.testing.wait_all_tasks_blocked()
            self._token.set_result(trio.lowlevel.current_trio_token())
            await self._stop.wait()
            nursery.cancel_scope.cancel()

    def call(self, function: Callable[[], Awaitable[None]]) -> None:
        trio.from_thread.run(function, trio_token=self._token.result())

    def close(self) -> None:
        async def stop() -> None:
            self._stop.set()

        self.call(stop)
        self._thread.join()
        if self._failure is not None:
            raise self._failure


def readers() -> int:
    """How many tasks wait for something to read."""
    statistics = trio.lowlevel.current_statistics().io_statistics
    return cast(int, getattr(statistics, "tasks_waiting_read", 0))


class BatonModel(RuleBasedStateMachine):
    """What a rule does is done at once, or (`hold`) together with what the next ones do, so many moments before it."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp()
        self.engine = ToyEngine()
        self.all: list[Waiter] = []
        self.received = bytearray()
        self.server_open = True
        self.closing = False
        self.held: list[tuple[Callable[[], None], int]] = []
        #: What the hook waits for.
        self.carried_out = trio.Event()
        self.loop = Loop(self._main)

    async def _main(self) -> None:
        async with trio.open_nursery() as self.tasks:
            await trio.sleep_forever()

    def teardown(self) -> None:
        async def end() -> None:
            try:
                await self._read_all()
                self.carried_out.set()
                self.port.abort()
                await self._settle()
                self._read()
                assert bytes(self.engine.handed_over).startswith(self.received)
                self.closing = False
                self._check()
                await self.port.close()
            finally:
                self.port.abort()

        try:
            self.loop.call(end)
        finally:
            self.loop.close()
            self.server.close()
            shutil.rmtree(self.folder)

    # what happens

    @initialize(nursery=st.booleans(), what=st.lists(WAITS, max_size=4))
    def connect(self, nursery: bool, what: list[tuple[str, int]]) -> None:
        address = UnixAddress(f"{self.folder}/socket", 5432)

        async def open_port() -> None:
            self.own_readers = readers()  # the loop's own
            self.port = TrioPort()
            self.port.on_cancel_due = self._hook
            self.port.on_news = self._news
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
                listening.bind(address.path)
                listening.listen()
                await self.port.open_stream(address, self.engine)
                self.server, _ = listening.accept()
            self.server.setblocking(False)
            if nursery:
                self.port.use_nursery(self.tasks)
                self.tasks.start_soon(self.port.read_when_idle)
            await self._settle()

        self.nursery = nursery
        self.loop.call(open_port)
        if what:
            self.tasks_start_to_wait(what, None)

    def _news(self) -> None:
        self.engine.news = self.engine.cancel_due or self.engine.ended

    async def _hook(self) -> None:
        assert self.engine.cancel_due, "called once too often"
        self.engine.cancel_due = False
        self.engine.cancels += 1
        task = trio.lowlevel.current_task()
        called = [waiter for waiter in self.all if waiter.task is task]
        for waiter in called:
            waiter.called_away = True
        try:
            await self.carried_out.wait()
        finally:
            self.engine.cancels -= 1
            for waiter in called:
                waiter.called_away = False

    def at_once(self, action: Callable[[], None], hold: int | None) -> None:
        self.held.append((action, hold or 0))
        if hold is None:
            self.loop.call(self._settle)

    async def _settle(self) -> None:
        """Do what was held; then let everybody run until all wait."""
        held, self.held = self.held, []
        for action, moments in held:
            action()
            for _ in range(moments):
                await trio.lowlevel.checkpoint()
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(3):
            self.loop.clock.jump(IDLE_SECONDS)
            await trio.testing.wait_all_tasks_blocked()

    async def _run(self, waiter: Waiter) -> None:
        waiter.task = trio.lowlevel.current_task()
        operation = waiter.operation
        with waiter.scope:
            try:
                if waiter.kind == "low":
                    await self.port.outbox_low()
                elif waiter.kind == "close":
                    await self.port.close()
                elif waiter.kind == "wait":
                    assert operation is not None
                    await self.port.wait(operation)
                else:
                    assert operation is not None
                    await self.port.progress(operation)
            except BaseException as error:
                waiter.raised = error
                if isinstance(error, trio.Cancelled):
                    raise
            finally:
                waiter.done = True

    def _start(self, waiter: Waiter) -> None:
        self.all.append(waiter)
        self.tasks.start_soon(self._run, waiter)

    @rule(what=st.lists(WAITS, min_size=1, max_size=3), hold=HOLD)
    def tasks_start_to_wait(self, what: list[tuple[str, int]], hold: int | None) -> None:
        def start() -> None:
            for kind, size in what:
                if not self.engine.ended:
                    self._start(Waiter(kind, self.engine.submit(size) if kind != "low" else None))

        self.at_once(start, hold)

    @rule(which=st.integers(0, 3), hold=HOLD)
    def another_waits_for_the_same(self, which: int, hold: int | None) -> None:
        def start() -> None:
            pending = [operation for operation in self.engine.operations if not operation.settled]
            if pending:
                self._start(Waiter("wait", pending[which % len(pending)]))

        self.at_once(start, hold)

    @rule(hold=HOLD)
    def one_is_expected(self, hold: int | None) -> None:
        """Nobody waits for it but the nursery's task."""

        def expect() -> None:
            if self.nursery and not self.engine.ended:
                self.port.expect(self.engine.submit(0))
                self.port.flush()

        self.at_once(expect, hold)

    @rule(which=st.integers(0, 3), hold=HOLD)
    def one_is_cancelled(self, which: int, hold: int | None) -> None:
        """The first one that waits is the reader, mostly."""

        def cancel() -> None:
            waiting = [waiter for waiter in self.all if not waiter.done]
            if waiting:
                waiting[which % len(waiting)].scope.cancel()

        self.at_once(cancel, hold)

    @rule(what=st.lists(WORDS, min_size=1, max_size=4), hold=HOLD)
    def server_says(self, what: list[tuple[bytes, int]], hold: int | None) -> None:
        def say() -> None:
            pending = [number for number, operation in enumerate(self.engine.operations) if not operation.settled]
            tokens = [TOKEN.pack(kind, pending[which % len(pending)]) for kind, which in what if pending]
            if self.server_open:
                with contextlib.suppress(OSError):
                    self.server.send(b"".join(tokens))

        self.at_once(say, hold)

    @rule(hold=HOLD)
    def cancellations_are_carried_out(self, hold: int | None) -> None:
        def carry_out() -> None:
            self.carried_out.set()
            self.carried_out = trio.Event()

        self.at_once(carry_out, hold)

    @rule(hold=HOLD)
    def what_came_is_taken(self, hold: int | None) -> None:
        """And its owner asks for more, as the owner of a COPY does."""

        def take() -> None:
            if self.engine.reading_paused:
                self.engine.reading_paused = False
                self._start(Waiter("progress", self.engine.submit(0)))

        self.at_once(take, hold)

    def _read(self, size: int = -1) -> bool:
        """Whether there was something."""
        before = len(self.received)
        try:
            while size and self.server_open:
                data = self.server.recv(size if size > 0 else LARGE)
                if not data:
                    break
                self.received += data
                size -= min(len(data), size) if size > 0 else 0
        except OSError:
            pass
        return len(self.received) > before

    @rule(size=st.sampled_from([1, 1000, 100_000]), hold=HOLD)
    def server_reads_some(self, size: int, hold: int | None) -> None:
        def read() -> None:
            self._read(size)

        self.at_once(read, hold)

    @rule()
    def server_reads_all(self) -> None:
        self.loop.call(self._read_all)

    async def _read_all(self) -> None:
        await self._settle()
        while self._read():
            await self._settle()
        if self.server_open and not self.engine.ended and (self.nursery or self._awake()) and not self._paused():
            assert self.received == self.engine.handed_over
            assert all(waiter.done or waiter.called_away for waiter in self.all if waiter.kind in ("low", "close"))

    @rule(hold=HOLD)
    def somebody_looks(self, hold: int | None) -> None:
        def look() -> None:
            self.loop.clock.jump(0.002)
            self.port.poll()

        self.at_once(look, hold)

    @rule(hold=HOLD)
    def somebody_flushes(self, hold: int | None) -> None:
        self.at_once(self.port.flush, hold)

    @precondition(lambda self: len(self.all) > 5)
    @rule(hold=HOLD)
    def server_closes(self, hold: int | None) -> None:
        def close() -> None:
            self._read()
            self.server_open = False
            self.server.close()

        self.at_once(close, hold)

    @precondition(lambda self: len(self.all) > 5)
    @rule(hold=HOLD)
    def somebody_aborts(self, hold: int | None) -> None:
        self.at_once(self.port.abort, hold)

    @precondition(lambda self: len(self.all) > 5)
    @rule(hold=HOLD)
    def somebody_closes(self, hold: int | None) -> None:
        def close() -> None:
            self.closing = True
            self.engine.end()
            self._start(Waiter("close", None))

        self.at_once(close, hold)

    # what holds

    def _awake(self) -> list[Waiter]:
        return [waiter for waiter in self.all if not waiter.done and not waiter.called_away]

    def _paused(self) -> bool:
        return self.engine.reading_paused

    def _check(self) -> None:
        for waiter in self.all:
            if waiter.raised is not None:
                assert isinstance(waiter.raised, trio.Cancelled), repr(waiter.raised)
                assert waiter.scope.cancel_called
        awake = self._awake()
        for waiter in awake:
            assert not waiter.scope.cancel_called, "a cancelled task still waits"
            assert not waiter.due or self.closing, "what it waits for has happened"
        now = readers() - self.own_readers
        assert now <= 1
        if self.engine.ended:
            assert self.closing or not awake, "the connection has ended"
        elif self._paused():
            assert not now or any(waiter.kind == "low" for waiter in awake)
        else:
            assert self.server_open or not (awake or self.nursery), "nobody has seen the end"
            assert now == bool(awake or self.nursery), "nobody reads" if not now else "somebody reads for nobody"
            assert not self.engine.cancel_due or self.engine.cancels or not (awake or self.nursery), "nobody cancels"

    @invariant()
    def everything_is_as_it_should_be(self) -> None:
        if not self.held and hasattr(self, "port"):

            async def check() -> None:
                await self._settle()
                self._check()

            self.loop.call(check)


def test_an_heir_that_need_not_read() -> None:
    """Between being woken and running it finds its operation settled, because somebody has looked at the socket."""
    for _ in range(8):  # the order within one turn of the loop is random
        state = BatonModel()
        state.connect(nursery=False, what=[])
        for _ in range(3):
            state.tasks_start_to_wait(what=[("wait", 0)], hold=None)
        state.server_says(what=[(SETTLED, 1)], hold=0)
        state.one_is_cancelled(which=0, hold=1)
        state.somebody_looks(hold=None)
        state.everything_is_as_it_should_be()
        state.teardown()


TestBaton = BatonModel.TestCase
TestBaton.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_what_is_expected_is_read_at_once() -> None:
    """No time passes, and whoever waits next for something reads for himself."""

    async def main() -> None:
        engine, port = ToyEngine(), TrioPort()
        with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
            listening.bind(f"{folder}/socket")
            listening.listen()
            await port.open_stream(UnixAddress(f"{folder}/socket", 5432), engine)
            server, _ = listening.accept()
        with server:
            async with trio.open_nursery() as nursery:
                port.use_nursery(nursery)
                nursery.start_soon(port.read_when_idle)
                await trio.testing.wait_all_tasks_blocked()
                assert port._reading, "nobody has used it for long"
                for number in range(0, 6, 2):
                    operation = engine.submit(0)
                    server.send(TOKEN.pack(SETTLED, number))
                    await port.wait(operation)
                    await trio.testing.wait_all_tasks_blocked()
                    assert not port._reading, "it steps back at once"
                    expected = engine.submit(0)
                    port.expect(expected)
                    await trio.testing.wait_all_tasks_blocked()
                    assert port._reading
                    server.send(TOKEN.pack(SETTLED, number + 1))
                    await trio.testing.wait_all_tasks_blocked()
                    assert expected.settled
                    assert not port._reading
                port.abort()
                nursery.cancel_scope.cancel()

    clock = trio.testing.MockClock()
    trio.run(main, clock=clock)
    assert clock.current_time() == 0
