"""Counting conventions of one's own, from a project's configuration. Standard library only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from vggcost.cost.functions import NOTHING, PRODUCTS
from vggcost.cost.ops import GROUPS, PRICES
from vggcost.errors import ConventionError
from vggcost.records import Convention
from vggcost.settings import settings
from vggcost.units import did_you_mean

__all__ = ["own_conventions"]


def own_conventions(presets: Mapping[str, Convention], folder: Path | None = None) -> dict[str, Convention]:
    """Read the conventions of the nearest configuration that has some: in a folder, or in its parents.

    `[conventions.NAME]` in vggcost.toml or `[tool.vggcost.conventions.NAME]` in pyproject.toml, with `base` (a
    preset, `torch` if it is left out), `sentence` (required), `flops_per_mac`, `bias`, `prices` (a group of ops to a
    rule, or to a number per output element) and `excluded` (functions of torch that count 0).

    Args:
        presets: what `base` may name.
        folder: where to begin; None: the working directory.

    Raises:
        ConfigError: the configuration cannot be read.
        ConventionError: it says something that is not known.
    """
    for found in settings(folder):
        if "conventions" in found.data:
            given, table = found.data["conventions"], found.name("conventions")
            if not isinstance(given, dict):
                raise ConventionError(f"{found.path}: {table} must be a table, one [{table}.NAME] a convention")
            return {
                key: _convention(key, value, presets, f"{found.path}: [{table}.{key}]") for key, value in given.items()
            }
    return {}


def _convention(name: str, given: Any, presets: Mapping[str, Convention], where: str) -> Convention:
    if name in presets:
        raise ConventionError(f"{where}: {name} is a preset; choose another name, and base = {name!r}")
    if not isinstance(given, dict):
        raise ConventionError(f"{where} must be a table with a sentence")
    for key in given:
        _known(key, _KEYS, f"{where}: unknown key")
    if "sentence" not in given:
        raise ConventionError(f"{where}: sentence is missing; say in one sentence what is counted")
    base = given.get("base", "torch")
    _known(base, presets, f"{where}: base: no preset")
    made = replace(presets[base], name=name)
    for key, value in given.items():
        if key != "base":
            made = replace(made, **dict(_KEYS[key](made, value, f"{where}: {key}")))
    return made


def _known(name: Any, known: Mapping[str, Any], what: str) -> None:
    if not isinstance(name, str) or name not in known:
        hint = did_you_mean(name, known) if isinstance(name, str) else ""
        raise ConventionError(f"{what} {name!r}{hint}; known: {', '.join(known)}")


Fields = Iterator[tuple[str, Any]]


def _sentence(base: Convention, value: Any, where: str) -> Fields:
    if not isinstance(value, str) or not value.strip():
        raise ConventionError(f"{where} must be text that says what is counted, not {value!r}")
    yield "sentence", " ".join(value.split())


def _per_mac(base: Convention, value: Any, where: str) -> Fields:
    if type(value) is not int or value < 1:
        raise ConventionError(f"{where} must be a whole number of 1 or more, not {value!r}")
    yield "flops_per_mac", value


def _bias(base: Convention, value: Any, where: str) -> Fields:
    if type(value) is not bool:
        raise ConventionError(f"{where} must be true or false, not {value!r}")
    yield "bias", value


def _prices(base: Convention, value: Any, where: str) -> Fields:
    if not isinstance(value, dict):
        raise ConventionError(f"{where} must be a table of groups of ops, such as {{ activation = 1 }}, not {value!r}")
    prices = dict(base.prices)
    for group, price in value.items():
        _known(group, GROUPS, f"{where}: no group of ops")
        if type(price) is int and price >= 0:
            prices[group] = str(price)
        elif isinstance(price, str) and price in PRICES:
            prices[group] = price
        else:
            rules = ", ".join(repr(rule) for rule in PRICES)
            raise ConventionError(
                f"{where}.{group}: {price!r} is no whole number per output element, nor one of {rules}"
            )
    yield "prices", tuple(sorted(prices.items()))


def _excluded(base: Convention, value: Any, where: str) -> Fields:
    if not isinstance(value, list):
        raise ConventionError(f"{where} must be a list of functions of torch, such as ['lstm'], not {value!r}")
    for name in value:
        _known(name, PRODUCTS, f"{where}: no function of torch with products")
    yield "function_prices", tuple(sorted({**dict(base.function_prices), **dict.fromkeys(value, NOTHING)}.items()))


_KEYS: dict[str, Callable[[Convention, Any, str], Fields]] = {
    "base": lambda base, value, where: iter(()),
    "sentence": _sentence,
    "flops_per_mac": _per_mac,
    "bias": _bias,
    "prices": _prices,
    "excluded": _excluded,
}
