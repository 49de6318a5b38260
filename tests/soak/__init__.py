"""Many tasks on few connections, for minutes, under cancellations, time limits and faults: `python -m tests.soak`."""
