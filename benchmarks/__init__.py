"""Measurements: `python -m benchmarks` compares whole clients, each `bench_*.py` measures one part alone."""
