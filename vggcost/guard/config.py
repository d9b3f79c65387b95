"""What a project says of its baseline: where it is, which models it holds, how much they may grow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vggcost.errors import ConfigError, OptionError
from vggcost.guard.limits import Limit, read_limits
from vggcost.settings import settings
from vggcost.units import did_you_mean

__all__ = ["BASELINE", "Project", "Spec", "read_project", "read_spec"]

BASELINE = "vggcost.lock.json"
MODES = ("inference", "training")


@dataclass(frozen=True, slots=True)
class Spec:
    """Which model is meant, and how it is run.

    Attributes:
        name: what the project calls it.
        source: its name as `vggcost report` takes it; empty for one that a test makes.
        input: as for `-i`, or the path of a JSON file as for `--input-json`; empty: what it is made for.
        batch: N.
        mode: `inference` or `training`.
        convention: what counts as a FLOP.
        options: keyword arguments of its factory.
        assume: numbers that depend on data, as for `--assume`.
        loss: of a training step, as `./file.py:function`; empty: the model's own, or a stated one.
    """

    name: str
    source: str
    input: tuple[str, ...] = ()
    batch: int = 1
    mode: str = "inference"
    convention: str = "torch"
    options: tuple[tuple[str, Any], ...] = ()
    assume: tuple[tuple[str, int], ...] = ()
    loss: str = ""


@dataclass(frozen=True, slots=True)
class Project:
    """The configuration of a project.

    Attributes:
        folder: paths in it, and in the baseline, start here.
        file: what was read; None: there is none.
        baseline: path of the baseline.
        limits: those of `fail-on`; None: nothing is said.
        models: those of `models`.
    """

    folder: Path
    file: Path | None
    baseline: Path
    limits: tuple[Limit, ...] | None = None
    models: tuple[Spec, ...] = ()

    def model(self, name: str) -> Spec | None:
        """Return a model of the configuration by its name."""
        return next((spec for spec in self.models if spec.name == name), None)


def read_project(folder: Path | None = None) -> Project:
    """Read the nearest configuration that says more than conventions: in a folder, or in its parents.

    Args:
        folder: where to begin; None: the working directory.

    Returns:
        What it says; without a configuration the defaults, for this folder.

    Raises:
        ConfigError: it cannot be read, or says something that is not known; the message names the file and the key.
    """
    for found in settings(folder):
        data = {key: value for key, value in found.data.items() if key != "conventions"}
        if data:
            where = f"{found.path}: [{found.name()}] " if found.tables else f"{found.path}: "
            for key in data:
                _known(key, _PROJECT, where)
            baseline, limits, models = (
                read(data.get(key, default), f"{where}{key}", found.name(key))
                for key, (read, default) in _PROJECT.items()
            )
            return Project(found.path.parent, found.path, found.path.parent / baseline, limits, models)
    here = (folder or Path.cwd()).resolve()
    return Project(here, None, here / BASELINE)


def _known(key: str, known: Iterable[str], where: str) -> None:
    if key not in known:
        raise ConfigError(f"{where}unknown key {key!r}{did_you_mean(key, known)}; known: {', '.join(known)}")


def _baseline(value: Any, where: str, table: str) -> str:
    return _text(value, where)


def _fail_on(value: Any, where: str, table: str) -> tuple[Limit, ...] | None:
    if value is None:
        return None
    try:
        return read_limits(_texts(value, where))
    except OptionError as error:
        raise ConfigError(f"{where}: {error}") from None


def _models(value: Any, where: str, table: str) -> tuple[Spec, ...]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ConfigError(f"{where} must be a list of tables, one [[{table}]] a model")
    file = where.partition(": ")[0]
    found: dict[str, Spec] = {}
    for position, item in enumerate(value, 1):
        place = f"{file}: [[{table}]] {position}: "
        if "name" not in item:
            raise ConfigError(f"{place}name is missing; give the model a name")
        spec = read_spec({"name": item["name"], "source": item["name"], **item}, place)
        if spec.name in found:
            raise ConfigError(f"{place}the name {spec.name!r} is given twice; give each model a name of its own")
        found[spec.name] = spec
    return tuple(found.values())


_PROJECT: dict[str, tuple[Callable[[Any, str, str], Any], Any]] = {
    "baseline": (_baseline, BASELINE),
    "fail-on": (_fail_on, None),
    "models": (_models, []),
}


def read_spec(data: Mapping[str, Any], where: str) -> Spec:
    """Read a model's table.

    Args:
        data: `name` and `source`, and what else a `Spec` has.
        where: the place, for messages.

    Raises:
        ConfigError: a key is unknown, or its value makes no sense.
    """
    for key in data:
        _known(key, _SPEC, where)
    return Spec(**{key: _SPEC[key](value, f"{where}{key}") for key, value in data.items()})


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(f"{where} must be text, not {value!r:.60}")
    return value


def _texts(value: Any, where: str) -> tuple[str, ...]:
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not all(isinstance(item, str) and item.strip() for item in listed):
        raise ConfigError(f"{where} must be text or a list of texts, not {value!r:.60}")
    return tuple(listed)


def _batch(value: Any, where: str) -> int:
    if type(value) is not int or value < 1:
        raise ConfigError(f"{where} must be a whole number of 1 or more, not {value!r:.60}")
    return value


def _mode(value: Any, where: str) -> str:
    if value not in MODES:
        raise ConfigError(f"{where} must be {' or '.join(MODES)}, not {value!r:.60}")
    return str(value)


def _options(value: Any, where: str) -> tuple[tuple[str, Any], ...]:
    if not isinstance(value, dict):
        raise ConfigError(f"{where} must be a table of the factory's arguments, not {value!r:.60}")
    for key, given in value.items():
        if not _plain(given):
            raise ConfigError(
                f"{where}.{key} must be a number, text, true, false or a list of those, not {given!r:.60}"
            )
    return tuple(sorted(value.items()))


def _assume(value: Any, where: str) -> tuple[tuple[str, int], ...]:
    if not isinstance(value, dict):
        raise ConfigError(f"{where} must be a table of numbers, such as {{ nonzero = 100 }}, not {value!r:.60}")
    for key, given in value.items():
        if type(given) is not int or (given < 0 and key.rpartition(":")[2] != "item"):
            raise ConfigError(f"{where}.{key} must be a whole number of 0 or more, not {given!r:.60}")
    return tuple(sorted(value.items()))


def _loss(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"{where} must be the place of a function, such as ./file.py:function, not {value!r:.60}")
    return value


def _plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_plain, value))
    return value is None or isinstance(value, (bool, int, float, str))


_SPEC: dict[str, Callable[[Any, str], Any]] = {
    "name": _text,
    "source": _text,
    "input": _texts,
    "batch": _batch,
    "mode": _mode,
    "convention": _text,
    "options": _options,
    "assume": _assume,
    "loss": _loss,
}
