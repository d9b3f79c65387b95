"""Inputs written as JSON: nested arguments, in which `{"shape": [1, 128]}` and `{"values": [5, 3, 2]}` are tensors."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vggcost.errors import InputError
from vggcost.load.inputs import named, sized, tensor_of
from vggcost.load.values import given
from vggcost.reading import loads, read_file
from vggcost.records import Arguments, InputRecord
from vggcost.units import did_you_mean

__all__ = ["JsonText", "read_json"]

_KEYS = ("shape", "dtype", "values")
_FORM = 'a tensor is {"shape": [1, 128], "dtype": "int64"}, or with its values {"values": [5, 3, 2]}'


def read_json(text: str, batch: int = 1) -> Arguments:
    """Read the arguments of a model's forward from JSON.

    Args:
        text: an object of keyword arguments, or a list of positional ones. Inside, an object with the key `shape`
            (and perhaps `dtype`, float32 without it) is a tensor of that whole shape. One with `values`, which are
            numbers nested in lists, is a tensor of these; with a `shape` too, they are repeated along the axes that
            they do not have, and of a single row the last one goes on to its end. Everything else is passed as it is.
        batch: N, which takes the place of a first size of 1.

    Returns:
        The arguments.

    Raises:
        InputError: the text is not such JSON; the message says where.

    Example:
        >>> read_json('{"input_ids": {"shape": [1, 128], "dtype": "int64"}, "use_cache": false}').kwargs["use_cache"]
        False
    """
    try:
        data = loads(text, _object)
    except ValueError as error:
        raise InputError(f"not JSON ({error}); {_FORM}") from None
    if batch < 1:
        raise InputError(f"the batch must be 1 or more, not {batch}")
    if isinstance(data, dict) and isinstance(data.get("shape", data.get("values")), list) and data.keys() <= {*_KEYS}:
        raise InputError("a single tensor; give it by name in an object, or by position in a list, [{…}]")
    if isinstance(data, dict):
        found = Arguments((), {key: _read(value, key, batch) for key, value in data.items()})
    elif isinstance(data, list):
        found = Arguments(tuple(_read(value, str(at), batch) for at, value in enumerate(data)))
    else:
        raise InputError(f"expected an object of keyword arguments or a list of positional ones, not {data!r:.60}")
    return named(found)


@dataclass(frozen=True, slots=True)
class JsonText:
    """JSON and where it comes from; every use of it may have another batch."""

    text: str
    source: str

    @classmethod
    def of_file(cls, path: Path) -> JsonText:
        """Read a file.

        Raises:
            FileError: it cannot be read.
            InputError: it is not text.
        """
        return cls.decoded(read_file(path), str(path))

    @classmethod
    def decoded(cls, data: bytes, source: str) -> JsonText:
        """Take bytes for UTF-8.

        Raises:
            InputError: they are not.
        """
        try:
            return cls(data.decode("utf-8-sig"), source)
        except UnicodeDecodeError:
            raise InputError(f"{source}: not text; give JSON in UTF-8, where {_FORM}") from None

    def arguments(self, batch: int) -> Arguments:
        """Read the arguments.

        Raises:
            InputError: as for `read_json`; the message names the source, too.
        """
        try:
            return read_json(self.text, batch)
        except InputError as error:
            raise InputError(f"{self.source}: {error}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [key for key, _ in pairs]
    twice = [key for key in names if names.count(key) > 1]
    if twice:
        raise InputError(f"the name {twice[0]!r} is given twice in one object; give each name once")
    return dict(pairs)


def _read(value: Any, where: str, batch: int) -> Any:
    if isinstance(value, dict):
        if _is_tensor(value):
            return _tensor(value, where, batch)
        return {key: _read(item, f"{where}.{key}", batch) for key, item in value.items()}
    if isinstance(value, list):
        return [_read(item, f"{where}.{at}", batch) for at, item in enumerate(value)]
    return value


def _is_tensor(value: dict[str, Any]) -> bool:
    return "shape" in value or ("values" in value.keys() <= {*_KEYS} and not isinstance(value["values"], dict))


def _tensor(value: dict[str, Any], where: str, batch: int) -> InputRecord:
    foreign = [key for key in value if key not in _KEYS]
    if foreign:
        raise InputError(f"{where}: no key {foreign[0]!r}{did_you_mean(foreign[0], _KEYS)}; {_FORM}")
    dtype, values = value.get("dtype", "" if "values" in value else "float32"), value.get("values")
    if not isinstance(dtype, str):
        raise InputError(f"{where}.dtype must be the name of a dtype, not {json.dumps(dtype):.60}; {_FORM}")
    if "shape" not in value:
        found = given(values, f"{where}.values", dtype, batch=batch)
        return replace(found, dtype=tensor_of(found.shape, found.dtype, where).dtype)
    shape, least = value["shape"], 0 if "values" in value else 1
    if not isinstance(shape, list) or not all(type(size) is int and size >= least for size in shape):
        raise InputError(f"{where}.shape must be a list of whole numbers above 0, not {json.dumps(shape):.60}")
    record = tensor_of(sized(tuple(shape), batch, where), dtype or "float32", where)
    if "values" not in value:
        return record
    if isinstance(values, list) and values and shape and not isinstance(values[0], list):
        values = [*values, *values[-1:] * (shape[-1] - len(values))]
    return given(values, f"{where}.values", dtype, record.shape)
