"""Many models: what is asked for, what survives a kill, models that misbehave, and clusters whose workers go."""

from __future__ import annotations

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import command, published, python
from vggcost.errors import FileError, InputError, ModelError, OptionError, TableError
from vggcost.sweeps import COLUMNS, Limits, Store, jobs_of, models_of, read_rows, run_jobs
from vggcost.sweeps.run import reasons
from vggcost.sweeps.watch import work

pytest.importorskip("joblib")

MODELS = """
import os, time
from pathlib import Path
from torch import nn

def built(name):
    with open(Path(__file__).with_name("built.txt"), "a") as file:
        file.write(f"{os.getpid()} {name}\\n")

def good():
    built("good")
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(4) if False else nn.Identity())

def raises():
    built("raises")
    raise ValueError("no such thing")

def hangs():
    time.sleep(1000)

def spins():
    while True:
        pass

def leaves():
    os._exit(7)

def aborts():
    os.abort()

def exits():
    raise SystemExit(3)

def eats():
    held = []
    while True:
        held.append(bytearray(b"x" * 10**7))
        time.sleep(0.0005)

def prints():
    print("{" * 100, flush=True)
    os.write(1, b"not a result\\n")
    return nn.Linear(3, 4)

class Leaving(nn.Module):
    def forward(self, x):
        os._exit(0)
"""
MODELS += "".join(
    f"""
def m{n}():
    built("m{n}")
    time.sleep(0.1)
    while {n} > 11 and Path(__file__).with_name("hold").exists():
        time.sleep(0.05)
    return nn.Linear({n + 1}, 10)
"""
    for n in range(24)
)
MANY = [f"./models.py:m{n}" for n in range(24)]
LIMITS = Limits(60)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "models.py").write_text(MODELS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def many(name: str) -> int:
    """What `./models.py:mN` has of parameters: a linear layer of N + 1 inputs and 10 outputs with biases."""
    return (int(name.rpartition("m")[2]) + 2) * 10


def builds(folder: Path) -> Counter[str]:
    return Counter(line.split()[1] for line in (folder / "built.txt").read_text(encoding="utf-8").splitlines())


def wait_for(condition: Callable[[], Any], seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
    return found


def lines_of(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


# What is asked for


def test_patterns_are_of_the_zoo_or_of_a_library_and_each_model_comes_once() -> None:
    assert models_of(["vgg-?"]) == ["vgg-f", "vgg-m", "vgg-s", "vgg-a", "vgg-b", "vgg-c", "vgg-d", "vgg-e"]
    assert models_of(["VGG16*"]) == ["vgg-c", "vgg-d", "vgg-d-bn"]  # by their aliases
    assert models_of(["vgg-d", "vgg-[de]", "./net.py:make"]) == ["vgg-d", "vgg-e", "./net.py:make"]
    pytest.importorskip("torchvision")
    rows = [row for row in published("torchvision_meta.csv") if row["arch"].startswith("resnet")]
    assert set(models_of(["torchvision:resnet*"])) >= {f"torchvision:{row['arch']}" for row in rows}


def test_models_times_inputs_times_batches_times_modes() -> None:
    jobs = jobs_of(["a", "b"], ["3x8x8", "3x9x9"], [1, 8, 32], ["inference", "training"])
    assert len({job.key for job in jobs}) == len(jobs) == 2 * 2 * 3 * 2
    assert [job.model for job in jobs] == ["a"] * 12 + ["b"] * 12


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((["a"], ["3x0x8"]), InputError),
        ((["a"], [""], [0]), InputError),
        ((["a"], [""], [1], ["sleeping"]), OptionError),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_runs(arguments: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        jobs_of(*arguments)


def test_a_pattern_without_a_match_is_refused() -> None:
    for pattern in ("nothing*", "nowhere:*"):
        with pytest.raises(ModelError):
            models_of([pattern])


def test_the_result_of_a_file_of_ones_own_goes_with_what_is_in_it(folder: Path) -> None:
    before = jobs_of(["./models.py:good"])[0]
    assert before == jobs_of(["./models.py:good"])[0]
    (folder / "models.py").write_text(MODELS + "\n# changed\n", encoding="utf-8")
    assert jobs_of(["./models.py:good"])[0].key != before.key


# What comes out


def test_figures_are_those_of_the_single_model(folder: Path) -> None:
    from vggcost import analyze

    done = command("sweep", "vgg-[ad]", "-b", "1,2", "--mode", "inference,training", "-o", "out.jsonl", cwd=folder)
    assert done.returncode == 0, done.stderr
    rows = read_rows(folder / "out.jsonl")
    assert len(rows) == 8
    for row in rows:
        table = analyze(row["model"], batch=row["batch"], mode=row["mode"])
        for name in ("params", "trainable", "param_bytes", "macs", "flops", "activations", "activation_bytes"):
            assert row[name] == getattr(table.totals, name), name
        training = row["mode"] == "training"
        for name in ("backward_macs", "backward_flops", "saved_bytes"):
            assert row[name] == (getattr(table.totals, name) if training else None), name
        assert (row["status"], row["reason"], row["unknown"]) == ("ok", "", "")
        assert row["shapes"].startswith(f"{row['batch']}x3x224x224")
        assert row["rows"] == len(table.layers)
    assert "8 asked for: 8 traced, 0 were there, 0 failed" in done.stdout


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_each_form_holds_the_same_and_is_gone_on_with(folder: Path, ending: str) -> None:
    if ending == "parquet":
        pytest.importorskip("pyarrow")
    output = f"out.{ending}"
    first = command("sweep", "vgg-a", "./models.py:raises", "-i", "3x64x64", "-o", output, cwd=folder)
    assert first.returncode == 0, first.stderr
    rows = read_rows(folder / output)
    assert [list(row) for row in rows] == [list(COLUMNS)] * 2
    # On 64×64 the last map of VGG-11 is 2×2, which the adaptive pooling of none widens: its fc6 does not fit.
    assert {row["model"]: row["status"] for row in rows} == {"vgg-a": "failed", "./models.py:raises": "failed"}
    second = command("sweep", "vgg-a", "./models.py:raises", "vgg-d", "-b", "1,2", "-o", output, cwd=folder)
    assert "6 asked for: 4 traced" in second.stdout or "6 asked for" in second.stdout
    assert read_rows(folder / output)[:2] == rows
    third = command("sweep", "vgg-a", "vgg-d", "-b", "1,2", "-o", output, "-j", "2", cwd=folder)
    assert "4 asked for: 0 traced, 4 were there, 0 failed" in third.stdout


def test_whole_numbers_beyond_64_bits_keep_every_digit(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    row = work(jobs_of(["nowhere"])[0], LIMITS) | {"macs": 2**70 + 1, "params": 3}
    for ending in ("parquet", "csv", "jsonl"):
        with Store(tmp_path / f"out.{ending}") as store:
            store.add(row)
        (found,) = read_rows(tmp_path / f"out.{ending}")
        assert (found["macs"], found["params"]) == (2**70 + 1, 3)
        assert found == row


def test_in_python_it_is_a_frame(folder: Path) -> None:
    import vggcost

    frame = vggcost.sweep(["vgg-d", "./models.py:good"], folder / "out.csv", inputs=["3x224x224"])
    assert list(frame["model"]) == ["vgg-d", "./models.py:good"]
    assert list(frame["params"]) == [138_357_544, 3 * 8 * 9 + 8]


# Models that misbehave


def test_no_model_stops_the_others(folder: Path) -> None:
    names = ["hangs", "spins", "leaves", "aborts", "exits", "eats", "raises", "prints", "Leaving", "nowhere", "good"]
    done = command(
        "sweep", *(f"./models.py:{name}" for name in names), "-i", "3x9x9", "-j", "2", "--timeout", "9", "--memory", "1GB",
        "-o", "out.csv", cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = {row["model"].rpartition(":")[2]: (row["status"], row["reason"]) for row in read_rows(folder / "out.csv")}
    assert found["good"] == ("ok", "")
    assert found["hangs"] == found["spins"] == ("timeout", "not done in 9 s")
    assert found["eats"] == ("memory", "took more than 953.67 MiB of memory")
    assert found["leaves"] == ("crashed", "the process that traced it exited with status 7")
    assert found["Leaving"] == ("crashed", "the process that traced it exited with status 0")
    assert found["aborts"][0] == "crashed"
    assert "SIGABRT" in found["aborts"][1] or "signal 6" in found["aborts"][1]
    assert found["exits"][0] == found["raises"][0] == found["nowhere"][0] == "failed"
    assert "ValueError: no such thing (models.py" in found["raises"][1]
    assert found["prints"][0] == "failed"  # its linear layer does not fit; what it printed went nowhere
    assert len(found) == len(names)
    assert "11 asked for: 1 traced, 0 were there, 10 failed" in done.stdout
    assert "2 × not done in 9 s: ./models.py:hangs, ./models.py:spins" in done.stdout
    assert "Traceback" not in done.stderr


def test_what_failed_is_tried_again_only_when_asked(folder: Path) -> None:
    arguments = ("sweep", "./models.py:raises", "./models.py:good", "-i", "3x9x9", "-o", "out.jsonl")
    assert command(*arguments, cwd=folder).returncode == 0
    again = command(*arguments, "--strict", cwd=folder)
    assert again.returncode == 1
    assert "2 asked for: 0 traced, 1 were there, 1 failed, 1 of them before (--retry" in again.stdout
    assert builds(folder) == {"raises": 1, "good": 1}
    assert command(*arguments, "--retry", cwd=folder).returncode == 0
    assert builds(folder) == {"raises": 2, "good": 1}
    assert sorted(row["model"] for row in read_rows(folder / "out.jsonl")) == ["./models.py:good", "./models.py:raises"]


def test_a_worker_uses_one_process_for_many_models_and_a_new_one_after_a_death(folder: Path) -> None:
    names = ["m0", "m1", "leaves", "m2", "m3"]
    jobs = jobs_of([f"./models.py:{name}" for name in names], ["4"])
    for job in jobs:
        work(job, Limits(60, folder=str(folder)))
    first, second, third, fourth = (
        line.split()[0] for line in (folder / "built.txt").read_text(encoding="utf-8").splitlines()
    )
    assert first == second != third == fourth


def test_a_process_that_left_while_idle_is_no_crash(folder: Path) -> None:
    from vggcost.sweeps import watch

    (job,) = jobs_of(["./models.py:m3"], ["4"])
    assert work(job, Limits(60, folder=str(folder)))["params"] == 50
    process = watch._mine.process
    process._popen.kill()
    process._popen.wait()
    assert work(job, Limits(60, folder=str(folder)))["status"] == "ok"


def test_reasons_are_grouped_without_the_names() -> None:
    rows = [
        {"model": "timm:a", "reason": "timm:a failed: a is old"},
        {"model": "timm:b", "reason": "timm:b failed: b is old"},
        {"model": "timm:c", "reason": "other"},
    ]
    assert reasons(rows) == {"failed: MODEL is old": ["timm:a", "timm:b"], "other": ["timm:c"]}


# What survives a kill


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "vggcost", "sweep", *MANY, *arguments],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


@pytest.mark.parametrize(("output", "workers"), [("out.jsonl", "1"), ("out.csv", "2"), ("out.parquet", "2")])
def test_it_goes_on_after_a_kill_without_doing_anything_twice(folder: Path, output: str, workers: str) -> None:
    if output.endswith("parquet"):
        pytest.importorskip("pyarrow")
    journal = folder / (f"{output}.jsonl" if output.endswith("parquet") else output)
    options = ("-i", "4", "-j", workers, "-o", output)  # of four inputs only m3 can be run
    (folder / "hold").touch()
    killed = start(folder, *options)
    wait_for(lambda: lines_of(journal) > 6)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    (folder / "hold").unlink()
    with journal.open("ab") as file:  # as a kill leaves it
        file.write(b'{"model": "half')
    kept = {row["model"] for row in read_rows(journal)}
    assert 5 < len(kept) < 24
    done = command("sweep", *MANY, *options, cwd=folder)
    assert done.returncode == 0, done.stderr
    rows = read_rows(folder / output)
    assert sorted(row["model"] for row in rows) == sorted(MANY)
    assert {row["model"] for row in rows if row["status"] == "ok"} == {"./models.py:m3"}
    counts = builds(folder)
    assert {counts[name.rpartition(":")[2]] for name in kept} == {1}
    assert max(counts.values()) <= 2  # what was under way at the kill had no result


def test_an_interrupt_leaves_a_parquet_file_of_what_was_done(folder: Path) -> None:
    pytest.importorskip("pyarrow")
    (folder / "hold").touch()  # so that it is not done before the interrupt, however busy the machine is
    running = start(folder, "-i", "4", "-o", "out.parquet")
    wait_for(lambda: lines_of(folder / "out.parquet.jsonl") > 3)
    running.send_signal(signal.SIGINT)
    text, _ = running.communicate(timeout=60)
    assert (running.returncode, text.splitlines()[-1]) == (130, "vggcost: interrupted")
    rows = read_rows(folder / "out.parquet")
    assert rows == read_rows(folder / "out.parquet.jsonl")
    assert len(rows) > 3


def test_the_processes_end_with_the_one_that_started_them(folder: Path) -> None:
    running = subprocess.Popen(
        [sys.executable, "-m", "vggcost", "sweep", "./models.py:good", "./models.py:spins", "-i", "3x9x9", "-o", "o.csv"],
        cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_for(lambda: lines_of(folder / "o.csv") > 1)
    tracer = int((folder / "built.txt").read_text(encoding="utf-8").split()[0])
    running.send_signal(signal.SIGKILL)
    running.wait()
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux ends a busy child with its parent")
    wait_for(lambda: not Path(f"/proc/{tracer}").exists() or "Z" in Path(f"/proc/{tracer}/stat").read_text().split()[2])


def test_two_sweeps_do_not_write_one_file(folder: Path) -> None:
    pytest.importorskip("fcntl")
    with Store(folder / "out.csv"), pytest.raises(FileError, match="another sweep is writing"):
        Store(folder / "out.csv")
    with Store(folder / "out.csv"):
        pass


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.jsonl", '{"model": "vgg16"}\n'),
        ("a.jsonl", "not JSON\n"),
        ("a.csv", "model,macs\nvgg16,3\n"),
        ("a.csv", ",".join(COLUMNS) + "\n" + "x," * 30 + "\n"),
        ("a.parquet", "no parquet\n"),
    ],
)
def test_a_file_of_something_else_is_left_alone(tmp_path: Path, name: str, text: str) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(TableError):
        Store(path)
    assert path.read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    "arguments",
    [
        ("nothing-*", "-o", "o.csv"),
        ("vgg16", "-o", "o.xlsx"),
        ("vgg16", "-o", "nowhere/o.csv"),
        ("vgg16", "-o", "o.csv", "-b", "1,x"),
        ("vgg16", "-o", "o.csv", "-b", "0"),
        ("vgg16", "-o", "o.csv", "-i", "3x224x224,,"),
        ("vgg16", "-o", "o.csv", "-i", "3xa"),
        ("vgg16", "-o", "o.csv", "--mode", "sleeping"),
        ("vgg16", "-o", "o.csv", "--backend", "slurm"),
        ("vgg16", "-o", "o.csv", "--backend", "dask"),
        ("vgg16", "-o", "o.csv", "--scheduler", "tcp://127.0.0.1:1"),
        ("vgg16", "-o", "o.csv", "--memory", "much"),
        ("vgg16", "-o", "o.csv", "--timeout", "0"),
        ("vgg16", "-o", "o.csv", "--convention", "none"),
        ("vgg16", "-o", "o.csv", "--dtype", "int3"),
        ("vgg16",),
        (),
    ],
)
def test_what_a_user_gets_wrong_is_one_line(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = command("sweep", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("vggcost: ")
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []  # nothing is begun that is not gone through with


@pytest.mark.parametrize(
    ("module", "options"),
    [
        ("joblib", ()),
        ("distributed", ("--backend", "dask", "--scheduler", "tcp://127.0.0.1:1")),
        ("ray", ("--backend", "ray")),
        ("pyarrow", ("-o", "o.parquet")),
    ],
)
def test_a_missing_library_is_named_with_its_extra(tmp_path: Path, module: str, options: tuple[str, ...]) -> None:
    code = (
        f"import sys; sys.modules[{module!r}] = None\n"
        f"from vggcost.cli import main; main(['sweep', 'vgg16', '-o', 'o.csv', *{options!r}])"
    )
    done = python("-c", code, cwd=tmp_path)
    assert done.returncode == 2
    assert module in done.stderr
    assert "pip install 'vggcost[sweep]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_worker_of_another_version_says_so() -> None:
    from dataclasses import replace

    (job,) = jobs_of(["vgg16"])
    row = work(replace(job, versions="python 2.7"), LIMITS)
    assert row["status"] == "failed"
    assert row["reason"].startswith("the sweep was started with python 2.7, this worker has python 3")


# Clusters


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def children(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(stat.parent.name))
        except OSError:  # it has ended
            continue
    return found


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def sound(folder: Path, output: str) -> None:
    """Nothing lost, nothing doubled, and every figure right."""
    with (folder / output).open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    assert sorted(row["model"] for row in rows) == sorted(MANY)
    # A linear layer of n inputs runs on n values alone: of 4 values only m3.
    assert {row["model"] for row in rows if row["status"] == "ok"} == {"./models.py:m3"}
    assert {row["status"] for row in rows} == {"ok", "failed"}


def killed_in_the_middle(folder: Path, options: tuple[str, ...], victim: Callable[[], int | None]) -> None:
    running = start(folder, "-i", "4", "-o", "out.jsonl", *options)
    try:
        wait_for(lambda: lines_of(folder / "out.jsonl") > 3)
        os.kill(wait_for(victim), signal.SIGKILL)
        assert lines_of(folder / "out.jsonl") < len(MANY)
        text, _ = running.communicate(timeout=120)
        assert running.returncode == 0, text
        sound(folder, "out.jsonl")
    finally:
        running.kill()
        running.wait()


@pytest.mark.slow
def test_a_cluster_of_dask_with_a_worker_killed_in_the_middle(folder: Path) -> None:
    pytest.importorskip("distributed")
    address = f"tcp://127.0.0.1:{free_port()}"
    quiet: dict[str, Any] = {"cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    run = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--port", address.rpartition(":")[2]]
    started = [subprocess.Popen([*run, "--host", "127.0.0.1", "--no-dashboard"], **quiet)]
    try:
        work_on = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-dashboard"]
        started += [subprocess.Popen(work_on, **quiet) for _ in range(2)]
        nanny = started[1].pid

        def worker() -> int | None:
            found = [pid for pid in children(nanny) if "spawn_main" in command_line(pid)]
            return found[0] if found else None

        wait_for(worker)
        killed_in_the_middle(folder, ("--backend", "dask", "--scheduler", address), worker)
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait(timeout=30)


@pytest.fixture
def ray_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    pytest.importorskip("ray")
    place = f"/tmp/ray-{os.getpid()}"  # Ray's sockets need a short path
    address = f"127.0.0.1:{free_port()}"
    command_of_ray = [str(Path(sys.executable).with_name("ray"))]
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    head = subprocess.Popen(
        [*command_of_ray, "start", "--head", "--block", "--node-ip-address", "127.0.0.1", "--port", address.rpartition(":")[2],
         "--num-cpus", "2", "--include-dashboard", "false", "--temp-dir", place,
         "--min-worker-port", "0", "--max-worker-port", "0"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment, start_new_session=True,
    )  # fmt: skip
    try:
        yield address, place
    finally:
        head.terminate()  # which ends what it started
        try:
            head.wait(timeout=30)
        finally:
            if head.poll() is None:
                os.killpg(head.pid, signal.SIGKILL)


@pytest.mark.slow
def test_a_cluster_of_ray_with_a_worker_killed_in_the_middle(folder: Path, ray_cluster: tuple[str, str]) -> None:
    address, place = ray_cluster

    def answers() -> bool:
        with socket.socket() as tried:
            return tried.connect_ex(("127.0.0.1", int(address.rpartition(":")[2]))) == 0

    wait_for(answers)
    time.sleep(3)  # until the node has joined the head

    def worker() -> int | None:
        lines = {int(path.name): command_line(int(path.name)) for path in Path("/proc").glob("[0-9]*")}
        ours = [pid for pid, line in lines.items() if "raylet" in line and place in line]
        return next(
            (pid for parent in ours for pid in children(parent) if lines.get(pid, "").startswith("ray::work")), None
        )

    killed_in_the_middle(folder, ("--backend", "ray", "--scheduler", address), worker)


def test_csv_reads_as_any_other(folder: Path) -> None:
    assert command("sweep", "./models.py:good", "-i", "3x9x9", "-o", "out.csv", cwd=folder).returncode == 0
    with (folder / "out.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["macs"] == str(3 * 8 * 9 * 7 * 7)


def test_a_worker_that_goes_again_and_again_is_given_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vggcost.errors import SweepError
    from vggcost.sweeps import run
    from vggcost.sweeps.backends import Lost

    calls = []

    def going(*arguments: Any) -> Iterator[Any]:
        calls.append(arguments)
        raise Lost("gone")
        yield

    monkeypatch.setattr(run, "results", going)
    with Store(folder / "out.csv") as store, pytest.raises(SweepError, match="workers keep going: gone"):
        run_jobs(jobs_of(["vgg16"]), store, LIMITS)
    assert len(calls) == 3
