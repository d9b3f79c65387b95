"""What the model is run on: from `3x224x224`, from tensors or from JSON, to the arguments of its forward."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vggcost.errors import InputError
from vggcost.load.values import first_size, given, read_json_prefix
from vggcost.records import Arguments, GivenRecord, InputRecord, rebuilt
from vggcost.units import did_you_mean, exact

__all__ = [
    "DTYPES",
    "batch_of",
    "filled",
    "named",
    "parse_inputs",
    "read_inputs",
    "sized",
    "tensor_of",
    "to_arguments",
    "with_batch",
    "with_side",
]

DTYPES = (
    "float32", "float16", "bfloat16", "float64",
    "int64", "int32", "int16", "int8", "uint8", "bool", "complex64", "complex128",
)  # fmt: skip
_FORM = "write the shape without the batch, such as 3x224x224, and the batch as -b 8"
_NAMED_FORM = "write a name, = and the whole shape, the batch too, such as input_ids=1x128:int64"
_VALUE_FORM = "write values in brackets, such as lengths=[5,3,2] or mask=[[true,false]], and a plain one as n=value:3"
_LARGEST = 2**62  # bytes that torch can still address
_SIZES = r"\d{1,19}([x×*]\d{1,19})*"


def to_arguments(given: Any, batch: int = 1) -> Arguments:
    """Read inputs in any form that the Python API takes.

    Args:
        given: a text or a sequence of texts as for `-i`, the path of a JSON file, arguments, or tensors in any
            nesting (see `read_inputs`).
        batch: N, for texts and JSON.

    Raises:
        InputError: they cannot be read.
        FileError: the file cannot be read.
    """
    from vggcost.load.json_inputs import JsonText  # which is made of what is here

    if isinstance(given, (Path, JsonText)):
        return (JsonText.of_file(given) if isinstance(given, Path) else given).arguments(batch)
    if isinstance(given, Arguments):
        return named(given)
    if isinstance(given, str) or (
        isinstance(given, (tuple, list)) and given and all(isinstance(t, str) for t in given)
    ):
        return parse_inputs(given, batch)
    return read_inputs(given)[0]


def parse_inputs(texts: str | Sequence[str], batch: int = 1) -> Arguments:
    """Read inputs as written on the command line, where `-i` may be repeated.

    Args:
        texts: each is one of `3x224x224` (sizes without the batch, passed by position), `input_ids=1x128` (a keyword
            argument of this whole shape), `tokens:1x128` (int64 of this whole shape), `[5,3,2]` (a tensor of these
            values) and `value:3` (a plain value, as JSON), the last three by position or after a name; a dtype may
            follow, such as `128:int64` or `[5,3,2]:int32`, and makes a tensor without axes of `value:3:int64`.
        batch: N, put before sizes without a batch, and in the place of a first size of 1, where the values of one
            example are those of all.

    Returns:
        The arguments of the model's forward.

    Raises:
        InputError: a text is malformed, a size or the batch is below 1, a dtype is unknown, a name is given
            twice, or a whole shape leaves no room for the batch.

    Example:
        >>> parse_inputs("3x224x224", 2).args[0].shape
        (2, 3, 224, 224)
        >>> parse_inputs(["input_ids=1x128:int64"], 8).kwargs["input_ids"].shape
        (8, 128)
        >>> parse_inputs(["lengths=[5,3,2]", "pad=value:true"]).kwargs["lengths"].values
        [5, 3, 2]
    """
    if batch < 1:
        raise InputError(f"the batch must be 1 or more, not {batch}")
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for text in (texts,) if isinstance(texts, str) else texts:
        name, found = _parsed(text, batch)
        if not name:
            args.append(found)
        elif name in kwargs:
            raise InputError(f"the input {name!r} is given twice; give each name once")
        else:
            kwargs[name] = found
    return named(Arguments(tuple(args), dict(kwargs)))


def _parsed(text: str, batch: int) -> tuple[str, Any]:
    """Read one text: the name, empty for an input passed by position, and the tensor or plain value."""
    what = f"the input {text!r}"
    name, equals, value = (part.strip() for part in text.partition("="))
    if not equals or text.lstrip().startswith(_VALUES):
        name, equals, value = "", "", text.strip()
    if equals and not name.isidentifier():
        raise InputError(f"cannot read {what}; {_NAMED_FORM}")
    if value.startswith(_VALUES):
        return name, _value(value, batch, what)
    tokens = value.startswith("tokens:")
    sizes, _, dtype = value.removeprefix("tokens:").partition(":")
    form = _NAMED_FORM if equals else "write tokens: and the whole shape, such as tokens:1x128" if tokens else _FORM
    dtype = _dtype(dtype or ("int64" if tokens else "float32"), f"in input {text!r}")
    if not re.fullmatch(_SIZES, sizes.lower()):
        raise InputError(f"cannot read {what}; {form}")
    shape = tuple(int(size) for size in re.split(r"[x×*]", sizes.lower()))
    if 0 in shape:
        raise InputError(f"{what} has a size of 0; {form}")
    shape = sized(shape, batch, what) if equals or tokens else (batch, *shape)
    return name, tensor_of(shape, dtype, f"{what} at batch {batch}")


_PLAIN = "value:"
_VALUES = ("[", _PLAIN)


def _value(text: str, batch: int, what: str) -> Any:
    """Read values in brackets as a tensor, and what comes after `value:` as it is."""
    try:
        value, rest = read_json_prefix(text.removeprefix(_PLAIN), what)
    except InputError as error:
        raise InputError(f"{error}; {_VALUE_FORM}") from None
    if rest and not rest.startswith(":"):
        raise InputError(f"cannot read {what}: {rest!r} is too much; {_VALUE_FORM}")
    if text.startswith(_PLAIN) and not rest:
        return value
    if text.startswith(_PLAIN) and isinstance(value, (list, dict, str)):
        raise InputError(f"cannot read {what}: only a number has a dtype; {_VALUE_FORM}")
    return given(value, what, _dtype(rest[1:], f"in input {what}") if rest else "", batch=batch)


def _dtype(dtype: str, where: str) -> str:
    if dtype not in DTYPES:
        raise InputError(f"unknown dtype {dtype!r} {where}{did_you_mean(dtype, DTYPES)}; known: {', '.join(DTYPES)}")
    return dtype


def tensor_of(shape: tuple[int, ...], dtype: str, what: str) -> InputRecord:
    """Describe a tensor that has no name yet.

    Raises:
        InputError: the dtype is unknown, or the tensor is larger than any can be.
    """
    elements = 1
    for size in shape:
        elements *= size
    if elements * 8 > _LARGEST:
        raise InputError(f"{what} has more elements than torch can address")
    return InputRecord("", shape, _dtype(dtype, f"in {what}"))


def sized(shape: tuple[int, ...], batch: int, what: str) -> tuple[int, ...]:
    """Put the batch where a whole shape starts with 1.

    Raises:
        InputError: it starts with something else, and the batch is not 1.
    """
    if batch == 1 or not shape:
        return shape
    if shape[0] != 1:
        raise InputError(
            f"{what} already starts with {exact(shape[0])}, so that a batch of {exact(batch)} has no place there; "
            "write 1 as its first size, or write every shape whole and leave -b out"
        )
    return (batch, *shape[1:])


def read_inputs(inputs: Any) -> tuple[Arguments, int]:
    """Describe what is given to the API; it is not changed, and what holds tensors is described anew.

    Args:
        inputs: a tensor, a tuple or list of positional arguments, or a mapping of keyword arguments; each argument
            is a tensor, a plain value, or a tuple, list, dict, named tuple, dataclass or other object with those.

    Returns:
        The arguments of the model's forward, and the batch (see `batch_of`).

    Raises:
        InputError: something among them can be no argument.
    """
    if isinstance(inputs, Mapping):
        known: dict[int, Any] = {}
        found = Arguments((), {_keyword(key): rebuilt(v, _read, str(key), known=known) for key, v in inputs.items()})
    elif isinstance(inputs, (tuple, list)) and not hasattr(inputs, "_fields"):
        known = {}
        found = Arguments(tuple(rebuilt(v, _read, f"input{at}", known=known) for at, v in enumerate(inputs)))
    else:
        found = Arguments((rebuilt(inputs, _read, "the input"),))
        if not found.records:
            raise InputError(
                "no tensor among the inputs; give a tensor, a tuple of tensors, a dict, or a string such as '3x224x224'"
            )
    found = named(found)
    return found, batch_of(found)


def _keyword(key: Any) -> str:
    if not isinstance(key, str):
        raise InputError(f"keyword arguments are named by strings, not by {key!r}; give positional ones as a tuple")
    return key


def _read(value: Any, where: str, inside: bool) -> Any:
    import torch

    if isinstance(value, torch.Tensor):
        if value.layout is not torch.strided or value.is_nested:
            raise InputError(f"{where} is a sparse or nested tensor; give a dense one of the shape to count")
        shape, dtype = tuple(value.shape), str(value.dtype).removeprefix("torch.")
        valued = not value.is_meta and type(value).__torch_dispatch__ is torch.Tensor.__torch_dispatch__
        return GivenRecord("", shape, dtype, value) if valued else InputRecord("", shape, dtype)
    array = hasattr(value, "__array__") and getattr(value, "shape", ()) != ()
    if inside or not (array or isinstance(value, (set, frozenset, Iterator))):
        return value
    raise InputError(
        f"{where} is a {type(value).__name__}; inputs are a tensor, a tuple of tensors, a dict of keyword arguments, "
        "plain values and nestings of these, or a string such as '3x224x224'; torch.from_numpy makes a tensor of an array"
    )


def named(arguments: Arguments) -> Arguments:
    """Name the tensors that have no name by their place: `input`, `input_ids`, `images.0`.

    Example:
        >>> image = InputRecord("", (3, 800, 600), "float32")
        >>> [i.name for i in named(Arguments(([image, image],), {"mask": image})).inputs]
        ['input.0', 'input.1', 'mask']
    """
    several = len(arguments.args) > 1
    known: dict[int, Any] = {}

    def leaf(value: Any, path: str, inside: bool) -> Any:
        return replace(value, name=path) if isinstance(value, InputRecord) and not value.name else value

    return Arguments(
        tuple(
            rebuilt(value, leaf, f"input{at}" if several else "input", known=known)
            for at, value in enumerate(arguments.args)
        ),
        {key: rebuilt(value, leaf, key, known=known) for key, value in arguments.kwargs.items()},
    )


def batch_of(arguments: Arguments) -> int:
    """Say how many inputs go in at once: the first size of the first tensor.

    Where that tensor is one of a list of single things (images of their own sizes, say), it is their number.

    Example:
        >>> batch_of(parse_inputs("3x224x224", 4))
        4
    """
    inputs = arguments.inputs
    first = next((record for record in inputs if record.shape), None)
    if first is None:
        return 1
    if first.is_item:
        place = re.split(r"\.\d+(?:\.|$)", first.name)[0]
        items = {found[1] for record in inputs if (found := re.match(rf"{re.escape(place)}\.(\d+)", record.name))}
        return len(items)
    return first.shape[0]


def filled(arguments: Arguments, numbers: Mapping[str, int]) -> Arguments:
    """Fill tensors of whole numbers, by their names; those that hold something already are left as they are.

    Example:
        >>> filled(parse_inputs("mask=1x3:int64"), {"mask": 1}).kwargs["mask"].values
        1
    """

    def fill(record: InputRecord) -> InputRecord:
        whole = record.dtype.startswith(("int", "uint", "bool"))
        if record.name not in numbers or not whole or isinstance(record, GivenRecord):
            return record
        return GivenRecord(record.name, record.shape, record.dtype, numbers[record.name], usual=True)

    return arguments.map(fill)


def with_batch(arguments: Arguments, n: int, now: int = 1) -> Arguments:
    """Put a batch of `n` where the arguments of a model for a batch of `now` have that as their first size.

    The values of one example are those of all.

    Raises:
        InputError: `n` is another batch, and no tensor starts with that of now, or one has values of its own for each.

    Example:
        >>> with_batch(parse_inputs("tokens:1x128"), 8).inputs[0].shape
        (8, 128)
    """
    if n == now:
        return arguments
    return _changed(
        arguments,
        lambda record: record.shape[:1] == (now,) and not record.is_item,
        lambda record: _of_batch(record, n),
        f"no input starts with a size of {exact(now)} that a batch of {exact(n)} could take the place of",
    )


def _of_batch(record: InputRecord, n: int) -> InputRecord:
    shape = (n, *record.shape[1:])
    if not isinstance(record, GivenRecord) or first_size(record.values, len(shape)) == 1:
        return replace(record, shape=shape)
    if not record.is_kept:
        return InputRecord(record.name, shape, record.dtype)
    raise InputError(
        f"the values given of {record.name} are those of a batch of {exact(record.shape[0])}, and none of "
        f"{exact(n)}; give those of one example, which are repeated, or the shape alone"
    )


def with_side(arguments: Arguments, side: int) -> Arguments:
    """Give every image `(N, C, H, W)` a height and width of `side`.

    Raises:
        InputError: there is no image.

    Example:
        >>> with_side(parse_inputs("3x224x224"), 32).inputs[0].shape
        (1, 3, 32, 32)
    """
    return _changed(
        arguments,
        lambda record: len(record.shape) == 4,
        lambda record: replace(record, shape=(*record.shape[:2], side, side)),
        "no input is an image of channels, height and width",
    )


def _changed(
    arguments: Arguments,
    chosen: Callable[[InputRecord], bool],
    change: Callable[[InputRecord], InputRecord],
    otherwise: str,
) -> Arguments:
    if not any(chosen(record) for record in arguments.inputs):
        raise InputError(f"{otherwise}; give inputs that have one with -i or --input-json")
    return arguments.map(lambda record: change(record) if chosen(record) else record)
