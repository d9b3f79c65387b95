"""Where a project's files are looked for, whose they may be, and that files written are on the disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import vggcost.files
from tests.conftest import ROOT, command
from vggcost.errors import ConfigError, FileError
from vggcost.files import replace_file
from vggcost.guard.config import BASELINE, read_project
from vggcost.settings import nearest, settings

TEXT = '[[models]]\nname = "vgg16"\n'


def found(folder: Path) -> list[Path]:
    return [one.path for one in settings(folder)]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder in a project, and settings in each folder above it that is the test's own."""
    inner = tmp_path / "shared" / "project" / "src" / "deep"
    inner.mkdir(parents=True)
    for place in (inner, *inner.parents[:4]):
        (place / "vggcost.toml").write_text(TEXT, encoding="utf-8")
    return inner


def test_the_nearest_goes_first_and_the_parents_follow(tree: Path) -> None:
    assert found(tree) == [place / "vggcost.toml" for place in (tree, *tree.parents[:4])]


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_the_root_of_the_repository_is_the_last(kind: str, tree: Path) -> None:
    root = tree.parents[1]
    (root / ".git").mkdir() if kind == "folder" else (root / ".git").write_text("gitdir: elsewhere", encoding="utf-8")
    assert found(tree) == [place / "vggcost.toml" for place in (tree, *tree.parents[:2])]
    assert found(root) == [root / "vggcost.toml"]


def test_the_user_s_home_is_the_last(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tree.parent))
    assert found(tree) == [tree / "vggcost.toml", tree.parent / "vggcost.toml"]


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="whose files are is not told here")
@pytest.mark.parametrize("mode", [0o1777, 0o777, 0o702])
def test_a_folder_of_everyone_s_rules_nobody_below(mode: int, tree: Path) -> None:
    shared = tree.parents[2]
    shared.chmod(mode)
    (shared / ".git").mkdir()  # nor is it made a project's root
    (shared / BASELINE).write_text("{}", encoding="utf-8")
    assert found(tree) == [place / "vggcost.toml" for place in (tree, *tree.parents[:2])]
    assert nearest(BASELINE, tree) is None
    for place in (tree, *tree.parents[:2]):
        (place / "vggcost.toml").unlink()
    assert read_project(tree).file is None
    assert found(shared) == [shared / "vggcost.toml"]  # whoever works there has put their own file there


as_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files to other users"
)


@as_root
def test_a_file_of_another_user_s(tree: Path) -> None:
    project = tree.parents[1]
    os.chown(project / "vggcost.toml", 12345, 12345)
    with pytest.raises(ConfigError, match="belongs to another user"):
        found(tree)
    done = command("check", cwd=project)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "belongs to another user" in done.stderr
    project.chmod(0o1777)  # where everyone works, another's file is not ours
    assert project / "vggcost.toml" not in found(project)


@as_root
def test_a_link_of_another_user_s_to_a_file_of_one_s_own(tree: Path) -> None:
    link = tree.parent / "vggcost.toml"
    link.unlink()
    link.symlink_to(tree / "vggcost.toml")
    assert link in found(tree)
    os.chown(link, 12345, 12345, follow_symlinks=False)
    with pytest.raises(ConfigError, match="belongs to another user"):
        found(tree)


@as_root
def test_a_folder_of_another_user_s(tree: Path) -> None:
    """Its owner's files rule those who work in it, not those who work below it."""
    other = tree.parents[1]
    for path in (other, other / "vggcost.toml"):
        os.chown(path, 12345, 12345)
    assert found(tree) == [tree / "vggcost.toml", tree.parent / "vggcost.toml"]
    assert found(other)[0] == other / "vggcost.toml"


def test_a_loop_of_links_is_no_file(tree: Path) -> None:
    link = tree / "pyproject.toml"
    link.symlink_to(link)
    assert found(tree)[0] == tree / "vggcost.toml"


# Files written


def test_a_file_is_on_the_disk_before_its_name_leads_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    def told(name: str, function: Callable[..., object], say: Callable[..., str]) -> None:
        monkeypatch.setattr(vggcost.files.os, name, lambda *args: (order.append(say(*args)), function(*args))[1])

    target = tmp_path / "a.json"
    kind = lambda handle: "folder" if os.path.isdir(f"/proc/self/fd/{handle}") else "file"  # noqa: E731
    told(
        "fsync",
        os.fsync,
        lambda handle: f"sync {kind(handle)} of {os.fstat(handle).st_size if kind(handle) == 'file' else 0}",
    )
    told("replace", os.replace, lambda *_: "replace")
    replace_file(target, b"whole")
    assert order == ["sync file of 5", "replace", *(["sync folder of 0"] if hasattr(os, "O_DIRECTORY") else [])]
    assert target.read_bytes() == b"whole"
    assert os.listdir(tmp_path) == ["a.json"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_fails_or_is_stopped_leaves_what_was_there(
    error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(handle: int) -> None:
        raise error

    (tmp_path / "a").write_text("before", encoding="utf-8")
    monkeypatch.setattr(vggcost.files.os, "fsync", stopped)
    with pytest.raises(FileError if isinstance(error, OSError) else KeyboardInterrupt):
        replace_file(tmp_path / "a", b"after")
    assert (tmp_path / "a").read_text(encoding="utf-8") == "before"
    assert os.listdir(tmp_path) == ["a"]


def test_the_action_s_parts_are_pinned_by_hash() -> None:
    yaml = pytest.importorskip("yaml")
    for name in ("action.yml", *(str(path) for path in (ROOT / ".github").rglob("*.yml"))):
        said = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
        steps = [
            *said.get("runs", {}).get("steps", ()),
            *(s for job in said.get("jobs", {}).values() for s in job["steps"]),
        ]
        for step in steps:
            if "uses" in step and not step["uses"].startswith("./"):
                _, _, revision = step["uses"].partition("@")
                assert len(revision) == 40, step["uses"]
                assert set(revision) <= set("0123456789abcdef"), step["uses"]


def test_the_security_policy_is_found() -> None:
    policy = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    for heading in ("## How to report", "## What is promised", "## What is not promised"):
        assert heading in policy
    assert "SECURITY.md" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert "SECURITY.md" in (ROOT / "MANIFEST.in").read_text(encoding="utf-8")
