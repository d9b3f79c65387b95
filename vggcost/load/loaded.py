"""What loading a model gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vggcost.records import Arguments, Published

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Loaded"]


@dataclass(frozen=True)
class Loaded:
    """A model on meta, and what is known of it.

    Attributes:
        model: the module; its parameters are on meta.
        name: the canonical name.
        title: what people call it.
        aliases: its other names.
        source: where it came from: `zoo`, `torchvision`, `timm`, `hf`, `export`, `file`, `module` or `object`.
        input: the input it is made for: as written on the command line, as arguments for a batch of 1, or what
            makes the arguments for a batch; None if unknown.
        published: figures that others printed of it, with these options.
        assume: what the source states for ops whose outcome depends on data.
        completed: makes the input anew, where its sizes follow from what a method of the model returns: it is given
            what runs one.
        ordinary: what fills the whole numbers that go in under a name, where the user gives a shape alone.
        hint: what to try where it does not run.
        targets: puts stated targets beside the images of a batch, for a model that is trained on both; None: it takes none.
        trained: what the source states besides, in training.
        note: what else a reader of its figures must know, in a sentence.
    """

    model: nn.Module
    name: str
    title: str
    aliases: tuple[str, ...]
    source: str
    input: str | Arguments | Callable[[int], Arguments] | None
    published: tuple[Published, ...] = ()
    assume: Mapping[str, int] = field(default_factory=dict)
    completed: Callable[[Callable[[str, Arguments], Any]], Callable[[int], Arguments]] | None = None
    ordinary: Mapping[str, int] = field(default_factory=dict)
    hint: str = ""
    targets: Callable[[Arguments], Arguments] | None = None
    trained: Mapping[str, int] = field(default_factory=dict)
    note: str = ""
