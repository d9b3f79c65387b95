"""Write anew what the tests compare outside tests/golden: python -m tests.write_golden (part of `make golden`)."""

from __future__ import annotations

from tests.conftest import ROOT
from vggcost import analyze
from vggcost.report.bars import bars


def main() -> None:
    (ROOT / "docs" / "vgg16.svg").write_text(bars(analyze("vgg16")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
