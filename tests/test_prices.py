"""What `full` prices besides products, against prices worked here; every layer and loss of torch is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.ops import BOTH, Looked, Of, meta, run, whole

aten = torch.ops.aten


# Prices under `full`


def bilinear(**options: Any) -> Callable[..., torch.Tensor]:
    return lambda x: F.interpolate(x, size=(4, 4), mode="bilinear", **options)


def complex_of(transform: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    return lambda x: torch.view_as_real(transform(torch.view_as_complex(x)))


PRICES: list[tuple[str, Callable[..., Any], tuple[tuple[int, ...], ...], float]] = [
    ("fft", complex_of(torch.fft.fft), ((4, 8, 2),), 4 * 5 * 8 * 3),
    ("ifft", complex_of(torch.fft.ifft), ((4, 8, 2),), 4 * 5 * 8 * 3),
    ("fft2", complex_of(torch.fft.fft2), ((4, 8, 8, 2),), 4 * 5 * 64 * 6),
    ("rfft", lambda x: torch.view_as_real(torch.fft.rfft(x)), ((4, 8),), 4 * 2.5 * 8 * 3),
    ("rfftn", lambda x: torch.view_as_real(torch.fft.rfftn(x)), ((8, 8),), 2.5 * 64 * 6),
    ("irfft", lambda x: torch.fft.irfft(torch.view_as_complex(x)), ((4, 5, 2),), 4 * 2.5 * 8 * 3),
    (
        "stft without a window",  # 64/4 + 1 = 17 frames of 16
        lambda x: torch.view_as_real(torch.stft(x, 16, 4, window=meta(16), return_complex=True)),
        ((2, 64),),
        2 * 17 * (16 + 2.5 * 16 * 4),
    ),
    ("nearest", lambda x: F.interpolate(x, scale_factor=2), ((1, 3, 8, 8),), 0),
    ("linear", lambda x: F.interpolate(x, size=4, mode="linear"), ((1, 3, 8),), 3 * 4 * 3),
    ("bilinear", bilinear(), ((1, 3, 8, 8),), 3 * 16 * 7),
    ("bicubic", lambda x: F.interpolate(x, size=(4, 4), mode="bicubic"), ((1, 3, 8, 8),), 3 * 16 * 31),
    ("trilinear", lambda x: F.interpolate(x, size=(4, 4, 4), mode="trilinear"), ((1, 3, 8, 8, 8),), 3 * 64 * 15),
    ("antialiased", bilinear(antialias=True), ((1, 3, 8, 8),), 3 * 16 * (2 * 4 * 4 - 1)),
    ("grid", lambda x, g: F.grid_sample(x, g, align_corners=False), ((1, 3, 8, 8), (1, 5, 5, 2)), 3 * 25 * 7),
    (
        "grid 3-d",
        lambda x, g: F.grid_sample(x, g, align_corners=False),
        ((1, 3, 8, 8, 8), (1, 5, 5, 5, 3)),
        3 * 125 * 15,
    ),
    ("lp_pool", lambda x: F.lp_pool2d(x, 2.0, 2), ((1, 3, 8, 8),), 3 * 64 + 3 * 16 * (4 + 6)),
    ("max_pool", lambda x: F.max_pool2d(x, 2), ((1, 3, 8, 8),), 3 * 16 * 3),
    ("fractional", lambda x: F.fractional_max_pool2d(x, 2, output_size=4), ((1, 3, 8, 8),), 3 * 16 * 3),
    ("sort", lambda x: x.sort().values, ((3, 8),), 3 * 8 * 3),
    ("argmax", lambda x: (x.argmax(), x)[1:], ((3, 8),), 24),
    ("topk", lambda x: x.topk(4).values, ((3, 8),), 24 * 2),
    ("cdist", lambda x, y: torch.cdist(x, y, p=1.0), ((3, 4), (5, 4)), 3 * 15 * 4),
    ("cross", torch.linalg.cross, ((2, 3), (2, 3)), 6 * 3),
    ("solve", lambda a, b: torch.linalg.solve_triangular(a, b, upper=False), ((3, 3), (3, 2)), (1 + 3 + 5) * 2),
    (
        "solve, ones on the diagonal",
        lambda a, b: torch.linalg.solve_triangular(a, b, upper=False, unitriangular=True),
        ((3, 3), (3, 2)),
        (0 + 2 + 4) * 2,
    ),
    ("softmax", lambda x: x.softmax(-1), ((3, 8),), 5 * 24),
    ("mse", lambda x: F.mse_loss(x, torch.zeros(3, 8)), ((3, 8),), 3 * 24),
    ("attention", F.scaled_dot_product_attention, ((1, 2, 5, 8),) * 3, 2 * (2 * 2 * 5 * 5 * 8) + 5 * 50),
    (
        "fused attention",
        lambda *x: aten._scaled_dot_product_efficient_attention(*x, None, True)[0],
        ((2, 3, 16, 8),) * 3,
        2 * (6 * 16 * 16 * 16) + 5 * 6 * 16 * 16,
    ),
]


@pytest.mark.parametrize(("name", "function", "shapes", "flops"), PRICES, ids=[price[0] for price in PRICES])
def test_full_prices_what_is_no_product(name: str, function: Any, shapes: Any, flops: float) -> None:
    model = Of(function, *shapes)
    table = run(model)
    assert table.totals.flops == flops
    assert table.coverage.unknown == ()
    assert run(model, mode="training").coverage.unknown == ()
    assert run(model, convention="torch").totals.flops == 2 * table.totals.macs


def test_gradients_of_sampling_cost_two_per_neighbour() -> None:
    def backward(function: Callable[..., Any], *shapes: tuple[int, ...]) -> int:
        summed = Of(lambda *x: function(*x).sum((0, 1, 2, 3)), *shapes)
        return run(summed, mode="training").totals.backward_flops

    assert backward(bilinear(), (1, 3, 8, 8)) == 3 * 16 * 8
    sample = lambda x, g: F.grid_sample(x, g, align_corners=False)  # noqa: E731
    assert backward(sample, (1, 3, 8, 8), (1, 5, 5, 2)) == 3 * 25 * (8 + 2 * 8)


# Every layer of torch.nn: nothing unknown


def layers() -> dict[str, tuple[nn.Module, tuple[tuple[int, ...], ...]]]:
    found: dict[str, tuple[nn.Module, tuple[tuple[int, ...], ...]]] = {}

    def add(layer: nn.Module, *shapes: tuple[int, ...]) -> None:
        found[f"{type(layer).__name__} {len(found)}"] = layer, shapes

    for axes in (1, 2, 3):
        shape = (2, 4, *[8] * axes)
        for name, options in (
            ("MaxPool", [{"kernel_size": 2}]),
            ("AvgPool", [{"kernel_size": 2}]),
            ("LPPool", [{"norm_type": 2.0, "kernel_size": 2}, {"norm_type": 3.0, "kernel_size": 2}]),
            ("FractionalMaxPool", [{"kernel_size": 2, "output_size": 4}]),
            ("AdaptiveMaxPool", [{"output_size": 3}]),
            ("AdaptiveAvgPool", [{"output_size": 3}, {"output_size": 1}]),
            ("InstanceNorm", [{"num_features": 4}, {"num_features": 4, "affine": True, "track_running_stats": True}]),
            ("BatchNorm", [{"num_features": 4}, {"num_features": 4, "affine": False, "track_running_stats": False}]),
            ("Dropout", [{}]),
            ("ConstantPad", [{"padding": 1, "value": 0.5}]),
            *[(f"{kind}Pad", [{"padding": 1}]) for kind in ("Reflection", "Replication", "Zero", "Circular")],
        ):
            for chosen in options:
                if hasattr(nn, f"{name}{axes}d"):
                    add(getattr(nn, f"{name}{axes}d")(**chosen), shape)
        pool, unpool = getattr(nn, f"MaxPool{axes}d")(2, return_indices=True), getattr(nn, f"MaxUnpool{axes}d")(2)
        add(Unpooled(pool, unpool), shape)
        for mode in ("nearest", "nearest-exact", "area", ("linear", "bilinear", "trilinear")[axes - 1]):
            add(nn.Upsample(scale_factor=2, mode=mode), shape)
    image = (2, 4, 8, 8)
    add(nn.Upsample(size=(5, 5), mode="bicubic"), image)
    for layer in (
        nn.GroupNorm(2, 4), nn.LayerNorm(8), nn.LayerNorm(8, bias=False), nn.RMSNorm(8), nn.LocalResponseNorm(3),
        nn.CrossMapLRN2d(3), nn.PixelShuffle(2), nn.PixelUnshuffle(2), nn.Unfold(2), nn.ChannelShuffle(2),
        nn.UpsamplingNearest2d(scale_factor=2), nn.UpsamplingBilinear2d(scale_factor=2), nn.Flatten(),
        nn.Unflatten(1, (2, 2)), nn.AlphaDropout(), nn.FeatureAlphaDropout(), nn.Softmax2d(),
        nn.AvgPool2d(2, divisor_override=3), nn.Identity(),
    ):  # fmt: skip
        add(layer, image)
    add(nn.Fold((4, 4), 2), (2, 8, 9))
    add(nn.CosineSimilarity(), image, image)
    add(nn.PairwiseDistance(), image, image)
    for name in nn.modules.activation.__all__:
        if name != "MultiheadAttention":
            add(nn.Threshold(0.1, 0.2) if name == "Threshold" else getattr(nn, name)(), image)
    return found


class Unpooled(nn.Module):
    def __init__(self, pool: nn.Module, unpool: nn.Module):
        super().__init__()
        self.pool, self.unpool = pool, unpool

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.unpool(*self.pool(x))  # type: ignore[no-any-return]


LAYERS = layers()


@pytest.mark.parametrize("name", LAYERS)
def test_no_layer_of_torch_is_unknown(name: str) -> None:
    layer, shapes = LAYERS[name]
    for mode in BOTH:
        table = run(Of(layer, *shapes), mode=mode)
        assert table.coverage.unknown == ()
        assert (table.totals.macs, table.totals.backward_macs or 0) == (0, 0)


class Scored(nn.Module):
    """A loss of a parameter and targets."""

    def __init__(self, loss: nn.Module, shape: tuple[int, ...], *targets: torch.Tensor):
        super().__init__()
        self.loss, self.targets = loss, targets
        self.prediction = nn.Parameter(torch.empty(shape, device="meta"))

    def forward(self, _: torch.Tensor) -> torch.Tensor:
        return self.loss(self.prediction, *self.targets)  # type: ignore[no-any-return]


LOSSES: list[tuple[Callable[..., nn.Module], tuple[int, ...], tuple[torch.Tensor, ...]]] = [
    *((loss, (2, 4), (meta(2, 4),)) for loss in (
        nn.L1Loss, nn.PoissonNLLLoss, nn.KLDivLoss, nn.MSELoss, nn.BCELoss, nn.BCEWithLogitsLoss,
        nn.HingeEmbeddingLoss, nn.SmoothL1Loss, nn.HuberLoss, nn.SoftMarginLoss, nn.CrossEntropyLoss,
        nn.MultiLabelSoftMarginLoss,
    )),
    *((loss, (2, 4), (whole(2),)) for loss in (nn.NLLLoss, nn.CrossEntropyLoss, nn.MultiMarginLoss)),
    (nn.NLLLoss, (2, 4, 3, 3), (whole(2, 3, 3),)),
    (nn.MultiLabelMarginLoss, (2, 4), (whole(2, 4),)),
    (nn.CosineEmbeddingLoss, (2, 4), (meta(2, 4), meta(2))),
    (nn.MarginRankingLoss, (2,), (meta(2), meta(2))),
    (nn.TripletMarginLoss, (2, 4), (meta(2, 4), meta(2, 4))),
    (nn.TripletMarginWithDistanceLoss, (2, 4), (meta(2, 4), meta(2, 4))),
    (nn.CTCLoss, (6, 2, 4), (whole(2, 3), whole(2), whole(2))),
]  # fmt: skip


@pytest.mark.parametrize(("loss", "shape", "targets"), LOSSES, ids=[case[0].__name__ for case in LOSSES])
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_no_loss_of_torch_is_unknown(reduction: str, loss: Any, shape: Any, targets: Any) -> None:
    for mode in BOTH:
        table = run(Scored(loss(reduction=reduction), shape, *targets), mode=mode)
        assert table.coverage.unknown == ()
        assert table.totals.macs == 0


def test_looking_up_is_no_product() -> None:
    for table in (
        nn.Embedding(10, 3), nn.Embedding(10, 3, padding_idx=0, max_norm=1.0, scale_grad_by_freq=True),
        *(nn.EmbeddingBag(10, 3, mode=mode) for mode in ("sum", "mean", "max")),
    ):  # fmt: skip
        for mode in BOTH:
            cost = run(Looked(table), mode=mode)
            assert cost.totals.macs == 0
            assert cost.coverage.unknown == ()
    assert run(Looked(nn.Embedding(10, 3))).totals.flops == 0
    assert run(Looked(nn.EmbeddingBag(10, 3))).totals.flops == 2 * 4 * 3  # the rows are added up


def test_parametrized_layers_are_known() -> None:
    parametrizations = nn.utils.parametrizations
    weight = parametrizations.weight_norm(nn.Conv2d(4, 5, 3))
    spectral = parametrizations.spectral_norm(nn.Linear(4, 5))
    product = 4 * 5
    for layer, inputs, mode, macs in (
        (weight, "4x8x8", "inference", 36 * 5 * 36),
        (weight, "4x8x8", "training", 36 * 5 * 36),
        (spectral, "4", "inference", product + product + 5),  # the layer's own, and u·(W·v)
        (spectral, "4", "training", product + product + 5 + 2 * product),  # one step of the power method
    ):
        table = run(layer, inputs, mode)
        assert table.totals.macs == macs
        assert table.coverage.unknown == ()


# torchvision's own ops


def test_the_ops_of_torchvision() -> None:
    ops = pytest.importorskip("torchvision").ops
    boxes = meta(3, 5)
    deformed = lambda x, o, w, b, m: ops.deform_conv2d(x, o, w, b, padding=1, mask=m)  # noqa: E731
    model = Of(deformed, (2, 4, 8, 8), (2, 18, 8, 8), (6, 4, 3, 3), (6,), (2, 9, 8, 8))
    macs = 2 * 64 * 6 * 36
    samples = 2 * 4 * 9 * 64  # each of 7, and 1 for the mask
    assert run(model).totals.macs == macs
    assert run(model).totals.flops == 2 * macs + samples * (7 + 1) + 2 * 6 * 64
    assert run(model, mode="training").totals.backward_macs == 2 * macs
    grouped = Of(lambda x, o, w: ops.deform_conv2d(x, o, w, padding=1), (2, 4, 8, 8), (2, 18, 8, 8), (6, 2, 3, 3))
    assert run(grouped).totals.macs == 2 * 64 * 6 * 18
    aligned = Of(lambda x: ops.roi_align(x, boxes, (4, 5), sampling_ratio=2), (2, 4, 8, 8))
    assert run(aligned).totals.flops == 3 * 4 * 20 * 4 * (7 + 1)
    adaptive = Of(lambda x: ops.roi_align(x, boxes, (4, 5)), (2, 4, 8, 8))  # a box may be the whole map
    assert run(adaptive).totals.flops == 3 * 4 * 20 * (2 * 2) * 8
    for function, shape in (
        (lambda x: ops.roi_pool(x, boxes, (4, 5)), (2, 4, 8, 8)),
        (lambda x: ops.ps_roi_align(x, boxes, (2, 2), sampling_ratio=2), (2, 8, 8, 8)),
        (lambda x: ops.ps_roi_pool(x, boxes, (2, 2)), (2, 8, 8, 8)),
        (ops.StochasticDepth(0.2, "row"), (2, 4, 8, 8)),
        (ops.FrozenBatchNorm2d(4), (2, 4, 8, 8)),
        (ops.SqueezeExcitation(4, 2), (2, 4, 8, 8)),
    ):
        for mode in BOTH:
            assert run(Of(function, shape), mode=mode).coverage.unknown == ()
    for other in (model, aligned, adaptive):
        assert run(other, mode="training").coverage.unknown == ()
