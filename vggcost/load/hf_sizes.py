"""The sizes that a config of transformers states, whatever its fields are called and wherever they lie."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

__all__ = ["Sizes"]

_PARTS = {
    "vision": r"vision|visual|image|backbone|vq_config|vit",
    "audio": r"audio|speech|sound|encoder",
    "text": r"text|language|llm|decoder",
}
_CHANNELS = ("num_channels", "in_channels", "in_chans", "num_input_channels", "audio_channels", "in_channel")
_MELS = ("num_mel_bins", "feature_size", "n_mels", "mel_bins", "num_mel_features", "input_feat_per_channel",
         "feature_projection_input_dim", "input_feat_size", "input_dim", "mel_dim")  # fmt: skip
_SIDES = ("image_size", "img_size", "input_size")


class Sizes:
    """Look sizes up in a config and in the configs of its parts."""

    def __init__(self, config: Any) -> None:
        self.config = config
        self.parts = list(_nested("", config))

    def has(self, part: str) -> bool:
        """Whether the config has one of its own for a part: `vision`, `audio` or `text`."""
        return any(re.search(_PARTS[part], name) for name, _ in self.parts if name)

    def vision(self, *names: str) -> int | None:
        """Look a size up for the images."""
        return self._of("vision", names)

    def audio(self, *names: str) -> int | None:
        """Look a size up for the sound."""
        return self._of("audio", names)

    def text(self, *names: str) -> int | None:
        """Look a size up for the text."""
        inner = getattr(self.config, "get_text_config", lambda: self.config)()
        return _number(inner, names)

    def any(self, *names: str) -> int | None:
        """Look a size up anywhere, from the outside in."""
        return next((found for _, part in self.parts if (found := _number(part, names)) is not None), None)

    def side(self) -> tuple[int, int] | None:
        """Return the height and width of images."""
        for part in self._first("vision"):
            for name in _SIDES:
                value = getattr(part, name, None)
                if isinstance(value, Sequence) and len(value) >= 2 and all(type(n) is int for n in value):
                    return (value[-2], value[-1])
                if type(value) is int:
                    return (value, value)
        count, patch = self.vision("num_patches"), self.vision("patch_size")
        if count and patch:
            return (round(count**0.5) * patch,) * 2
        return None

    def channels(self, name: str) -> int | None:
        """Return the channels of an argument: of images, or of sound."""
        sound = not name.startswith(("pixel", "image", "high", "flattened"))
        found = self._of("audio" if sound else "vision", _CHANNELS)
        return found if found is not None else 1 if sound else 3

    def mels(self) -> int | None:
        """Return the bands of a spectrogram."""
        return self.audio(*_MELS)

    def frames(self) -> int | None:
        """Return the frames of a video."""
        return self.vision("num_frames", "frames_per_clip")

    def merge(self) -> int:
        """Return how many patches side by side become one token."""
        for part in self._first("vision"):
            for name in ("spatial_merge_size", "merge_kernel_size", "merge_size", "downsample_factor", "scale_factor"):
                value = getattr(part, name, None)
                value = value[0] if isinstance(value, Sequence) and value else value
                if type(value) is int:
                    return value
        return 1

    def tiles(self, side: tuple[int, int], points: Any) -> int:
        """Return into how many tiles an image of this size is cut."""
        from transformers.models.llava_next.modeling_llava_next import image_size_to_num_patches

        return int(image_size_to_num_patches(side, points, side[0])) - 1

    def token(self) -> int:
        """Return an ordinary token: the first that has no meaning of its own in the config."""
        taken = {
            number
            for _, part in self.parts
            for name, value in vars(part).items()
            if re.search(r"token_id|token_index|_id$|_index$", name)
            for number in (value if isinstance(value, (list, tuple)) else [value])
        }
        size = self.text("vocab_size") or self.any("vocab_size") or 2
        return next((number for number in range(1, size) if number not in taken), 0)

    def _first(self, part: str) -> Iterator[Any]:
        """List the configs, those of a part first."""
        own = [config for name, config in self.parts if name and re.search(_PARTS[part], name)]
        yield from (*own, self.config)

    def _of(self, part: str, names: Sequence[str]) -> int | None:
        return next((found for config in self._first(part) if (found := _number(config, names)) is not None), None)


def _nested(name: str, config: Any) -> Iterator[tuple[str, Any]]:
    yield name, config
    for inner, value in list(vars(config).items()):
        if hasattr(value, "model_type") and hasattr(value, "to_dict"):
            yield from _nested(inner, value)


def _number(config: Any, names: Sequence[str]) -> int | None:
    for name in names:
        value = getattr(config, name, None)
        if type(value) is int:
            return value
    return None
