"""Output shapes of ops that have no kernel for meta tensors: torch's own few, and those of the user.

The rules have the signature of the op and return what it returns, on meta.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from vggcost.trace.quantised import QUANTISED

__all__ = ["DENSE", "READS", "SHAPES", "Refusal", "missing"]


class Refusal(Exception):
    """What a layer does that cannot be counted, and what to do instead; the trace says which layer."""


DENSE = "pad it first (torch.nested.to_padded_tensor, enable_nested_tensor=False in nn.TransformerEncoder)"
"""What to do about a nested tensor."""


def missing(error: Exception) -> bool:
    """Whether an op failed for want of a kernel for meta tensors, which torch says in several ways."""
    return any(words in str(error) for words in ("no fake impl", "'Meta' backend"))


def _like_second(first: torch.Tensor, second: torch.Tensor, *rest: Any, **options: Any) -> torch.Tensor:
    """A gradient that looks like what it is the gradient of, which comes after the gradient it is made from."""
    return torch.empty_like(second)


def _ctc_loss(
    log_probs: torch.Tensor, targets: torch.Tensor, input_lengths: Any, target_lengths: Any, *rest: Any, **options: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """A loss for each sequence, and the `(N, T, 2·S + 1)` log-probabilities of all places.

    Targets in one row are taken to be of equal length.
    """
    steps, batch, _ = log_probs.shape
    longest = targets.shape[1] if targets.dim() == 2 else -(-targets.shape[0] // batch)
    return log_probs.new_empty(batch), log_probs.new_empty(batch, steps, 2 * longest + 1)


def _in_place(*args: Any, **options: Any) -> None:
    """An optimizer's step in one kernel: it writes to what it is given, and returns nothing."""


def _int4_mm(x: torch.Tensor, packed: torch.Tensor, *rest: Any) -> torch.Tensor:
    """Weights packed as `(N/8, K/(tiles·16), 32, tiles/2)`."""
    return x.new_empty(x.shape[0], packed.shape[0] * 8)


def _pack_sequence(x: torch.Tensor, lengths: torch.Tensor, batch_first: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """All steps of all sequences in one tensor, and how many sequences are left at each step."""
    if lengths.is_meta:
        raise Refusal(
            "packs sequences whose lengths depend on data; let the model make the lengths of plain numbers, or run "
            "with --fallback cpu"
        )
    steps = lengths.tolist()
    left = [sum(length > step for length in steps) for step in range(max(steps))]
    return x.new_empty(sum(steps), *x.shape[2:]), torch.tensor(left, dtype=torch.int64, device="cpu")


def _quantised(x: torch.Tensor, *rest: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Values on a grid, and which of them were in its range."""
    return torch.empty_like(x), torch.empty_like(x, dtype=torch.bool)


READS = frozenset({"aten._pack_padded_sequence"})
"""Ops that read real numbers beside meta tensors, so that these stay where they are."""

SHAPES: dict[str, Callable[..., Any]] = {
    "aten._ctc_loss": _ctc_loss,
    "aten._ctc_loss_backward": _like_second,
    "aten.multi_margin_loss_backward": _like_second,
    "aten.multilabel_margin_loss_backward": _like_second,
    "aten.fractional_max_pool3d_backward": _like_second,
    "aten._weight_int4pack_mm": _int4_mm,
    "aten._fake_quantize_per_tensor_affine_cachemask_tensor_qparams": _quantised,
    "aten.fake_quantize_per_tensor_affine_cachemask": _quantised,
    "aten.fake_quantize_per_channel_affine_cachemask": _quantised,
    "aten._pack_padded_sequence": _pack_sequence,
    "aten._fused_sgd_": _in_place,
    "aten._fused_adagrad_": _in_place,
    **QUANTISED,
}
"""A rule for each op, by its name."""
