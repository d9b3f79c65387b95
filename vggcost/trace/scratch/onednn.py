"""Memory inside oneDNN's convolutions: copies in the layouts of its kernels, and their scratchpads.

torch hands oneDNN plain tensors. The kernel that oneDNN picks wants channels in blocks of 16 or last, so
the source, the weights and the gradients are copied there and back; what a kernel books besides is its
scratchpad. Which kernel runs follows from the shapes, and from the CPU: here one with AVX-512 and
a given number of threads, in float32.

Source: oneDNN v3.12, src/cpu/cpu_convolution_list.cpp (the order in which kernels are tried), and the
`init_conf` and `init_scratchpad` of src/cpu/x64/jit_avx512_common_conv_kernel.cpp,
jit_avx512_common_1x1_conv_kernel.cpp, jit_uni_dw_conv_kernel_utils.cpp, jit_brdgmm_dw_conv.cpp,
jit_brgemm_conv_bwd_utils.cpp, src/cpu/gemm_convolution_utils.cpp, src/cpu/ref_deconvolution.hpp.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from vggcost.trace.scratch.geometry import Geometry, rounded
from vggcost.trace.scratch.threads import best_divider, split_pointwise, split_weights

__all__ = [
    "PAGE",
    "SIMD",
    "Kernel",
    "booked",
    "column_elements",
    "data_kernel",
    "fits_direct",
    "forward_kernel",
    "strided_sizes",
    "summed",
    "summed_bias",
    "weight_kernel",
]

PAGE = 4096
_ALIGNED = 128  # what each array of a scratchpad is aligned to, unless to a page
_BARRIER = 2 * PAGE
SIMD = 16
_CACHE = 2**19  # floats in the second cache of a core, 2 MiB
_BATCH_ELEMENT = 40  # bytes of brgemm_batch_element_t


@dataclass(frozen=True, slots=True)
class Kernel:
    """What a kernel works on: bytes of its own copies, its scratchpad, and whether its channels are last."""

    name: str
    source: int
    weight: int
    target: int
    spare: int = 0
    source_plain: bool = False
    plain: bool = False
    last: bool = False


def _data(g: Geometry, channels: int, size: tuple[int, ...]) -> int:
    return g.itemsize * g.batch * channels * prod(size)


def booked(nbytes: int, aligned: int = _ALIGNED) -> int:
    """Bytes that an array takes in a scratchpad, with what aligns it."""
    return nbytes + aligned if nbytes else 0


def _blocked(g: Geometry, name: str, block: int, spare: int = 0, first: bool = False) -> Kernel:
    """Channels in blocks; `first` reads the source as it is, with its few channels."""
    inputs, outputs = g.inputs // g.groups, g.outputs // g.groups
    rows, columns = rounded(outputs, block), inputs if first else rounded(inputs, block)
    return Kernel(
        name,
        _data(g, g.groups * columns, g.source),
        g.itemsize * g.groups * rows * columns * prod(g.kernel),
        _data(g, g.groups * rows, g.target),
        spare,
        source_plain=first,
    )


def _depthwise(g: Geometry, spare: int = 0) -> Kernel:
    """Groups of one channel in blocks of 16."""
    channels = rounded(g.groups, SIMD)
    return Kernel(
        "depthwise",
        _data(g, channels, g.source),
        g.itemsize * channels * prod(g.kernel),
        _data(g, channels, g.target),
        spare,
    )


def _last(g: Geometry, name: str, weight: int, spare: int) -> Kernel:
    return Kernel(name, g.source_bytes, weight, g.target_bytes, spare, last=True)


def _gemm(g: Geometry, spare: int) -> Kernel:
    """Plain tensors as they are, and a matrix of columns."""
    return Kernel("gemm", g.source_bytes, g.weight_bytes, g.target_bytes, spare, source_plain=True, plain=True)


def column_elements(g: Geometry) -> int:
    """Elements of a group's columns for one image (and one frame)."""
    if g.source == g.target and not g.strided and prod(g.kernel) == 1:
        return 0
    return g.inputs // g.groups * prod(g.kernel) * prod(g.target[-2:])


def _outside(g: Geometry) -> bool:
    """Whether some place of the kernel lies wholly in the padding, which most kernels do not take."""
    ends = (*g.padding, *g.end_padding)
    return any(extent <= pad for extent, pad in zip(g.extent * 2, ends, strict=True))


def _flat(g: Geometry) -> bool:
    """Whether it is the matrix product of a linear layer: the kernel is as large as the image."""
    once = prod(g.target) == g.groups == 1 and not g.strided and not g.dilated
    return once and g.source == g.kernel and g.batch > 1 and prod(g.kernel) > 27


def _unrolls(g: Geometry, most: int) -> bool:
    """Whether the padding of a row fits into the places that are computed together."""
    together = min(g.target[-1], most)
    full = g.target[-1] - g.target[-1] % together
    end = (full - 1) * g.stride[-1] + g.extent[-1] - g.source[-1] - g.padding[-1]
    return g.padding[-1] <= together and end <= together


def _overflows(g: Geometry) -> int:
    """How many places of a row the kernel reaches beyond the ends, at most; over 28 is too many."""
    reach, step, row = g.extent[-1] - 1, g.stride[-1], g.source[-1]
    most = max(max(0, reach - pad) // step * step for pad in (g.padding[-1], max(0, g.end_padding[-1])))
    return most if most <= row else 29


def _simd(g: Geometry) -> int:
    """Block of a direct kernel: 16 without groups, else what divides the channels of a group."""
    inputs, outputs = g.inputs // g.groups, g.outputs // g.groups
    if g.groups == 1:
        return SIMD
    return next((block for block in (16, 8, 4) if inputs % block == outputs % block == 0), 0)


def _padded_bias(g: Geometry, block: int = SIMD) -> int:
    outputs = g.outputs if g.depthwise else g.outputs // g.groups
    return booked(g.itemsize * rounded(g.outputs, block)) if g.bias and not g.transposed and outputs % block else 0


def summed(shares: int, nbytes: int) -> int:
    """Sums of all shares of the batch but one, and where the threads wait for each other."""
    return booked((shares - 1) * nbytes) + _BARRIER if shares > 1 else 0


def summed_bias(g: Geometry, block: int, threads: int) -> int:
    """The same for the bias of a kernel whose threads have no other way to share it."""
    if not g.bias or g.groups > 1 or g.outputs > block or g.batch == 1 or threads == 1:
        return 0
    return booked(g.itemsize * block * (min(threads, g.batch) - 1), PAGE) + _BARRIER


def _reduced(g: Geometry) -> bool:
    """Whether a strided 1x1 kernel first gathers the elements it reads."""
    exact = all(t * s == n for t, s, n in zip(g.target, g.stride, g.source, strict=True))
    return g.pointwise and g.strided and exact and len(g.kernel) == 2 and g.groups == 1


def _gathered(g: Geometry, blocks: int) -> int:
    return booked(g.itemsize * g.threads * blocks * SIMD * prod(g.target)) if g.strided else 0


def forward_kernel(g: Geometry) -> Kernel:
    """Pick the kernel of a forward pass that keeps its input for the backward pass."""
    if g.depthwise:
        if len(g.kernel) == 3 and not g.dilated:
            weight = g.itemsize * rounded(g.groups, SIMD) * prod(g.kernel)
            return _last(g, "depthwise, channels last", weight, 0)
        if len(g.kernel) == 2 and not _outside(g) and _unrolls(g, 6):
            return _depthwise(g, _padded_bias(g))
    if g.groups == 1 and g.pointwise and (_reduced(g) or not g.strided):
        return _blocked(g, "1x1", SIMD, _padded_bias(g) + _gathered(g, -(-g.inputs // SIMD)))
    if _flat(g):
        return _last(g, "product", g.weight_bytes, 0)
    if not _outside(g) and _simd(g) and _unrolls(g, 28):
        return _blocked(g, "direct", _simd(g), _padded_bias(g), first=g.groups == 1 and g.inputs < SIMD)
    return _gemm(g, booked(g.itemsize * __forward_columns(g)))


def __forward_columns(g: Geometry) -> int:
    """Elements of the columns of a forward pass: each thread has some of the places, as many as fit its cache."""
    places = prod(g.target[-2:])
    many = places < g.batch * g.groups or g.batch * g.groups * places >= g.threads * SIMD
    if len(g.kernel) == 2 and many:
        parts = -(-column_elements(g) // _CACHE)
        return g.threads * -(-column_elements(g) // parts) if parts else 0
    several = g.batch > 1 or g.groups > 2 or (len(g.kernel) == 3 and g.target[0] > 1)
    return (g.threads if several and places // g.threads < 512 else 1) * column_elements(g)


def data_kernel(g: Geometry) -> Kernel:
    """Pick the kernel of the gradient of the source; a transposed convolution adds its bias to a copy of that."""
    kernel = _data_kernel(g)
    even = all(n % s == 0 for n, s in zip(g.source, g.stride, strict=True))
    if not (g.transposed and g.bias) or (kernel.name == "strided" and even):
        return kernel
    return replace(kernel, spare=kernel.spare + booked(kernel.source))


def _data_kernel(g: Geometry) -> Kernel:
    if _flat(g):
        return _last(g, "product", g.weight_bytes, 0)
    strided = g.strided and not g.dilated
    if strided and (g.groups == 1 or g.outputs // g.groups > SIMD):
        return _last(g, "strided", *strided_sizes(g, SIMD))
    if g.depthwise and len(g.kernel) == 2 and not g.dilated:
        return _depthwise(g)
    if g.groups == 1 and g.pointwise and not g.strided:
        return _blocked(g, "1x1", SIMD)
    whole = g.source[-1] <= 28 or 28 % g.stride[-1] == 0
    if not _outside(g) and _simd(g) and not (g.dilated and g.strided) and _overflows(g) <= 28 and whole:
        return _blocked(g, "direct", _simd(g))
    if strided and g.outputs // g.groups > 8:
        return _last(g, "strided", *strided_sizes(g, 8))
    several = g.batch != 1 or g.groups > 2
    small = prod(g.target[-2:]) // g.threads < 512 or prod(g.kernel[-2:]) < 64
    return _gemm(g, booked(g.itemsize * (g.threads if several and small else 1) * column_elements(g)))


def strided_sizes(g: Geometry, simd: int) -> tuple[int, int]:
    """Bytes of the weights and of the scratchpad of the strided gradient: each thread copies the whole target."""
    inputs = g.inputs // g.groups
    wide = rounded(inputs, simd)
    block = simd
    for blocks in (4, 3, 2):
        size = blocks * simd
        if (
            (blocks == 4 and wide % size == 0 and wide < 192)
            or (blocks == 3 and wide % size == 0 and wide <= 384 and prod(g.target) > 81 * prod(g.stride))
            or (blocks == 2 and inputs > simd)
        ):
            block = size
        if block > simd:
            break
    weight = g.itemsize * g.outputs * rounded(inputs, block) * prod(g.kernel)
    padded = [
        t + max(0, e - 1 - p) // s + max(0, e - 1 - q) // s
        for t, e, p, q, s in zip(g.target, g.extent, g.padding, g.end_padding, g.stride, strict=True)
    ]
    elements = -(-rounded(_BATCH_ELEMENT * prod(g.kernel), PAGE) // _BATCH_ELEMENT)
    spare = booked(g.threads * elements * _BATCH_ELEMENT, PAGE)
    spare += booked(g.itemsize * g.threads * rounded(prod(padded) * g.outputs, PAGE), PAGE)
    spare += booked(g.threads * PAGE, PAGE)
    if g.source[-1] % g.stride[-1]:
        row = rounded(g.source[-1], g.stride[-1]) * g.stride[-1] * g.inputs
        spare += booked(g.itemsize * g.threads * rounded(row, PAGE), PAGE)
    return weight, spare


def weight_kernel(g: Geometry) -> Kernel:
    """Pick the kernel of the gradients of the weights and the bias."""
    inputs, outputs = g.inputs // g.groups, g.outputs // g.groups
    if g.depthwise and len(g.kernel) == 2 and not g.dilated and g.kernel[-1] <= 3 and _fits_depthwise(g):
        channels = rounded(g.groups, SIMD)
        over = min(max(1, g.threads // min(channels // SIMD, g.threads)), g.batch) - 1
        bias = g.bias and not g.transposed
        spare = booked(g.itemsize * over * channels * prod(g.kernel)) + booked(g.itemsize * over * channels * bias)
        return _depthwise(g, spare)
    if _flat(g):
        return _last(g, "product", g.weight_bytes, 0)
    padded = replace(g, bias=g.bias and not g.transposed)
    if g.groups == 1 and g.pointwise and (_reduced(g) or not g.strided):
        shares, threads = split_pointwise(g)
        weight = g.itemsize * rounded(inputs, SIMD) * rounded(outputs, SIMD)
        spare = _padded_bias(padded) + summed(shares, weight) + summed_bias(padded, SIMD, threads)
        blocks = -(-inputs // SIMD)
        return _blocked(g, "1x1", SIMD, spare + _gathered(g, best_divider(blocks, 5, blocks, largest=False)))
    if fits_direct(g) and (g.groups == 1 or inputs % SIMD == outputs % SIMD == 0):
        first = g.groups == 1 and inputs < SIMD
        if not first or inputs <= 3:
            kernel = _blocked(g, "direct", SIMD, _padded_bias(padded), first=first)
            shares, threads = split_weights(g, first)
            spare = summed(shares, kernel.weight + g.itemsize * g.groups * rounded(outputs, SIMD))
            return replace(kernel, spare=kernel.spare + spare + summed_bias(padded, SIMD, threads))
    if _fits_narrow(g) and (g.groups == 1 or inputs % 8 == outputs % 8 == 0):
        spare = _padded_bias(padded, 8) + summed_bias(padded, 8, g.threads)
        if g.groups == 1 and max(inputs, outputs) <= 8 and g.batch > 1 and g.threads > 1:
            spare += booked(g.itemsize * 64 * prod(g.kernel), PAGE) + _BARRIER
        return _blocked(g, "direct, 8 wide", 8, spare, first=inputs == 3)
    threads = g.threads if (g.batch != 1 or g.groups > 2) and prod(g.target[-2:]) // g.threads < 256 else 1
    return _gemm(g, booked(g.itemsize * threads * g.weight_bytes) + booked(g.itemsize * threads * column_elements(g)))


def fits_direct(g: Geometry) -> bool:
    """Whether the direct kernel for weights takes these paddings and dilations."""
    ends = tuple(max(0, end) for end in g.end_padding)
    high = all(pad[-2] <= g.extent[-2] // 2 for pad in (g.padding, ends))
    wide = all(pad[-1] < g.extent[-1] and pad[-1] <= 28 for pad in (g.padding, ends))
    steps = all(d == 1 or s == 1 for d, s in zip(g.dilation[:-1], g.stride[:-1], strict=True))
    deep = True
    if len(g.kernel) == 3:
        pad, end = g.padding[0], ends[0]
        deep = g.dilation[0] == 1 and max(pad, end) < g.extent[0] and (pad == 0 or g.kernel[0] < g.source[0] + pad)
    dilated = g.dilation[-2] == 1 or g.extent[-2] <= g.source[-2]
    return high and wide and steps and deep and dilated and g.kernel[-1] <= 14


def _fits_narrow(g: Geometry) -> bool:
    ends = tuple(max(0, end) for end in g.end_padding)
    inside = all(pad < e for pads in (g.padding, ends) for pad, e in zip(pads[-2:], g.extent[-2:], strict=True))
    deep = len(g.kernel) == 2 or (g.padding[0] == ends[0] == 0 and g.kernel[0] <= g.source[0])
    return inside and deep and not g.dilated and g.kernel[-1] < 14 and g.kernel[-2] <= g.source[-2]


def _fits_depthwise(g: Geometry) -> bool:
    ends = tuple(max(0, end) for end in g.end_padding)
    most = [k // 2 for k in g.kernel]
    inside = all(pad <= limit for pads in (g.padding, ends) for pad, limit in zip(pads, most, strict=True))
    even = all(pad <= 1 or pad % g.stride[0] == 0 for pad in (g.padding[0], ends[0]))
    tall = g.source[0] >= g.kernel[0] + -g.padding[0] % g.stride[0]
    return inside and even and tall and g.stride[-1] <= g.kernel[-1]
