"""Thousands of schedules, within a time that a change can wait for. Any number: `python -m tests.simulation`."""

import os
import time
from typing import Final

import pytest

from tests.simulation.world import Simulation

#: Parts that run beside each other, and for how long each of them goes on with its own seeds.
_PARTS: Final = 8
_SECONDS: Final = float(os.environ.get("PGSANSIO_SIMULATION_SECONDS", "60")) / _PARTS
#: Far fewer than there is time for, even on a slow machine.
_LEAST: Final = 20
#: So that a fast machine meets no seed that another one has not.
_MOST: Final = 500

#: Seeds that have found something.
FOUND: Final[tuple[int, ...]] = (288,)


@pytest.mark.parametrize("part", range(_PARTS))
def test_schedules(part: int) -> None:
    end, done = time.monotonic() + _SECONDS, 0
    while (time.monotonic() < end and done < _MOST) or done < _LEAST:
        Simulation(part + done * _PARTS).run()
        done += 1


@pytest.mark.parametrize("seed", FOUND)
def test_what_was_found(seed: int) -> None:
    Simulation(seed).run()


def test_a_seed_is_a_schedule() -> None:
    """Twice the same, whatever else has run."""

    def script(seed: int) -> list[str]:
        simulation = Simulation(seed)
        simulation.run()
        return simulation.script

    for seed in range(30):
        assert script(seed) == script(seed)


def test_much_happens() -> None:
    """Of what can become of an operation, hundreds of schedules show everything."""
    outcomes: dict[str, int] = {}
    for seed in range(200):
        simulation = Simulation(seed)
        simulation.run()
        for name, count in simulation.outcomes.items():
            outcomes[name] = outcomes.get(name, 0) + count
    assert outcomes["completed"] > 300
    for name in ("Cancelled", "OperationTimeoutError", "ConnectionDoesNotExistError", "InterfaceError"):
        assert outcomes.get(name), f"{name}: never, of {outcomes}"
