"""Sphinx: `python -m sphinx -W --keep-going docs FOLDER`, with the extra `docs` installed.

Pages are Markdown, the reference is made from the docstrings. In these a name between single backticks is code, and a
link if the reference has it.
"""

import importlib
import inspect
import os
import pkgutil
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from docutils import nodes
from pygments.lexers.special import TextLexer
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.domains.python import PythonDomain
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode

# Classes in C have no signatures of their own, and the pure kernel is what defines them.
os.environ["PGSANSIO_KERNEL"] = "pure"
import pgsansio
import pgsansio.sqlstates

project = "pgsansio"
author = "the pgsansio contributors"
copyright = author
release = version = pgsansio.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = f"pgsansio {release}"
templates_path: list[str] = []
exclude_patterns: list[str] = []

myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

nitpicky = True
highlight_language = "none"  # of blocks behind ::
default_role = "py:obj"
napoleon_numpy_docstring = False
napoleon_custom_sections = ["Source"]
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_default_options = {"members": True, "exclude-members": "with_traceback, add_note"}
python_maximum_signature_line_length = 100
python_use_unqualified_type_names = True

#: Where a name without its module is looked for, in this order.
HOMES = (
    "pgsansio",
    "pgsansio.client",
    "pgsansio.client.connection",
    "pgsansio.codecs.declaration",
    "pgsansio.client.Connection",
    "pgsansio.errors",
    "pgsansio.engine.operations",
    "pgsansio.kernel.contract",
)

TYPE_VARIABLES = ("T", "R", "ConnectionT", "ErrorT")
#: Beside those of pgsansio.client.
MADE_BY_FUNCTIONS = ("Connection", "ConnectRequest", "Listener", "Record")

#: Of a section in a docstring: "IndexError, KeyError: ...".
ENTRY = r"\w[\w.]*(, \w[\w.]*)*: "


def resolve(
    app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, content: nodes.TextElement
) -> nodes.Element | None:
    """What Sphinx has not found itself: names without their module, and those of other projects, which stay code."""
    if node.get("refdomain") != "py":
        return None
    target: str = node["reftarget"].removesuffix("()")
    domain = env.domains["py"]
    assert isinstance(domain, PythonDomain)
    for home in HOMES:
        entry = domain.objects.get(f"{home}.{target}")
        if entry is not None:
            return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, content)
    if node["reftype"] == "obj" or is_foreign(target):
        return content
    return None


def is_foreign(target: str) -> bool:
    """Of the standard library or of trio, or a type variable."""
    root = target.partition(".")[0]
    return root in sys.stdlib_module_names or root == "trio" or target.rpartition(".")[2] in TYPE_VARIABLES


def before_napoleon(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Prepare a docstring for napoleon and docutils.

    Napoleon takes what stands before a colon for a type: in attributes, in what is returned, in "Else as ...". And what
    is indented outside of a section is code.
    """
    if what in ("attribute", "data", "property"):
        lines[:0] = ["..", ""]  # an empty comment
        return
    section = ""
    literal = False
    done: list[str] = []
    for line in lines:
        text = line.strip()
        if text and not line.startswith(" "):
            if section:
                done.append("")
            literal = text.endswith("::")
            section = text if text in ("Args:", "Attributes:", "Raises:", "Returns:") else ""
            if section == "Returns:":
                done += ["", ":returns:"]
                continue
        elif not section and line.startswith("    ") and not literal:
            done += ["::", ""]
            literal = True
        elif section in ("Args:", "Raises:") and re.match(r"    [A-Z]", line) and not re.match(ENTRY, text):
            section = "prose"
            done.append("")
        done.append(text if section == "prose" else line)
    lines[:] = done


def signature(
    app: Sphinx, what: str, name: str, obj: object, options: object, arguments: str | None, result: str | None
) -> tuple[str | None, str | None] | None:
    """Without arguments for protocols, and for classes that only the library itself makes instances of."""
    if inspect.isclass(obj) and (
        getattr(obj, "_is_protocol", False)
        or obj.__module__.startswith("pgsansio.client.")
        or obj.__name__ in MADE_BY_FUNCTIONS
    ):
        return "", None
    return None


class Table(SphinxDirective):
    """A table of texts and code."""

    headings: ClassVar[tuple[str, ...]]
    widths: ClassVar[tuple[int, ...]]

    def run(self) -> list[nodes.Node]:
        head = nodes.thead("", row([nodes.Text(text) for text in self.headings]))
        body = nodes.tbody("", *map(row, self.rows()))
        columns = (nodes.colspec(colwidth=width) for width in self.widths)
        return [nodes.table("", nodes.tgroup("", *columns, head, body, cols=len(self.widths)))]

    def rows(self) -> Iterable[Sequence[nodes.Node]]:
        raise NotImplementedError


def row(cells: Sequence[nodes.Node]) -> nodes.row:
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", "", content)) for content in cells))


class Sqlstates(Table):
    """The classes of pgsansio.sqlstates."""

    headings = ("SQLSTATE", "class", "condition")
    widths = (10, 55, 55)

    def rows(self) -> Iterable[Sequence[nodes.Node]]:
        domain = self.env.domains["py"]
        assert isinstance(domain, PythonDomain)
        for name in pgsansio.sqlstates.__all__:
            error = getattr(pgsansio.sqlstates, name)
            node_id = f"pgsansio.{name}"
            shown = nodes.literal("", name, ids=[node_id])
            self.state.document.note_explicit_target(shown)
            domain.note_object(node_id, "exception", node_id, location=shown)
            domain.note_object(f"pgsansio.sqlstates.{name}", "exception", node_id, aliased=True, location=shown)
            yield nodes.literal("", error.sqlstate), shown, nodes.literal("", error.__doc__)


class Modules(Table):
    """The modules of a package, and what each of them says it is."""

    required_arguments = 1
    headings = ("module", "")
    widths = (30, 90)

    def rows(self) -> Iterable[Sequence[nodes.Node]]:
        package = importlib.import_module(self.arguments[0])
        for found in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
            title = (importlib.import_module(found.name).__doc__ or "").partition("\n")[0]
            yield nodes.literal("", found.name), nodes.Text(title)


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("missing-reference", resolve)
    app.connect("autodoc-process-docstring", before_napoleon, priority=400)
    app.connect("autodoc-process-signature", signature)
    app.add_directive("sqlstates", Sqlstates)
    app.add_directive("modules", Modules)
    # GitHub draws these; here the tables below them have to do.
    app.add_lexer("mermaid", TextLexer)
    importlib.import_module("pgsansio_trio")  # autodoc would only warn, once for each name
    return {"parallel_read_safe": True}
