"""Which layers account for the difference between two models, in words a reader can quote."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from vggcost.inert import as_json, inert
from vggcost.records import CostTable, LayerCost
from vggcost.report.comparison import label
from vggcost.report.markdown import escape
from vggcost.report.view import layer_name
from vggcost.units import exact, shape

__all__ = ["DIFF_FORMATS", "METRICS", "Change", "Difference", "attribute_text", "changed_attributes", "contributions",
           "difference", "render_difference", "render_differences", "signed"]  # fmt: skip

METRICS = {"macs": "MACs", "params": "params", "activation_bytes": "activation bytes", "flops": "FLOPs",
           "backward_macs": "backward MACs", "saved_bytes": "saved bytes", "activations": "activations"}  # fmt: skip
_MOST = 12  # what a sentence can hold; Markdown and JSON list all
_SHOWN = ("macs", "params", "activation_bytes")


@dataclass(frozen=True, slots=True)
class Change:
    """A pair of aligned layers, either of which may be missing."""

    path: str
    before: LayerCost | None
    after: LayerCost | None
    attributes: tuple[str, ...]

    def change(self, metric: str) -> int | None:
        """Return how much a metric grows; None where one of the runs does not tell it."""
        return _grown(getattr(self.before, metric, 0), getattr(self.after, metric, 0))


def _grown(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else after - before


@dataclass(frozen=True, slots=True)
class Difference:
    """Two tables and their layers, aligned."""

    before: CostTable
    after: CostTable
    changes: tuple[Change, ...]

    @property
    def title(self) -> str:
        """Both names."""
        return f"{label(self.before)} → {label(self.after)}"


def difference(before: CostTable, after: CostTable) -> Difference:
    """Align the layers of two models by position and say what each contributes.

    Layers of the same path are pairs; between such pairs, layers of the same kind are paired in order.
    """
    pairs = list(_pairs(before.layers, after.layers))
    changes = tuple(Change(_named(a, b), a, b, tuple(_attributes(a, b)) if a and b else ()) for a, b in pairs)
    return Difference(before, after, changes)


def _named(a: LayerCost | None, b: LayerCost | None) -> str:
    names = [layer_name(layer) for layer in (b, a) if layer is not None]
    return names[0] if len(set(names)) == 1 else f"{names[0]} (for {names[1]})"


def _pairs(a: Sequence[LayerCost], b: Sequence[LayerCost]) -> Iterator[tuple[LayerCost | None, LayerCost | None]]:
    by_name: list[list[tuple[str, int]]] = [[(layer.path, layer.call) for layer in layers] for layers in (a, b)]
    # Two nets that share few names are aligned by the kinds of their layers.
    shared = len(set(by_name[0]) & set(by_name[1])) * 2 >= min(len(a), len(b))
    keys: list[Any] = by_name if shared else [[layer.kind for layer in layers] for layers in (a, b)]
    matcher = SequenceMatcher(None, keys[0], keys[1], autojunk=False)
    for tag, i, j, k, m in matcher.get_opcodes():
        if tag == "equal":
            yield from zip(a[i:j], b[k:m], strict=True)
        else:
            yield from _by_kind(a[i:j], b[k:m])


def _by_kind(a: Sequence[LayerCost], b: Sequence[LayerCost]) -> Iterator[tuple[LayerCost | None, LayerCost | None]]:
    matcher = SequenceMatcher(None, [x.kind for x in a], [x.kind for x in b], autojunk=False)
    for tag, i, j, k, m in matcher.get_opcodes():
        if tag == "equal":
            yield from zip(a[i:j], b[k:m], strict=True)
        else:
            yield from ((layer, None) for layer in a[i:j])
            yield from ((None, layer) for layer in b[k:m])


# What follows from the layer before is no difference of its own.
_CONSEQUENCES = {"in_channels", "in_features", "num_features", "output_padding", "padding_mode"}


def _attributes(a: LayerCost, b: LayerCost) -> Iterator[str]:
    """Name the attributes that differ: `stride 1 for 2`; a pool's window and stride as `3/3 for 3/2`."""
    for name, before, after in changed_attributes(a, b):
        if name not in _CONSEQUENCES:
            yield f"{name} {after} for {before}".lstrip()


def changed_attributes(a: LayerCost, b: LayerCost) -> Iterator[tuple[str, str, str]]:
    """List what differs of two layers: a name, which a kind and a pool's window do without, the old and the new value."""
    if a.kind != b.kind:
        yield "", a.kind, b.kind
        return
    old, new = dict(a.attributes), dict(b.attributes)
    changed = [name for name in dict.fromkeys((*old, *new)) if old.get(name) != new.get(name)]
    window = {"kernel_size", "stride"}
    if "Pool" in b.kind and window & set(changed):
        yield "", _window(old), _window(new)
        changed = [name for name in changed if name not in window]
    order = {"out_channels": 0, "out_features": 0, "kernel_size": 1, "stride": 2, "padding": 3}
    for name in sorted(changed, key=lambda n: (order.get(n, 4), n)):
        yield name, attribute_text(old.get(name)), attribute_text(new.get(name))


def _window(attributes: dict[str, Any]) -> str:
    return f"{attribute_text(attributes.get('kernel_size'))}/{attribute_text(attributes.get('stride'))}"


def attribute_text(value: Any) -> str:
    """Write what a layer was made with: a pair of equal sizes as one.

    Example:
        >>> attribute_text((3, 3)), attribute_text((1, 7)), attribute_text(True)
        ('3', '1×7', 'true')
    """
    if isinstance(value, tuple):
        return str(value[0]) if len(set(value)) == 1 else shape(value)
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)


def signed(value: int) -> str:
    """Write a change: `+961,536,000`.

    Example:
        >>> signed(-1500)
        '-1,500'
    """
    return f"{value:+,}"


def contributions(found: Difference, metric: str) -> list[tuple[Change, int]]:
    """List the layers that change a metric, and by how much, largest first; none where one run does not tell it."""
    if None in (getattr(table.totals, metric) for table in (found.before, found.after)):
        return []
    changes = [(change, grows) for change in found.changes if (grows := change.change(metric))]
    return sorted(changes, key=lambda pair: -abs(pair[1]))


def sentence(found: Difference, metric: str) -> str:
    """Say how a metric changes and which layers do it."""
    before, after = getattr(found.before.totals, metric), getattr(found.after.totals, metric)
    changes = contributions(found, metric)
    parts = [f"{change.path} {signed(grows)}" for change, grows in changes[:_MOST]]
    if len(changes) > _MOST:
        parts.append(f"{len(changes) - _MOST} more {signed(sum(grows for _, grows in changes[_MOST:]))}")
    head = f"{found.title}: {signed(after - before)} {METRICS[metric]}"
    return f"{head}; {', '.join(parts)}" if parts else f"{found.title}: the same {METRICS[metric]}, {exact(after)}"


def what_differs(found: Difference) -> str:
    """Say which layers differ, and in what."""
    parts = [f"{change.path} {' and '.join(change.attributes)}" for change in found.changes if change.attributes]
    text = "what differs: " + _listed(parts) if parts else ""
    for side, name in (("before", label(found.before)), ("after", label(found.after))):
        other = "after" if side == "before" else "before"
        alone = [c.path for c in found.changes if getattr(c, side) is not None and getattr(c, other) is None]
        if alone:
            text += ("; " if text else "") + f"only in {name}: {_listed(alone)}"
    return text


def _listed(parts: list[str]) -> str:
    return ", ".join([*parts[:_MOST], *([f"{len(parts) - _MOST} more"] if len(parts) > _MOST else [])])


def _inputs(found: Difference) -> list[str]:
    a, b = ([shape(i.shape) for i in table.run.inputs] or ["none"] for table in (found.before, found.after))
    return [] if a == b else [f"inputs differ: {', '.join(a)} and {', '.join(b)}"]


def _told(found: Difference) -> list[str]:
    """The metrics that both tables tell; that of one that was not run tells parameters."""
    return [m for m in _SHOWN if None not in (getattr(t.totals, m) for t in (found.before, found.after))]


def _table(found: Difference) -> str:
    first, *rest = _told(found)
    differs = what_differs(found)
    lines = [sentence(found, first) + (f"; {differs}" if differs else "")]
    lines += [sentence(found, metric) for metric in rest]
    return "\n".join([*lines, *_inputs(found)]) + "\n"


def _markdown(found: Difference) -> str:
    differs, told = what_differs(found), _told(found)
    lines = [f"**{escape(found.title)}**", ""]
    lines += [f"| layer | {' | '.join(METRICS[m] for m in told)} | what differs |", f"|:--|{'--:|' * len(told)}:--|"]
    for change in found.changes:
        values = [change.change(metric) for metric in told]
        side = "added" if change.before is None else "removed" if change.after is None else ""
        if any(values) or change.attributes or side:
            cells = [signed(value) if value else "" for value in values]
            lines.append(
                f"| {escape(change.path)} | {' | '.join(cells)} | {escape(', '.join(change.attributes) or side)} |"
            )
    totals = [signed(getattr(found.after.totals, m) - getattr(found.before.totals, m)) for m in told]
    lines += [f"| **total** | {' | '.join(totals)} | |", ""]
    return "\n".join([*lines, escape(differs), *map(escape, _inputs(found))]).rstrip() + "\n"


def _json(found: Difference) -> str:
    return as_json(_data(found))


def _data(found: Difference) -> dict[str, Any]:
    return {
        "schema": 1,
        "before": found.before.run.model,
        "after": found.after.run.model,
        "notes": _inputs(found),
        "metrics": {
            metric: {
                "before": getattr(found.before.totals, metric),
                "after": getattr(found.after.totals, metric),
                "change": _grown(getattr(found.before.totals, metric), getattr(found.after.totals, metric)),
                "layers": [{"path": c.path, "change": grows} for c, grows in contributions(found, metric)],
            }
            for metric in METRICS
        },
        "differs": [{"path": c.path, "attributes": list(c.attributes)} for c in found.changes if c.attributes],
        "removed": [c.path for c in found.changes if c.after is None],
        "added": [c.path for c in found.changes if c.before is None],
    }


_RENDERERS: dict[str, Callable[[Difference], str]] = {"table": _table, "markdown": _markdown, "json": _json}
DIFF_FORMATS = tuple(_RENDERERS)


def render_difference(found: Difference, format: str) -> str:
    """Write a difference in one of `DIFF_FORMATS`."""
    return _RENDERERS[format](found if format == "json" else inert(found))


def render_differences(
    found: Mapping[str, Difference], removed: Sequence[str], added: Sequence[str], format: str
) -> str:
    """Write the differences of several models by name, and the names that only one side has."""
    if format == "json":
        models = {name: _data(difference) for name, difference in found.items()}
        data = {"schema": 1, "models": models, "removed": list(removed), "added": list(added)}
        return as_json(data)
    found, removed, added = inert(dict(found)), inert(removed), inert(added)
    write = escape if format == "markdown" else str
    mark = "## " if format == "markdown" else ""
    blocks = [f"{mark}{write(name)}\n{render_difference(difference, format)}" for name, difference in found.items()]
    blocks += [f"removed: {', '.join(map(write, removed))}\n"] if removed else []
    blocks += [f"added: {', '.join(map(write, added))}\n"] if added else []
    return "\n".join(blocks)
