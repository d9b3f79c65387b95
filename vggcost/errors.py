"""One family of errors; every message says what is wrong and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = [
    "BaselineError",
    "ConfigError",
    "ConventionError",
    "DocumentError",
    "DocumentErrors",
    "FileError",
    "InputError",
    "ModelError",
    "OptionError",
    "SweepError",
    "TableError",
    "TemplateError",
    "TraceError",
    "VggcostError",
    "one_line",
]


class VggcostError(Exception):
    """Anything a user can put right; the command line prints it as one line and exits with 2."""


class ModelError(VggcostError):
    """The model's name does not lead to a model."""


class OptionError(VggcostError):
    """A factory option (`-k key=value`) is unknown or out of range."""


class InputError(VggcostError):
    """The input description is malformed, or its numbers make no sense."""


class TraceError(VggcostError):
    """The model was built but could not be run on this input; `table` holds the rows until it stopped, if any."""

    table: Any = None


class ConventionError(VggcostError):
    """No counting convention has this name."""


class ConfigError(VggcostError):
    """The project's configuration cannot be read, or says something that is not known."""


class BaselineError(VggcostError):
    """A baseline cannot be read, or does not hold what is asked for."""


class DocumentError(VggcostError):
    """A document cannot be read, or a marker in it cannot be followed; the message begins with file and line."""


class DocumentErrors(DocumentError):
    """Several of them in one document."""

    def __init__(self, messages: Sequence[str]) -> None:
        super().__init__("; ".join(messages))
        self.messages = list(messages)


class SweepError(VggcostError):
    """The machines of a sweep cannot be reached, or keep going away."""


class TableError(VggcostError):
    """A saved table cannot be read."""


class TemplateError(VggcostError):
    """A template of the user's own cannot be found or rendered; the message begins with file and line where there is one."""


class FileError(VggcostError):
    """A file cannot be read or written."""


def one_line(error: BaseException, limit: int = 300) -> str:
    """Write an exception of other code as one line, without the middle of a long one.

    Example:
        >>> one_line(ValueError("no  weights"))
        'ValueError: no weights'
    """
    try:
        text = " ".join(str(error).split())
    except Exception:  # its own fault, and not what went wrong
        text = ""
    if len(text) > limit:
        text = f"{text[: limit // 2]} … {text[-limit // 2 :]}"
    return f"{type(error).__name__}: {text or 'no message'}"
