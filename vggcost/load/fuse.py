"""Fold a trained model's extra branches and normalisation away, as its authors do before inference."""

from __future__ import annotations

from contextlib import nullcontext
from copy import deepcopy
from dataclasses import replace
from typing import Any

from vggcost.errors import ModelError
from vggcost.load.given_back import given_back
from vggcost.load.loaded import Loaded
from vggcost.load.user import where

__all__ = ["folded"]

_IN_PLACE = ("reparameterize", "switch_to_deploy")


@given_back()
def folded(loaded: Loaded, ours: bool, real: bool = False) -> tuple[Loaded, int]:
    """Call the methods that the model has for it.

    `fuse` returns the module to put in place; `reparameterize` and `switch_to_deploy` change the module itself.

    Args:
        loaded: the model.
        ours: whether nobody else holds the model; it is copied otherwise.
        real: whether its parameters have values, and keep them.

    Returns:
        The model so changed, and how many modules were folded.

    Raises:
        ModelError: such a method fails.
    """
    from vggcost.load.meta import on_meta

    try:
        with nullcontext() if real else on_meta():
            model = loaded.model if ours else deepcopy(loaded.model)
            count = _fold(model.eval())
    except Exception as error:
        raise ModelError(f"{loaded.name} cannot be fused: {where(error)}") from error
    return replace(loaded, model=model), count


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
