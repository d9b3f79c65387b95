"""What a sweep is to run: models × inputs × batches × modes."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from itertools import product
from typing import Any

from vggcost import zoo
from vggcost.errors import InputError, ModelError, OptionError
from vggcost.load import matching, parse_inputs
from vggcost.origin import LIBRARIES, code_digest, versions

__all__ = ["MODES", "Job", "jobs_of", "models_of"]

MODES = ("inference", "training")
_WILD = "*?["


@dataclass(frozen=True, slots=True)
class Job:
    """One model, run once; all of its fields together are what a result is known by.

    Attributes:
        model: its name, as for `analyze`.
        input: as for `-i`; empty: what the model is made for.
        batch: N.
        mode: one of `MODES`.
        convention: what counts as a FLOP.
        dtype: as for `analyze`.
        options: of the factory, as Python writes the dict; empty: none.
        versions: of what the figures depend on, as text.
        code: fingerprint of the user's file that the name leads to.
    """

    model: str
    input: str
    batch: int
    mode: str
    convention: str
    dtype: str
    options: str
    versions: str
    code: str

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells its result from those of others."""
        return tuple(asdict(self).values())


def models_of(patterns: Sequence[str]) -> list[str]:
    """List the models that patterns stand for, each once.

    A pattern with `*`, `?` or `[` is of the names of a library (`timm:*`) or of the zoo (`vgg*`); any other one is a
    model's name as it stands.

    Raises:
        ModelError: nothing matches, or the library is missing.

    Example:
        >>> models_of(["vgg-?", "vgg-d"])[:3]
        ['vgg-f', 'vgg-m', 'vgg-s']
    """
    found: dict[str, None] = {}
    for pattern in patterns:
        found.update(dict.fromkeys(_expanded(pattern)))
    return list(found)


def _expanded(pattern: str) -> list[str]:
    place, colon, _ = pattern.partition(":")
    if not any(sign in pattern for sign in _WILD) or (colon and place not in LIBRARIES):
        if any(sign in pattern for sign in _WILD):
            raise ModelError(f"no library {place!r} to list names of; known: {', '.join(LIBRARIES)}")
        return [pattern]
    if colon:
        names = matching(pattern)
    else:
        wanted = pattern.lower().replace("_", "-")
        names = [v.name for v in zoo.matching() if any(fnmatchcase(name, wanted) for name in (v.name, *v.aliases))]
    if not names:
        raise ModelError(f"no model matches {pattern!r}; 'vggcost models{f' {place}:' if colon else ''}' lists them")
    return names


def jobs_of(
    models: Iterable[str],
    inputs: Sequence[str] = ("",),
    batches: Sequence[int] = (1,),
    modes: Sequence[str] = ("inference",),
    *,
    convention: str = "torch",
    dtype: str = "",
    options: dict[str, Any] | None = None,
) -> list[Job]:
    """Put models, inputs, batches and modes together; what belongs to one model stands together.

    Raises:
        InputError: an input or a batch cannot be read.
        OptionError: there is no such mode.
    """
    for mode in modes:
        if mode not in MODES:
            raise OptionError(f"unknown mode {mode!r}; choose one of: {', '.join(MODES)}")
    for batch in batches:
        if batch < 1:
            raise InputError(f"the batch must be a whole number of 1 or more, not {batch}")
    for text, batch in product(filter(None, inputs), batches):
        parse_inputs(text, batch)
    given = repr(dict(sorted(options.items()))) if options else ""
    found: dict[Job, None] = {}
    for model in models:
        used = ", ".join(f"{name} {version}" for name, version in versions(model))
        code = code_digest(model, sys.path)
        for text, batch, mode in product(inputs, batches, modes):
            found[Job(model, text, batch, mode, convention, dtype, given, used, code)] = None
    return list(found)
