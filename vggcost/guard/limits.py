"""How much a figure may grow: `metric:tolerance`, for all models, for one, or for some layers of one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from fractions import Fraction

from vggcost.errors import OptionError
from vggcost.records import PARAMETERS
from vggcost.units import did_you_mean, exact, human_bytes, human_count

__all__ = ["METRICS", "Limit", "Tolerance", "default_limits", "human", "limits_of", "read_limit", "read_limits"]

TRAINING = ("backward_macs", "saved_bytes")
"""Metrics that only a run in training has."""

METRICS = ("params", "weights", "macs", "flops", "activation_bytes", *TRAINING, "peak_bytes")

_DEFAULT = ("params", "macs", "flops", "activation_bytes")
_PREFIXES = {"": 0, "k": 1, "M": 2, "G": 3, "T": 4}
_NUMBER = r"(\d+(?:\.\d+)?)"
_FORMS = "write 0, +1%, +100k, +2MiB (of bytes), or a ceiling such as <=16G"


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What a figure may be.

    Attributes:
        text: as it is written.
        kind: `percent` of the figure before, an `amount` more than before, or a `ceiling` whatever it was before.
        value: the percent, or the number.
    """

    text: str
    kind: str
    value: Fraction

    def most(self, before: int) -> int:
        """Return the largest figure that is allowed; a ceiling does not look at `before`.

        Example:
            >>> read_limit("macs:+1%").tolerance.most(1999)
            2018
        """
        allowed = {
            "percent": before * (1 + self.value / 100),
            "amount": before + self.value,
            "ceiling": self.value,
        }
        return int(allowed[self.kind])


@dataclass(frozen=True, slots=True)
class Limit:
    """A tolerance of a metric; `target` is a shell pattern of models, or of models and layers: `vgg16/features.*`."""

    metric: str
    tolerance: Tolerance
    target: str = ""

    @property
    def text(self) -> str:
        """The limit as it is written."""
        return f"{self.target}{'=' if self.target else ''}{self.metric}:{self.tolerance.text}"

    def layers(self, model: str) -> str | None:
        """Return the pattern of layers that this limits in a model: empty for the whole model, None for none.

        Example:
            >>> read_limit("vgg16/features.*=params:0").layers("vgg16")
            'features.*'
            >>> read_limit("./net.py:make=params:0").layers("./net.py:make")
            ''
        """
        if not self.target or fnmatchcase(model, self.target):
            return ""
        for place in re.finditer("/", self.target):  # a model's name may have slashes of its own
            if fnmatchcase(model, self.target[: place.start()]):
                return self.target[place.end() :]
        return None


def read_limit(text: str) -> Limit:
    """Read a limit: `params:0`, `macs:+1%`, `vgg16=flops:<=16G`, `vgg16/features.*=params:0`.

    Raises:
        OptionError: it is malformed, or the metric unknown.

    Example:
        >>> read_limit("mine=peak_bytes:+2MiB").tolerance.value
        Fraction(2097152, 1)
    """
    found = re.fullmatch(r"\s*(?:(?P<target>.+)=)?(?P<metric>[^:=]*):(?P<tolerance>.*)", text, flags=re.DOTALL)
    if found is None:
        raise OptionError(
            f"cannot read the limit {text!r}; write metric:tolerance, such as params:0, or model/layer=metric:tolerance"
        )
    metric = found["metric"].strip()
    if metric not in METRICS:
        raise OptionError(
            f"limit {text!r}: unknown metric {metric!r}{did_you_mean(metric, METRICS)}; known: {', '.join(METRICS)}"
        )
    target = (found["target"] or "").strip()
    return Limit(metric, _tolerance(found["tolerance"].strip(), metric, text), target)


def _tolerance(text: str, metric: str, whole: str) -> Tolerance:
    if text == "0":
        return Tolerance("0", "amount", Fraction(0))
    percent = re.fullmatch(rf"\+\s*{_NUMBER}\s*%", text)
    if percent:
        return Tolerance(text, "percent", Fraction(percent[1]))
    amount = re.fullmatch(rf"(\+|<=)\s*{_NUMBER}\s*([kKMGT]?)(i?)(B?)", text)
    if amount is None:
        hint = "; a limit says how much more is allowed" if text[:1].isdigit() or text[:1] == "-" else ""
        raise OptionError(f"limit {whole!r}: cannot read the tolerance {text!r}{hint}; {_FORMS}")
    sign, number, prefix, binary, unit = amount.groups()
    if (binary or unit) and not metric.endswith("_bytes"):
        raise OptionError(f"limit {whole!r}: {metric} is a count, not bytes; write +100k or <=16G")
    if binary and not prefix:
        raise OptionError(f"limit {whole!r}: cannot read the tolerance {text!r}; {_FORMS}")
    prefix = "k" if prefix == "K" else prefix
    value = Fraction(number) * (1024 if binary else 1000) ** _PREFIXES[prefix]
    if value.denominator != 1:
        raise OptionError(f"limit {whole!r}: {text!r} is no whole number")
    return Tolerance(text, "amount" if sign == "+" else "ceiling", value)


def read_limits(texts: Iterable[str]) -> tuple[Limit, ...]:
    """Read limits, in order."""
    return tuple(read_limit(text) for text in texts)


def default_limits(mode: str) -> tuple[Limit, ...]:
    """What holds where nothing is said: counts are exact, so none may grow."""
    if mode == PARAMETERS:
        return read_limits(["params:0"])
    names = (*_DEFAULT, *TRAINING, "peak_bytes") if mode == "training" else _DEFAULT
    return read_limits(f"{name}:0" for name in names)


def limits_of(model: str, mode: str, limits: Iterable[Limit] | None) -> tuple[Limit, ...]:
    """Return the limits of one model.

    Where several name the same metric of the same layers, the last one holds; a ceiling and a growth are two things.

    Args:
        model: its name.
        mode: `inference` or `training`.
        limits: all there are; None: those of `default_limits`.

    Raises:
        OptionError: one is of layers, and its metric is of the whole step.

    Example:
        >>> [limit.text for limit in limits_of("a", "inference", read_limits(["params:0", "macs:0", "a=params:+1%"]))]
        ['a=params:+1%', 'macs:0']
    """
    chosen: dict[tuple[str, str, bool], Limit] = {}
    for limit in default_limits(mode) if limits is None else limits:
        layers = limit.layers(model)
        if layers and limit.metric == "peak_bytes":
            raise OptionError(
                f"limit {limit.text!r}: peak_bytes is of a whole training step; no layer has a share of it"
            )
        if layers is not None:
            chosen[layers, limit.metric, limit.tolerance.kind == "ceiling"] = limit
    return tuple(chosen.values())


def human(metric: str, *values: int) -> list[str]:
    """Write figures of a metric for people; in full where two different ones would look the same.

    Example:
        >>> human("params", 138_357_544, 138_357_600)
        ['138,357,544', '138,357,600']
        >>> human("peak_bytes", 2**20, 2**21)
        ['1.00 MiB', '2.00 MiB']
    """
    write = human_bytes if metric.endswith("_bytes") else human_count
    short = [write(value) for value in values]
    return short if len(set(short)) == len(set(values)) else [exact(value) for value in values]
