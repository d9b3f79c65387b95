"""The jinja2 environment: strict about names, escaping wherever the output is HTML, open to a folder of one's own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.resources import files
from importlib.resources.abc import Traversable
from importlib.util import find_spec
from pathlib import Path
from traceback import walk_tb
from typing import TYPE_CHECKING, Any

from vggcost.errors import TemplateError, one_line
from vggcost.reading import CONFIG, read_file, resolved
from vggcost.units import did_you_mean

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["environment", "templates_from", "text"]

_FOLDER: ContextVar[Path | None] = ContextVar("folder", default=None)
"""Whose templates go before those that are shipped, while `templates_from` holds."""

_NO_HTML = (".md.j2", ".tex.j2")


def environment(escape: Callable[[str], str] | None = None) -> Environment:
    """Return an environment; HTML templates are escaped by jinja2, others through the filter `esc`.

    A name is looked for in the folder of `templates_from`, then among the shipped templates; `vggcost/NAME` is always the
    shipped one.
    """
    from jinja2 import ChoiceLoader, Environment, FileSystemLoader, FunctionLoader, PrefixLoader, StrictUndefined

    shipped, folder = FunctionLoader(_shipped_text), _FOLDER.get()
    own = [FileSystemLoader(folder)] if folder is not None else []
    env = Environment(
        loader=ChoiceLoader([*own, PrefixLoader({"vggcost": shipped}), shipped]),
        # select_autoescape() would not recognise report.html.j2
        autoescape=lambda name: name is None or not name.endswith(_NO_HTML),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    identity: Callable[[Any], str] = str
    env.filters["esc"] = escape or identity
    return env


def text(name: str) -> str:
    """Read a file of the templates' folder, such as a style, or of the folder of `templates_from` if it has one."""
    folder = _FOLDER.get()
    if folder is not None and os.path.isfile(folder / name):
        return read_file(folder / name, CONFIG).decode("utf-8")
    return _shipped().joinpath(name).read_text(encoding="utf-8")


def _shipped() -> Traversable:
    """The templates' folder: of the package, or of the checkout where that is what runs."""
    if find_spec("vggcost.templates") is not None:
        return files("vggcost.templates")
    return Path(__file__).parents[2] / "templates"


def _shipped_text(name: str) -> str | None:
    return _shipped().joinpath(name).read_text(encoding="utf-8") if name in _shipped_names() else None


def _shipped_names() -> list[str]:
    return sorted(file.name for file in _shipped().iterdir() if file.is_file() and not file.name.startswith("__"))


@contextmanager
def templates_from(folder: str | Path | None) -> Iterator[None]:
    """Let the files of a folder go before the shipped ones of the same name, for what is rendered inside.

    Args:
        folder: where they are; None: nowhere.

    Raises:
        TemplateError: there is no such folder, nothing in it has the name of a shipped file, or one of its templates cannot
            be rendered; the message names file and line.
    """
    if folder is None:
        yield
        return
    path = resolved(folder)
    _check(path, folder)
    token = _FOLDER.set(path)
    try:
        yield
    except Exception as error:
        message = _told(error, path, Path(folder))
        if message is None:
            raise
        raise TemplateError(message) from error
    finally:
        _FOLDER.reset(token)


def _check(folder: Path, given: str | Path) -> None:
    if not os.path.isdir(folder):
        raise TemplateError(f"no folder {given} with templates")
    names, found = _shipped_names(), sorted(file.name for file in folder.iterdir())
    for name in set(names) & set(found):
        if not os.path.isfile(folder / name):
            raise TemplateError(f"{given}/{name} is no file")
    if not set(names) & set(found):
        hint = next((hint for name in found if (hint := did_you_mean(name, names))), "")
        raise TemplateError(f"nothing in {given} has the name of a template{hint}; they are {', '.join(names)}")


def _told(error: Exception, folder: Path, given: Path) -> str | None:
    """Say where in a folder's templates an error is; None for one that is not theirs."""
    from jinja2 import TemplateNotFound, TemplateSyntaxError, UndefinedError

    places = [(frame.f_code.co_filename, line) for frame, line in walk_tb(error.__traceback__)]
    if isinstance(error, TemplateSyntaxError):
        places.append((error.filename or "", error.lineno))
    if isinstance(error, OSError):
        places.append((str(error.filename), 0))
    theirs = [(Path(name), line) for name, line in places if folder in Path(name).parents]
    if isinstance(error, UnicodeDecodeError) and not theirs:
        return f"a file of {given} is not text in UTF-8"
    if not theirs:
        return None
    path, line = theirs[-1]
    where = f"{given / path.relative_to(folder)}:{line}"
    if isinstance(error, RecursionError):
        return f"{where}: extends or includes itself; the shipped template is vggcost/{path.name}"
    if isinstance(error, TemplateNotFound):
        return f"{where}: no template {error.name!r}{did_you_mean(str(error.name), _shipped_names())}"
    if isinstance(error, (TemplateSyntaxError, UndefinedError)):
        return f"{where}: {error.message}"
    return f"{where}: {one_line(error)}"
