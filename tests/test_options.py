"""Every option of every command with values that nobody means: refused in one line with status 2, or taken for what they say."""

from __future__ import annotations

import signal
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import pytest

from vggcost import analyze
from vggcost.cli import main
from vggcost.cli.main import _COMMANDS

HOSTILE = [
    "", " ", "-1", "0", "9" * 400, str(2**63), "1e999", "nan", "inf", "\x1b[31m", "a\nb", "\udcff", "x" * 5000, "no/such",
    "/dev/full", "/dev/zero", "[[[[", "[" * 2000, "{}", "a=b", "=", ",", ":", "*", "٣", "²", "1_0", "%s", "../x.json", "1,", "a\0b",
]  # fmt: skip
NET = ["./net.py:make", "-i", "2"]
GIVEN: dict[str, list[str]] = {
    "report": ["report", "--from", "good.json"], "report a net": ["report", *NET], "draw": ["draw", "good.json"],
    "memory": ["memory", *NET], "fit": ["fit", *NET, "--memory", "1MB"], "train": ["train", "vgg-f"], "evaluate": ["evaluate", "vgg-f"],
    "compare": ["compare", "good.json"], "sweep": ["sweep", "vgg-f", "-o", "x.csv"], "diff": ["diff", "good.json", "good.json"],
    "lock": ["lock", *NET], "check": ["check", *NET, "--fail-on", "params:<=100"], "stack": ["stack"], "claims": ["claims", "vgg-f"],
    "docs check": ["docs", "check", "page.md"], "docs sync": ["docs", "sync", "page.md"], "verify": ["verify", *NET],
    "explain": ["explain", NET[0], "9", *NET[1:]], "cache": ["cache"], "models": ["models"],
}  # fmt: skip


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("good.json").write_text(analyze("vgg-f").to_json(), encoding="utf-8")
    Path("net.py").write_text("import torch\ndef make(): return torch.nn.Linear(2, 3)\n", encoding="utf-8")
    Path("page.md").write_text("nothing\n", encoding="utf-8")


def options(name: str) -> list[click.Option]:
    """The options of a command that take a value."""
    first, *rest = name.removesuffix(" a net").split()
    found: Any = getattr(import_module(f"vggcost.cli.{first}"), first)
    for word in rest:
        found = found.commands[word]
    return [item for item in found.params if isinstance(item, click.Option) and not item.is_flag]


def test_every_command_is_here() -> None:
    assert {name.split()[0] for name in GIVEN} == set(_COMMANDS)
    assert sum(len(options(name)) for name in GIVEN) > 100


@pytest.mark.parametrize("name", [name for name in GIVEN if options(name)])
def test_an_option_takes_no_nonsense(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    wrong = []
    for option in options(name):
        word = max(option.opts, key=len)
        for value in HOSTILE:
            for left in ("x.csv", "x.jsonl"):
                Path(left).unlink(missing_ok=True)
            signal.alarm(60)  # nothing runs for long
            with pytest.raises(SystemExit) as done:
                main([*GIVEN[name], f"{word}={value}" if word.startswith("--") else f"{word}{value}"])
            signal.alarm(0)
            out, err = capfd.readouterr()
            refused = (
                done.value.code == 2
                and err.count("\n") == 1
                and err.startswith("vggcost: ")
                and (name == "check" or not out)
            )
            if "vggcost's own" in err or not (done.value.code == 0 or refused):
                wrong.append((word, value[:50], done.value.code, out[-200:], err[-300:]))
    assert not wrong
