"""A pytest plugin: a fixture and a marker that fail where a model costs more than its baseline or its limits allow.

    def test_cost(vggcost):
        vggcost.check(my_model(), inputs="3x224x224", name="mine", limits=["params:0", "flops:+1%"])

    @pytest.mark.vggcost("torchvision:resnet50", macs="<=4.2G", params="<=26M")
    def test_budget(): ...

`pytest --vggcost-lock` takes what the models of the tests that ran cost for the baseline. pytest finds this by itself;
torch and the rest of vggcost are imported when a test asks.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from torch import nn

    from vggcost._analyze import Inputs
    from vggcost.guard import Baseline, Limit, Project, Spec
    from vggcost.records import CostTable

__all__ = ["Guard"]

_NOTE = "vggcost"
"""Name of a report's property, by which what is to be said reaches the process that has the terminal."""


class Guard:
    """What the fixture `vggcost` gives: the guard of one test."""

    def __init__(self, item: pytest.Item) -> None:
        self._item = item
        self._session = item.config.stash[_SESSION]

    def check(
        self,
        model: str | nn.Module,
        inputs: Inputs = None,
        *,
        name: str = "",
        limits: str | Iterable[str] | None = None,
        batch: int = 1,
        mode: str = "inference",
        convention: str = "torch",
        assume: Mapping[str, int] | None = None,
        loss: str = "",
        **options: Any,
    ) -> CostTable:
        """Fail the test if a model costs more than its limits allow; with `--vggcost-lock`, take it for the baseline.

        Args:
            model: a module, which is left as it was; a name as for `vggcost report`; or one of the configuration,
                which then says how it is run.
            inputs: as for `analyze`.
            name: what the baseline calls it; a module needs one.
            limits: as for `--fail-on`, such as `["params:0", "macs:<=4.2G"]`; None: those of the configuration, or
                that nothing may grow.
            batch: N, for inputs given as text or not at all.
            mode: `inference` or `training`.
            convention: what counts as a FLOP.
            assume: as for `analyze`.
            loss: of a training step, as `./file.py:function`, from the folder of the configuration.
            options: keyword arguments of the model's factory.

        Returns:
            What the model costs.

        Raises:
            AssertionError: it costs more, or is not in the baseline; the text names the layers responsible.

        Example:
            >>> def test_cost(vggcost):
            ...     table = vggcost.check(nn.Linear(8, 4), "8", name="linear", limits="macs:<=32")
            ...     assert table.totals.params == 36
        """
        __tracebackhide__ = True
        from vggcost.errors import VggcostError

        run = {"batch": batch, "mode": mode, "convention": convention, "options": options, "assume": dict(assume or {})}
        run["loss"] = loss
        problem = ""
        try:
            table, failure = self._session.check(self._item, model, inputs, name, limits, run)
        except VggcostError as error:
            problem = f"vggcost: {error}"
        if problem:  # raised here, so that pytest shows the line of the test and none of ours
            pytest.fail(problem)
        if failure:
            raise AssertionError(failure)
        return table


class _Session:
    """The projects and their baselines, as one process of pytest sees them."""

    def __init__(self, config: pytest.Config) -> None:
        self._root = config.rootpath
        self._locking = bool(config.getoption("vggcost_lock"))
        self._known: dict[Path, tuple[Project, Baseline]] = {}
        self._first: dict[tuple[Path, str], tuple[str, CostTable]] = {}

    def check(
        self,
        item: pytest.Item,
        model: str | nn.Module,
        inputs: Inputs,
        name: str,
        limits: str | Iterable[str] | None,
        run: dict[str, Any],
    ) -> tuple[CostTable, str]:
        """Return what a model costs, and why that is too much; empty if it is not."""
        from vggcost._guard import measure
        from vggcost.guard import check_model, failure_text, limits_of, update_baseline
        from vggcost.inert import inert

        project, baseline = self._project(item.path.parent)
        spec = _spec(project, model, inputs, name, run)
        bounds = _limits(limits, spec.name, project)
        before = baseline.get(spec.name)
        asked = any(limit.metric == "peak_bytes" for limit in limits_of(spec.name, spec.mode, bounds))
        entry = measure(
            spec, None if spec.source else model, None if spec.input else inputs,
            peak=asked or (before is not None and before.peak_bytes is not None), folder=project.folder,
        )  # fmt: skip
        self._once(item, project.baseline, spec.name, entry.table)
        notes = []
        if self._locking:
            changed = update_baseline(project.baseline, [entry])
            notes.append(f"{project.baseline.name}{'' if changed else ' (unchanged)'}")
            before = entry
        checked = check_model(before, entry, bounds, f"pytest --vggcost-lock {shlex.quote(item.nodeid)}")
        failed = checked.outcome not in ("pass", "improved")
        item.user_properties.extend((_NOTE, f"{spec.name}: {note}") for note in (*notes, *checked.notes))
        return entry.table, failure_text(inert(checked)) if failed else ""

    def _project(self, folder: Path) -> tuple[Project, Baseline]:
        """Read the configuration nearest to a folder, or without one that of pytest's root, and its baseline, once."""
        from vggcost.guard import read_baseline, read_project

        if folder not in self._known:
            project = read_project(folder)
            project = project if project.file is not None else read_project(self._root)
            baseline = read_baseline(project.baseline) if project.baseline.exists() else {}
            self._known[folder] = project, baseline
        return self._known[folder]

    def _once(self, item: pytest.Item, baseline: Path, name: str, table: CostTable) -> None:
        """Refuse that two tests call different models the same."""
        from vggcost.errors import OptionError

        other, found = self._first.setdefault((baseline, name), (item.nodeid, table))
        if found.totals != table.totals:
            raise OptionError(
                f"{other} and {item.nodeid} call {name!r} what does not cost the same; give each a name of its own"
            )


_SESSION = pytest.StashKey[_Session]()


def _spec(project: Project, model: str | nn.Module, inputs: Inputs, name: str, run: dict[str, Any]) -> Spec:
    """Say which model is meant: one of the configuration, or one of this test, which has no source."""
    from vggcost.errors import OptionError
    from vggcost.guard.config import read_spec

    texts = [inputs] if isinstance(inputs, str) else list(inputs) if isinstance(inputs, (list, tuple)) else []
    if not all(isinstance(text, str) for text in texts):
        texts = []
    called = name or (model if isinstance(model, str) else "")
    if not called:
        raise OptionError('a module has no name of its own; give it one, such as name="mine"')
    of_test = replace(read_spec({"name": called, "source": called, "input": texts, **run}, f"{called}: "), source="")
    configured = project.model(called)
    if configured is None:
        return of_test
    if called != model:
        raise OptionError(f"{called!r} is a model of {project.file}; give that of this test another name")
    if inputs is not None or replace(of_test, input=()) != type(of_test)(called, ""):
        raise OptionError(f"{project.file} says how {called!r} is run; change it there")
    return configured


def _limits(limits: str | Iterable[str] | None, name: str, project: Project) -> tuple[Limit, ...] | None:
    """Read the limits of a test, each of which must be of its model."""
    from vggcost.errors import OptionError
    from vggcost.guard import read_limits

    if limits is None:
        return project.limits
    found = read_limits([limits] if isinstance(limits, str) else limits)
    if not found:
        raise OptionError(f"{name}: the list of limits is empty, so nothing would be checked; leave it out, or fill it")
    for limit in found:
        if limit.layers(name) is None:
            raise OptionError(f"limit {limit.text!r} is not of {name!r}, the model of this test")
    return found


_RUN = {"batch": 1, "mode": "inference", "convention": "torch", "options": {}, "assume": {}, "loss": ""}


def _marked(item: pytest.Item, marker: pytest.Mark) -> str:
    """Check the model of a marker, whose limits may be written as `macs="<=4.2G"`; return why it fails."""
    from vggcost.errors import OptionError
    from vggcost.guard import METRICS
    from vggcost.units import did_you_mean

    known = (*METRICS, "limits", "inputs", "name", *_RUN)
    for key in marker.kwargs:
        if key not in known:
            raise OptionError(f"the marker vggcost has no {key!r}{did_you_mean(key, known)}; known: {', '.join(known)}")
    if len(marker.args) != 1:
        raise OptionError(f"the marker vggcost takes one model, and here are {len(marker.args)}")
    given = dict(marker.kwargs)
    limits = given.pop("limits", None)
    limits = [limits] if isinstance(limits, str) else limits
    of_metrics = [f"{metric}:{given.pop(metric)}" for metric in METRICS if metric in given]
    limits = [*(limits or ()), *of_metrics] if of_metrics else limits
    session, inputs, name = item.config.stash[_SESSION], given.pop("inputs", None), given.pop("name", "")
    return session.check(item, marker.args[0], inputs, name, limits, _RUN | given)[1]


# What pytest calls


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option of this plugin."""
    parser.getgroup("vggcost", "what models cost").addoption(
        "--vggcost-lock",
        action="store_true",
        help="Take what the models of the tests that run cost for the baseline.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers",
        "vggcost(model, METRIC='TOLERANCE', …, inputs=, name=, limits=, batch=, mode=, convention=, options=, assume=, loss=): "
        "fail where the model costs more, such as vggcost('torchvision:resnet50', macs='<=4.2G').",
    )
    config.stash[_SESSION] = _Session(config)
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Summary(), "vggcost-summary")


@pytest.fixture
def vggcost(request: pytest.FixtureRequest) -> Guard:
    """Fail where a model costs more than its baseline or its limits allow: `vggcost.check(model, …)`."""
    return Guard(request.node)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Check the models of a test's markers, before it runs."""
    markers = list(item.iter_markers("vggcost"))
    if not markers:
        return
    from vggcost.errors import VggcostError

    for marker in reversed(markers):
        try:
            failure = _marked(item, marker)
        except VggcostError as error:
            failure = f"vggcost: {error}"
        if failure:
            pytest.fail(failure, pytrace=False)


class _Summary:
    """Collects what is to be said of the models, from all processes, and says it at the end."""

    def __init__(self) -> None:
        self._notes: dict[str, None] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the notes of a test."""
        self._notes |= dict.fromkeys(str(value) for key, value in report.user_properties if key == _NOTE)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Write the notes."""
        if self._notes:
            terminalreporter.section("vggcost")
            for note in sorted(self._notes):
                terminalreporter.write_line(note)
