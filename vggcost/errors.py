"""One family of errors; every message says what is wrong and what to do next."""

from __future__ import annotations

from typing import Any

__all__ = [
    "BaselineError",
    "ConfigError",
    "ConventionError",
    "FileError",
    "InputError",
    "ModelError",
    "OptionError",
    "TableError",
    "TraceError",
    "VggcostError",
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


class TableError(VggcostError):
    """A saved table cannot be read."""


class FileError(VggcostError):
    """A file cannot be read or written."""
