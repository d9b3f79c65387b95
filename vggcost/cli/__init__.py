"""The command line; thin. Each command imports what it needs when it runs."""

from vggcost.cli.main import main, program

__all__ = ["main", "program"]
