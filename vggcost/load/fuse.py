"""Fold a trained model's extra branches and normalisation away, as its authors do before inference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vggcost.errors import ModelError
from vggcost.load.user import where

if TYPE_CHECKING:
    from torch import nn

__all__ = ["fused"]

_IN_PLACE = ("reparameterize", "switch_to_deploy")


def fused(model: nn.Module, name: str) -> int:
    """Call the model's own methods for it: `fuse`, which returns the module to put in place, `reparameterize`
    or `switch_to_deploy`, which change the module itself.

    Args:
        model: a module on meta that nobody else holds; it is changed.
        name: for messages.

    Returns:
        How many modules were folded.

    Raises:
        ModelError: such a method fails.
    """
    try:
        return _fold(model)
    except Exception as error:
        raise ModelError(f"{name} cannot be fused: {where(error)}") from error


def _fold(model: Any) -> int:
    count = 0
    for child_name, child in list(model.named_children()):
        if callable(getattr(child, "fuse", None)):
            setattr(model, child_name, child.fuse())
            count += 1
        else:
            method = next((m for m in _IN_PLACE if callable(getattr(child, m, None))), None)
            if method is not None:
                getattr(child, method)()
                count += 1
        count += _fold(child)
    return count
