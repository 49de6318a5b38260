"""The soak's short form. The long one is `python -m tests.soak`, ten minutes for each loop."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.server


@pytest.mark.parametrize("loop", ["asyncio", "uvloop", "trio"])
def test_nothing_hangs_is_lost_or_left(loop: str, server_programs: str) -> None:
    """In a process of its own, whose descriptors and tasks are those of the soak alone."""
    command = [sys.executable, "-m", "tests.soak", "--loop", loop, "--seconds", "5", "--tasks", "200"]
    command += ["--terminate-seconds", "0.3", "--crash-seconds", "2", "--hang-seconds", "60"]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["complaints"] == []
    assert report["written"]["acknowledged"] > 100
    assert report["counts"]["backends terminated"]
    assert report["counts"]["backends killed"]
