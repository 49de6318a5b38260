"""The kernel's time for 4000 values of each type, for pytest-benchmark: to compare this version with another.

    PGSANSIO_KERNEL=pure pytest benchmarks/test_types.py --benchmark-autosave
    PGSANSIO_KERNEL=pure pytest benchmarks/test_types.py --benchmark-compare --benchmark-compare-fail=min:20%

`bench_types.py` compares the same runs with asyncpg's.
"""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.bench_types import Ours
from benchmarks.type_cases import CASES, TypeCase

cases = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


@cases
@pytest.mark.benchmark(group="decode", disable_gc=True)
def test_decode(benchmark: BenchmarkFixture, case: TypeCase) -> None:
    benchmark(Ours(case, 1000).decoding())


@cases
@pytest.mark.benchmark(group="encode", disable_gc=True)
def test_encode(benchmark: BenchmarkFixture, case: TypeCase) -> None:
    run = Ours(case, 1000).encoding()
    if run is None:
        pytest.skip("its values are not arguments")
    benchmark(run)
