"""`python -m vggcost` is `vggcost`."""

from vggcost.cli import program

if __name__ == "__main__":
    program()
