"""The composite action: its shell steps on a project, with GitHub's variables set to files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, command
from tests.test_guard import CONFIG, NET, widen

yaml = pytest.importorskip("yaml")
if shutil.which("bash") is None:
    pytest.skip("the steps of the action are written for bash", allow_module_level=True)

ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEPS: dict[str, dict[str, Any]] = {step["name"]: step for step in ACTION["runs"]["steps"] if "run" in step}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "net.py").write_text(NET, encoding="utf-8")
    (folder / "pyproject.toml").write_text(CONFIG, encoding="utf-8")
    return folder


def step(
    name: str, folder: Path, environment: dict[str, str] | None = None, **inputs: str
) -> tuple[int, str, str, dict[str, str]]:
    """Run a step as a runner does: exit status, log, summary, outputs."""
    given = {key: value["default"] for key, value in ACTION["inputs"].items()} | {
        key.replace("_", "-"): value for key, value in inputs.items()
    }
    values = {f"${{{{ inputs.{key} }}}}": value for key, value in given.items()}
    values["${{ github.action_path }}"] = str(ROOT)
    files = folder.parent
    for file in ("summary", "output"):
        (files / file).write_text("", encoding="utf-8")
    (files / "step.sh").write_text(STEPS[name]["run"], encoding="utf-8")
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(files / "step.sh")],
        cwd=folder / given["working-directory"],
        env={
            **os.environ,
            **{key: values.get(value, value) for key, value in STEPS[name]["env"].items()},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONIOENCODING": "utf-8",
            "GITHUB_STEP_SUMMARY": str(files / "summary"),
            "GITHUB_OUTPUT": str(files / "output"),
            "GITHUB_WORKSPACE": str(folder),
            "RUNNER_TEMP": str(files),
            **(environment or {}),
        },
        capture_output=True, text=True, encoding="utf-8", timeout=300, check=False,
    )  # fmt: skip
    outputs = (files / "output").read_text(encoding="utf-8").splitlines()
    summary = (files / "summary").read_text(encoding="utf-8")
    return done.returncode, done.stdout + done.stderr, summary, dict(line.split("=", 1) for line in outputs)


def test_the_action_is_well_formed() -> None:
    assert ACTION["runs"]["using"] == "composite"
    assert {"args", "models", "baseline", "python-version"} <= set(ACTION["inputs"])
    for name, value in ACTION["inputs"].items():
        assert value["description"], name
        assert isinstance(value["default"], str), name
    for found in STEPS.values():
        assert found["shell"] == "bash"
        assert "${{" not in found["run"]  # what a user writes is never a part of the script
    written = (ROOT / "action.yml").read_text(encoding="utf-8")
    for name in ACTION["inputs"]:
        assert f"inputs.{name}" in written, f"nothing uses {name}"


def test_a_change_through_the_actions_steps(project: Path) -> None:
    assert command("lock", cwd=project).returncode == 0
    status, log, summary, outputs = step("Check", project)
    assert (status, outputs["status"]) == (0, "0"), log
    assert log == "2 models checked: 2 pass\n"
    assert summary.startswith("### vggcost: 2 models checked: 2 pass\n")
    widen(project, 528)
    status, log, summary, outputs = step("Check", project)
    assert (status, outputs["status"]) == (1, "1")
    assert log.startswith("::error file=vggcost.lock.json,line=3,title=vggcost%3A mine%3A fail::mine: fail%0A")
    assert "0 +448: out_channels 512 → 528" in log
    assert "| 0 | +448 | out\\_channels 512 → 528 |" in summary
    comment = Path(outputs["comment"]).read_text(encoding="utf-8")
    assert comment == "<!-- vggcost:check -->\n" + summary
    status, _, summary, _ = step("Check", project, models=" other\n", args="--fail-on params:+1% --fail-on macs:<=1k")
    assert status == 0
    assert "| other | macs | 32 |" in summary
    assert "mine" not in summary


def test_other_places(project: Path) -> None:
    inner = project / "in ner"
    inner.mkdir()
    for name in ("net.py", "pyproject.toml"):
        shutil.move(project / name, inner)
    assert command("lock", "--baseline", "my costs.json", cwd=inner).returncode == 0
    status, log, _, _ = step("Check", project, working_directory="in ner", baseline="my costs.json")
    assert status == 0, log
    widen(inner, 528)
    status, log, _, _ = step("Check", project, working_directory="in ner", baseline="my costs.json")
    assert status == 1
    assert log.startswith("::error file=in ner/my costs.json,line=3,")
    assert "to accept: vggcost lock mine --baseline 'my costs.json'" in log


def test_a_check_that_cannot_run_is_an_error_of_the_step(project: Path) -> None:
    (project.parent / "vggcost-comment.md").write_text("of another run\n", encoding="utf-8")
    status, log, summary, outputs = step("Check", project)
    assert (status, outputs["status"], summary) == (2, "2", "")
    assert "vggcost: there is no baseline" in log
    assert "::error title=vggcost::vggcost check could not run" in log
    status, log, _, _ = step("Check", project, args="$(touch made) `touch made` ; touch made")
    assert status == 2
    assert not (project / "made").exists()


def test_the_install_step(project: Path) -> None:
    setuptools = pytest.importorskip("setuptools")
    if int(setuptools.__version__.partition(".")[0]) < 77:
        pytest.skip("this setuptools is older than the one that the package is built with")
    source = project.parent / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("vggcost", "templates"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    site = project.parent / "site"
    offline = {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_TARGET": str(site)}
    status, log, _, _ = step("Install", project, {**offline, "VGGCOST_ACTION": str(source)})
    assert status == 0, log
    assert (site / "vggcost" / "guard" / "check.py").is_file()
    status, log, _, _ = step("Install", project, install="none")
    assert (status, log) == (0, "")
