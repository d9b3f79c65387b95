"""The options of `memory` and `fit` that say how a training step is taken, written once."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import rich_click as click

from vggcost.cli.options import assume_option, loss_option

__all__ = ["step_options"]


def step_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add them; the command gets the keywords for `vggcost.memory` as the dict `step`."""

    @click.option(
        "--optimizer",
        default="sgd",
        show_default=True,
        help="sgd, sgd-momentum, adam, adamw, rmsprop, …: any of torch.optim but LBFGS and SparseAdam, or none.",
    )
    @click.option(
        "--optimizer-option",
        "optimizer_options",
        metavar="KEY=VALUE",
        multiple=True,
        help="Argument of the optimizer, such as fused=true.",
    )
    @click.option(
        "--freeze",
        metavar="PATTERN",
        multiple=True,
        help="Parameters or modules that are not trained, such as 'conv*'.",
    )
    @click.option("--dtype", default="", help="float32, float16, bfloat16 or float64.  [default: as the model has it]")
    @click.option(
        "--accumulate", type=int, default=1, show_default=True, help="Backward passes before the optimizer steps."
    )
    @click.option(
        "--device",
        default="cpu",
        show_default=True,
        help="Whose defaults are taken, cpu or cuda. On cuda what must fit is what the allocator reserves, and the context.",
    )
    @click.option(
        "--context",
        metavar="SIZE",
        help="What the CUDA context takes on the device: 500MiB, or 0.  [default: 426MiB, as measured]",
    )
    @loss_option
    @click.option(
        "--attention", default="auto", show_default=True, help="Kernel of attention: auto, math, flash or efficient."
    )
    @assume_option
    @wraps(function)
    def command(
        *args: Any, optimizer: str, optimizer_options: tuple[str, ...], freeze: tuple[str, ...], dtype: str,
        accumulate: int, device: str, context: str | None, loss: str | None, attention: str, assume: dict[str, int],
        **others: Any,
    ) -> Any:  # fmt: skip
        from vggcost.cli.report import read_options
        from vggcost.units import read_bytes

        step = {
            "optimizer": optimizer,
            "optimizer_options": read_options(optimizer_options),
            "freeze": freeze,
            "dtype": dtype,
            "accumulate": accumulate,
            "device": device,
            "context": None if context is None else read_bytes(context),
            "loss": loss,
            "attention": attention,
            "assume": assume,
        }
        return function(*args, step=step, **others)

    return command
