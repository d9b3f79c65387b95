"""The models of torchvision and timm, built as their published weights were; nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from vggcost.errors import ModelError, OptionError
from vggcost.load.loaded import Loaded
from vggcost.load.replaced import replaced
from vggcost.load.user import where
from vggcost.records import Arguments, GivenRecord, InputRecord, Published
from vggcost.units import did_you_mean

__all__ = ["imported", "timm", "timm_names", "torchvision", "torchvision_names"]

_FRAMES = 16  # clip_len of the recipes of torchvision's video models
_FLOW = 512  # side of the frames that torchvision's figures for optical flow hold for

_BOXES = {"roi_heads:item": 1, "item": 0}  # sides of the boxes that key points and masks are put into, in pixels


@contextmanager
def imported(library: str, package: str) -> Iterator[None]:
    """Say in one line that a library is missing or does not fit the torch beside it."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ModelError(
            f"{library} models need {error.name or package}, which is not installed; pip install 'vggcost[models]'"
        ) from error
    except (ImportError, RuntimeError) as error:  # torchvision beside another build of torch
        raise ModelError(
            f"{package} cannot be imported: {' '.join(str(error).split())}; do its version and torch's fit?"
        ) from error


def torchvision_names() -> list[str]:
    """List torchvision's models."""
    with imported("torchvision", "torchvision"):
        from torchvision.models import list_models
    return list(list_models())


def torchvision(name: str, options: dict[str, Any]) -> Loaded:
    """Build a model of torchvision as its weights were: with their classes, heads and frozen layers.

    Args:
        name: its name in torchvision.
        options: keyword arguments of its builder; `weights` is the name of an entry, by default the
            builder's default entry, and None builds the bare architecture.

    Raises:
        ModelError: torchvision is missing, there is no such model or weights, or the builder fails.
    """
    known = torchvision_names()
    if name not in known:
        raise ModelError(
            f"torchvision has no model {name!r}{did_you_mean(name, known)}; 'vggcost models torchvision:' lists them"
        )
    from torchvision.models import get_model_builder, get_model_weights

    entries = get_model_weights(name)
    asked = options.get("weights", "DEFAULT")
    if asked is not None and asked not in entries.__members__:
        found = ", ".join(entries.__members__)
        raise OptionError(
            f"torchvision:{name} has no weights {asked!r}{did_you_mean(str(asked), entries.__members__)}; known: {found}"
        )
    weights = entries[asked] if asked is not None else None
    note, builder, chosen = "", name, weights
    if weights is not None and "unquantized" in weights.meta:
        chosen = weights.meta["unquantized"]
        builder = next(other for other in known if get_model_weights(other) is type(chosen))
        note = f"built as {builder}, the net that was quantised: the type of its products changes, not their number"
    arguments = {**options, "weights": chosen}
    if weights is not None and any(key in options for key in ("num_classes", "aux_loss", "aux_logits")):
        arguments["weights"] = None  # weights fix these
    try:
        with _no_weights():
            model = get_model_builder(builder)(**arguments)
    except Exception as error:
        raise ModelError(f"torchvision:{name} failed: {where(error)}") from error
    if weights is not None and chosen is arguments["weights"]:
        note = f"built as for its weights {weights.name}" + (f"; {note}" if note else "")
    detection = hasattr(model, "transform") and hasattr(model, "backbone")
    return Loaded(
        model, f"torchvision:{name}", f"{name} (torchvision)", (), "torchvision", _torchvision_input(model, weights),
        published=_meta_figures(weights) if set(options) <= {"weights"} else (),
        assume=_BOXES if detection else {}, note=note,
        targets=partial(_with_targets, model) if detection else None, trained=_sampled(model) if detection else {},
    )  # fmt: skip


OBJECTS = 8  # in an image: COCO's have 7.3


def _with_targets(model: Any, arguments: Arguments) -> Arguments:
    """Put as many objects of the first class into each image, with what the model's heads learn of each."""
    heads = getattr(model, "roi_heads", None)
    targets = []
    for at, image in enumerate(arguments.inputs):
        height, width = image.shape[-2:]
        box = [width / 4, height / 4, 3 * width / 4, 3 * height / 4]
        name = f"targets.{at}"
        target: dict[str, Any] = {
            "boxes": GivenRecord(f"{name}.boxes", (OBJECTS, 4), "float32", box, usual=True),
            "labels": GivenRecord(f"{name}.labels", (OBJECTS,), "int64", 1, usual=True),
        }
        if heads is not None and heads.has_mask():
            target["masks"] = InputRecord(f"{name}.masks", (OBJECTS, height, width), "uint8")
        if heads is not None and heads.has_keypoint():
            points = heads.keypoint_predictor.kps_score_lowres.out_channels
            target["keypoints"] = GivenRecord(f"{name}.keypoints", (OBJECTS, points, 3), "float32", 1.0, usual=True)
        targets.append(target)
    return Arguments((*arguments.args, targets), arguments.kwargs)


def _sampled(model: Any) -> dict[str, int]:
    """State how many of the proposals of an image are trained on, where the model draws a sample of them."""
    sampler = getattr(getattr(model, "roi_heads", None), "fg_bg_sampler", None)
    return {"roi_heads:nonzero": sampler.batch_size_per_image} if sampler is not None else {}


def _meta_figures(weights: Any) -> tuple[Published, ...]:
    """What the weights say of themselves."""
    meta = weights.meta if weights is not None else {}
    source = f"torchvision, {type(weights).__name__}.{weights.name}.meta" if weights is not None else ""
    found = [Published("params", str(meta["num_params"]), "", source)] if "num_params" in meta else []
    return (*found, *([Published("MACs", f"{meta['_ops']:.3f}", "G", source)] if "_ops" in meta else []))


@contextmanager
def _no_weights() -> Iterator[None]:
    """Let builders choose the architecture of their weights, without the weights."""
    from torch import nn
    from torchvision.models import WeightsEnum

    with replaced(
        (WeightsEnum, "get_state_dict", lambda original: lambda *_, **__: {}),
        (nn.Module, "load_state_dict", lambda original: lambda *_, **__: None),
    ):
        yield


def _torchvision_input(model: Any, weights: Any) -> str | Callable[[int], Arguments] | None:
    """What a model of torchvision takes: by the transforms of its weights, or by its own for detection."""
    transform = getattr(model, "transform", None)
    if transform is not None and hasattr(transform, "min_size"):
        fixed = getattr(transform, "fixed_size", None)
        height, width = fixed[::-1] if fixed else (transform.min_size[-1],) * 2
        return lambda batch: Arguments(
            ([InputRecord(f"images.{n}", (3, height, width), "float32") for n in range(batch)],)
        )
    if weights is None:
        return None
    preset = weights.transforms()
    kind = type(preset).__name__
    size = getattr(preset, "crop_size", None) or getattr(preset, "resize_size", None)
    sides = tuple(size * 2 if len(size) == 1 else size) if size else ()
    if kind == "VideoClassification":
        return "x".join(str(n) for n in (3, _FRAMES, *sides))
    if kind == "OpticalFlow":
        return lambda batch: Arguments(
            tuple(InputRecord(f"image{n}", (batch, 3, _FLOW, _FLOW), "float32") for n in (1, 2))
        )
    return "x".join(str(n) for n in (3, *sides)) if sides else None


def timm_names() -> list[str]:
    """List timm's architectures."""
    with imported("timm", "timm"):
        import timm as library
    return list(library.list_models())


def timm(name: str, options: dict[str, Any]) -> Loaded:
    """Build a model of timm; its input is the one of its weights' configuration.

    Args:
        name: its name in timm, with or without the tag of its weights: `resnet50.a1_in1k`.
        options: keyword arguments of `timm.create_model`.

    Raises:
        ModelError: timm is missing, there is no such model, or it cannot be built.
    """
    known = timm_names()
    import timm as library

    if not library.is_model(name.partition(".")[0]):  # old names, which are not listed, are known too
        raise ModelError(f"timm has no model {name!r}{did_you_mean(name, known)}; 'vggcost models timm:' lists them")
    try:
        model = library.create_model(name, **{**options, "pretrained": False})
    except Exception as error:
        raise ModelError(f"timm:{name} failed: {where(error)}") from error
    channels, height, width = model.pretrained_cfg["input_size"]
    channels = options.get("in_chans", channels)
    size = options.get("img_size", (height, width))
    height, width = (size, size) if isinstance(size, int) else size
    return Loaded(model, f"timm:{name}", f"{name} (timm)", (), "timm", f"{channels}x{height}x{width}")
