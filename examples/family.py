"""The VGG family compared from Python: python examples/family.py [page.html]

Prints the comparison as a table; with an argument, writes the page as well.
"""

import sys
from pathlib import Path

import vggcost
from vggcost.report.compare_text import render_comparison
from vggcost.report.comparison import compare
from vggcost.zoo import FAMILIES


def main() -> None:
    tables = [vggcost.analyze(name, saved=True) for name in FAMILIES["vgg"]]
    comparison = compare(tables, ["params", "macs", "activation_bytes", "top5_error"], sort="-macs", baseline="vgg-f")
    print(render_comparison(comparison, "table"), end="")
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(render_comparison(comparison, "html"), encoding="utf-8")


if __name__ == "__main__":
    main()
