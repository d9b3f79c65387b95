"""Losses whose kernels work out the loss of each element before they add it up, and what that takes.

Some of them shrink the tensor of all elements to the one number that they return, whose storage stays as large.

Source: pytorch, aten/src/ATen/native/Loss.cpp. The sizes are checked against the real kernels in the tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = ["REDUCED", "Reduced"]


class Reduced(NamedTuple):
    """Where the argument `reduction` stands, how many tensors live inside the kernel, and whether the result holds one.

    A tensor here is as large as the prediction.
    """

    position: int
    inside: int
    held: bool

    def of(self, args: tuple[Any, ...]) -> tuple[int, int]:
        """Return the bytes that live inside the kernel besides its result, and those of the result's storage.

        Example:
            >>> import torch
            >>> Reduced(2, 1, True).of((torch.rand(4, 8), torch.rand(4, 8)))
            (128, 128)
        """
        reduction = args[self.position] if len(args) > self.position else 1
        nbytes = args[0].nbytes
        if not reduction:
            return max(0, self.inside - 1) * nbytes, 0  # the result is one of them
        return self.inside * nbytes, nbytes if self.held else 0


REDUCED: Mapping[str, Reduced] = {
    "aten.mse_loss": Reduced(2, 1, True),
    "aten.smooth_l1_loss": Reduced(2, 1, True),
    "aten.huber_loss": Reduced(2, 1, False),
    "aten.binary_cross_entropy": Reduced(3, 0, True),
    "aten.binary_cross_entropy_with_logits": Reduced(4, 2, False),
    "aten.soft_margin_loss": Reduced(2, 0, True),
}
