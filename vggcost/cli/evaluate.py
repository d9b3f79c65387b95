"""`vggcost evaluate`: what testing costs, by crops and densely."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from fractions import Fraction

import rich_click as click

from vggcost.cli.files import say, write
from vggcost.inert import as_json

__all__ = ["evaluate"]


@dataclass(frozen=True, slots=True)
class Way:
    """A way to evaluate one image."""

    name: str
    passes: str
    macs: int
    peak_bytes: int


@click.command()
@click.argument("model")
@click.option("--scales", default="256,384,512", show_default=True, help="Smallest sides Q of the test image.")
@click.option(
    "--aspect", default="4:3", show_default=True, help="Longer side over smaller one that is assumed for images."
)
@click.option("--format", "format_", type=click.Choice(("table", "json")), default="table", help="Form.")
def evaluate(model: str, scales: str, aspect: str, format_: str) -> None:
    """Compare what one image costs MODEL: one crop, ten crops, 50 crops a scale, and dense evaluation.

    Dense evaluation turns the fully connected layers into convolutions and runs them over the whole image,
    with its mirror image, at each scale.
    """
    from vggcost import analyze
    from vggcost.errors import InputError, OptionError
    from vggcost.records import told
    from vggcost.units import exact, human_bytes, human_count, shape
    from vggcost.zoo import find

    variant = find(model)
    if variant is None or variant.kind != "chain":
        raise OptionError(f"{model} has no dense form here; choose a net of the VGG family or AlexNet")
    try:
        sides = [int(text) for text in scales.split(",")]
        longer, shorter = (int(text) for text in aspect.split(":"))
        ratio = Fraction(longer, shorter)
    except (ValueError, ZeroDivisionError):
        raise InputError(f"cannot read --scales {scales} --aspect {aspect}; write 256,384,512 and 4:3") from None
    if min(sides) < variant.image_size or ratio < 1:
        raise InputError(
            f"each scale must be at least {variant.image_size}, the side the net was built for, and the aspect at least 1"
        )
    crop = told(analyze(model).totals.macs)
    ways = [_crops(model, "one crop", 1, 1, crop), _crops(model, "ten crops", 10, 1, crop)]
    ways.append(_crops(model, f"50 crops at each of {len(sides)} scales", 50, len(sides), crop))
    macs, peak, sizes = 0, 0, []
    for side in sides:
        size = f"3x{side}x{round(side * ratio)}"
        sizes.append(shape((side, round(side * ratio))))
        macs += told(analyze(model, size, batch=2, dense=True).totals.macs)
        peak = max(peak, _peak(model, size, 2, dense=True))
    ways.append(Way(f"dense at {len(sides)} scales", f"image and mirror image at {', '.join(sizes)}", macs, peak))
    if format_ == "json":
        data = {
            "schema": 1,
            "model": variant.name,
            "scales": sides,
            "aspect": str(ratio),
            "ways": [asdict(way) for way in ways],
        }
        write("-", as_json(data))
        return
    say(f"{variant.title}, one image; Q is its smallest side, the longer one {ratio} times that (assumed)")
    for way in ways:
        times = way.macs / crop
        say(
            f"  {way.name:<28}{human_count(way.macs, 'MACs'):>14}  ×{times:<8.2f}{human_bytes(way.peak_bytes):>11} peak  {way.passes}"
        )
    say(
        f"  exact MACs: {', '.join(exact(way.macs) for way in ways)}; peak: live tensors with the parameters, crops of a scale in one batch"
    )


def _crops(model: str, name: str, crops: int, scales: int, macs: int) -> Way:
    passes = f"{crops} of the size the net was built for" + (f", at {scales} scales" if scales > 1 else "")
    return Way(name, passes, macs * crops * scales, _peak(model, None, crops))


def _peak(model: str, shape: str | None, batch: int, **options: bool) -> int:
    """Peak of live bytes of a forward pass."""
    from vggcost._analyze import prepared
    from vggcost.cost.memory import peak_of, timeline
    from vggcost.trace import trace_model

    loaded, run, arguments = prepared(model, shape, batch, "inference", (), dict(options))
    trace = trace_model(loaded.model, run, arguments=arguments, assume=loaded.assume)
    return peak_of(trace, timeline(trace)).bytes
