"""`python -m tests.soak --loop trio --seconds 600`: says what it has seen, and ends with 1 if anything is wrong."""

import argparse
import json
import os
import sys
from dataclasses import asdict, fields

from tests.soak.run import Plan, Report, soak
from tests.support.servers import find_programs, running_server


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--loop", choices=["asyncio", "uvloop", "trio"], default="asyncio")
    parser.add_argument("--library", choices=["pgsansio", "asyncpg"], default="pgsansio")
    for name, kind in (
        ("seconds", float), ("tasks", int), ("connections", int), ("seed", int), ("terminate_seconds", float),
        ("crash_seconds", float), ("hang_seconds", float),
    ):  # fmt: skip
        default = next(field.default for field in fields(Plan) if field.name == name)
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, default=default)
    plan = Plan(**vars(parser.parse_args()))
    with running_server(find_programs(os.environ.get("PGSANSIO_TEST_POSTGRES")), server_settings=SETTINGS) as server:
        report = soak(plan, server)
    print(json.dumps(shown(report), indent=1))
    return bool(report.complaints)


#: What is acknowledged must be there after a crash of the server's processes (of the machine: never, without fsync).
SETTINGS = {"max_connections": "200", "synchronous_commit": "on"}


def shown(report: Report) -> dict[str, object]:
    """A report, with of the samples the first, the middle and the last."""
    samples = report.samples
    return {
        **asdict(report),
        "samples": [asdict(samples[index]) for index in (0, len(samples) // 2, -1)] if samples else [],
        "complaints": report.complaints[:20],
    }


if __name__ == "__main__":
    sys.exit(main())
