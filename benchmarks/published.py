"""Every published figure that we have, recomputed: python benchmarks/published.py [torchvision timm llm] [-o FILE.md].

Each row is analysed by its public name and compared to the printed digit (torchvision), to 0.01 M parameters
and 0.5% (timm), to 0.1% (language models). A row that does not agree must have its reason in reasons.csv, and
where that states what to assume, the row is run again with it.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PUBLISHED = ROOT / "tests" / "published"
GIGA, MEGA = 1e9, 1e6


@dataclass(frozen=True)
class Outcome:
    """One row of the table."""

    source: str
    model: str
    input: str
    params: str
    our_params: str
    macs: str
    our_macs: str
    params_agree: bool
    macs_agree: bool
    problem: str = ""
    rule: str = ""

    @property
    def verdict(self) -> str:
        if self.problem:
            return "cannot run"
        return "agrees" if self.params_agree and self.macs_agree else "differs"


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


REASONS = {(r["source"], r["model"], r["input"]): r for r in rows_of(ROOT / "benchmarks" / "reasons.csv")}


def reason_of(outcome: Outcome) -> dict[str, str] | None:
    """Find why a row does not agree: by its input, or for all inputs of the model."""
    return REASONS.get((outcome.source, outcome.model, outcome.input)) or REASONS.get(
        (outcome.source, outcome.model, "*")
    )


def attempt(make: Callable[[], Outcome], **fallback: Any) -> Outcome:
    from vggcost import VggcostError

    try:
        return make()
    except VggcostError as error:
        return Outcome(**fallback, our_params="", our_macs="", params_agree=False, macs_agree=False, problem=str(error))


def torchvision(row: dict[str, str]) -> Outcome:
    from vggcost import analyze

    known = {"source": "torchvision", "model": f"{row['arch']} {row['weights']}", "input": row["ops_input"],
             "params": row["num_params"], "macs": row["gmacs"]}  # fmt: skip

    def make() -> Outcome:
        table = analyze(f"torchvision:{row['arch']}", weights=row["weights"])
        params, macs = table.totals.params, table.totals.macs
        printed = f"{macs / GIGA:.3f}"
        return Outcome(
            **known, our_params=str(params), our_macs=printed,
            params_agree=params == int(row["num_params"]), macs_agree=float(printed) == float(row["gmacs"]),
        )  # fmt: skip

    return attempt(make, **known)


def timm(row: dict[str, str]) -> Outcome:
    """Fused first, as timm's tables are; under both conventions, since its files differ about attention."""
    side = int(float(row["img_size"]))
    known = {
        "source": "timm",
        "model": row["model"],
        "input": str(side),
        "params": row["params_m"],
        "macs": row["gmacs"],
    }

    def make() -> Outcome:
        from vggcost.errors import TraceError

        name = f"timm:{row['model']}"
        try:
            found = counted(name, f"3x{side}x{side}", fuse=True)
        except TraceError:  # a net that is built for its image
            found = counted(name, f"3x{side}x{side}", fuse=True, img_size=side)
        published = float(row["gmacs"])
        rule = next((rule for rule in ("timm", "fvcore") if near(found[rule] / GIGA, published)), "")
        nearest = min((found[r] / GIGA for r in ("timm", "fvcore")), key=lambda value: abs(value - published))
        params = found["params"] / MEGA
        return Outcome(
            **known, our_params=f"{params:.2f}", our_macs=f"{nearest:.2f}",
            params_agree=abs(params - float(row["params_m"])) <= 0.0101, macs_agree=bool(rule), rule=rule,
        )  # fmt: skip

    return attempt(make, **known)


def near(ours: float, published: float) -> bool:
    """Within 0.5%, or the same two decimals."""
    return abs(ours - published) <= 0.005 * published or f"{ours:.2f}" == f"{published:.2f}"


def counted(name: str, shape: str | list[str] | None, **options: Any) -> dict[str, int]:
    """One trace, priced under both conventions."""
    from vggcost._analyze import prepared
    from vggcost.cost import convention, cost_table
    from vggcost.trace import trace_model

    fuse = bool(options.pop("fuse", False))
    loaded, run, arguments = prepared(name, shape, 1, "inference", (), options, fuse=fuse)
    trace = trace_model(loaded.model, run, arguments=arguments, assume=loaded.assume)
    tables = {rule: cost_table(trace, convention(rule)) for rule in ("timm", "fvcore")}
    totals = tables["timm"].totals
    return {"params": totals.params, "macs": totals.macs, **{rule: t.totals.flops for rule, t in tables.items()}}


LANGUAGE = {
    "bloom-7b1": ("bloom-7b1", 128), "bloomz-1b7": ("bloomz-1b7", 128), "baichuan-7B": ("baichuan-7b", 128),
    "chatglm-6b": ("chatglm-6b", 128), "llama2-7b-chat": ("llama2-7b", 128),
    "EleutherAI/pythia-12b": ("pythia-12b", 128), "moss-moon-003-sft": ("moss-moon-003-sft", 128),
    "moss-moon-003-sft-plugin": ("moss-moon-003-sft-plugin", 128), "gpt2 (HF, 124M)": ("gpt2", 1024),
    "gpt2 (nanoGPT bias=False)": ("gpt2", 1024), "llama-7b / llama2-7b": ("llama2-7b", 128),
}  # fmt: skip
"""The config that stands for a row, and the tokens it was counted on."""


def llm(row: dict[str, str]) -> Outcome:
    known = {"source": "llm", "model": row["model"], "input": row["input"],
             "params": row["params_exact_or_published"].split(" ")[0], "macs": row["fwd_macs_g"] or half(row["fwd_flops_g"])}  # fmt: skip

    def make() -> Outcome:
        if row["model"] in LANGUAGE:
            config, tokens = LANGUAGE[row["model"]]
            name = config if config == "gpt2" else str(PUBLISHED / "configs" / f"{config}.json")
            found = counted(f"hf:{name}", [f"input_ids=1x{tokens}:int64"])
            macs = found["macs"]
        else:  # the row of timm's ViT
            found = counted("timm:vit_base_patch16_224", None)
            macs = found["timm"]
        published = known["macs"]
        agrees = not published or abs(macs / GIGA - float(published)) <= max(0.001 * float(published), 0.005)
        params = known["params"]
        whole = params.isdigit()
        same = found["params"] == int(params) if whole else f"{found['params'] / MEGA:.2f}M" == params
        return Outcome(
            **known, our_params=str(found["params"]) if whole else f"{found['params'] / MEGA:.2f}M",
            our_macs=f"{macs / GIGA:.2f}" if published else "", params_agree=same, macs_agree=agrees,
        )  # fmt: skip

    return attempt(make, **known)


def half(flops: str) -> str:
    return f"{float(flops) / 2:.3f}" if flops else ""


SOURCES: dict[str, tuple[str, Callable[[dict[str, str]], Outcome]]] = {
    "torchvision": ("torchvision_meta.csv", torchvision),
    "timm": ("timm_published.csv", timm),
    "llm": ("llm_published.csv", llm),
}


def quietly(work: Callable[[dict[str, str]], Outcome], row: dict[str, str]) -> Outcome:
    import logging
    import warnings

    logging.disable(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return work(row)


def run(source: str, jobs: int) -> Iterator[Outcome]:
    file, work = SOURCES[source]
    rows = rows_of(PUBLISHED / file)
    with ProcessPoolExecutor(jobs) as pool:
        for done, outcome in enumerate(pool.map(partial(quietly, work), rows, chunksize=8), 1):
            print(f"\r{source} {done}/{len(rows)}", end="", file=sys.stderr)
            yield outcome
    print(file=sys.stderr)


def totals_of(found: list[Outcome]) -> list[str]:
    lines = [
        "| source | rows | run | params agree | GMACs agree | in per cent | misses with a reason |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for source in SOURCES:
        rows = [o for o in found if o.source == source]
        if not rows:
            continue
        ran = [o for o in rows if not o.problem]
        params = sum(o.params_agree for o in ran)
        stated = [o for o in ran if o.macs]  # some rows publish no MACs
        macs = sum(o.macs_agree for o in stated)
        missed = [o for o in rows if o.verdict != "agrees"]
        explained = sum(reason_of(o) is not None for o in missed)
        lines.append(
            f"| {source} | {len(rows)} | {len(ran)} | {params} | {macs} of {len(stated)} | {100 * macs / len(stated):.1f}% | "
            f"{explained} of {len(missed)} |"
        )
    return lines


def evidence(outcome: Outcome, reason: dict[str, str]) -> str:
    """Run a row again as its reason says it was counted, and say what comes out."""
    if reason["assume"]:
        from vggcost import analyze

        pairs = dict(pair.split("=") for pair in reason["assume"].split())
        arch, _, weights = outcome.model.partition(" ")
        table = analyze(
            f"torchvision:{arch}", weights=weights, assume={key: int(value) for key, value in pairs.items()}
        )
        stated = " ".join(f"--assume {pair}" for pair in reason["assume"].split())
        return f" With `{stated}`: {table.totals.macs / GIGA:.3f}."
    if not (reason["instead"] or reason["unfused"]):
        return ""
    name, shape = f"timm:{reason['instead'] or outcome.model}", f"3x{outcome.input}x{outcome.input}"
    with unfused(bool(reason["unfused"])):
        found = counted(name, shape, fuse=True)
    how = f"`{name}`" if reason["instead"] else "So counted"
    return f" {how}: {found['params'] / MEGA:.2f} M, {found['timm'] / GIGA:.2f}."


@contextmanager
def unfused(wanted: bool) -> Iterator[None]:
    """Switch timm's fused attention off."""
    from timm.layers import set_fused_attn

    if wanted:
        set_fused_attn(False)
    try:
        yield
    finally:
        set_fused_attn(True)


def document(found: list[Outcome], seconds: float) -> str:
    kinds = Counter((o.source, o.rule) for o in found if o.rule)
    lines = [
        "# Published figures, recomputed",
        "",
        f"Made by `python benchmarks/published.py -o docs/published.md` in {seconds / 60:.0f} minutes on two cores. Every row of "
        "[tests/published](../tests/published/README.md) is built by its public name, on meta, run once, and compared: "
        "torchvision to the parameter and to the printed third decimal of its GMACs; timm to 0.01 M parameters and 0.5% "
        f"of its GMACs, under the convention `timm` ({kinds['timm', 'timm']} rows) or `fvcore` "
        f"({kinds['timm', 'fvcore']} rows), since its files differ about attention; language models to the parameter "
        "and to 0.1% of their MACs.",
        "",
        *totals_of(found),
        "",
        "## What does not agree",
        "",
        "| source | model | input | params | ours | GMACs | ours | why |",
        "|---|---|---|--:|--:|--:|--:|---|",
    ]
    for o in found:
        if o.verdict == "agrees":
            continue
        reason = reason_of(o)
        why = reason["reason"] + evidence(o, reason) if reason else "**no reason found yet**"
        why = f"cannot run: {why}" if o.problem else why
        cells = (o.source, o.model, o.input, o.params, o.our_params, o.macs, o.our_macs, why.replace("|", "\\|"))
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "## What agrees", "", "| source | model | input | params | GMACs |", "|---|---|---|--:|--:|"]
    lines += [f"| {o.source} | {o.model} | {o.input} | {o.params} | {o.macs} |" for o in found if o.verdict == "agrees"]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", nargs="*", default=list(SOURCES))
    parser.add_argument("-o", "--output")
    parser.add_argument("-j", "--jobs", type=int, default=1)
    options = parser.parse_args()
    start = time.time()
    found = [outcome for source in options.sources for outcome in run(source, options.jobs)]
    text = document(found, time.time() - start)
    if options.output:
        Path(options.output).write_text(text, encoding="utf-8")
        print("\n".join(totals_of(found)))
    else:
        print(text)


if __name__ == "__main__":
    main()
