"""What the fields of a config of transformers may be, said before anything is built from them."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterator, Mapping
from typing import Any

from vggcost.errors import ModelError

__all__ = ["check_fields"]

_LAYERS = 2**16
_LARGEST = 2**40
_MADE = re.compile(
    r"(^|_)(n|num|number)_\w*(layers?|blocks?|stages?|experts?|heads?|labels?|codebooks?|groups?)$|layers?$|depths?$|blocks?$"
)
"""Fields that say how many modules, or entries of a table, are made one by one."""
_TYPES: dict[str, tuple[str, Any]] = {
    "model_type": ("text", lambda value: isinstance(value, str)),
    "architectures": (
        "a list of names of classes",
        lambda value: value is None or (isinstance(value, list) and all(isinstance(item, str) for item in value)),
    ),
}


def check_fields(name: str, fields: Mapping[str, Any]) -> None:
    """Refuse fields of wrong types, and numbers that no machine could build.

    Raises:
        ModelError: it says which field, and why.
    """
    for key, (words, fits) in _TYPES.items():
        if key in fields and not fits(fields[key]):
            raise ModelError(f"hf:{name}: its config is not valid: {key} must be {words}, not {fields[key]!r:.60}")
    for key, number in _numbers("", fields):
        last = key.rpartition(".")[2]
        most = _LAYERS if _MADE.search(last) else _LARGEST
        if abs(number) > most:
            why = "as many parts are made one by one" if most == _LAYERS else "no size of a tensor is as large"
            raise ModelError(
                f"hf:{name}: its config is not valid: {key} is {reprlib.repr(number)}, more than {most:,}: {why}"
            )


def _numbers(place: str, value: Any) -> Iterator[tuple[str, float]]:
    """List the whole numbers in nested fields, with their dotted places."""
    if isinstance(value, int) and not isinstance(value, bool):
        yield place, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _numbers(f"{place}.{key}".lstrip("."), item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _numbers(place, item)
