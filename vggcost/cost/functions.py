"""Prices of whole calls of torch's public functions, for conventions that count functions rather than ops.

A counter that reads a traced graph, as fvcore does, sees `matmul`, `einsum` or attention as one node and
knows nothing of the ops inside. Its figures can only be told from the function that was called.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from math import floor, prod

from vggcost.cost.macs import macs_of
from vggcost.cost.ops import PRICES, group_of, layer_priced, priced
from vggcost.records import FORWARD, Convention, FunctionRecord, ModuleRecord, OpRecord

__all__ = ["FUNCTION_PRICES", "NOTHING", "PRODUCTS", "flops_of", "function_of", "row_flops", "rule_of"]

NOTHING = "nothing"
Rule = Callable[[FunctionRecord, list[OpRecord], Convention], int]


def _op_flops(op: OpRecord, convention: Convention) -> int:
    return convention.flops_per_mac * macs_of(op) + priced(op, convention)


def _by_ops(function: FunctionRecord, ops: list[OpRecord], convention: Convention) -> int:
    return sum(_op_flops(op, convention) for op in ops)


def _products(function: FunctionRecord, ops: list[OpRecord], convention: Convention) -> int:
    """What fvcore sees of attention's own code: linear layers and bmm, but not baddbmm."""
    return _by_ops(function, [op for op in ops if op.op in ("aten.mm", "aten.addmm", "aten.bmm")], convention)


def _registered(function: FunctionRecord, ops: list[OpRecord], convention: Convention) -> int:
    """What torch's FlopCounterMode has a formula for on the CPU: products of matrices and convolutions."""
    return convention.flops_per_mac * sum(macs_of(op) for op in ops if op.op in _REGISTERED)


_REGISTERED = {f"aten.{name}" for name in ("mm", "addmm", "bmm", "baddbmm", "convolution", "_convolution")}


def _matmul(function: FunctionRecord, ops: list[OpRecord], convention: Convention) -> int:
    """All elements of the first operand times the last size of the second; fvcore does not see broadcasting."""
    first, second = function.input_shapes[:2]
    return convention.flops_per_mac * prod(first) * (second[-1] if len(second) > 1 else 1)


def _conv(function: FunctionRecord, ops: list[OpRecord], convention: Convention) -> int:
    """Nothing where the padding is a word, as `same`: that is another node, which fvcore does not know."""
    return 0 if function.words else _by_ops(function, ops, convention)


def _einsum(function: FunctionRecord, ops: list[OpRecord], convention: Convention) -> int:
    """Half of the FLOPs that NumPy states for the best order of contraction, in the four digits that it prints.

    Products of batches of matrices in the two usual forms are counted exactly.

    Source: fvcore, nn/jit_handles.py, einsum_flop_jit.
    """
    if not function.words:
        return _by_ops(function, ops, convention)
    letters: dict[str, str] = {}
    text = function.words[0].replace(" ", "")
    equation = "".join(letters.setdefault(c, chr(97 + len(letters))) if c.isalpha() else c for c in text)
    shapes = function.input_shapes
    if equation == "abc,abd->acd":
        return prod(shapes[0]) * shapes[-1][-1]
    if equation == "abc,adc->adb":
        return prod(shapes[0]) * shapes[-1][1]
    import numpy as np

    operands = [np.broadcast_to(np.zeros(()), shape) for shape in shapes]
    report = str(np.einsum_path(equation, *operands, optimize="optimal")[1])
    (line,) = [line for line in report.splitlines() if "optimized flop" in line.lower()]
    return floor(float(line.rpartition(":")[2]) / 2)


def _instance_norm(function: FunctionRecord, ops: list[OpRecord], convention: Convention) -> int:
    return sum(PRICES["affine five"][0](op) for op in ops if group_of(op) == "batch_norm")


def _images(function: FunctionRecord, ops: list[OpRecord], convention: Convention) -> int:
    """Op by op for a batch of images, nothing for sequences and volumes."""
    return _by_ops(function, ops, convention) if len(function.input_shapes[0]) == 4 else 0


FUNCTION_PRICES: Mapping[str, tuple[Rule, str]] = {
    NOTHING: (lambda function, ops, convention: 0, "0"),
    "ops": (_by_ops, "op by op"),
    "products": (_products, "the linear layers and batched matrix products inside"),
    "flop registry": (_registered, "the ops that torch.utils.flop_counter has a formula for"),
    "fvcore matmul": (_matmul, "elements of the first operand times columns of the second"),
    "fvcore conv": (_conv, "op by op, 0 with padding 'same' or 'valid'"),
    "fvcore einsum": (_einsum, "half of NumPy's optimized FLOP count, to four digits"),
    "instance norm": (_instance_norm, "5 per element, 4 without scale"),
    "images": (_images, "op by op for a batch of images"),
}


PRODUCTS = dict.fromkeys(
    """
    linear matmul mm bmm addmm baddbmm addbmm mv addmv dot vdot addr einsum tensordot inner bilinear linalg_matmul
    linalg_multi_dot chain_matmul cdist conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d
    convolution scaled_dot_product_attention multi_head_attention_forward lstm gru rnn_tanh rnn_relu lstm_cell gru_cell
    rnn_tanh_cell rnn_relu_cell
    """.split()
)
"""Functions of torch that multiply and accumulate, which a convention of one's own may leave out."""


def function_of(op: OpRecord, functions: tuple[FunctionRecord, ...]) -> FunctionRecord:
    """Return the function that an op ran in; an op that was called itself is its own."""
    if op.function >= 0:
        return functions[op.function]
    return FunctionRecord(op.op.rpartition(".")[2].rstrip("_"), op.input_shapes)


def rule_of(name: str, convention: Convention) -> str | None:
    """Return the rule by which a convention prices calls of a function; None: op by op."""
    prices = dict(convention.function_prices)
    return prices.get(name, prices.get("*"))


def flops_of(ops: Iterable[OpRecord], functions: tuple[FunctionRecord, ...], convention: Convention) -> tuple[int, int]:
    """Return the FLOPs of a row's ops under a convention, forward and otherwise.

    A rule for a function prices its forward pass; the backward pass goes op by op, except that of a function
    that counts nothing.
    """
    forward = other = 0
    calls: dict[int, list[OpRecord]] = defaultdict(list)
    for number, op in enumerate(ops):
        rule = rule_of(function_of(op, functions).name, convention) if convention.function_prices else None
        if op.phase not in FORWARD:
            other += 0 if rule == NOTHING else _op_flops(op, convention)
        elif rule is None:
            forward += _op_flops(op, convention)
        else:
            calls[op.function if op.function >= 0 else -1 - number].append(op)
    for called in calls.values():
        function = function_of(called[0], functions)
        rule = rule_of(function.name, convention)
        assert rule is not None
        forward += FUNCTION_PRICES[rule][0](function, called, convention)
    return forward, other


def row_flops(
    module: ModuleRecord, ops: Iterable[OpRecord], functions: tuple[FunctionRecord, ...], convention: Convention
) -> tuple[int, int]:
    """Return the FLOPs of a call of a layer, forward and otherwise: by the rule of its kind, or by its ops."""
    price = layer_priced(module, convention)
    return (price, 0) if price is not None else flops_of(ops, functions, convention)
