"""How oneDNN splits the gradient of weights among threads; each share of the batch has weights of its own.

Source: oneDNN v3.12, src/cpu/x64, `balance` of jit_avx512_common_conv_kernel.cpp and
jit_avx512_common_1x1_conv_kernel.cpp.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod

from vggcost.trace.scratch.geometry import Geometry

__all__ = ["best_divider", "split_pointwise", "split_weights"]

_SIMD = 16
_Shares = tuple[int, int, int]


def _shares(threads: int, work: int, outputs: int, inputs: int) -> Iterator[_Shares]:
    for batch in range(1, min(threads, work) + 1):
        rest = threads // batch
        for rows in range(1, min(rest, outputs) + 1):
            yield batch, rows, min(rest // rows, inputs)


def _cheapest(shares: list[_Shares], cost: Callable[[_Shares], int]) -> _Shares:
    """The last of the cheapest."""
    return min(reversed(shares), key=cost)


def _up(value: int, parts: int) -> int:
    return -(-value // parts)


def split_weights(g: Geometry, first: bool) -> tuple[int, int]:
    """Return among how many threads a direct kernel splits the batch, and how many it uses."""
    if g.groups > g.threads:
        return 1, g.threads
    threads = g.threads // g.groups
    inputs, outputs = g.inputs // g.groups, g.outputs // g.groups
    rows, columns = _up(outputs, _SIMD), 1 if first else _up(inputs, _SIMD)
    wide = inputs if first else _SIMD
    depth = len(g.kernel) == 3
    by_rows = not (depth or g.channels_last) and g.dilation[0] == 1 and g.target[-2] > 9
    split_in, split_out = (g.source[-2], g.target[-2]) if by_rows else (1, 1)
    left_in, left_out = prod(g.source) // split_in, prod(g.target) // split_out

    def cost(share: _Shares) -> int:
        batch, oc, ic = share
        weights = _up(rows, oc) * _up(columns, ic)
        return (
            _up(g.batch * split_in, batch) * _up(columns, ic) * wide * left_in // prod(g.stride)
            + _up(g.batch * split_out, batch) * _up(rows, oc) * _SIMD * left_out
            + 8 * weights * prod(g.kernel) * wide * _SIMD
        )

    def work(share: _Shares) -> int:
        batch, oc, ic = share
        return _up(g.batch * split_out, batch) * _up(rows, oc) * _up(columns, ic)

    most = g.batch * (g.target[0] if depth else 1) * max(1, split_out // 9)
    shares = list(_shares(threads, most, rows, columns))
    best = _cheapest(shares, cost)
    least, least_work = cost(best), work(best)
    for share in shares:
        if (work(share) <= least_work and cost(share) < 1.1 * least) or 4 * work(share) <= 3 * least_work:
            best, least_work = share, work(share)
    if g.threads // 2 < best[0] < g.threads:
        best = min(most, g.threads), *best[1:]
    return best[0], prod(best) * g.groups


def split_pointwise(g: Geometry) -> tuple[int, int]:
    """Return among how many threads a 1x1 kernel splits the batch, and how many it uses."""
    rows, columns = _up(g.outputs, _SIMD), _up(g.inputs, _SIMD)
    places = prod(g.target)
    block = best_divider(places, 7, 16, largest=True)
    if places % block:
        block = best_divider(g.target[-1], 4, g.target[-1], largest=False)
    block = 1 if block > 256 else block
    blocks = g.batch * _up(places, block)

    def cost(share: _Shares) -> int:
        batch, oc, ic = share
        work = _up(blocks, batch) * block * _SIMD
        weights = _up(rows, oc) * _up(columns, ic) * _SIMD * _SIMD
        return work * _up(columns, ic) + work * _up(rows, oc) + 12 * weights

    best = _cheapest(list(_shares(g.threads, blocks, rows, columns)), cost)
    return best[0], prod(best)


def best_divider(value: int, least: int, most: int, largest: bool) -> int:
    """The block between two sizes that leaves the smallest part of its last one empty."""
    most = max(1, min(most, value))
    least = max(1, min(least, most))
    sizes = range(most, least - 1, -1) if largest else range(least, most + 1)
    return min(sizes, key=lambda size: (_up(value, size) * size - value) / (_up(value, size) * size))
