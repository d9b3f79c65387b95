"""What an exported program may say, checked word by word and written anew.

The form is torch's own schema. Numbers, truth values and lists are checked by it; each string has a rule here, by
where it stands, and a string without one is refused: so whatever a newer torch adds is not read until it is known
here. What could only be code, or is of no use for the cost, is left out.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import types
import typing
from collections.abc import Callable, Mapping
from functools import cache
from keyword import iskeyword
from typing import Any

from vggcost.load.expressions import Refused, expression, is_symbol
from vggcost.load.targets import makes, target

__all__ = ["parse", "said"]

_BYTES, _VALUES = 1 << 27, 1 << 24
"""The most bytes and values of JSON that are read."""


def parse(data: bytes, name: str) -> Any:
    """Read JSON of a bounded size.

    Raises:
        Refused: it is none, or too large or deep.
    """
    if len(data) > _BYTES or sum(map(data.count, (b",", b"[", b"{"))) > _VALUES:
        raise Refused(
            f"{name} in it is too large: at most {_BYTES >> 20} MiB and {_VALUES >> 20} million values are read"
        )
    try:
        return json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise Refused(f"{name} in it cannot be read: {str(error)[:80]}") from None


def said(kind: type, data: Any) -> dict[str, Any]:
    """Return what a record of torch's schema says, with each string checked.

    Raises:
        Refused: it says what is not known here, or is not of the schema's form.
    """
    try:
        return _record(kind, data)  # type: ignore[no-any-return]
    except RecursionError:
        raise Refused("its program is nested too deeply") from None


# Strings


def _name(text: str) -> str:
    if text and not (text.isascii() and text.isidentifier() and not iskeyword(text) and not text.startswith("__")):
        raise Refused(f"the name {text[:60]!r} in it is not a plain one: it could be code")
    return text


_ATOM = re.compile(r"[\w@:;<>#*+|/,\[\]()='~!?$%&^ -]+")
_OWN = frozenset(
    "training _parameters _buffers _modules _non_persistent_buffers_set _backward_pre_hooks _backward_hooks _ty "
    "_is_full_backward_hook _forward_hooks _forward_hooks_with_kwargs _forward_hooks_always_called _forward_pre_hooks "
    "_forward_pre_hooks_with_kwargs _state_dict_hooks _state_dict_pre_hooks _load_state_dict_pre_hooks "
    "_load_state_dict_post_hooks _compiled_call_impl _run_with_interpreter".split()
)


def _path(text: str) -> str:
    """Check the path of a module or tensor: names of attributes, none of them Python's or the module's own."""
    for atom in text.split(".") if text else ():
        if not _ATOM.fullmatch(atom) or (atom.startswith("__") and atom.endswith("__")) or atom in _OWN:
            raise Refused(f"the name {text[:60]!r} in it is none of a module or tensor: it could be code")
    return text


def _text(text: str) -> str:
    if len(text) > 10_000 or not all(c.isprintable() or c in "\n\t" for c in text):
        raise Refused(f"the text {text[:60]!r} in it holds signs that are no text")
    return text


def _word(text: str) -> str:
    if not re.fullmatch(r"[\w.+<>=-]{0,80}", text, re.ASCII):
        raise Refused(f"{text[:60]!r} in it is none of the words that stand there")
    return text


def _symbol(text: str) -> str:
    if not is_symbol(text):
        raise Refused(f"the size {text[:60]!r} in it is not named as torch names them")
    return text


def _dialect(text: str) -> str:
    if text not in ("ATEN", "TRAINING"):
        raise Refused(f"its program is in the dialect {text[:60]!r}; export it with torch.export alone")
    return text


def _file(text: str) -> str:
    if re.fullmatch(r"(custom|opaque)_obj_\d+", text):
        raise Refused(f"{text} in it is a pickled object, which could run code when it is read")
    if not re.fullmatch(r"(weight|tensor)_\d{1,9}", text, re.ASCII):
        raise Refused(f"{text[:60]!r} in it is no name of a tensor's part")
    return text


def _structure(text: str) -> str:
    """Check how arguments nest, and write it with plain containers: the types need not be imported for that."""
    found = parse(text.encode("utf-8", "replace"), "the structure of arguments")
    if not (isinstance(found, list) and len(found) == 2 and found[0] == 1):
        raise Refused("the structure of arguments in it is of another version than 1")
    return json.dumps([1, _container(found[1])])


_LISTS = ("builtins.list", "collections.deque")
_MAPPINGS = ("builtins.dict", "collections.OrderedDict", "collections.defaultdict")


def _container(spec: Any) -> dict[str, Any]:
    if not (isinstance(spec, dict) and set(spec) == {"type", "context", "children_spec"}):
        raise Refused("the structure of arguments in it is not what it should be")
    kind, context, inside = spec["type"], spec["context"], spec["children_spec"]
    if not isinstance(inside, list) or not isinstance(kind, str | None) or not isinstance(context, str | dict | None):
        raise Refused("the structure of arguments in it is not what it should be")
    if kind is None:
        return {"type": None, "context": None, "children_spec": []}
    children = [_container(child) for child in inside]
    if kind not in _MAPPINGS:
        plain = "builtins.list" if kind in _LISTS else "builtins.tuple"
        return {"type": plain, "context": "null", "children_spec": children}
    keys = parse(context.encode("utf-8", "replace"), "a mapping's keys") if isinstance(context, str) else context
    keys = keys.get("dict_context") if isinstance(keys, dict) else keys
    if not isinstance(keys, list) or len(keys) != len(children):
        raise Refused("the structure of arguments in it has other keys than values")
    if not all(isinstance(key, str | int | float | None) for key in keys):
        raise Refused("the structure of arguments in it has keys that are no plain values")
    return {"type": "builtins.dict", "context": json.dumps(keys), "children_spec": children}


_STRINGS: dict[str, Callable[[str], str]] = {
    "Argument.as_operator": target,
    "Argument.as_string": _text,
    "Argument.as_string_to_argument": _name,
    "Argument.as_strings": _text,
    "BufferMutationSpec.buffer_name": _path,
    "ConstantValue.as_string": _text,
    "ExportedProgram.opset_version": _name,
    "ExportedProgram.range_constraints": _symbol,
    "ExportedProgram.torch_version": _word,
    "ExportedProgram.verifiers": _dialect,
    "GradientToParameterSpec.parameter_name": _path,
    "GradientToUserInputSpec.user_input_name": _name,
    "Graph.sym_bool_values": _name,
    "Graph.sym_float_values": _name,
    "Graph.sym_int_values": _name,
    "Graph.tensor_values": _name,
    "GraphArgument.name": _name,
    "InputToBufferSpec.buffer_name": _path,
    "InputToConstantInputSpec.name": _name,
    "InputToParameterSpec.parameter_name": _path,
    "InputToTensorConstantSpec.tensor_constant_name": _path,
    "ModuleCallEntry.fqn": _path,
    "ModuleCallSignature.forward_arg_names": _name,
    "ModuleCallSignature.in_spec": _structure,
    "ModuleCallSignature.out_spec": _structure,
    "NamedArgument.name": _name,
    "Node.name": _name,
    "Node.target": target,
    "ParameterMutationSpec.parameter_name": _path,
    "PayloadConfig.config": _path,
    "PayloadMeta.path_name": _file,
    "SymBoolArgument.as_name": _name,
    "SymExpr.expr_str": expression,
    "SymFloatArgument.as_name": _name,
    "SymIntArgument.as_name": _name,
    "TensorArgument.name": _name,
    "TokenArgument.name": _name,
    "UserInputMutationSpec.user_input_name": _name,
}
"""The rule of each string, and of the names in each mapping, by its place in the schema."""

_META = {"type": "meta", "index": None}
_INSTEAD: Mapping[str, Any] = {
    "Argument.as_device": _META,
    "ExportedProgram.guards_code": [],
    "GraphModule.metadata": {},
    "GraphModule.treespec_namedtuple_fields": {},
    "TensorMeta.device": {"type": "cpu", "index": None},
}
"""What is not read: where it ran (here all is on meta), conditions that are Python, notes, and the types of tuples."""


def _stack(metadata: Any) -> dict[str, str]:
    """Keep of an op's notes the modules that it is in."""
    if not isinstance(metadata, dict):
        raise Refused("the notes of an op in it are not what they should be")
    stack = metadata.get("nn_module_stack", "")
    if not isinstance(stack, str):
        raise Refused("the modules of an op in it are not what they should be")
    for text in stack.split(";") if stack else ():
        for part in text.split(","):
            _path(part.strip("()[]").replace("__self__", "self").replace("__main__", "main"))
    return {"nn_module_stack": stack} if stack else {}


# Records


@cache
def _fields(kind: type) -> dict[str, tuple[Any, bool]]:
    """The fields of a record: what stands in each, and whether it may be missing."""
    from torch._export.serde import schema

    hints = typing.get_type_hints(kind, globalns=vars(schema))
    missing = dataclasses.MISSING
    return {
        field.name: (hints[field.name], field.default is not missing or field.default_factory is not missing)
        for field in dataclasses.fields(kind)
    }


def _record(kind: type, data: Any) -> Any:
    if not isinstance(data, dict):
        raise Refused(f"{kind.__name__} in its program is no record")
    fields, found = _fields(kind), {}
    if _is_union(kind):
        if len(data) != 1 or not set(data) <= set(fields):
            raise Refused(f"{kind.__name__} in its program is {', '.join(map(repr, data))[:80]}, not one of its forms")
    elif short := [name for name, (_, optional) in fields.items() if not optional and name not in data]:
        raise Refused(f"{kind.__name__} in its program has no {short[0]!r}")
    for name, (hint, _) in fields.items():
        if name in data:
            place = f"{kind.__name__}.{name}"
            found[name] = _value(hint, data[name], place)
    return _on_meta(found) if kind.__name__ == "Node" else found


def _on_meta(node: dict[str, Any]) -> dict[str, Any]:
    """Let an op make on meta what it makes anew, and leave elsewhere what it is given, wherever it once ran."""
    told = makes(node["target"])
    if told is None:
        return node
    inputs = [one for one in node["inputs"] if one["name"] != "device"]
    if told:
        inputs.append({"name": "device", "arg": {"as_device": _META}, "kind": 2})
    name = node["target"].replace("aten.to.device", "aten.to.dtype")  # the form of it that has no device
    return node | {"target": name, "inputs": inputs}


def _is_union(kind: type) -> bool:
    from torch._export.serde.union import _Union

    return issubclass(kind, _Union)


def _value(hint: Any, data: Any, place: str) -> Any:
    if place in _INSTEAD:
        return _INSTEAD[place]
    if place == "Node.metadata":
        return _stack(data)
    form, inner = typing.get_origin(hint), typing.get_args(hint)
    if form in (typing.Union, types.UnionType):
        return None if data is None else _value(inner[0], data, place)
    if form is list and isinstance(data, list):
        return [_value(inner[0], item, place) for item in data]
    if form is dict and isinstance(data, dict):
        return {_string(key, place): _value(inner[1], item, place) for key, item in data.items()}
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        if hint.__name__ == "CustomObjArgument":
            raise Refused("it holds an object that is no tensor, which could run code when it is read")
        return _record(hint, data)
    if hint is str and isinstance(data, str):
        return _string(data, place)
    return _plain(hint, data, place)


def _string(text: str, place: str) -> str:
    rule = _STRINGS.get(place)
    if rule is None:
        raise Refused(f"{place} in its program is text that this version does not know: it could be code")
    return rule(text)


def _plain(hint: Any, data: Any, place: str) -> Any:
    """Check a number, or a truth value."""
    if hint is bool and isinstance(data, bool):
        return data
    if isinstance(hint, type) and issubclass(hint, int) and hint is not bool and type(data) is int:
        known = hint is int or data in list(hint)  # type: ignore[call-overload]
        if known and abs(data) <= 1 << 64:
            return data
    if hint is float and (type(data) in (int, float) or data in ("Infinity", "-Infinity", "NaN")):
        number = float(data)
        return number if math.isfinite(number) else {"inf": "Infinity", "-inf": "-Infinity"}.get(str(number), "NaN")
    raise Refused(f"{place} in its program is {str(data)[:40]!r}, which cannot be")
