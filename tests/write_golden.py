"""Write anew what the tests compare outside tests/golden: python -m tests.write_golden (part of `make golden`)."""

from __future__ import annotations

import re

from tests.conftest import ROOT
from vggcost import analyze
from vggcost.claims import check, ledger
from vggcost.report.bars import bars
from vggcost.report.claims import render_claims
from vggcost.report.compare_text import render_comparison
from vggcost.report.comparison import compare
from vggcost.zoo import FAMILIES

CLAIMS = """# Published claims, recomputed

Statements about the VGG family and its neighbours as their sources print them, each recomputed by
`vggcost claims`. The verdict comes from the computation: *exact* (equal, or right in four or more printed
digits), *rounds* (right in the two or three digits printed), *matches* (right if read in the way the note
names), *wrong* (no reading gives it). `make golden` writes this page anew, and a test compares it.

"""
BEGIN, END = "<!-- vggcost compare --family vgg --format markdown -->\n", "<!-- end -->"


def family_table() -> str:
    """The comparison that the README shows."""
    return render_comparison(compare([analyze(name, saved=True) for name in FAMILIES["vgg"]]), "markdown")


def main() -> None:
    docs = ROOT / "docs"
    (docs / "vgg16.svg").write_text(bars(analyze("vgg16")) + "\n", encoding="utf-8")
    (docs / "claims.md").write_text(CLAIMS + render_claims(check(ledger(), analyze), "markdown"), encoding="utf-8")
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    parts = re.split(f"({re.escape(BEGIN)}|{re.escape(END)})", text)
    place = parts.index(BEGIN) + 1
    parts[place] = family_table()
    readme.write_text("".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
