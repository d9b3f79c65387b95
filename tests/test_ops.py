"""Multiply-accumulates, op by op, against closed forms written here; nothing is unknown under `full`."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.ops import First, Of, Self, meta, run
from vggcost import VggcostError, analyze
from vggcost.cost import convention
from vggcost.cost.macs import macs_of
from vggcost.cost.ops import status_of
from vggcost.records import OpRecord
from vggcost.trace.held import inside
from vggcost.trace.recorder import Recorder

aten = torch.ops.aten
FULL = convention("full")


class Case(NamedTuple):
    name: str
    make: Callable[[], nn.Module]
    inputs: Any
    macs: int
    modes: tuple[str, ...] = ("inference", "training")


ONLY = ("inference",)


def of(name: str, macs: int, function: Callable[..., Any], *shapes: tuple[int, ...], **options: Any) -> Case:
    return Case(name, lambda: Of(function, *shapes, **options), "1", macs)


def only(name: str, macs: int, function: Callable[..., Any]) -> Case:
    """A function of tensors that have no gradient: integers and eight-bit floats."""
    return Case(name, lambda: Of(function), "1", macs, ONLY)


def convolutions() -> list[Case]:
    cases = []
    for axes in (1, 2, 3):
        size = "x".join(["8", *["9"] * axes])
        conv, transposed = getattr(nn, f"Conv{axes}d"), getattr(nn, f"ConvTranspose{axes}d")
        cases += [
            Case(f"conv{axes}", lambda c=conv: c(8, 4, 3), size, 7**axes * 4 * 3**axes * 8),
            Case(
                f"grouped{axes}",
                lambda c=conv: c(8, 4, 3, groups=4, stride=2, padding=1),
                size,
                5**axes * 4 * 3**axes * 2,
            ),
            Case(f"depthwise{axes}", lambda c=conv: c(8, 8, 3, groups=8), size, 7**axes * 8 * 3**axes),
            Case(f"dilated{axes}", lambda c=conv: c(8, 4, 3, dilation=2), size, 5**axes * 4 * 3**axes * 8),
            Case(f"same{axes}", lambda c=conv: c(8, 4, 4, padding="same"), size, 9**axes * 4 * 4**axes * 8),
            Case(
                f"circular{axes}",
                lambda c=conv: c(8, 4, 3, padding=1, padding_mode="circular"),
                size,
                9**axes * 4 * 3**axes * 8,
            ),
            Case(f"transposed{axes}", lambda c=transposed: c(8, 4, 3, stride=2), size, 9**axes * 8 * 3**axes * 4),
            Case(
                f"grouped transposed{axes}",
                lambda c=transposed: c(8, 4, 3, groups=4, dilation=2),
                size,
                9**axes * 8 * 3**axes * 1,
            ),
        ]
    cases.append(of("conv_tbc", 7 * 2 * 5 * 3 * 4, torch.conv_tbc, (9, 2, 4), (3, 4, 5), (5,)))
    return cases


def products() -> list[Case]:
    einsum = lambda equation: lambda *x: torch.einsum(equation, *x)  # noqa: E731
    return [
        Case("linear", lambda: nn.Linear(5, 7), "3x5", 3 * 5 * 7),
        of("bilinear", 2 * 5 * 3 * 4, nn.Bilinear(3, 4, 5), (2, 3), (2, 4)),
        of("1·1", 4, torch.matmul, (4,), (4,)),
        of("1·2", 4 * 5, torch.matmul, (4,), (4, 5)),
        of("2·1", 3 * 4, torch.matmul, (3, 4), (4,)),
        of("2·2", 3 * 4 * 5, torch.matmul, (3, 4), (4, 5)),
        of("3·1", 2 * 3 * 4, torch.matmul, (2, 3, 4), (4,)),
        of("1·3", 2 * 4 * 5, torch.matmul, (4,), (2, 4, 5)),
        of("3·2", 2 * 3 * 4 * 5, torch.matmul, (2, 3, 4), (4, 5)),
        of("3·3", 2 * 3 * 4 * 5, torch.matmul, (2, 3, 4), (2, 4, 5)),
        of("4·3", 2 * 6 * 3 * 4 * 5, torch.matmul, (2, 1, 3, 4), (6, 4, 5)),
        of("einsum product", 2 * 3 * 4, einsum("ij,jk->ik"), (2, 3), (3, 4)),
        of("einsum batch", 2 * 3 * 4 * 5 * 6, einsum("bhqd,bhkd->bhqk"), (2, 3, 4, 5), (2, 3, 6, 5)),
        of("einsum all", 3 * 4, einsum("ij,ij->"), (3, 4), (3, 4)),
        of("einsum three", 2 * 5 * 3 * 4 + 2 * 5 * 4, einsum("bn,anm,bm->ba"), (2, 3), (5, 3, 4), (2, 4)),
        of("einsum dots", 2 * 3 * 4 * 5, einsum("...ij,...jk->...ik"), (2, 3, 4), (2, 4, 5)),
        of("einsum outer adds nothing up", 0, einsum("i,j->ij"), (3,), (4,)),
        of("einsum diagonal", 0, einsum("ii->i"), (3, 3)),
        of("einsum sum", 0, einsum("ij->j"), (3, 4)),
        of("baddbmm", 2 * 3 * 4 * 5, torch.baddbmm, (2, 3, 5), (2, 3, 4), (2, 4, 5)),
        of("addbmm", 2 * 3 * 4 * 5, torch.addbmm, (3, 5), (2, 3, 4), (2, 4, 5)),
        of("addmm", 3 * 4 * 5, torch.addmm, (3, 5), (3, 4), (4, 5)),
        of("addmv", 3 * 4, torch.addmv, (3,), (3, 4), (4,)),
        of("addr", 3 * 4, torch.addr, (3, 4), (3,), (4,)),
        of("dot", 4, torch.dot, (4,), (4,)),
        of("vdot", 4, torch.vdot, (4,), (4,)),
        of("inner", 3 * 4 * 5, torch.inner, (3, 4), (5, 4)),
        of("outer", 0, torch.outer, (3,), (4,)),
        of("tensordot", 2 * 3 * 4 * 5, lambda a, b: torch.tensordot(a, b, dims=2), (2, 3, 4), (3, 4, 5)),
        of("kron", 0, torch.kron, (2, 3), (4, 5)),
        of("multi_dot", 2 * 3 * 4 + 2 * 4 * 5, lambda *x: torch.linalg.multi_dot(x), (2, 3), (3, 4), (4, 5)),
        of("matrix_power", 2 * 3**3, lambda a: torch.linalg.matrix_power(a, 3), (3, 3)),
        of("few distances", 0, torch.cdist, (2, 3, 4), (2, 5, 4)),
        of("many distances by a product", 2 * 30 * 50 * (4 + 2), torch.cdist, (2, 30, 4), (2, 50, 4)),
        of("pdist", 0, F.pdist, (6, 4)),
        of("cross", 0, torch.linalg.cross, (2, 3), (2, 3)),
        of("affine_grid", 2 * 4 * 5 * 2 * 3, lambda t: F.affine_grid(t, (2, 3, 4, 5), align_corners=False), (2, 2, 3)),
        Case("out=", lambda: Of(lambda: torch.mm(meta(3, 4), meta(4, 5), out=meta(3, 5))), "1", 3 * 4 * 5, ONLY),
        Case("inference_mode", lambda: Of(frozen, (3, 4), (5, 4)), "1", 3 * 4 * 5 + 3 * 5 * 3, ONLY),
    ]


def frozen(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        y = F.linear(x, weight)
        return torch.matmul(y, y.T)


HALF, BYTE, FLOAT8 = torch.bfloat16, torch.int8, torch.float8_e4m3fn


def quantised() -> list[Case]:
    parts = lambda n: meta(n, dtype=torch.int32)  # noqa: E731
    grouped = lambda x, w, **o: torch._grouped_mm(x.to(HALF), w.to(HALF), **o).float()  # noqa: E731
    return [
        only("_int_mm", 32 * 16 * 24, lambda: torch._int_mm(meta(32, 16, dtype=BYTE), meta(16, 24, dtype=BYTE))),
        only(
            "_scaled_mm",
            32 * 16 * 32,
            lambda: torch._scaled_mm(
                meta(32, 16, dtype=FLOAT8), meta(32, 16, dtype=FLOAT8).t(), meta(), meta(), out_dtype=HALF
            ),
        ),
        only(
            "_weight_int8pack_mm",
            3 * 16 * 8,
            lambda: aten._weight_int8pack_mm(meta(3, 16, dtype=HALF), meta(8, 16, dtype=BYTE), meta(8, dtype=HALF)),
        ),
        only(
            "_weight_int4pack_mm",
            3 * 128 * 16,
            lambda: aten._weight_int4pack_mm(
                meta(3, 128, dtype=HALF), meta(2, 1, 32, 4, dtype=torch.int32), 128, meta(1, 16, 2, dtype=HALF)
            ),
        ),
        only(
            "_weight_int4pack_mm_for_cpu",
            3 * 128 * 16,
            lambda: aten._weight_int4pack_mm_for_cpu(
                meta(3, 128, dtype=HALF), meta(16, 64, dtype=torch.uint8), 128, meta(1, 16, 2, dtype=HALF)
            ),
        ),
        only(
            "_scaled_grouped_mm",
            32 * 16 * 24,
            lambda: torch._scaled_grouped_mm(
                meta(32, 16, dtype=FLOAT8),
                meta(4, 24, 16, dtype=FLOAT8).transpose(1, 2),
                meta(32),
                meta(4, 24),
                offs=parts(4),
                out_dtype=HALF,
            ),
        ),
        # a mixture of experts: every token meets one expert
        of(
            "experts in float32",
            32 * 16 * 24,
            lambda x, w: torch._grouped_mm(x, w, offs=parts(4)),
            *((32, 16), (4, 16, 24)),
        ),
        of("tokens to experts", 32 * 16 * 24, lambda x, w: grouped(x, w, offs=parts(4)), (32, 16), (4, 16, 24)),
        of("experts in batches", 4 * 32 * 16 * 24, grouped, (4, 32, 16), (4, 16, 24)),
        of("gradients of experts", 32 * 16 * 24, lambda x, w: grouped(x, w, offs=parts(4)), (32, 16), (16, 24)),
        of("experts to tokens", 24 * 16 * 32, lambda x, w: grouped(x, w, offs=parts(4)), (4, 24, 16), (16, 32)),
    ]


def attention() -> list[Case]:
    mha, sdpa = nn.MultiheadAttention, F.scaled_dot_product_attention
    project, scores = 5 * 8 * 8, 2 * 5 * 5 * 4  # 5 tokens of width 8, two heads of 4
    whole = 4 * project + 2 * scores
    layer = lambda **o: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, **o)  # noqa: E731
    cross = 2 * (2 * 5 * 8 * 8 + 2 * 7 * 8 * 8 + 2 * 2 * 5 * 7 * 4)  # 2 images, 5 queries on 7 keys
    decoder = 2 * (whole + 2 * 5 * 8 * 16) + cross
    four = [(2, 3, 5, 8)] * 3
    packed = lambda *x: [t.to(HALF) for t in x]  # noqa: E731
    fused = {
        "flash": lambda *x: aten._scaled_dot_product_flash_attention(*packed(*x))[0].float(),
        "flash on the CPU": lambda *x: aten._scaled_dot_product_flash_attention_for_cpu(*x)[0],
        "efficient": lambda *x: aten._scaled_dot_product_efficient_attention(*x, None, True)[0],
        "cudnn": lambda *x: aten._scaled_dot_product_cudnn_attention(*packed(*x), None, True)[0].float(),
        "overrideable": lambda *x: aten._scaled_dot_product_fused_attention_overrideable(*x)[0],
    }
    return [
        Case("weights wanted", lambda: First(Self(mha(8, 2, batch_first=True))), "5x8", whole),
        Case("no weights", lambda: First(Self(mha(8, 2, batch_first=True)), need_weights=False), "5x8", whole),
        Case("sequence first", lambda: First(Self(mha(8, 2))), (torch.empty(5, 1, 8),), whole),
        of(
            "widths of their own",
            2 * (5 * 8 * 8 + 7 * 6 * 8 + 7 * 4 * 8 + 2 * 2 * 5 * 7 * 4 + 5 * 8 * 8),
            First(mha(8, 2, kdim=6, vdim=4, batch_first=True)),
            *((2, 5, 8), (2, 7, 6), (2, 7, 4)),
        ),
        Case("encoder layer", layer, "5x8", whole + 2 * 5 * 8 * 16),
        Case("norm first", lambda: layer(norm_first=True, activation="gelu"), "5x8", whole + 2 * 5 * 8 * 16),
        Case("encoder", lambda: nn.TransformerEncoder(layer(), 2), "5x8", 2 * (whole + 2 * 5 * 8 * 16)),
        of("decoder layer", decoder, nn.TransformerDecoderLayer(8, 2, 16, batch_first=True), (2, 5, 8), (2, 7, 8)),
        of(
            "transformer",
            2 * (7 * (4 * 8 * 8 + 2 * 8 * 16) + 2 * 2 * 7 * 7 * 4) + decoder,
            nn.Transformer(8, 2, 1, 1, 16, batch_first=True),
            *((2, 7, 8), (2, 5, 8)),
        ),
        of("2-d", 5 * 5 * 16, sdpa, *[(5, 8)] * 3),
        of("3-d", 2 * 5 * 5 * 16, sdpa, *[(2, 5, 8)] * 3),
        of("4-d", 6 * 5 * 5 * 16, sdpa, *four),
        of("5-d", 12 * 5 * 5 * 16, sdpa, *[(2, 2, 3, 5, 8)] * 3),
        of("causal counts in full", 6 * 5 * 5 * 16, lambda *x: sdpa(*x, is_causal=True), *four),
        of("mask", 6 * 5 * 5 * 16, lambda *x: sdpa(*x, attn_mask=meta(5, 5, dtype=torch.bool)), *four),
        of("widths of keys and values", 6 * 5 * 7 * (8 + 6), sdpa, (2, 3, 5, 8), (2, 3, 7, 8), (2, 3, 7, 6)),
        of(
            "grouped queries",
            2 * 4 * 5 * 5 * 16,
            lambda *x: sdpa(*x, enable_gqa=True),
            *((2, 4, 5, 8), (2, 2, 5, 8), (2, 2, 5, 8)),
        ),
        *(of(name, 6 * 16 * 16 * 16, function, *[(2, 3, 16, 8)] * 3) for name, function in fused.items()),
        of(
            "_flash_attention_forward",
            6 * 16 * 16 * 16,
            lambda *x: aten._flash_attention_forward(*packed(*x), None, None, 16, 16, 0.0, False, False)[0].float(),
            *[(2, 16, 3, 8)] * 3,
        ),
        of(
            "sequences packed, each as long as the longest",
            32 * 3 * 20 * 16,
            lambda *x: aten._flash_attention_forward(
                *packed(*x), *[x[0][:3, 0, 0].to(torch.int32)] * 2, 20, 20, 0.0, False, False
            )[0].float(),
            *[(32, 3, 8)] * 3,
        ),
        of(
            "_efficient_attention_forward",
            6 * 16 * 16 * 16,
            lambda *x: aten._efficient_attention_forward(*x, None, None, None, None, None, 0.0, 0, True)[0],
            *[(2, 16, 3, 8)] * 3,
        ),
    ]


class Packed(nn.Module):
    """Two sequences, of 4 and 2 steps, of which no step past the end is computed."""

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        packed = nn.utils.rnn.pack_padded_sequence(x, torch.tensor([4, 2]))
        return nn.utils.rnn.pad_packed_sequence(self.layer(packed)[0])[0]


def recurrent() -> list[Case]:
    cases = []
    for name, gates in (("LSTM", 4), ("GRU", 3), ("RNN", 1)):
        layer, cell = getattr(nn, name), getattr(nn, f"{name}Cell")
        one = gates * 5 * (6 + 5)
        cases += [
            Case(name, lambda c=layer: First(c(6, 5, batch_first=True)), "7x6", 7 * one),
            Case(f"{name} no bias", lambda c=layer: First(c(6, 5, bias=False, batch_first=True)), "7x6", 7 * one),
            Case(
                f"{name} deep",
                lambda c=layer: First(c(6, 5, num_layers=2, bidirectional=True, batch_first=True)),
                "7x6",
                7 * 2 * gates * 5 * ((6 + 5) + (10 + 5)),
            ),
            Case(f"{name}Cell", lambda c=cell: c(6, 5) if c is not nn.LSTMCell else First(c(6, 5)), "6", one),
        ]
        cases.append(Case(f"{name} packed", lambda c=layer: Packed(c(6, 5)), (torch.empty(4, 2, 6),), (4 + 2) * one))
    projected = 7 * (4 * 5 * (6 + 3) + 5 * 3)
    cases.append(Case("projection", lambda: First(nn.LSTM(6, 5, proj_size=3, batch_first=True)), "7x6", projected))
    return cases


CASES = [*convolutions(), *products(), *quantised(), *attention(), *recurrent()]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_products_are_counted(case: Case) -> None:
    for mode in case.modes:
        table = run(case.make(), case.inputs, mode)
        assert table.totals.macs == case.macs
        assert table.coverage.unknown == ()


# The backward pass, where its work is not simply twice the forward's


def test_backward_of_fused_attention_computes_the_scores_again() -> None:
    fused = lambda *x: aten._scaled_dot_product_efficient_attention(*x, None, True)[0]  # noqa: E731
    table = run(Of(fused, *[(2, 3, 16, 8)] * 3), mode="training")
    assert table.totals.backward_macs == 6 * 16 * 16 * (3 * 8 + 2 * 8)  # S again; dV, dP, dQ, dK


def test_backward_of_experts_and_of_bilinear() -> None:
    def experts(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return torch._grouped_mm(x.to(HALF), w.to(HALF), offs=meta(4, dtype=torch.int32)).float()

    assert run(Of(experts, (32, 16), (4, 16, 24)), mode="training").totals.backward_macs == 2 * 32 * 16 * 24
    table = run(Of(nn.Bilinear(3, 4, 5), (2, 3), (2, 4)), mode="training")
    assert table.totals.backward_macs == 3 * (2 * 5 * 3 * 4)  # of either input, and of the weights


# Complex numbers: a product added to a sum is four real ones


def test_a_complex_mac_is_four_real_ones() -> None:
    complex64 = torch.complex64
    real = lambda function: lambda *x: torch.view_as_real(function(*x))  # noqa: E731
    for function, shapes, macs in (
        (torch.mm, ((3, 4), (4, 5)), 4 * 3 * 4 * 5),
        (lambda x, w: torch.einsum("bixy,ioxy->boxy", x, w), ((2, 3, 8, 8), (3, 4, 8, 8)), 4 * 64 * 2 * 3 * 4),
        (F.conv2d, ((1, 3, 8, 8), (4, 3, 3, 3)), 3 * 36 * 4 * 27),  # which torch composes of three real ones
    ):
        table = run(Of(real(function), *shapes, dtype=complex64), mode="training")
        assert table.totals.macs == macs
        assert table.totals.backward_macs == 2 * macs
        assert table.coverage.unknown == ()
    assert run(Of(real(torch.mv), (3, 4), (4,), dtype=complex64)).totals.macs == 4 * 3 * 4


# Kernels of the CPU, on real tensors


def real(model: nn.Module, *inputs: torch.Tensor) -> list[OpRecord]:
    recorder = Recorder(inside(model.eval()))
    with torch.no_grad(), recorder.mode():
        model(*inputs)
    return recorder.ops


def test_kernels_of_the_cpu_count_like_their_parts() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    for model, inputs, name in (
        (Self(nn.MultiheadAttention(8, 2, batch_first=True)), (2, 5, 8), "aten._native_multi_head_attention"),
        (layer, (2, 5, 8), "aten._transformer_encoder_layer_fwd"),
        (nn.LSTM(6, 5, num_layers=2, bidirectional=True), (7, 2, 6), "aten.mkldnn_rnn_layer"),
        (nn.GRU(6, 5), (7, 2, 6), "aten.addmm"),
    ):
        fused = real(model, torch.zeros(inputs))
        assert name in {op.op for op in fused}
        assert sum(macs_of(op) for op in fused) == run(model, (torch.empty(inputs),)).totals.macs
        assert not [op.op for op in fused if status_of(op, "", FULL) == "unknown"]


def test_a_quantised_net_of_torch_ao() -> None:
    net = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.ao says that torchao comes after it
        quantised = torch.ao.quantization.quantize_dynamic(copy.deepcopy(net), {nn.Linear}, dtype=torch.qint8)
    table = run(quantised, "4")
    assert table.totals.macs == run(net, "4").totals.macs == 4 * 5 + 5 * 2
    assert table.coverage.unknown == ()


# What cannot be counted says so


def test_nested_tensors_are_refused() -> None:
    for model, words in (
        (Of(lambda x: torch.nested.nested_tensor([x, x]).to_padded_tensor(0.0), (3, 4)), "nested"),
        (Of(lambda x: torch.nested.as_nested_tensor(x, layout=torch.jagged).sin().values(), (2, 3, 4)), "nested"),
    ):
        with pytest.raises(VggcostError, match=f"{words} tensor.*only dense ones") as error:
            run(model)
        assert "\n" not in str(error.value)


def test_a_tensor_equals_itself_and_this_is_said() -> None:
    """A kernel of a Gaussian process asks it of its two arguments; a tensor that may be another is not known."""

    class Compared(nn.Module):
        def __init__(self, other: bool) -> None:
            super().__init__()
            self.linear, self.other = nn.Linear(4, 4), other

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.linear(x)
            return self.linear(y) if torch.equal(y, y.clone() if self.other else y.view(2, 4)) else y

    table = analyze(Compared(False), (torch.zeros(2, 4),))
    assert table.totals.macs == 2 * 2 * 4 * 4
    assert [entry.op for entry in table.coverage.assumed] == ["aten.equal"]
    with pytest.raises(VggcostError, match=r"aten\.equal"):
        analyze(Compared(True), (torch.zeros(2, 4),))
