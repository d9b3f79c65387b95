"""`vggcost train`: the bill of a whole training run."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import rich_click as click

from vggcost.cli.files import say, write
from vggcost.cli.options import convention_option, inputs_option, loss_option
from vggcost.inert import as_json

__all__ = ["train"]


@click.command()
@click.argument("model")
@click.option("--recipe", default="vgg-paper", show_default=True, help="Published run that fills in what is not given.")
@click.option("--images", metavar="COUNT", help="Images of the training set, such as 1.28M.")
@click.option("--epochs", type=click.IntRange(1, 10**9), help="Passes over them.")
@click.option("--batch", type=click.IntRange(1, 2**40), help="Batch of all GPUs together.")
@click.option("--gpus", type=click.IntRange(1, 2**40), help="GPUs that share it.")
@click.option("--device", help="Device whose published peak is taken, such as titan-black.")
@click.option("--peak", metavar="FLOPS", help="Published peak of one GPU in FLOPs per second, such as 5.1T.")
@click.option("--optimizer", help="As for memory.")
@loss_option
@convention_option
@inputs_option
@click.option("--format", "format_", type=click.Choice(("table", "json")), default="table", help="Form.")
def train(
    model: str,
    recipe: str,
    images: str | None,
    epochs: int | None,
    batch: int | None,
    gpus: int | None,
    device: str | None,
    peak: str | None,
    optimizer: str | None,
    loss: str | None,
    convention: str,
    inputs: Any,
    format_: str,
) -> None:
    """Work out what training MODEL costs: iterations, FLOPs, memory per GPU, gradient traffic, time at full use."""
    from vggcost import memory
    from vggcost.cost.bill import bill
    from vggcost.errors import OptionError
    from vggcost.units import exact, human_bytes, human_count, read_count
    from vggcost.zoo.recipes import device_of, recipe_of

    known = recipe_of(recipe)
    chosen = device_of(device or known.device)
    count = read_count(images) if images else known.images
    share = gpus or known.gpus
    whole = batch or known.batch
    if whole < share:
        raise OptionError(f"a batch of {whole} cannot be shared by {share} GPUs; give a larger --batch or fewer --gpus")
    flops = float(read_count(peak)) if peak else chosen.flops
    step = memory(
        model,
        inputs,
        batch=-(-whole // share),
        optimizer=optimizer or known.optimizer,
        loss=loss,
        convention=convention,
        threads=0,  # it runs on a GPU
    )
    per_gpu = step.run.batch
    totals = step.totals
    per_image = (totals.forward_flops + totals.backward_flops + totals.recompute_flops) // per_gpu
    found = bill(
        images=count,
        epochs=epochs or known.epochs,
        batch=whole,
        gpus=share,
        flops_per_image=per_image,
        gradient_bytes=totals.gradient_bytes,
        peak_bytes_per_gpu=totals.peak_bytes,
        peak_flops=flops,
        days=known.days,
    )
    if format_ == "json":
        data = {
            "schema": 1,
            "model": step.run.model,
            "convention": convention,
            "recipe": asdict(known),
            **asdict(found),
        }
        write("-", as_json(data))
        return
    where = f"{share} × {chosen.title}" if not peak else f"{share} GPUs of {human_count(int(flops))}FLOPs per second"
    say(f"{step.run.title}: {exact(count)} images, {epochs or known.epochs} epochs, batch {whole} on {where}")
    say(f"  iterations         {exact(found.iterations)}")
    say(f"  FLOPs of a step    {human_count(found.step_flops)}  (forward and backward, convention {convention})")
    say(f"  FLOPs of the run   {found.total_flops:.3e} = {exact(found.total_flops)}")
    say(
        f"  memory per GPU     {human_bytes(found.peak_bytes_per_gpu)} of live tensors at {found.batch_per_gpu} images, {step.step.optimizer}"
    )
    say(
        f"  gradient traffic   {human_bytes(found.gradient_bytes)} of gradients a step; a ring all-reduce sends {human_bytes(found.allreduce_bytes_per_gpu)} per GPU"
    )
    assert found.seconds_at_full_use is not None
    say(
        f"  time at full use   {found.seconds_at_full_use / 86400:.2f} days at {human_count(int(flops))}FLOPs per second and GPU"
    )
    if found.utilisation is not None and not peak:
        low, high = found.utilisation
        say(
            f"  utilisation        {100 * low:.0f}% to {100 * high:.0f}%, if it took {known.days[0]:g} to {known.days[1]:g} days"
        )
    say(f"  recipe             {known.source}")
    say(f"  device             {chosen.source}" if not peak else "  device             peak as given")
