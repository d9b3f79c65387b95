"""What a run was seen to do: calls of modules and functions, ops, parameters and storages. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from vggcost.arguments import Shape

__all__ = ["FORWARD", "FunctionRecord", "ModuleRecord", "OpRecord", "ParamRecord", "StorageRecord"]


class ModuleRecord(NamedTuple):
    """One call of one module.

    `parent` and `children` are positions in `Trace.modules` (-1: none). `outputs` are positions in
    `Trace.storages`, one per output tensor.
    """

    path: str
    kind: str
    call: int
    aliases: tuple[str, ...]
    parent: int
    children: int
    input_shapes: tuple[Shape, ...]
    output_shapes: tuple[Shape, ...]
    outputs: tuple[int, ...]
    attributes: tuple[tuple[str, Any], ...]


class FunctionRecord(NamedTuple):
    """One call of a public function of torch, which dispatched one or more ops.

    `words` are its arguments that are text: the equation of `einsum`, the padding `same`.
    """

    name: str
    input_shapes: tuple[Shape, ...]
    words: tuple[str, ...] = ()


FORWARD = ("forward", "gradient")
"""Phases of a forward pass: a model may differentiate in it, for forces, penalties or updates."""


class OpRecord(NamedTuple):
    """One op as torch dispatched it.

    `phase` is `forward`, `gradient` (a derivative that the forward pass asks for), `backward`, `recompute` or
    `optimizer`.
    `module` is a position in `Trace.modules`; `nature` is what torch's own schema says of the op:
    `view`, `pointwise`, or nothing. `inputs` and `outputs` are positions in `Trace.storages`, and
    the shapes are theirs, in order; optional tensors that were left out are left out here too, and
    named in the attribute `without`. `function` is a position in `Trace.functions`: the public function
    that the op ran in, -1 where that is the op itself.
    """

    op: str
    module: int
    phase: str
    nature: str
    input_shapes: tuple[Shape, ...]
    output_shapes: tuple[Shape, ...]
    attributes: tuple[tuple[str, Any], ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    function: int = -1

    def get(self, name: str, default: Any = None) -> Any:
        """Return one of the op's plain arguments by its name in torch's schema."""
        for key, value in self.attributes:
            if key == name:
                return value
        return default


@dataclass(frozen=True, slots=True)
class ParamRecord:
    """One parameter; a tied weight is one record with several paths."""

    paths: tuple[str, ...]
    shape: Shape
    dtype: str
    nbytes: int
    trainable: bool


class StorageRecord(NamedTuple):
    """One block of memory.

    `module` is the call that made it (-1: before the run), `saved_by` the call whose op autograd
    first saved it for (-1: never). `born` and `died` count ops; `died` is -1 if it outlived the run.
    `name` is the parameter's path for a gradient or a state of the optimizer.
    """

    module: int
    role: str
    numel: int
    nbytes: int
    born: int
    died: int
    saved_by: int
    name: str = ""
