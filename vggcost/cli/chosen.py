"""Which models `lock` and `check` are about, and how each is run."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

import rich_click as click

from vggcost.cli.options import assume_option
from vggcost.errors import BaselineError, OptionError
from vggcost.guard import Baseline, Limit, Project, Spec, accept_command, limits_of, read_baseline
from vggcost.guard.config import MODES
from vggcost.reading import resolved
from vggcost.units import did_you_mean

__all__ = ["baseline_path", "chosen", "known_targets", "lock_command", "needs_peak", "spec_options", "stored"]


def spec_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say how a model is run; the command gets those that were given as the dict `given`."""

    @click.option("-i", "--input", "texts", metavar="INPUT", multiple=True, help="An input, as for report.")
    @click.option("--input-json", metavar="FILE.json", help="Inputs as JSON, as for report.")
    @click.option("-b", "--batch", type=click.IntRange(min=1), help="Batch size N.")
    @click.option("-k", "options", metavar="KEY=VALUE", multiple=True, help="Option of the model's factory.")
    @click.option("--mode", type=click.Choice(MODES), help="How it is run.")
    @click.option("--convention", help="What counts as a FLOP.")
    @click.option("--loss", metavar="NAME", help="Loss of a training step, as for report.")
    @assume_option
    @wraps(function)
    def command(
        *args: Any, texts: tuple[str, ...], input_json: str | None, batch: int | None, options: tuple[str, ...],
        mode: str | None, convention: str | None, loss: str | None, assume: dict[str, int], **others: Any,
    ) -> Any:  # fmt: skip
        from vggcost.cli.report import read_options

        if texts and input_json is not None:
            raise click.UsageError("-i and --input-json both say what goes in; give one of them")
        if input_json is not None and not input_json.endswith(".json"):
            raise click.UsageError("the file of --input-json is kept by its name, which must end in .json")
        given = {
            "input": texts or ((input_json,) if input_json is not None else ()),
            "batch": batch,
            "options": tuple(sorted(read_options(options).items())),
            "mode": mode,
            "convention": convention,
            "assume": tuple(sorted(assume.items())),
            "loss": loss,
        }
        return function(*args, given={key: value for key, value in given.items() if value}, **others)

    return command


def baseline_path(project: Project, given: str | None) -> Path:
    """Return the path of the baseline: as given, or the project's."""
    return resolved(given) if given is not None else project.baseline


def lock_command(
    spec: Spec, baseline: str | None, project: Project, before: Baseline, limits: Iterable[Limit] | None
) -> str:
    """Return the command that writes what these limits need into the same baseline."""
    known = before.get(spec.name)
    kept = needs_peak(spec, project.limits) or (known is not None and known.peak_bytes is not None)
    words = [f"--baseline {shlex.quote(baseline)}"] if baseline is not None else []
    words += ["--peak"] if needs_peak(spec, limits) and not kept else []
    return accept_command(spec.name, spec.source, " ".join(words))


def stored(path: Path) -> Baseline:
    """Read the baseline; empty if there is none."""
    return read_baseline(path) if os.path.exists(path) else {}


def chosen(names: Sequence[str], project: Project, baseline: Baseline, given: dict[str, Any]) -> list[Spec]:
    """Say which models are meant, and how each is run.

    A name is one of the configuration, or of the baseline, or a model's as for `vggcost report`. Without names they
    are all of the configuration, or all of the baseline that a command can build.

    Raises:
        BaselineError: there is none, or a named one is made by a test.
        OptionError: options are given for models whose configuration says how they are run.
    """
    if not names:
        if given:
            raise OptionError(f"{', '.join(given)}: say of which MODEL")
        found = list(project.models) or [entry.spec for entry in baseline.values() if entry.spec.source]
        if not found:
            where = project.file or f"{project.folder} (no vggcost.toml, and no [tool.vggcost] in a pyproject.toml)"
            raise BaselineError(f"no models: none in {where}, none in the baseline; name some, or list them as models")
        return found
    return [_spec(name, project, baseline, given) for name in dict.fromkeys(names)]


def _spec(name: str, project: Project, baseline: Baseline, given: dict[str, Any]) -> Spec:
    known = project.model(name)
    if known is not None:
        if given:
            raise OptionError(f"{project.file} says how {name!r} is run; change {', '.join(given)} there")
        return known
    name = _from_folder(name, project.folder)
    if given:
        paths: dict[str, Any] = {"input": tuple(_from_folder(t, project.folder) for t in given.get("input", ()))}
        paths |= {"loss": _from_folder(given["loss"], project.folder)} if "loss" in given else {}
        return replace(Spec(name, name), **{**given, **paths})
    if name not in baseline:
        return Spec(name, name)
    if not baseline[name].spec.source:
        raise BaselineError(f"{name!r} is made by a test, no command can build it; run pytest")
    return baseline[name].spec


def _from_folder(name: str, folder: Path) -> str:
    """Write a name that holds a path of the working directory as one of the project's folder."""
    if folder == resolved(Path.cwd()):
        return name
    prefix = "hf:" if name.startswith("hf:") else ""
    path, colon, factory = name.removeprefix(prefix).partition(":")
    if os.path.isabs(path) or not os.path.isfile(path):
        return name
    return f"{prefix}./{Path(os.path.relpath(path, folder)).as_posix()}{colon}{factory}"


def needs_peak(spec: Spec, limits: Iterable[Limit] | None) -> bool:
    """Whether a limit names the peak of a training step of this model."""
    return any(limit.metric == "peak_bytes" for limit in limits_of(spec.name, spec.mode, limits))


def known_targets(limits: Iterable[Limit] | None, names: Iterable[str]) -> None:
    """Refuse a limit that is of no model.

    Raises:
        OptionError: it says which.
    """
    known = list(dict.fromkeys(names))
    for limit in limits or ():
        if all(limit.layers(name) is None for name in known):
            target = limit.target.partition("/")[0]
            raise OptionError(
                f"limit {limit.text!r} is of no model{did_you_mean(target, known)}; models: {', '.join(known)}"
            )
