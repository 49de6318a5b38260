"""The Python code in docs/*.md does what the pages say, on both loops; `tests.support.doc_blocks` tells how."""

import ast
import os
import subprocess
import sys
import uuid
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.clients import ours
from tests.support.doc_blocks import DOCS, ROOT, Block, blocks, run
from tests.support.servers import Server

KINDS = {"", "asyncio", "trio", "program", "example", "fragment", "hidden"}

PAGES = sorted(DOCS.glob("*.md"))
RUN = [path for path in PAGES if any(block.kind in ("", "asyncio", "trio") for block in blocks(path))]
PROGRAMS = [block for path in PAGES for block in blocks(path) if block.kind == "program"]


def names(value: Path | Block) -> str:
    return value.name if isinstance(value, Path) else f"{value.path.name}:{value.line}"


@pytest.mark.parametrize("path", PAGES, ids=names)
def test_each_block_is_run_or_says_why_not(path: Path) -> None:
    for block in blocks(path):
        assert block.kind in KINDS, f"line {block.line}: unknown mark {block.mark}"
        compile(block.text, str(path), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if block.kind in ("fragment", "example", "program"):
            assert block.argument, f"line {block.line}: {block.kind} of what?"


@pytest.fixture(scope="module", params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.mark.server
@pytest.mark.anyio
@pytest.mark.parametrize("path", RUN, ids=names)
async def test_a_page(path: Path, anyio_backend_name: str, postgres: Server, tmp_path: Path, monkeypatch: Any) -> None:
    client = ours(anyio_backend_name, postgres)
    wanted = [block for block in blocks(path) if block.kind in ("", "hidden", anyio_backend_name)]
    name = f"docs_{uuid.uuid4().hex}"
    monkeypatch.chdir(tmp_path)
    dsn = postgres.dsn.rpartition("/")[0] + f"/{name}"
    async with client.connect() as admin:
        await admin.execute(f"CREATE DATABASE {name}")
        try:
            async with AsyncExitStack() as stack:
                found: dict[str, Any] = {"__name__": path.stem, "pg": client.module, "dsn": dsn}
                found["connection"] = await stack.enter_async_context(client.module.connect(dsn))
                if any("pool." in block.text for block in wanted):
                    found["pool"] = await stack.enter_async_context(client.module.create_pool(dsn, min_size=1))
                for block in wanted:
                    await run(block, found)
        finally:
            await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.server
@pytest.mark.parametrize("program", PROGRAMS, ids=names)
def test_a_program(program: Block, postgres: Server, server_programs: str, tmp_path: Path) -> None:
    file = tmp_path / "program.py"
    file.write_text(program.text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", str(file)],
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "DATABASE_URL": postgres.dsn, "PG_BIN": server_programs},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stderr, done.stdout) == ("", program.output)
