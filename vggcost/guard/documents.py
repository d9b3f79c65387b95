"""Documents whose tables and figures vggcost writes: what in them is current, stale, or edited by hand."""

from __future__ import annotations

import codecs
import difflib
import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vggcost.errors import DocumentError, DocumentErrors, FileError, VggcostError
from vggcost.files import replace_file
from vggcost.guard.figures import Figures
from vggcost.guard.markers import LANGUAGES, Region, find_regions
from vggcost.guard.tables import figure, grid
from vggcost.reading import read_file
from vggcost.report.grid import markdown, rst

__all__ = ["Document", "Finding", "Outcome", "checksum", "find_documents", "read_document", "save", "work_out"]

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_FIGURE = re.compile(r"\s*(?:[-−–]?\d[\d.,]*(?: ?[A-Za-z]{1,4})?\s*)?")  # what a person would not mind losing
_WRITERS = {"markdown": markdown, "rst": rst}


@dataclass(frozen=True, slots=True)
class Document:
    """A document as it lies on disk: its text with the newlines it has, and how it is encoded."""

    path: Path
    name: str
    language: str
    data: bytes
    text: str
    bom: bytes
    encoding: str

    def encoded(self, text: str) -> bytes:
        """Return another text in this document's encoding."""
        return self.bom + text.encode(self.encoding)


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one region or value: `current`, `stale` or `edited` by hand."""

    line: int
    what: str
    state: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a document: `text` is what it should be, `kept` the same with what was edited by hand left alone."""

    document: Document
    findings: tuple[Finding, ...]
    text: str
    kept: str

    def diff(self, text: str) -> str:
        """Show how the document differs from another text of it, as a unified diff."""
        name = self.document.name
        before, after = self.document.text.splitlines(), text.splitlines()
        return "\n".join(difflib.unified_diff(before, after, name, f"{name} (as computed)", lineterm=""))


def find_documents(paths: Iterable[str]) -> list[Path]:
    """List the documents of files and folders, each once; hidden folders are left out.

    Raises:
        FileError: there is no such path.
        DocumentError: a file that was named is neither Markdown nor reStructuredText.
    """
    found: list[Path] = []
    for text in paths:
        path = Path(text)
        if os.path.isdir(path):
            for folder, folders, files in os.walk(path):
                folders[:] = sorted(name for name in folders if not name.startswith("."))
                found += [Path(folder) / name for name in sorted(files) if Path(name).suffix.lower() in LANGUAGES]
        elif not os.path.exists(path):
            raise FileError(f"no such file or folder: {text}")
        elif path.suffix.lower() not in LANGUAGES:
            raise DocumentError(
                f"{text}: neither Markdown nor reStructuredText; documents end in {', '.join(LANGUAGES)}"
            )
        else:
            found.append(path)
    return list(dict.fromkeys(found))


def read_document(path: Path) -> Document:
    """Read a document, with its newlines, byte order mark and encoding as they are.

    Raises:
        FileError: it cannot be read.
        DocumentError: it is not UTF-8, nor UTF-16 with a byte order mark.
    """
    data = read_file(path)
    bom, encoding = next((known for known in _BOMS if data.startswith(known[0])), (b"", "utf-8"))
    try:
        text = data[len(bom) :].decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, len(bom) + error.start) + 1
        raise DocumentError(f"{path}:{line}: not {encoding} ({error.reason}); save the document as UTF-8") from None
    return Document(path, str(path), LANGUAGES[path.suffix.lower()], data, text, bom, encoding)


def work_out(path: Path, figures: Figures) -> Outcome:
    """Compute everything that a document shows.

    Raises:
        FileError: it cannot be read.
        DocumentError: it cannot be read as text, or a marker in it cannot be read.
        DocumentErrors: what some markers ask for cannot be had.
    """
    document = read_document(path)
    text = document.text
    regions = find_regions(text, document.name, document.language)
    findings, problems = [], []
    whole, kept, last = [], [], 0
    for region in regions:
        old = text[region.start : region.tail if region.kind != "value" else region.end]
        try:
            state, new = _region(document, region, figures)
        except VggcostError as error:
            problems.append(str(error))
            continue
        findings.append(Finding(region.line, region.subject or region.kind, state))
        between = text[last : region.start]
        whole += [between, new if state != "current" else old]
        kept += [between, new if state == "stale" else old]
        last = region.start + len(old)
    if problems:
        raise DocumentErrors(problems)
    return Outcome(document, tuple(findings), "".join([*whole, text[last:]]), "".join([*kept, text[last:]]))


def save(document: Document, text: str) -> None:
    """Write a document, whole or not at all.

    Raises:
        FileError: it cannot be written, or has changed since it was read.
    """
    if read_file(document.path) != document.data:
        raise FileError(f"{document.name} was changed while its figures were computed; run this again")
    replace_file(document.path, document.encoded(text))


def checksum(text: str) -> str:
    r"""Return what guards a written table against edits: newlines, and blanks at the ends of lines, do not matter.

    Example:
        >>> checksum("| a |\r\n") == checksum("| a |  \n\n")
        True
    """
    return hashlib.sha256(_plain(text).encode()).hexdigest()[:8]


def _plain(text: str) -> str:
    return "\n".join(line.strip() for line in text.splitlines()).strip("\n")


def _region(document: Document, region: Region, figures: Figures) -> tuple[str, str]:
    """Say what state a region is in, and what it should be."""
    where, folder = f"{document.name}:{region.line}", document.path.parent
    body = document.text[region.start : region.end]
    if region.kind == "value":
        value = figure(region.subject, region.words, figures, folder, where)
        return ("current" if body == value else "stale" if _FIGURE.fullmatch(body) else "edited"), value
    written = _WRITERS[document.language](grid(region.kind, region.words, figures, folder, where))
    newline = "\r\n" if document.text[: region.start].endswith("\r\n") else "\n"
    lines = ["", *written.splitlines(), ""]
    end = f"vggcost:end sum={checksum(written)}"
    lines.append(f".. {end}" if document.language == "rst" else f"<!-- {end} -->")
    new = newline.join(region.indent + line if line else line for line in lines)
    return _state(body, written, region.sum), new


def _state(body: str, written: str, given: str | None) -> str:
    if _plain(body) == _plain(written):
        return "current" if given == checksum(written) else "stale"
    return "stale" if not body.strip() or given == checksum(body) else "edited"
