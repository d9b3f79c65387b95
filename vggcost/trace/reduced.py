"""Kernels that make their result by resizing another tensor, and what that takes.

Losses work out the loss of each element before they add it up; some of them shrink the tensor of all elements to the
one number that they return, whose storage stays as large. So does `col2im` with the columns; `im2col` begins with a
tensor like the image.

Source: pytorch, aten/src/ATen/native/Loss.cpp, Im2Col.cpp, Col2Im.cpp. The sizes are checked against the real kernels in the tests.
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

    def of(self, args: tuple[Any, ...], made: int) -> tuple[int, int]:
        """Return the bytes that live inside the kernel besides its result, and those of the result's storage.

        Args:
            args: of the op.
            made: bytes of its result.

        Example:
            >>> import torch
            >>> Reduced(2, 1, True).of((torch.rand(4, 8), torch.rand(4, 8)), 4)
            (128, 128)
        """
        reduction = args[self.position] if len(args) > self.position else 1
        nbytes = args[0].nbytes
        if not reduction:
            return max(0, self.inside - 1) * nbytes, 0  # the result is one of them
        return self.inside * nbytes, nbytes if self.held else 0


class Resized(NamedTuple):
    """An op that begins with a tensor as large as its argument, and gives it the size of its result."""

    def of(self, args: tuple[Any, ...], made: int) -> tuple[int, int]:
        """As of `Reduced`: a larger result is a second tensor; a smaller one lies in the first."""
        nbytes = args[0].nbytes
        return (nbytes, 0) if made > nbytes else (0, nbytes)


REDUCED: Mapping[str, Reduced | Resized] = {
    "aten.col2im": Resized(),
    "aten.im2col": Resized(),
    "aten.mse_loss": Reduced(2, 1, True),
    "aten.smooth_l1_loss": Reduced(2, 1, True),
    "aten.huber_loss": Reduced(2, 1, False),
    "aten.binary_cross_entropy": Reduced(3, 0, True),
    "aten.binary_cross_entropy_with_logits": Reduced(4, 2, False),
    "aten.soft_margin_loss": Reduced(2, 0, True),
}
