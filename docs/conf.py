"""The site: Sphinx, MyST and Furo. Everything in it comes from saved tables and docstrings; torch is never imported."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent))  # the checkout itself, installed or not

from vggcost import __version__  # noqa: E402
from vggcost.cost.conventions import CONVENTIONS  # noqa: E402
from vggcost.cost.ops import PRICES  # noqa: E402
from vggcost.report.grid import Grid, markdown  # noqa: E402

project = "vggcost"
release = __version__
copyright = "the authors of vggcost"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "vggcost.sphinx"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_title = f"vggcost {release}"
html_show_copyright = False
html_copy_source = False
html_show_sourcelink = False

myst_heading_anchors = 3
myst_enable_extensions = ["deflist", "substitution"]
prices = tuple((group.replace("_", " "), PRICES[rule][1]) for group, rule in CONVENTIONS["full"].prices)
myst_substitutions = {"prices_of_full": markdown(Grid(("ops", "FLOPs"), prices, left=(0, 1)))}

default_role = "code"  # docstrings write `code` as people do
napoleon_custom_sections = ["Source"]
autodoc_mock_imports = ["torch", "pandas", "pytest"]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "separated"
nitpicky = True
nitpick_ignore_regex = [
    # Types of other libraries, whose documentation a build without the network cannot ask.
    (r"py:.*", r"(torch|nn|pd|pandas|pytest|collections|pathlib|typing)\..*"),
    (r"py:.*", r"(Any|Callable|Mapping|Sequence|Iterable|Path|Inputs|Loss|Extent|Shape)"),
    (r"py:.*", r"\w+\[.*"),  # tuple[Any, ...] of an attribute
]

NETS = ("vgg-f", "vgg-m", "vgg-s", "vgg-a", "vgg-a-lrn", "vgg-b", "vgg-c", "vgg-d", "vgg-e")
SAVED = [str(DOCS / "saved" / f"{name}.json") for name in NETS]
LIVE = {
    "vgg-family.html": ("compare", *SAVED, "--baseline", "vgg-d", "--format", "html"),
    "vgg16.html": ("report", "--from", SAVED[NETS.index("vgg-d")], "--format", "html"),
}
"""Pages that vggcost itself makes, beside those of Sphinx."""


def write_live(app: Sphinx, exception: Exception | None) -> None:
    """Let vggcost write its own pages, from the saved tables."""
    if exception is not None or app.builder.format != "html":
        return
    from vggcost.cli.main import cli

    for name, words in LIVE.items():
        target = Path(app.outdir) / "live" / name
        target.parent.mkdir(exist_ok=True)
        cli.main([*words, "-o", str(target)], standalone_mode=False)


def without_outside(app: Sphinx, name: str, source: list[str]) -> None:
    """Write links to files of the repository as text: the pages are read on GitHub too, where they lead somewhere."""
    source[0] = re.sub(r"\[([^\]]*)\]\(\.\./[^)]*\)", r"\1", source[0])


def setup(app: Sphinx) -> None:
    """Sphinx calls this."""
    app.connect("source-read", without_outside)
    app.connect("build-finished", write_live)
