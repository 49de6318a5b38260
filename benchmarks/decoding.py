"""Decoding alone, for the comparison: the shapes of `bench_shapes.py` that the cases are made of.

`python -m benchmarks.decoding` is a process that is told what to do by lines of JSON: {"shape"} is answered with times,
{"shape", "who", "count"} with the number of rows when ours, asyncpg or asyncpg with an empty result ("nothing") has
decoded so many results.
"""

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import asdict
from typing import Any, Final

from benchmarks.bench_shapes import Pair, compare, pair_of
from benchmarks.child import ROOT
from benchmarks.comparison import Comparison, Decoding, commit
from benchmarks.results import Ratio
from pgsansio import kernel

__all__ = ["SHAPES", "time_decoding"]

#: Of rows like those of these cases.
SHAPES: Final = {
    "pg_type": "catalog",
    "int4": "series",
    "wide": "mixed",
    "scalars": "wide_keys",
    "arrays": "thousands",
    "bytea": "blobs",
    "text": "texts",
}


def time_decoding(comparison: Comparison) -> None:
    """Nanoseconds per row of each shape; prints them."""
    now = commit()
    commands = "".join(json.dumps({"shape": shape}) + "\n" for shape in SHAPES.values())
    finished = subprocess.run(
        [sys.executable, "-m", "benchmarks.decoding"],
        input=commands,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        check=True,
        env=os.environ | {"PGSANSIO_KERNEL": kernel.NAME},
    )
    for shape, line in zip(SHAPES.values(), finished.stdout.splitlines(), strict=True):
        answer: dict[str, Any] = json.loads(line)
        measured = Decoding(shape, "ns", now, answer["ours"], answer["asyncpg"], Ratio(**answer["ratio"]))
        comparison.decoding[shape, "ns"] = measured
        print(f"{shape}  ours {measured.ours:,.0f}, asyncpg {measured.asyncpg:,.0f} ns per row, {measured.ratio}")


async def _serve() -> None:
    pairs: dict[str, Pair] = {}
    for line in sys.stdin:
        command: dict[str, Any] = json.loads(line)
        name = command["shape"]
        pair = pairs[name] = pairs.get(name) or await pair_of(name)
        if "who" not in command:
            ours, theirs, ratio = await compare(pair)
            answer: dict[str, object] = {"ours": ours, "asyncpg": theirs, "ratio": asdict(ratio)}
        else:
            for _ in range(command["count"]):
                if command["who"] == "ours":
                    pair.ours()
                else:
                    await pair.theirs(command["who"] == "asyncpg")
            answer = {"rows": pair.rows}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(_serve())
