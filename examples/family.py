"""The VGG family in one table, from the Python API: python examples/family.py"""

import pandas as pd

import vggcost

NETS = ["vgg-f", "vgg-m", "vgg-s", "vgg11", "vgg13", "vgg16", "vgg19"]


def family() -> pd.DataFrame:
    rows = {}
    for name in NETS:
        totals = vggcost.analyze(name).totals
        rows[name] = {
            "params (M)": totals.params / 1e6,
            "GMACs": totals.macs / 1e9,
            "activations (MiB)": totals.activation_bytes / 2**20,
        }
    return pd.DataFrame.from_dict(rows, orient="index").round(2)


if __name__ == "__main__":
    print(family().to_string())
