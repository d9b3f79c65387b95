"""Detectors of torchvision in training: with stated targets by default, and with those that are given."""

from __future__ import annotations

import pytest
import torch

from vggcost import analyze, memory

NAMES = ("fasterrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn", "keypointrcnn_resnet50_fpn", "retinanet_resnet50_fpn",
         "ssd300_vgg16", "fcos_resnet50_fpn")  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_detector_trains_on_stated_targets(name: str) -> None:
    pytest.importorskip("torchvision")
    sizes = {"min_size": 64, "max_size": 64} if "ssd" not in name else {}
    table = analyze(f"torchvision:{name}", mode="training", weights=None, weights_backbone=None, **sizes)
    assert table.totals.backward_macs > table.totals.macs > 0
    assert "targets that are stated" in table.run.note
    assert "targets.0.boxes" in [record.name for record in table.run.inputs]


def test_512_proposals_are_trained_on_as_in_a_real_run() -> None:
    """fc6, fc7 and the predictor on 512 of the proposals: 512·(12,544·1,024 + 1,024² + 1,024·(91 + 364))."""
    detection = pytest.importorskip("torchvision.models.detection")
    net = detection.fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, min_size=64, max_size=64)
    boxes, labels = torch.tensor([[4.0, 4, 40, 40], [20, 8, 60, 60]]), torch.tensor([1, 2])
    table = analyze(
        net, ([torch.zeros(3, 64, 64)], [{"boxes": boxes, "labels": labels}]), mode="training",
        assume={"roi_heads:nonzero": 512},
    )  # fmt: skip
    heads = sum(row.macs for row in table.layers if row.path.startswith("roi_heads.box_"))
    most = next(row.output_shape[0] for row in table.layers if row.path == "roi_heads.box_head.fc6")
    assert heads == most * (12_544 * 1024 + 1024**2 + 1024 * (91 + 364))
    assert most <= 512


def test_the_memory_of_a_step() -> None:
    pytest.importorskip("torchvision")
    report = memory(
        "torchvision:fasterrcnn_resnet50_fpn", weights=None, weights_backbone=None, min_size=64, max_size=64
    )
    assert report.totals.peak_bytes > report.totals.param_bytes + report.totals.gradient_bytes
