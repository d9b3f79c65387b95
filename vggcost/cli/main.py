"""The entry point: one group, one way to fail.

Whatever a user can put right is one line on stderr and exit status 2; a check that failed is 1.
"""

from __future__ import annotations

import atexit
import errno
import gc
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from traceback import format_exc
from typing import Any

import rich_click as click
from click.exceptions import Exit

from vggcost import __version__
from vggcost.cli.files import complain
from vggcost.cli.judged import judged
from vggcost.errors import VggcostError, one_line
from vggcost.units import did_you_mean

__all__ = ["cli", "main", "program"]

_COMMANDS = {
    "report": "What a model costs, layer by layer.",
    "draw": "An architecture as a picture, to scale.",
    "memory": "What a training step needs.",
    "fit": "The largest batch or image whose training step fits a memory.",
    "train": "The bill of a whole training run.",
    "evaluate": "What testing an image costs: crops or densely.",
    "compare": "Several models side by side.",
    "sweep": "Thousands of models, in one file.",
    "diff": "Which layers account for the difference between two models.",
    "lock": "Take what models cost now for the baseline.",
    "check": "Fail where a model costs more than the baseline and its limits allow.",
    "stack": "One k×k convolution against a stack of 3×3.",
    "claims": "Published statements, recomputed.",
    "docs": "Tables and figures in documents: write them anew, or check them.",
    "verify": "Count a model again by independent ways.",
    "explain": "Which definition gives this number?",
    "cache": "What is kept of earlier runs.",
    "models": "List the models of the zoo, torchvision, timm or transformers.",
}


class _Lazy(click.RichGroup):
    """A group whose commands are imported when they are run; a list of them shows the sentences above."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> Any:
        return click.RichCommand(name=name, help=_COMMANDS[name]) if name in _COMMANDS else None

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        name, *rest = args
        if name not in _COMMANDS:
            known = ", ".join(_COMMANDS)
            raise click.UsageError(f"no command {name!r}{did_you_mean(name, _COMMANDS)}; commands: {known}")
        return name, getattr(import_module(f"vggcost.cli.{name}"), name), rest


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="vggcost")
@click.option("--traceback", is_flag=True, help="After an error, show where it came from; works after a command too.")
def cli(traceback: bool) -> None:
    """What an architecture costs, known before anyone runs it.

    A model is built and run once on meta tensors (shapes without data): parameters, MACs, FLOPs and
    activation memory, layer by layer, exact, with the convention of every figure.
    """


def program() -> None:
    """Run the command line as a process of its own.

    Such a process is short, so that Python's collector of garbage runs more rarely in it, and at its end torch is not
    taken apart piece by piece, which takes as long and as much memory as much of its import. Whatever else is to be
    done at the end (of temporary files, threads, other packages) has been done by then.
    """
    status = [1]
    atexit.register(_leave, status)  # first registered, last called
    gc.set_threshold(100_000)
    _hold_streams()
    told = judged(sys.argv[1:])
    try:
        main()
    except SystemExit as done:
        status[0] = done.code if isinstance(done.code, int) else 2
        told(status[0])
        raise


def _hold_streams() -> None:
    """Let no file that is opened take the place of a standard stream that is closed."""
    nothing = os.open(os.devnull, os.O_RDWR)
    while nothing <= 2:
        nothing = os.dup(nothing)
    os.close(nothing)
    if sys.stdout is None:
        sys.stdout = _Closed()


class _Closed(io.TextIOBase):
    """Standard output that was closed before the process began: whoever has something to say is told so."""

    def write(self, text: str) -> int:
        raise OSError(errno.EBADF, "standard output is closed; name a file with -o, or redirect it to /dev/null")


def _leave(status: list[int]) -> None:
    code = status[0]
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None and not stream.closed:
                stream.flush()
        except BrokenPipeError:  # the reader has seen enough
            pass
        except OSError as error:
            complain(f"vggcost: cannot write: {error.strerror or error}")
            code = 2
    os._exit(code)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with 0, 1 (a check failed) or 2 (usage or tool error)."""
    if arguments is None:
        arguments = sys.argv[1:]
    traced = "--traceback" in arguments
    if any("\0" in word for word in arguments):
        complain("vggcost: an argument has the sign NUL, which no name can have")
        sys.exit(2)
    sys.exit(_run([word for word in arguments if word != "--traceback"], traced))


@contextmanager
def _shown(traced: bool) -> Iterator[None]:
    """Show where an error comes from, if that was asked for."""
    try:
        yield
    except BaseException:
        for line in format_exc().splitlines() if traced else ():
            complain(line, whole=False)
        raise


def _run(arguments: list[str], traced: bool) -> int:
    try:
        with _shown(traced):
            status = cli.main(args=arguments or ["--help"], prog_name="vggcost", standalone_mode=False)
        return status if isinstance(status, int) else 0
    except Exit as done:
        return int(done.exit_code)
    except (click.Abort, KeyboardInterrupt):
        complain("vggcost: interrupted")
        return 130
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "vggcost"
        message = f"{error.format_message()} (try '{command} --help')"
    except VggcostError as error:
        message = str(error)
    except BrokenPipeError:  # the reader, such as head, has seen enough
        return 0
    except OSError as error:
        message = f"cannot go on: {error.strerror or error}" + (f": {error.filename}" if error.filename else "")
    except MemoryError:
        message = "there is not enough memory for this; take a smaller model, input or file, or a machine with more"
    except Exception as error:  # status 1 is that of a check that failed, and of nothing else
        hint = "" if traced else "; --traceback shows where"
        message = f"a mistake of vggcost's own, please report it: {one_line(error)}{hint}"
    except BaseException as error:  # a model's code wants to end the process: it has no say in the status
        message = f"code of the model ended the command: {one_line(error)}"
    complain(f"vggcost: {message}")
    return 2
