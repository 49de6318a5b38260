"""The fuzz targets in the small: every input of the corpus, and some that hypothesis chooses."""

import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.__main__ import CORPUS, TARGETS, Findings, corpus_of, run_random
from fuzz.limits import LimitError, execute, no_hangs

INPUTS = [(path.parent.name, path.name) for path in sorted(CORPUS.glob("*/*"))]


def test_every_target_has_a_corpus() -> None:
    assert {name for name, _ in INPUTS} == set(TARGETS)
    assert {path.stem.removeprefix("fuzz_") for path in CORPUS.parent.glob("fuzz_*.py")} == set(TARGETS)


@pytest.mark.parametrize(("name", "file"), INPUTS)
def test_corpus(name: str, file: str) -> None:
    execute(TARGETS[name].target, (CORPUS / name / file).read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_anything(name: str) -> None:
    module, corpus = TARGETS[name], corpus_of(name)

    @settings(max_examples=100, deadline=None)
    @given(
        st.binary(max_size=200)
        | st.builds(
            lambda data, seed: module.mutate(data, corpus, random.Random(seed)),
            st.sampled_from(corpus),
            st.integers(0, 2**32 - 1),
        )
    )
    def look(data: bytes) -> None:
        module.target(data)

    look()


def test_a_finding_is_written_down_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def target(data: bytes) -> None:
        if data[1:2] > b"\x80":
            raise IndexError("planted")

    monkeypatch.setattr(TARGETS["codecs"], "target", target)
    findings = Findings("codecs", tmp_path)
    assert run_random("codecs", 0.2, 1, findings) > 1
    (path,) = tmp_path.iterdir()
    with pytest.raises(IndexError, match="planted"):
        execute(target, path.read_bytes())
    assert capsys.readouterr().out.count("FINDING") == 1


def test_an_input_that_never_ends_is_a_finding() -> None:
    def target(data: bytes) -> None:
        while True:
            pass

    with no_hangs(1) as restart:
        restart()
        with pytest.raises(LimitError, match="no end"):
            execute(target, b"")


def test_the_command() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "fuzz", "--seconds", "0.1", "--target", "codecs"],
        cwd=CORPUS.parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "codecs" in ended.stdout
    assert "0 findings" in ended.stdout
