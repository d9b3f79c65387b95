"""The tensors of an exported program: made by their description, and filled from the raw bytes of the file.

No pickle is read. Parameters are on meta, as their numbers tell nothing of the cost; buffers and constants that are
small keep theirs, as some are sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from vggcost.load.expressions import Refused

if TYPE_CHECKING:
    import torch

__all__ = ["tensors"]

_SMALL, _TOTAL = 1 << 24, 1 << 28
"""The bytes of one buffer, and of all, whose numbers are read."""


def tensors(
    described: Mapping[str, Mapping[str, Any]], sizes: Mapping[str, int], read: Callable[[str, int], bytes]
) -> dict[str, torch.Tensor]:
    """Make the tensors of a program.

    Args:
        described: torch's description of each, by its path.
        sizes: the bytes of each part of the file, by its name.
        read: gives the bytes of a part that has at most so many.

    Raises:
        Refused: one is pickled, or is not what is described.
    """
    storages: dict[tuple[str, bool], Any] = {}
    made, left = {}, _TOTAL
    for path, one in described.items():
        meta = one["tensor_meta"]
        if one["use_pickle"] or meta is None:
            raise Refused(f"{path[:60]!r} in it is pickled, and could run code when it is read")
        dtype, size, stride, offset, needed = _form(path, meta)
        held = sizes.get(one["path_name"])
        if held is None or (held and needed > held):
            raise Refused(f"{path[:60]!r} in it has fewer bytes than it is said to have")
        real = not one["is_param"] and 0 < held <= _SMALL and _product(size) * dtype.itemsize <= min(_SMALL, left)
        left -= _product(size) * dtype.itemsize if real else 0
        key = (one["path_name"], real)
        if key not in storages:
            storages[key] = _storage(read(one["path_name"], _SMALL) if real else None, max(held, needed))
        tensor = _view(storages[key], dtype, size, stride, offset)
        made[path] = _parameter(path, tensor, meta["requires_grad"]) if one["is_param"] else tensor
    return made


def _form(path: str, meta: Mapping[str, Any]) -> tuple[torch.dtype, list[int], list[int], int, int]:
    """Read the form of a tensor, and how many bytes it reaches over."""
    from torch._export.serde import schema, serialize

    if meta["layout"] != schema.Layout.Strided:
        raise Refused(f"{path[:60]!r} in it is sparse, which is not read")
    size, stride = list(_whole(path, meta["sizes"])), list(_whole(path, meta["strides"]))
    (offset,) = _whole(path, [meta["storage_offset"]])
    dtype = serialize._SERIALIZE_TO_TORCH_DTYPE.get(meta["dtype"])
    if dtype is None or len(size) != len(stride):
        raise Refused(f"{path[:60]!r} in it is of no known form")
    reach = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) + 1 if all(size) else 0
    if max(reach, _product(size)) * dtype.itemsize >= 1 << 62:
        raise Refused(f"{path[:60]!r} in it is larger than can be")
    return dtype, size, stride, offset, reach * dtype.itemsize


def _whole(path: str, values: list[Any]) -> Iterator[int]:
    for value in values:
        number = value.get("as_int", -1)
        if not 0 <= number < 1 << 62:
            raise Refused(f"{path[:60]!r} in it has no sizes")
        yield number


def _product(size: list[int]) -> int:
    product = 1
    for n in size:
        product *= n
    return product


def _storage(data: bytes | None, count: int) -> torch.Tensor:
    import torch

    if data is None:
        return torch.empty(count, dtype=torch.uint8, device="meta")
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)


def _view(storage: torch.Tensor, dtype: torch.dtype, size: list[int], stride: list[int], offset: int) -> torch.Tensor:
    import torch

    empty = torch.empty(0, dtype=dtype, device=storage.device)
    return empty.set_(storage.untyped_storage(), offset, size, stride)


def _parameter(path: str, tensor: torch.Tensor, grad: bool) -> torch.nn.Parameter:
    import torch

    if grad and not (tensor.is_floating_point() or tensor.is_complex()):
        raise Refused(f"{path[:60]!r} in it is of whole numbers, which have no gradient")
    return torch.nn.Parameter(tensor, requires_grad=grad)
