"""What the documents show is what the code is."""

import ast
import re
from pathlib import Path
from types import ModuleType

import pytest

import pgsansio
import pgsansio_asyncio
import pgsansio_trio
from pgsansio import sqlstates
from tests.support import doc_blocks, generate_state_docs, generate_type_table

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^<!-- (?P<mark>[^>]+) -->\n```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)

PAGES = sorted((ROOT / "docs").glob("*.md"))
PACKAGES = (pgsansio, pgsansio_asyncio, pgsansio_trio)


def marked(kind: str) -> list[str]:
    """The code blocks behind such a mark."""
    return [found["text"] for found in BLOCK.finditer(README) if found["mark"] == kind]


def example(mark: str) -> str:
    """What stands in an example: all of it, without its docstring, or these definitions of it."""
    path, *names = mark.split()
    source = (ROOT / path).read_text(encoding="utf-8")
    tree = ast.parse(source)
    if not names:
        assert isinstance(tree.body[0], ast.Expr)
        return "".join(source.splitlines(keepends=True)[tree.body[0].end_lineno or 0 :]).lstrip("\n")
    definitions = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    return "\n\n".join(f"{ast.get_source_segment(source, definitions[name])}\n" for name in names)


EXAMPLES = [found["mark"] for found in BLOCK.finditer(README) if found["mark"].startswith("example: ")]

EXAMPLES_IN_PAGES = [block for path in PAGES for block in doc_blocks.blocks(path) if block.kind == "example"]


def test_the_readme_has_its_examples() -> None:
    paths = [mark.removeprefix("example: ").split()[0] for mark in EXAMPLES]
    assert paths == ["examples/asyncio_first.py", "examples/trio_first.py", "examples/blocking_client.py"]


@pytest.mark.parametrize("mark", EXAMPLES)
def test_examples_are_equal(mark: str) -> None:
    assert marked(mark) == [example(mark.removeprefix("example: "))]


def test_the_readme_shows_nothing_but_examples() -> None:
    assert [block.kind for block in doc_blocks.blocks(ROOT / "README.md")] == ["example"] * len(EXAMPLES)


@pytest.mark.parametrize("block", EXAMPLES_IN_PAGES, ids=lambda block: block.argument)
def test_examples_in_pages_are_equal(block: doc_blocks.Block) -> None:
    assert block.text == example(block.argument)


@pytest.mark.parametrize("kind", ["tour command", "test command"])
def test_each_command_is_one_line(kind: str) -> None:
    (command,) = marked(kind)
    assert command.count("\n") == 1


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", *(f"docs/{path.name}" for path in PAGES)])
def test_links_lead_somewhere(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)\s]*)?\)", text):
        assert (ROOT / document).parent.joinpath(target).is_file(), target


def test_files_of_the_architecture_exist() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for name in re.findall(r"`([a-z_/]+(?:\.py|/))`", text):
        assert any((ROOT / folder / name).exists() for folder in (".", "pgsansio", "pgsansio_asyncio")), name


def test_states_are_drawn_from_the_tables() -> None:
    assert generate_state_docs.DOCUMENT.read_text(encoding="utf-8") == generate_state_docs.generate()


def test_the_table_of_types_is_what_the_codecs_are() -> None:
    assert generate_type_table.PAGE.read_text(encoding="utf-8") == generate_type_table.generate()


def in_the_reference() -> set[str]:
    """What the directives of the reference name; the build fails if there is no such thing."""
    found = {f"pgsansio.{name}" for name in sqlstates.__all__}
    for path in (ROOT / "docs" / "reference").glob("*.rst"):
        found.update(re.findall(r"^\.\. (?:auto\w+|data):: (\S+)", path.read_text(encoding="utf-8"), re.MULTILINE))
    return found


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_every_public_name_is_in_the_reference(package: ModuleType) -> None:
    shared = {name for name in package.__all__ if getattr(package, name) is getattr(pgsansio, name, None)}
    wanted = {f"{'pgsansio' if name in shared else package.__name__}.{name}" for name in package.__all__}
    assert sorted(wanted - in_the_reference()) == [], "name it in one of docs/reference/*.rst"


def test_every_page_is_in_the_table_of_contents() -> None:
    contents = (ROOT / "docs" / "index.md").read_text(encoding="utf-8").splitlines()
    missing = [path.stem for path in PAGES if path.stem != "index" and path.stem not in contents]
    assert missing == [], "name it in docs/index.md"
