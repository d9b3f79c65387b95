"""Memory that lives only inside an op: what the CPU's ops take, and what every device makes.

A step is seen op by op; what an op allocates and frees within itself is worked out here from its
arguments: what oneDNN and torch's own kernels take, and copies of operands that lie in another order or
are of another dtype. Of the CPU it is said as such (the role `scratch`), and not taken for another
device. Tensors that the op makes on every device are `temporary`, like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from vggcost.trace.recurrent import backward_scratch as lstm_backward
from vggcost.trace.recurrent import forward_scratch as lstm_forward
from vggcost.trace.scratch import attention, convolution, deformable
from vggcost.trace.scratch.casts import SUMMING, casts, summed
from vggcost.trace.scratch.products import FIRST, copies

__all__ = ["Inside"]

Rule = Callable[..., int]

_ON_CPU: dict[str, Rule] = {
    "aten.convolution": convolution.forward_scratch,
    "aten.convolution_backward": convolution.backward_scratch,
    "aten._scaled_dot_product_flash_attention_for_cpu": attention.forward,
    "aten._scaled_dot_product_flash_attention_for_cpu_backward": attention.backward,
    "aten.mkldnn_rnn_layer": lambda threads, *args: lstm_forward(*args),
    "aten.mkldnn_rnn_layer_backward": lambda threads, *args: lstm_backward(*args),
}
_ANYWHERE: dict[str, Rule] = {
    "torchvision.deform_conv2d": deformable.forward,
    "torchvision._deform_conv2d_backward": deformable.backward,
}


@dataclass(frozen=True, slots=True)
class Inside:
    """What the ops of a step take inside themselves, on a device.

    Attributes:
        device: `cpu` or `cuda`.
        threads: of the CPU; 0: leave out what its library takes.
    """

    device: str
    threads: int

    def __call__(
        self, name: str, args: Sequence[Any], outputs: Sequence[torch.Tensor] = (), pointwise: bool = False
    ) -> tuple[str, int]:
        """Return the role of the memory inside an op, and its bytes."""
        rule = _ANYWHERE.get(name)
        if rule is not None:
            return "temporary", rule(*args)
        cpu = self.device == "cpu"
        if cpu and not self.threads:
            return "", 0
        if name in FIRST:
            return "scratch" if cpu else "temporary", copies(self.device, name, args)
        if not cpu:
            return "", 0
        if name in _ON_CPU:
            return "scratch", _ON_CPU[name](self.threads, *args)
        if outputs and pointwise:
            return "scratch", casts(name, args, outputs[0])
        return ("scratch", summed(name, args, outputs[0])) if outputs and name in SUMMING else ("", 0)
