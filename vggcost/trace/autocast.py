"""Regions of autocast in a model's own code, honoured on meta as on the device they name.

Autocast has no kernels for meta tensors. While a region lasts, a dispatch key that no other code uses (those of IPUs and
HPUs) is on in this thread, with a kernel for each op that autocast affects on the region's device. That kernel asks
torch's own one of that device, by tensors that hold nothing and only note which of them are cast to what, casts the arguments
so, and runs the op. So the lists are torch's, ops inside compositions are seen, and the casts are differentiated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from threading import local
from typing import Any

import torch
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import _pop_mode_temporarily

from vggcost.load.given_back import Shared, owing
from vggcost.load.replaced import replaced

__all__ = ["DEVICES", "Autocast", "casts_of"]

DEVICES = {"cpu": "AutocastIPU", "cuda": "AutocastHPU"}
"""Whose regions are honoured, each by the kernels of a key: one key for both would hide what is in one list from the other."""

_KEYS = {device: getattr(torch._C.DispatchKey, key) for device, key in DEVICES.items()}
_has = torch._C._dispatch_has_kernel_for_dispatch_key
_exclude, _include = torch._C._dispatch_tls_set_dispatch_key_excluded, torch._C._dispatch_tls_set_dispatch_key_included
_is_included = torch._C._dispatch_tls_is_dispatch_key_included
_past = torch._C._ExcludeDispatchKeyGuard

_APPENDED: dict[str, Callable[..., Any]] = {
    "aten::norm.Scalar": lambda x, p=2: torch.ops.aten.norm.ScalarOpt_dtype(x, p, dtype=torch.float32),
    "aten::norm.ScalarOpt_dim": lambda x, p, dim, keepdim=False: torch.ops.aten.norm.ScalarOpt_dim_dtype(
        x, p, dim, keepdim, dtype=torch.float32
    ),
}
"""Ops that are run as another overload, which takes the dtype of the result."""
_HALF_TO_FLOAT = {"aten::softmax.int": "_softmax", "aten::log_softmax.int": "_log_softmax"}
"""Ops that read half precision and write float32 in one kernel on CUDA."""


_here: Any = local()
"""Of this thread: `running`, the contexts that last, and `casts`, what a probe is found to be cast to."""


def _able(_: Callable[..., Any]) -> Callable[..., Any]:
    """A GPU that is stood for can compute in bfloat16, as all can that torch supports."""
    return lambda *args, **kwargs: True


class _Known(Exception):
    """Torch's kernel has cast what it casts."""


class _Probe(torch.Tensor):
    """A tensor of a device, of a dtype and nothing else; what it is cast to has the same `place`."""

    place: int

    @staticmethod
    def __new__(cls, size: torch.Size, dtype: torch.dtype, device: torch.device, place: int) -> _Probe:
        probe: _Probe = torch.Tensor._make_wrapper_subclass(cls, size, dtype=dtype, device=device)
        probe.place = place
        return probe

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        if func is torch.ops.aten._to_copy.default and kwargs.get("dtype") is not None:
            cast = _Probe(args[0].shape, kwargs["dtype"], args[0].device, args[0].place)
            _here.casts[cast.place] = cast.dtype
            return cast
        raise _Known


def casts_of(op: Any, device: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[int, torch.dtype]:
    """Ask torch's autocast of a device what it would cast, where it is enabled in this thread.

    Args:
        op: an overload of torch's, such as `torch.ops.aten.linear.default`.
        device: `cpu` or `cuda`; it need not be there.
        args: what the op is called with; only the dtypes and shapes of its tensors matter.
        kwargs: the same, by name.

    Returns:
        The dtype that each tensor is cast to, by its place among all the tensors of the arguments; none that stays.

    Raises:
        RuntimeError: autocast refuses the op, as `binary_cross_entropy`.

    Source: torch's own kernels of the dispatch keys AutocastCPU and AutocastCUDA (ATen/autocast_mode.cpp).

    Example:
        >>> with torch.autocast("cpu", torch.bfloat16):
        ...     casts_of(torch.ops.aten.mm.default, "cpu", (torch.ones(2, 3), torch.ones(3, 2)), {})
        {0: torch.bfloat16, 1: torch.bfloat16}
    """
    leaves, form = pytree.tree_flatten((args, kwargs))
    place = torch.device(device, 0) if device == "cuda" else torch.device(device)
    count = -1
    found: dict[int, torch.dtype]
    probes: list[Any] = []
    for leaf in leaves:
        if isinstance(leaf, torch.Tensor):
            count += 1
            leaf = _Probe(leaf.shape, leaf.dtype, place, count)  # noqa: PLW2901
        probes.append(leaf)
    asked, named = pytree.tree_unflatten(probes, form)
    before, _here.casts = getattr(_here, "casts", None), {}
    try:
        with _past_modes(), torch.no_grad(), torch._C.DisableTorchFunction():
            op(*asked, **named)
    except _Known:
        pass
    finally:
        found, _here.casts = _here.casts, before
    return dict(sorted(found.items()))


@contextmanager
def _past_modes() -> Iterator[None]:
    """Let nobody watch while the context lasts; torch's own way to do so imports its compiler."""
    with ExitStack() as stack:
        while torch._C._len_torch_dispatch_stack():
            stack.enter_context(_pop_mode_temporarily())
        yield


class Autocast:
    """Honour the regions of autocast that begin in this thread while the context lasts.

    Args:
        device: what meta tensors stand for where a model asks for a region of its tensors' device, and where regions
            of several devices overlap.
    """

    def __init__(self, device: str) -> None:
        self.device = device
        self._cache: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self._known: dict[Any, dict[int, torch.dtype]] = {}
        self._regions: set[str] = set()
        self._registered = ExitStack()

    def __enter__(self) -> None:
        if not hasattr(_here, "running"):
            _here.running = []
        self._context = self._honoured()
        self._context.__enter__()

    def __exit__(self, *exception: Any) -> None:
        self._context.__exit__(*exception)

    @contextmanager
    def _honoured(self) -> Iterator[None]:
        mode, common = torch.amp.autocast_mode, torch.cuda.amp.common
        named: Any = self._named
        with (
            self._registered,
            owing(self._end),
            replaced(
                (torch, "set_autocast_enabled", self._setting),
                (torch, "clear_autocast_cache", self._clearing),
                (torch, "is_autocast_enabled", named),
                (torch, "get_autocast_dtype", named),
                (torch, "set_autocast_dtype", named),
                (mode, "is_autocast_available", named),
                (mode.autocast, "__init__", self._made),
                (mode, "_cast", _casting),
                (common, "amp_definitely_not_available", lambda original: lambda: False),
            ),
        ):
            _here.running.append(self)
            self._switch()
            yield

    def _end(self) -> None:
        _here.running = [one for one in _here.running if one is not self]
        self._off()
        self._cache.clear()

    # What torch calls when a region begins and ends

    def _stands(self, device: Any) -> Any:
        return self.device if device == "meta" else device

    def _named(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """A region of meta tensors is one of the device that they stand for."""
        return lambda *args, **kwargs: original(*map(self._stands, args), **kwargs)

    def _made(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def made(region: Any, device_type: str, *args: Any, **kwargs: Any) -> None:
            device = self._stands(device_type)
            with replaced((torch.cuda, "is_bf16_supported", _able)) if device == "cuda" else nullcontext():
                original(region, device, *args, **kwargs)

        return made

    def _setting(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def setting(*args: Any, **kwargs: Any) -> None:
            original(*map(self._stands, args), **kwargs)
            self._switch()

        return setting

    def _clearing(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def clearing() -> None:
            original()
            self._cache.clear()

        return clearing

    # The key

    def _switch(self) -> None:
        """Turn on the key of the region that lasts, and no other."""
        region = self._region()
        self._off(region)
        if region is not None:
            if region not in self._regions:
                self._regions.add(region)
                self._registered.enter_context(_registered[region].lasting())
            _exclude(_KEYS[region], False)
            _include(_KEYS[region], True)

    @staticmethod
    def _off(but: str | None = None) -> None:
        for device, key in _KEYS.items():
            if device != but and _is_included(key):
                _include(key, False)
                _exclude(key, True)

    def _region(self) -> str | None:
        """Return the device whose region this is; None: it is none."""
        enabled = [device for device in DEVICES if torch._C.is_autocast_enabled(device)]
        return self.device if self.device in enabled else enabled[0] if enabled else None

    # The kernels

    def run(self, op: Any, device: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run an op as a region of a device has it."""
        leaves, form = pytree.tree_flatten((args, kwargs))
        tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
        if not any(t.is_floating_point() for t in tensors):
            return op(*args, **kwargs)
        fast = torch._C.get_autocast_dtype(device)
        name = op.name()
        key = name, device, fast, tuple([t.dtype for t in tensors])
        casts = self._known.get(key)
        if casts is None:
            casts = self._known[key] = casts_of(op, device, args, kwargs)
        if not casts:
            return self._widened(op, name, device, args, kwargs)
        place, changed = -1, []
        for leaf in leaves:
            if isinstance(leaf, torch.Tensor):
                place += 1
                changed.append(self._cast(leaf, casts[place], fast) if place in casts else leaf)
            else:
                changed.append(leaf)
        args, kwargs = pytree.tree_unflatten(changed, form)
        return op(*args, **kwargs)

    def _cast(self, tensor: torch.Tensor, dtype: torch.dtype, fast: torch.dtype) -> torch.Tensor:
        """Cast a tensor; a parameter is cast once until the outermost region ends."""
        leaf = tensor.requires_grad and tensor.is_leaf and tensor.dtype is torch.float32 and not tensor._is_view()
        if dtype is not fast or not leaf or not torch.is_autocast_cache_enabled():
            return tensor.to(dtype)
        known = self._cache.get(id(tensor))
        if known is None:
            known = self._cache[id(tensor)] = tensor, tensor.to(dtype)
        return known[1]

    def _widened(self, op: Any, name: str, device: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run an op whose result is float32 though its arguments are not cast; any other as it is."""
        low = isinstance(args[0], torch.Tensor) and args[0].dtype in (torch.float16, torch.bfloat16)
        if not low:
            return op(*args, **kwargs)
        if name in _APPENDED:
            return _APPENDED[name](*args, **kwargs)
        names = [argument.name for argument in op._schema.arguments]
        if "dtype" not in names or kwargs.get("dtype") is not None:
            return op(*args, **kwargs)
        at = names.index("dtype")
        if at < len(args) and args[at] is not None:
            return op(*args, **kwargs)
        if device == "cuda" and args[0].dtype is torch.float16 and name in _HALF_TO_FLOAT:
            return getattr(torch.ops.aten, _HALF_TO_FLOAT[name])(args[0], args[1], True)
        args = args[:at] if at < len(args) else args
        return op(*args, **{**kwargs, "dtype": torch.float32})


_libraries: dict[str, list[Any]] = {device: [] for device in DEVICES}


def _register(device: str) -> None:
    key, libraries = DEVICES[device], _libraries[device]
    every = torch._C._dispatch_library("IMPL", "_", key, __file__, 0)
    libraries.append(every)
    every.fallback(key, torch.library.fallthrough_kernel)
    aten: Any = torch._C._dispatch_library("IMPL", "aten", key, __file__, 0)
    libraries.append(aten)
    for name in torch._C._dispatch_get_all_op_names():
        if name.startswith("aten::") and _has(name, f"Autocast{device.upper()}"):
            aten.impl(name.removeprefix("aten::"), key, _kernel(_overload(name), device), False)


def _withdraw(device: str) -> None:
    for library in _libraries[device]:
        library.reset()
    _libraries[device].clear()


_registered = {device: Shared(partial(_register, device), partial(_withdraw, device)) for device in DEVICES}
"""The kernels of a region of each device, for as long as any analysis needs them."""


def _overload(name: str) -> Any:
    base, _, overload = name.removeprefix("aten::").partition(".")
    return getattr(getattr(torch.ops.aten, base), overload or "default")


def _kernel(op: Any, device: str) -> Callable[..., Any]:
    key = torch._C.DispatchKeySet(_KEYS[device])

    def autocast(*args: Any, **kwargs: Any) -> Any:
        with _past(key):
            return _here.running[-1].run(op, device, args, kwargs)

    return autocast


def _casting(original: Callable[..., Any]) -> Callable[..., Any]:
    """What torch.amp.custom_fwd casts to: tensors of the device, which meta ones stand for."""
    return lambda value, device, dtype: original(original(value, device, dtype), "meta", dtype)
