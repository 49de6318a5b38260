"""python -m tests.simulation SEED: do this schedule again, and print its script.

python -m tests.simulation --seconds 600 [--first SEED]: as many schedules as there is time for.
"""

import argparse
import sys
import time

from tests.simulation.world import Simulation, Violation


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("seeds", nargs="*", type=int)
    parser.add_argument("--seconds", type=float, default=0.0, help="go on with further seeds for so long")
    parser.add_argument("--first", type=int, default=0, help="the first of these")
    arguments = parser.parse_args()
    for seed in arguments.seeds:
        simulation = Simulation(seed)
        try:
            simulation.run()
        finally:
            print(*simulation.script, sep="\n")
    end, seed = time.monotonic() + arguments.seconds, arguments.first
    failed: list[int] = []
    operations = steps = 0
    while time.monotonic() < end:
        simulation = Simulation(seed)
        try:
            simulation.run()
        except Violation as violation:
            failed.append(seed)
            print(violation, file=sys.stderr)
        operations += simulation.operations
        steps += simulation.loop.steps
        seed += 1
    if arguments.seconds:
        print(f"{seed - arguments.first} schedules, {operations} operations, {steps} steps; failed: {failed or 'none'}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
