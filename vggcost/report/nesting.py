"""How deep a table is folded, found without a look at each depth: models are nested thousands deep."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable

from vggcost.records import CostTable

__all__ = ["Blocks", "cut", "deepest_of", "deepest_that", "shared"]


def deepest_of(table: CostTable) -> int:
    """Return how many names the longest path of a table has."""
    return max((layer.path.count(".") + 1 for layer in table.layers), default=1)


def deepest_that(fits: Callable[[int], bool], deepest: int) -> int:
    """Return the deepest depth that fits, where each that is less deep than one that fits does too; 0: none.

    Example:
        >>> deepest_that(lambda depth: depth <= 700, 2000), deepest_that(lambda depth: False, 9)
        (700, 0)
    """
    if deepest and fits(deepest):
        return deepest
    low, high = 0, deepest
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def cut(path: str, depth: int) -> str:
    """Return the first names of a path.

    Example:
        >>> cut("a.b.c", 2), cut("a", 2)
        ('a.b', 'a')
    """
    return ".".join(path.split(".", min(depth, len(path)))[:depth])


def shared(one: str, other: str) -> int:
    """Count the names with which two paths begin alike.

    Example:
        >>> shared("a.b.c", "a.b.d"), shared("a.b", "a.bc"), shared("a", "a.b")
        (2, 1, 1)
    """
    one, other = f"{one}.", f"{other}."
    low, high = 0, min(len(one), len(other)) + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if one.startswith(other[:middle]) else (low, middle)
    return one.count(".", 0, low)


class Blocks:
    """The outermost of some paths.

    Example:
        >>> blocks = Blocks(["a.b", "a.b.c", "d"])
        >>> blocks.around("a.b.x"), blocks.around("d"), blocks.around("a.bc")
        ('a.b', 'd', '')
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths: list[str] = []
        for path in sorted(f"{path}." for path in paths):
            if not (self._paths and path.startswith(self._paths[-1])):
                self._paths.append(path)

    def around(self, path: str) -> str:
        """Return the one that a path is, or lies in; empty: none."""
        at = bisect_right(self._paths, f"{path}.")
        found = self._paths[at - 1] if at else ""
        return found[:-1] if found and f"{path}.".startswith(found) else ""
