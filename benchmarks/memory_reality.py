"""Predicted peak memory of a training step against a real one: python -m benchmarks.memory_reality [-o FILE.md].

On the CPU the profiler's memory events are added up from a known start; on CUDA, where there is a GPU,
the allocator's own figures are read. Nothing is downloaded: weights are random.
"""

from __future__ import annotations

import argparse
import gc
import platform
import statistics
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.memory_nets import CASES
from vggcost import VggcostError
from vggcost.cost.allocator import simulate
from vggcost.cost.memory import peak_of, timeline
from vggcost.load import read_inputs
from vggcost.records import RunInfo, Step
from vggcost.trace.optimizers import optimizer_of
from vggcost.trace.step import trace_step


def step_of(model: nn.Module, optimizer: torch.optim.Optimizer, x: torch.Tensor, target: torch.Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    output = model(x)
    loss = F.cross_entropy(output, target)
    loss.backward()
    optimizer.step()


def measured_cpu(make: Callable[[], nn.Module], step: Step, inputs: Callable[[int], torch.Tensor], batch: int) -> int:
    """The most bytes alive in the second step on the CPU, by the profiler's memory events.

    All is made under the profiler: it does not see the end of what was there before it.
    """
    rows = make().train()(inputs(2)).shape[0] // 2 * batch  # targets: one a row of logits
    gc.collect()
    with torch.autograd.profiler.profile(profile_memory=True, use_kineto=True) as profile:
        model, x = make().train(), inputs(batch)
        target = torch.zeros(rows, dtype=torch.int64)
        optimizer = optimizer_of(step, {name: p for name, p in model.named_parameters() if p.requires_grad})
        step_of(model, optimizer, x, target)
        gc.collect()
        with torch.autograd.profiler.record_function("second step"):
            step_of(model, optimizer, x, target)
    events = profile.kineto_results.events()
    begin = next(event.start_ns() for event in events if event.name() == "second step")
    live = most = 0
    for event in sorted((e for e in events if e.name() == "[memory]"), key=lambda e: e.start_ns()):
        live += event.nbytes()
        if event.start_ns() >= begin:
            most = max(most, live)
    return most


def measured_cuda(
    make: Callable[[], nn.Module], step: Step, inputs: Callable[[int], torch.Tensor], batch: int
) -> tuple[int, int]:
    """The most bytes allocated and reserved in the second step, as CUDA's allocator reports them."""
    model, x = make().train().cuda(), inputs(batch).cuda()
    target = torch.zeros(model(x).shape[0], dtype=torch.int64, device="cuda")
    optimizer = optimizer_of(step, {name: p for name, p in model.named_parameters() if p.requires_grad})
    step_of(model, optimizer, x, target)
    torch.cuda.synchronize()
    gc.collect()
    torch.cuda.reset_peak_memory_stats()
    step_of(model, optimizer, x, target)
    torch.cuda.synchronize()
    peaks = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
    del model, x, target, optimizer
    gc.collect()
    torch.cuda.empty_cache()
    return peaks


def on_cuda(optimizer: str, only: str) -> Iterator[str]:
    """Lines of a table for a GPU: predicted and measured, allocated and reserved."""
    step = Step(optimizer=optimizer, device="cuda")
    for name, make, inputs, batches in CASES:
        for batch in batches if only.lower() in name.lower() else ():
            given, size = read_inputs(inputs(batch))
            trace = trace_step(make(), RunInfo(name, name, (), "object", "", given.inputs, size, "training"), step)
            guess, real = simulate(trace), measured_cuda(make, step, inputs, batch)
            cells = (guess.allocated, real[0], guess.reserved, real[1])
            yield f"| {name} | {batch} | {' | '.join(f'{value / 2**20:,.1f}' for value in cells)} |"


def predicted(model: nn.Module, step: Step, x: torch.Tensor, name: str) -> int:
    given, batch = read_inputs(x)
    run = RunInfo(name, name, (), "object", "", given.inputs, batch, "training")
    trace = trace_step(model, run, step, assume=getattr(model, "assumed", {}))
    return peak_of(trace, timeline(trace)).bytes


def rows(optimizer: str, only: str) -> Iterator[tuple[str, int, int, int]]:
    step = Step(optimizer=optimizer, threads=torch.get_num_threads())
    for name, make, inputs, batches in CASES:
        if only.lower() not in name.lower():
            continue
        for batch in batches:
            try:
                guess = predicted(make(), step, inputs(batch), name)
            except (ImportError, RuntimeError, VggcostError) as error:
                print(f"{name}: not measured, {error}")
                break
            yield name, batch, guess, measured_cpu(make, step, inputs, batch)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--optimizer", default="sgd-momentum")
    parser.add_argument("--only", default="", help="only the models whose name contains this")
    parser.add_argument("-o", "--output", help="write the table as Markdown")
    options = parser.parse_args()
    lines = ["| model | batch | predicted MiB | measured MiB | predicted / measured |", "|:--|--:|--:|--:|--:|"]
    ratios = []
    for name, batch, guess, real in rows(options.optimizer, options.only):
        ratios.append(guess / real)
        lines.append(f"| {name} | {batch} | {guess / 2**20:,.2f} | {real / 2**20:,.2f} | {guess / real:.4f} |")
        print(lines[-1], flush=True)
    errors = [abs(ratio - 1) for ratio in ratios]
    summary = (
        f"{len(errors)} rows, optimizer {options.optimizer}: median error {statistics.median(errors):.2%}, "
        f"{sum(error <= 0.03 for error in errors)} of them within 3%, largest {max(errors):.2%}; torch {torch.__version__}, "
        f"{torch.backends.cpu.get_cpu_capability()} ({platform.machine()}), {torch.get_num_threads()} threads."
    )
    print(summary)
    if torch.cuda.is_available():
        lines += ["", f"On {torch.cuda.get_device_name()}, MiB:", ""]
        lines += [
            "| model | batch | predicted allocated | measured | predicted reserved | measured |",
            "|:--|--:|--:|--:|--:|--:|",
        ]
        for line in on_cuda(options.optimizer, options.only):
            lines.append(line)
            print(line, flush=True)
    if options.output:
        with open(options.output, "w", encoding="utf-8") as file:
            file.write("\n".join([*lines, "", summary]) + "\n")


if __name__ == "__main__":
    main()
