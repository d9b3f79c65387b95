"""What CUDA's caching allocator would report for the same timeline of tensors.

Blocks are rounded to 512 bytes. Requests of at most 1 MiB are cut from segments of 2 MiB, requests
below 10 MiB from segments of 20 MiB, larger ones get a segment of their own, rounded to 2 MiB. A free
block is taken by best fit and split if enough is left over; neighbours merge when both are free, and
segments stay reserved.

Source: pytorch/c10/cuda/CUDACachingAllocator.cpp: kMinBlockSize, kSmallSize, kSmallBuffer,
kLargeBuffer, kMinLargeAlloc, kRoundLarge, get_allocation_size, should_split, get_free_block.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field

from vggcost.cost.memory import events
from vggcost.records import Trace
from vggcost.units import exact

__all__ = ["ASSUMPTIONS", "CONTEXT", "Allocator", "AllocatorPeak", "context_text", "simulate"]

MIB = 2**20
MIN_BLOCK, SMALL, SMALL_SEGMENT = 512, MIB, 2 * MIB
LARGE_SEGMENT, MIN_LARGE, ROUND_LARGE = 20 * MIB, 10 * MIB, 2 * MIB
CONTEXT = 426 * MIB
"""What the CUDA context takes on the device, with the kernels that are loaded at its start: the driver's own.

Measured as what nvidia-smi shows of a process in which torch has reserved nothing, on an RTX 6000 Ada with torch
2.10.0+cu130. Other measurements: about 300 and 400 MB with torch 2.0 (CUDA 11.8), 616 MiB on a data-centre GPU.

Source: github.com/unslothai/unsloth-zoo/pull/1053; pytorch/pytorch issues 107667 and 109888, LMCache/LMCache issue 4019.
"""
_MEASURED = "as measured on an RTX 6000 Ada with torch 2.10 and CUDA 13, unsloth-zoo pull request 1053; 300 to 620 MiB elsewhere"
ASSUMPTIONS = (
    "not in the allocator's figures: the CUDA context and the kernels loaded with it",
    "not in these figures: workspaces of cuDNN and cuBLAS (chosen at run time, by device)",
    "default settings of the allocator: no max_split_size, no expandable segments, one stream",
)


def context_text(nbytes: int) -> str:
    """Say what the CUDA context is taken to be, and who says so.

    Example:
        >>> context_text(0)
        '0 bytes of context, as given'
    """
    return f"{exact(nbytes)} bytes of context, {_MEASURED if nbytes == CONTEXT else 'as given'}"


@dataclass(frozen=True, slots=True)
class AllocatorPeak:
    """The most bytes handed out and the most bytes reserved; `least` is with how few reserved the step still runs."""

    allocated: int
    reserved: int
    least: int


@dataclass(slots=True, eq=False)
class _Block:
    size: int
    small: bool
    free: bool = False
    before: _Block | None = None
    after: _Block | None = None


@dataclass
class Allocator:
    """The allocator's state: give it sizes, take figures.

    Example:
        >>> allocator = Allocator()
        >>> block = allocator.allocate(3 * 2**20)
        >>> allocator.allocated, allocator.reserved
        (3145728, 20971520)
    """

    allocated: int = 0
    reserved: int = 0
    limit: int | None = None
    _free: dict[bool, list[tuple[int, int, _Block]]] = field(default_factory=lambda: {True: [], False: []})
    _serial: int = 0

    def allocate(self, nbytes: int) -> _Block:
        """Hand out a block."""
        size = max(MIN_BLOCK, -(-nbytes // MIN_BLOCK) * MIN_BLOCK)
        small = size <= SMALL
        pool = self._free[small]
        place = bisect_left(pool, (size, -1))
        block = pool.pop(place)[2] if place < len(pool) else self._segment(size, small)
        block.free = False
        rest = block.size - size
        if rest >= MIN_BLOCK if small else rest > SMALL:
            other = _Block(rest, small, before=block, after=block.after)
            if block.after is not None:
                block.after.before = other
            block.after, block.size = other, size
            self._release(other)
        self.allocated += block.size
        return block

    def free(self, block: _Block) -> None:
        """Take a block back and merge it with free neighbours."""
        self.allocated -= block.size
        for other in (block.before, block.after):
            if other is not None and other.free:
                self._withdraw(other)
                first, second = (other, block) if other is block.before else (block, other)
                first.size += second.size
                first.after = second.after
                if second.after is not None:
                    second.after.before = first
                block = first
        self._release(block)

    def _segment(self, size: int, small: bool) -> _Block:
        large = LARGE_SEGMENT if size < MIN_LARGE else -(-size // ROUND_LARGE) * ROUND_LARGE
        whole = SMALL_SEGMENT if small else large
        if self.limit is not None and self.reserved + whole > self.limit:
            self._give_back()
            if self.reserved + whole > self.limit:
                raise MemoryError(f"{self.limit} bytes are too few")
        self.reserved += whole
        return _Block(whole, small)

    def _give_back(self) -> None:
        """Return the segments that are free as a whole, as torch does before it fails."""
        for small, pool in self._free.items():
            kept = [item for item in pool if item[2].before is not None or item[2].after is not None]
            self.reserved -= sum(size for size, _, _ in pool) - sum(size for size, _, _ in kept)
            self._free[small] = kept

    def _release(self, block: _Block) -> None:
        block.free = True
        self._serial += 1
        insort(self._free[block.small], (block.size, self._serial, block), key=lambda item: item[:2])

    def _withdraw(self, block: _Block) -> None:
        pool = self._free[block.small]
        place = bisect_left(pool, (block.size, -1))
        while pool[place][2] is not block:
            place += 1
        pool.pop(place)


def simulate(trace: Trace) -> AllocatorPeak:
    """Run the allocations and frees of a trace through the allocator."""
    allocated, reserved = _most(trace)
    fails, least = allocated - 1, reserved
    while least - fails > ROUND_LARGE:
        limit = (fails + least) // 2
        fails, least = (fails, limit) if _runs(trace, limit) else (limit, least)
    return AllocatorPeak(allocated, reserved, least)


def _runs(trace: Trace, limit: int) -> bool:
    try:
        _most(trace, limit)
    except MemoryError:
        return False
    return True


def _most(trace: Trace, limit: int | None = None) -> tuple[int, int]:
    """Return the most bytes handed out and reserved.

    Raises:
        MemoryError: more than the limit had to be reserved at a time.
    """
    allocator = Allocator(limit=limit)
    blocks: dict[int, _Block] = {}
    allocated = reserved = 0
    for _, change, position in events(trace):
        nbytes = trace.storages[position].nbytes
        if not nbytes or trace.storages[position].role == "scratch":  # of the CPU's library
            continue
        if change > 0:
            blocks[position] = allocator.allocate(nbytes)
            allocated, reserved = max(allocated, allocator.allocated), max(reserved, allocator.reserved)
        else:
            allocator.free(blocks.pop(position))
    return allocated, reserved
