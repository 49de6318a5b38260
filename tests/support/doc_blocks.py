"""The code in docs/*.md, and how it is run.

The Python blocks of a page run one after the other, with the same names, as the body of one coroutine. The line before
a block may say something else:

    <!-- asyncio -->, <!-- trio -->       it is for this loop only
    <!-- program: asyncio -->             it is a whole program for this loop
    <!-- example: examples/x.py A b -->   it is this example, or these definitions of it, which another test runs
    <!-- fragment: why -->                it is not run
    <!-- hidden                           the block is inside of the comment: it is run, and readers do not see it

A line that ends in `# -> 7` is an expression whose repr has to be 7. What a block prints has to be in a ```text block
behind it.
"""

import ast
import contextlib
import inspect
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

__all__ = ["DOCS", "ROOT", "Block", "blocks", "run"]

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"

_BLOCK: Final = re.compile(
    r"(?:^<!-- (?P<mark>[^\n]*?)(?: -->)?\n)?^```(?:python|py|python3)\n(?P<text>.*?)^```$"
    r"(?:\n\n```text\n(?P<output>.*?)^```$)?",
    re.MULTILINE | re.DOTALL,
)
_RESULT: Final = re.compile(r"# -> (.*)")


@dataclass(frozen=True, slots=True)
class Block:
    path: Path
    #: Of its first line of code.
    line: int
    #: "" if there is none.
    mark: str
    text: str
    #: The block of text behind it; "" if there is none.
    output: str

    @property
    def kind(self) -> str:
        """What stands before the colon of the mark."""
        return self.mark.partition(":")[0]

    @property
    def argument(self) -> str:
        return self.mark.partition(":")[2].strip()


def blocks(path: Path) -> Iterator[Block]:
    """The Python blocks of a page."""
    page = path.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(page):
        line = page.count("\n", 0, found.start("text")) + 1
        yield Block(path, line, found["mark"] or "", found["text"], found["output"] or "")


async def run(block: Block, names: dict[str, Any]) -> None:
    """Run a block, with these names, to which its own are added.

    Raises:
        AssertionError: a result, or what is printed, is not what the page says.
    """
    results = _results(block.text)
    tree = ast.parse(block.text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and node.end_lineno in results:
            expected = results.pop(node.end_lineno)
            call = ast.Call(
                ast.Name("__check__", ast.Load()),
                [node.value, ast.Constant(expected), ast.Constant(node.end_lineno)],
                [],
            )
            node.value = ast.copy_location(call, node.value)
    assert not results, f"{block.path.name}, line {block.line}: a result of what is no expression"
    ast.fix_missing_locations(ast.increment_lineno(tree, block.line - 1))

    def check(value: object, expected: str, line: int) -> None:
        place = f"{block.path.name}, line {block.line - 1 + line}"
        assert repr(value) == expected, f"{place}: {value!r} is not {expected}"

    names["__check__"] = check
    code = compile(tree, str(block.path), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        ending = eval(code, names)
        if inspect.iscoroutine(ending):
            await ending
    check(printed.getvalue(), repr(block.output), 1)


def _results(text: str) -> dict[int, str]:
    """What is expected, by line."""
    found: dict[int, str] = {}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and (match := _RESULT.fullmatch(token.string)) is not None:
            found[token.start[0]] = match[1]
    return found
