"""Which kernel scaled-dot-product attention is taken to be.

On meta torch would take its math path, which keeps the scores of every head. Devices have fused
kernels that do not; the kernel assumed is called here by name, so that its outputs, what it saves and
its backward pass are those of torch's own definitions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F

from vggcost.load.replaced import replaced
from vggcost.trace.recorder import Function

__all__ = ["KERNELS", "Attention"]

Within = Callable[[Function], AbstractContextManager[None]]
_BATCHED = torch.torch_version.TorchVersion(torch.__version__) >= "2.14"
"""Whether torch gives three axes a fourth before it chooses a kernel."""
KERNELS = ("auto", "math", "flash", "efficient")


class Attention:
    """Replace scaled-dot-product attention by the kernel that a device would take, while the context lasts.

    torch's own attention layers and the libraries look the function up in torch.nn.functional; a mode for
    torch functions would not see the call inside nn.MultiheadAttention.

    `auto` is what torch chooses: on the CPU its flash kernel where there is no dropout, on CUDA flash for
    half precision and the memory-efficient kernel otherwise. `used` collects what was assumed; `within` is
    told that what the kernel dispatches is attention.
    """

    def __init__(self, kernel: str, device: str, within: Within | None = None) -> None:
        self.kernel, self.device, self.within = kernel, device, within or nullcontext
        self.used: set[str] = set()
        self.original = F.scaled_dot_product_attention

    def __enter__(self) -> None:
        def taken(original: Any) -> Any:
            self.original = original
            return self._entered

        self._replaced = replaced((F, "scaled_dot_product_attention", taken))
        self._replaced.__enter__()

    def __exit__(self, *_: object) -> None:
        self._replaced.__exit__(None, None, None)

    def _entered(self, *args: Any, **kwargs: Any) -> Any:
        """Go the way of every function of torch, where a mode for them sees this one."""
        seen = torch._C._is_torch_function_mode_enabled()
        return (self.original if seen else self.attend)(*args, **kwargs)

    def attend(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Run attention as the chosen kernel does; arguments as those of torch's function."""
        with self.within(Function("scaled_dot_product_attention", (query, key, value), {})):
            return self._attend(query, key, value, *args, **kwargs)

    def _attend(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attn_mask: torch.Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> torch.Tensor:
        if _BATCHED and query.is_meta and query.dim() == key.dim() == value.dim() == 3:
            query, key, value = query.unsqueeze(0), key.unsqueeze(0), value.unsqueeze(0)
            while attn_mask is not None and attn_mask.dim() < 4:
                attn_mask = attn_mask.unsqueeze(0)
            return self._attend(query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa).squeeze(0)
        chosen = self._choose(query, dropout_p)
        plain = query.dim() == key.dim() == value.dim() == 4 and query.is_meta and key.is_meta
        shared = enable_gqa and self.device != "cpu"  # the CPU's kernel lets query heads share a key head
        fits = plain and not shared and query.shape[-1] == value.shape[-1]
        if chosen == "flash" and self.device == "cuda" and attn_mask is not None:
            chosen = "efficient"  # flash takes no mask
        if chosen == "flash" and attn_mask is not None and attn_mask.requires_grad:
            chosen = "math"  # the CPU's flash kernel gives a mask no gradient
        if chosen == "math" or not fits:
            self.used.add("math")
            math_path = self.original
            return math_path(query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa)
        self.used.add(chosen)
        aten = torch.ops.aten
        scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
        if chosen == "efficient":
            if attn_mask is not None:
                attn_mask = attn_mask.expand(*query.shape[:2], query.shape[2], key.shape[2])
            kernel = aten._scaled_dot_product_efficient_attention
            return kernel(query, key, value, attn_mask, True, dropout_p, is_causal, scale=scale)[0]  # type: ignore[no-any-return]
        if self.device == "cpu":
            mask = attn_mask
            if mask is not None:  # without data the kernel does not check it
                torch.broadcast_shapes(mask.shape, (*query.shape[:-1], key.shape[-2]))  # type: ignore[no-untyped-call]
            if mask is not None and mask.dtype is torch.bool:  # torch turns it into numbers first
                mask = torch.zeros_like(mask, dtype=query.dtype).masked_fill_(mask.logical_not(), -math.inf)
            cpu = aten._scaled_dot_product_flash_attention_for_cpu
            return cpu(query, key, value, dropout_p, is_causal, attn_mask=mask, scale=scale)[0]  # type: ignore[no-any-return]
        flash = aten._scaled_dot_product_flash_attention
        return flash(query, key, value, dropout_p, is_causal, return_debug_mask=False, scale=scale)[0]  # type: ignore[no-any-return]

    def _choose(self, query: torch.Tensor, dropout: float) -> str:
        if self.kernel != "auto":
            return self.kernel
        if self.device == "cpu":
            return "math" if dropout else "flash"
        return "flash" if query.dtype in (torch.float16, torch.bfloat16) else "efficient"
