"""Inputs written as JSON: nested arguments, in which `{"shape": [1, 128], "dtype": "int64"}` is a tensor."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vggcost.errors import FileError, InputError
from vggcost.load.inputs import named, sized, tensor_of
from vggcost.records import Arguments, FilledRecord, InputRecord
from vggcost.units import did_you_mean

__all__ = ["JsonText", "read_json"]

_KEYS = ("shape", "dtype", "values")
_FORM = 'a tensor is {"shape": [1, 128], "dtype": "int64"}'


def read_json(text: str, batch: int = 1) -> Arguments:
    """Read the arguments of a model's forward from JSON.

    Args:
        text: an object of keyword arguments, or a list of positional ones. Inside, an object with the key `shape`
            (and perhaps `dtype`, float32 without it) is a tensor of that whole shape; `values` are its whole numbers
            along the last axis, where a model looks at them, and the last one goes on to its end. Everything else is
            passed as it is.
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
        data = json.loads(text, object_pairs_hook=_object)
    except RecursionError:
        raise InputError("JSON that is nested too deeply to be read") from None
    except ValueError as error:
        raise InputError(f"not JSON ({error}); {_FORM}") from None
    if batch < 1:
        raise InputError(f"the batch must be 1 or more, not {batch}")
    if isinstance(data, dict):
        found = Arguments((), {key: _read(value, key, batch) for key, value in data.items()})
    elif isinstance(data, list):
        found = Arguments(tuple(_read(value, str(at), batch) for at, value in enumerate(data)))
    else:
        raise InputError(f"expected an object of keyword arguments or a list of positional ones, not {data!r:.60}")
    if not found.inputs:
        raise InputError(f"no tensor among the inputs; {_FORM}, given by name in an object or by position in a list")
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
        try:
            return cls.decoded(path.read_bytes(), str(path))
        except OSError as error:
            raise FileError(f"cannot read {path}: {error.strerror or error}") from None

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
        if "shape" in value:
            return _tensor(value, where, batch)
        return {key: _read(item, f"{where}.{key}", batch) for key, item in value.items()}
    if isinstance(value, list):
        return [_read(item, f"{where}.{at}", batch) for at, item in enumerate(value)]
    return value


def _tensor(value: dict[str, Any], where: str, batch: int) -> InputRecord:
    foreign = [key for key in value if key not in _KEYS]
    if foreign:
        raise InputError(f"{where}: no key {foreign[0]!r}{did_you_mean(foreign[0], _KEYS)}; {_FORM}")
    shape, dtype = value["shape"], value.get("dtype", "float32")
    if not isinstance(shape, list) or not all(type(size) is int and size > 0 for size in shape):
        raise InputError(f"{where}.shape must be a list of whole numbers above 0, not {json.dumps(shape):.60}")
    if not isinstance(dtype, str):
        raise InputError(f"{where}.dtype must be the name of a dtype, not {json.dumps(dtype):.60}; {_FORM}")
    record = tensor_of(sized(tuple(shape), batch, where), dtype, where)
    if "values" not in value:
        return record
    values = value["values"]
    if not isinstance(values, list) or not values or not all(type(n) is int for n in values) or not shape:
        raise InputError(f"{where}.values must be a list of whole numbers, those along the last axis; the last goes on")
    return FilledRecord(record.name, record.shape, record.dtype, tuple(values))
