"""Write anew what the tests compare outside tests/golden: python -m tests.write_golden (part of `make golden`)."""

from __future__ import annotations

from tests.conftest import ROOT, scrubbed
from vggcost import CostTable, analyze
from vggcost.errors import VggcostError
from vggcost.report.bars import bars
from vggcost.report.drawing import picture
from vggcost.zoo import family

SAVED = ROOT / "docs" / "saved"
"""The tables from which the site is made."""


def main() -> None:
    (ROOT / "docs" / "vgg16.svg").write_text(bars(analyze("vgg16")) + "\n", encoding="utf-8")
    (ROOT / "docs" / "vgg16-drawing.svg").write_bytes(picture(analyze("vgg16")))
    for name in family("vgg"):
        table, path = analyze(name, saved=True), SAVED / f"{name}.json"
        if not is_current(table, name):  # a newer torch alone is no change
            path.write_text(table.to_json(), encoding="utf-8")


def is_current(table: CostTable, name: str) -> bool:
    """Whether the saved table of a net is this one, whatever the versions."""
    try:
        saved = CostTable.from_json((SAVED / f"{name}.json").read_text(encoding="utf-8"))
    except (OSError, VggcostError):
        return False
    return scrubbed(saved) == scrubbed(table)


if __name__ == "__main__":
    main()
