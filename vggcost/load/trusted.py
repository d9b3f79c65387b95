"""Whether a file of torch.export can be read without running what its author wrote into it.

torch's reader is not safe by itself: it unpickles some constants, evaluates the expressions of dynamic
shapes, looks functions up by any path, and puts names into code that it generates. A file whose text could
be more than data is refused before torch sees it. Tensors in it that are pickled are read as such only
(`weights_only`), which is torch's own check.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

__all__ = ["suspicious"]

_NAME = r"[\w.,:;<>@#*+|/\[\] '-]*"
_FORMS = {
    "target": r"(torch\.ops\.(?!__)\w+\.(__i?(and|or|xor|[lr]shift)__|(?!__)\w+)(\.(?!__)\w+)?|(_operator|math)\.(?!__)\w+|torch\.sym_\w+|#[\w.:#]+)?",
    "path_name": r"(weight|tensor)_\d+",
    "expr_str": r"[\w .,()'=<>+*/%-]*",
    "in_spec": r'[\w\s.,:"\\\[\]{}-]*',
    "out_spec": r'[\w\s.,:"\\\[\]{}-]*',
    **dict.fromkeys(("stack_trace", "torch_fn", "as_string", "as_strings"), r"(?s).*"),  # never part of any code
}
"""What text may look like, by its key; everything else, keys too, looks like a name."""

_EXPRESSION = (
    ast.Expression, ast.Call, ast.Name, ast.Load, ast.Constant, ast.keyword, ast.Tuple, ast.Compare, ast.cmpop,
    ast.BinOp, ast.operator, ast.UnaryOp, ast.unaryop,
)  # fmt: skip


def suspicious(path: str) -> str:
    """Say what in a file could be code; empty if there is nothing.

    Raises:
        ValueError: a part of it is not the JSON that it should be, or two parts have one name.
    """
    with ZipFile(path) as file:
        names = file.namelist()
        if len({name.lower() for name in names}) < len(names):
            raise ValueError("two parts of it have one name")
        for name in names:
            parts = Path(name).parts
            if name.lower().endswith(".json") or "models" in parts[1:2]:
                for key, text in _texts(json.loads(file.read(name).decode("utf-8")), ""):
                    if not re.fullmatch(_FORMS.get(key, _NAME), text) or (key == "expr_str" and not _harmless(text)):
                        return f"the {key or 'name'} {text[:60]!r}"
    return ""


def _texts(value: Any, key: str) -> Iterator[tuple[str, str]]:
    """List all text in JSON with the key it stands under."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield "", name
            yield from _texts(item, name)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, key)


def _harmless(expression: str) -> bool:
    """Whether an expression only computes: numbers, symbols, and functions of sympy, which are classes."""
    try:
        tree = ast.parse(expression, mode="eval")
    except (SyntaxError, RecursionError):
        return False
    for node in ast.walk(tree):
        if not isinstance(node, _EXPRESSION):
            return False
        if isinstance(node, ast.Call) and not (isinstance(node.func, ast.Name) and node.func.id[0].isupper()):
            return False
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and not re.fullmatch(r"[\w.]+", node.value):
            return False
    return True
