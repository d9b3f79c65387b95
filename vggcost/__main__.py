"""`python -m vggcost` is `vggcost`."""

from vggcost.cli import main

if __name__ == "__main__":
    main()
