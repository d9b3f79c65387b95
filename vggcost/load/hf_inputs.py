"""What a model of transformers takes: by the arguments of its forward, and the sizes in its config.

Which arguments are given follows from the signature; their shapes from a table of names or, for the others, from
the shape that the documentation of `forward` states axis by axis. Whole numbers are given with their values (masks
of ones, ordinary tokens, the grid of an image's patches), since a model may look at them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from inspect import Parameter, getdoc, signature
from math import prod
from typing import Any

from vggcost.load.hf_sizes import Sizes
from vggcost.records import Arguments, GivenRecord, InputRecord, Shape

__all__ = ["DefaultInputs", "Measure"]

TOKENS = 128
SAMPLES = 16_000  # a second of speech
FRAMES = 1000  # ten seconds of it, ten milliseconds each
SIDE = 224
CLIP = 16  # frames of a video

_NEVER = ("past_key_values", "labels", "inputs_embeds", "kwargs", "self", "args")
_WITH_TEXT = ("input_ids", "bbox", "visual_feats", "visual_pos")
_WITH_IMAGE = ("image_grid_thw", "grid_thw", "image_sizes", "spatial_shapes", "aspect_ratio_ids", "aspect_ratio_mask",
               "image_attention_mask", "high_res_pixel_values", "target_sizes")  # fmt: skip
_WITH_SOUND = ("input_features_mask", "feature_attention_mask")
_SERIES = ("past_values", "past_time_features", "past_observed_mask", "future_values", "future_time_features",
           "states", "actions", "rewards", "returns_to_go", "timesteps", "flattened_patches")  # fmt: skip
_IMAGES, _SOUNDS = ("pixel_values",), ("input_features", "input_values")


@dataclass(frozen=True)
class Given:
    """One argument: its shape for one example, its type, and its values along the last axis, where it has some.

    The last of these goes on to the end of the axis.
    `packed`: the examples of a batch lie one after the other along the first axis, which is none of the batch.
    """

    shape: Shape
    dtype: str = "float32"
    values: tuple[int, ...] = ()
    packed: bool = False

    def record(self, name: str, batch: int) -> InputRecord:
        """Return the tensor for a batch."""
        shape = (batch * self.shape[0], *self.shape[1:]) if self.packed else (batch, *self.shape)
        if not self.values:
            return InputRecord(name, shape, self.dtype)
        row = [*self.values, *self.values[-1:] * (shape[-1] - len(self.values))]
        return GivenRecord(name, shape, self.dtype, row[: shape[-1]], usual=True)


Measure = Callable[[str, Arguments], Any]
"""Runs a method of the model without data, and returns what it returns."""


class DefaultInputs:
    """What a model of transformers takes, for any batch.

    Args:
        model: the model.
        config: its config.
        pairs: whether it compares two images.
    """

    def __init__(self, model: Any, config: Any, pairs: bool = False) -> None:
        self.forward = _Forward(model, config, pairs)
        names = self.forward.wanted()
        self.given = {name: found for name in names if (found := self.forward.argument(name)) is not None}

    def __call__(self, batch: int) -> Arguments:
        """Return the arguments for a batch."""
        return _arguments(self.given, batch)

    def ordinary(self) -> dict[str, int]:
        """Say what fills tokens and masks of which a user gives the shape alone, by name or by position."""
        found = {}
        for at, name in enumerate(self.forward.takes):
            number = self.forward.sizes.token() if name.endswith("input_ids") else 1 if name.endswith("mask") else None
            if number is not None:
                found.update(dict.fromkeys((name, f"input{at}", *(("input",) if at == 0 else ())), number))
        return found

    def completed(self, measure: Measure) -> Callable[[int], Arguments]:
        """Put tokens that stand for images and sound before the text, as many as the model makes features of them."""
        if "input_ids" not in self.given:
            return self
        given = {**self.given, **self.forward.with_placeholders(self.given, measure)}
        return lambda batch: _arguments(given, batch)


def _arguments(given: dict[str, Given], batch: int) -> Arguments:
    return Arguments((), {name: found.record(name, batch) for name, found in given.items()})


class _Forward:
    """The forward of one model, and the sizes of what goes in."""

    def __init__(self, model: Any, config: Any, pairs: bool) -> None:
        self.model, self.config, self.pairs = model, config, pairs
        self.sizes = Sizes(config)
        self.takes = signature(model.forward).parameters
        self.said = _documented(model.forward)
        positions = self.sizes.text("max_position_embeddings", "n_positions") or TOKENS
        self.tokens = min(TOKENS, positions) if positions > 0 else TOKENS
        self.side = self.sizes.side() or (SIDE, SIDE)

    def wanted(self) -> Iterator[str]:
        """Name the arguments to give: those that are required, those of its kinds of input, and what goes with them."""
        main, sizes = self.model.main_input_name, self.sizes
        sees = any(name in self.takes for name in _IMAGES) and (main in _IMAGES or sizes.has("vision"))
        hears = any(name in self.takes for name in _SOUNDS) and (main in _SOUNDS or (sizes.has("audio") and not sees))
        kinds = [*_WITH_TEXT, *_SERIES]
        kinds += [*_IMAGES, *_WITH_IMAGE] if sees else []
        kinds += (
            [main if main in _SOUNDS else next(n for n in _SOUNDS if n in self.takes), *_WITH_SOUND] if hears else []
        )
        kinds += ["pixel_attention_mask"] if "spatial_shapes" in self.takes else []
        kinds += ["decoder_input_ids"] if getattr(self.config, "is_encoder_decoder", False) else []
        for name, parameter in self.takes.items():
            plain = parameter.kind not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
            required = parameter.default is Parameter.empty and plain
            if name not in _NEVER and (required or name == main or name in kinds):
                yield name

    def argument(self, name: str) -> Given | None:
        """Return one argument, by the table or by the documentation; None if its sizes cannot be told."""
        rule = _RULES.get(name)
        found = rule(self) if rule is not None else self._documented(name)
        return self._documented(name) if found is None and self.takes[name].default is Parameter.empty else found

    def _documented(self, name: str) -> Given | None:
        kind, axes = self.said.get(name, ("", ()))
        sizes = [self._axis(name, axis) for axis in axes]
        found = [size for size in sizes if size is not None]
        if not found or len(found) != len(sizes):
            return None
        whole = "Long" in kind or "Int" in kind or "Bool" in kind or name.endswith(("_ids", "mask"))
        values = (1,) if name.endswith("mask") else (self.sizes.token(),) if name.endswith("input_ids") else (0,)
        dtype = "bool" if "Bool" in kind else "int64" if whole else "float32"
        batch = re.match(r"batch|bs\b|num_(images|videos|audios)$", axes[0]) is not None
        shape = (found[0] * (not batch or 1), *found[1:])
        return Given(
            shape[1:] if batch and shape[0] == 1 else shape, dtype, values if whole else (), packed=shape[0] != 1
        )

    def _axis(self, name: str, text: str) -> int | None:
        """Return the size of an axis that the documentation names; the batch counts 1."""
        total = 1
        for part in re.split(r"\s*\*\s*", text):
            word = part.removeprefix("config.").removeprefix("self.")
            size = int(word) if word.isdigit() else self._named_axis(name, word)
            if size is None:
                return None
            total *= size
        return total

    def _named_axis(self, name: str, word: str) -> int | None:
        sound = name == "input_values" or word in ("audio_length", "num_samples", "time_steps")
        sequence = SAMPLES if sound else FRAMES if name.startswith(("input_features", "feature_")) else self.tokens
        known = {
            "sequence": sequence, "seq": sequence, "time": sequence, "audio": sequence, "num_samples": SAMPLES,
            "batch": 1, "bs": 1, "target": self.tokens, "feature_sequence": FRAMES, "padded_feature": FRAMES,
            "frame": self.side[0], "height": self.side[0], "width": self.side[1], "channels": self.sizes.channels(name),
            "num_channels": self.sizes.channels(name), "episode": self.tokens, "num_visual_features": 36,
            "feature_dim": self.sizes.mels(), "num_images": 1, "num_videos": 1, "num_audios": 1, "num_frames": FRAMES,
            "text_sequence": self.tokens, "token_sequence": self.tokens, "input_ids": self.tokens,
        }  # fmt: skip
        stem = re.sub(r"_(length|len|size|steps)$", "", word)
        if word == "image_size":
            return self.side[0]
        if stem in known and known[stem] is not None:
            return known[stem]
        return self.sizes.mels() if re.search(r"mel|feature_size|banks", word) else self.sizes.any(word)

    def pixel_values(self) -> Given | None:
        """Images, as one, several, tiles or patches, by what else the model takes."""
        sizes, takes = self.sizes, self.takes
        channels = sizes.channels("pixel_values") or 3
        image = (channels, *self.side)
        grid = self.grid()
        if grid is not None:
            patch, depth = sizes.vision("patch_size") or 14, sizes.vision("temporal_patch_size", "patch_temporal") or 1
            return Given((prod(grid), channels * depth * patch * patch), packed="spatial_shapes" not in takes)
        if self.pairs:
            return Given((2, *image))
        if "aspect_ratio_ids" in takes:
            return Given((1, sizes.vision("max_num_tiles") or 1, *image))
        if "pixel_attention_mask" in takes or "image_attention_mask" in takes:
            return Given((1, *image))
        points = getattr(self.config, "image_grid_pinpoints", None)
        if points and "image_sizes" in takes:
            return Given((1 + sizes.tiles(self.side, points), *image))
        frames = sizes.frames()
        return Given((frames, *image)) if frames and not sizes.has("text") else Given(image)

    def grid(self) -> tuple[int, ...] | None:
        """Rows and columns of patches, for a model that takes patches in place of images."""
        if not {"grid_thw", "image_grid_thw", "spatial_shapes", "target_sizes", "image_grid_hw"} & set(self.takes):
            return None
        patch = self.sizes.vision("patch_size") or 14
        step = self.sizes.merge()
        return tuple(max(1, side // patch // step) * step for side in self.side)

    def input_features(self) -> Given | None:
        """Spectrograms: with channels first where a 1-d convolution takes them, and as long as positions say there."""
        mels = self.sizes.mels()
        if mels is None:
            return None
        convolved = any(type(m).__name__ == "Conv1d" and m.in_channels == mels for m in self.model.modules())
        if not convolved:
            return Given((FRAMES, mels))
        positions = self.sizes.audio("max_source_positions")
        return Given((mels, 2 * positions if positions else FRAMES))

    def tokens_or_codes(self, name: str) -> Given | None:
        """Return tokens, or where the documentation says so a token of each codebook."""
        said = self.said.get(name, ("", ()))[1]
        coded = any("codebook" in axis for axis in said) or said[1:] == ("1",)
        return self._documented(name) if coded else Given((self.tokens,), "int64", (self.sizes.token(),))

    def sound_mask(self) -> Given | None:
        """Ones for all frames of a spectrogram."""
        features = self.input_features()
        return Given((max(features.shape),), "int64", (1,)) if features is not None else None

    def cares_for(self, name: str) -> bool:
        """Whether the part that the images reach takes this argument, or the config speaks of tiles."""
        if getattr(self.config, "image_grid_pinpoints", None):
            return True
        takers = [m for m in self.model.modules() if "pixel_values" in signature(m.forward).parameters]
        return bool(takers) and name in signature(takers[-1].forward).parameters

    def with_placeholders(self, given: dict[str, Given], measure: Measure) -> dict[str, Given]:
        """Put the tokens that stand for an image or sound before the text: as many as the model makes features of it."""
        row: list[int] = []
        kinds: list[int] = []
        for kind, name in ((1, "image"), (3, "audio")):
            token = self.sizes.any(f"{name}_token_id", f"{name}_token_index")
            count = self._features(name, given, measure) if token is not None else 0
            if token is None or not count:
                continue
            before = self.sizes.any("vision_start_token_id", "boi_token_id") if name == "image" else None
            after = self.sizes.any("vision_end_token_id", "eoi_token_id") if name == "image" else None
            inner = [
                *([before] if before is not None else []),
                *[token] * count,
                *([after] if after is not None else []),
            ]
            row += inner
            kinds += [kind * (value == token) for value in inner]
        if not row:
            return {}
        text = given["input_ids"]
        size = len(row) + text.shape[0]
        found = {"input_ids": Given((size,), text.dtype, (*row, *text.values))}
        for name in ("mm_token_type_ids", "token_type_ids"):
            if name in self.takes:
                found[name] = Given((size,), "int64", (*kinds, 0))
        return found

    def _features(self, kind: str, given: dict[str, Given], measure: Measure) -> int:
        """Count the features that the model makes of an image or sound; 0 if it has no method for that alone."""
        name = f"get_{kind}_features"
        path, part = next(((p, m) for p, m in self.model.named_modules() if hasattr(m, name)), ("", None))
        takes = signature(getattr(part, name)).parameters if part is not None else {}
        needed = {key: found for key, found in given.items() if key in takes and key != "input_ids"}
        if not needed:
            return 0
        try:
            made = measure(f"{path}.{name}".lstrip("."), _arguments(needed, 1))
        except Exception:  # the run, which does the same, says what does not fit
            return 0
        return sum(t.numel() // t.shape[-1] for t in _tensors(getattr(made, "pooler_output", made)))


def _tensors(value: Any) -> Iterator[Any]:
    if hasattr(value, "numel"):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _tensors(item)


def _documented(forward: Any) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Read types and axes off the documentation: `bbox (torch.LongTensor of shape (batch_size, sequence_length, 4))`."""
    found = re.findall(r"^\s*(\w+) \(`([^`]*)` of shape `\(+([^)`]*)\)", getdoc(forward) or "", re.MULTILINE)
    return {name: (kind, tuple(axis.strip() for axis in axes.split(",") if axis.strip())) for name, kind, axes in found}


def _grid(forward: _Forward, time: bool) -> Given | None:
    grid = forward.grid()
    return Given((3,) if time else (2,), "int64", (1, *grid) if time else grid) if grid is not None else None


_RULES: dict[str, Callable[[_Forward], Given | None]] = {
    "input_ids": lambda f: f.tokens_or_codes("input_ids"),
    "decoder_input_ids": lambda f: f.tokens_or_codes("decoder_input_ids"),
    "bbox": lambda f: Given((f.tokens, 4), "int64", (0,)),
    "pixel_values": _Forward.pixel_values,
    "hidden_states": lambda f: f.pixel_values() if f.grid() is not None else None,
    "input_features": _Forward.input_features,
    "input_features_mask": _Forward.sound_mask,
    "feature_attention_mask": _Forward.sound_mask,
    "image_grid_thw": lambda f: _grid(f, True),
    "grid_thw": lambda f: _grid(f, True),
    "spatial_shapes": lambda f: _grid(f, False),
    "target_sizes": lambda f: _grid(f, False),
    "pixel_attention_mask": lambda f: Given((prod(f.grid() or ()),), "int64", (1,)),
    "image_sizes": lambda f: Given((2,), "int64", f.side) if f.cares_for("image_sizes") else None,
    "aspect_ratio_ids": lambda f: Given((1,), "int64", (1,)),
    "aspect_ratio_mask": lambda f: Given((1, f.sizes.vision("max_num_tiles") or 1), "int64", (1,)),
    "image_attention_mask": lambda f: Given((f.tokens, 1), "int64", (1,)),
}  # fmt: skip
"""Arguments whose sizes the documentation does not tell; the others are read off it."""
