"""Where a document shows figures: markers in Markdown and in reStructuredText, and what they ask for.

A marker is a comment, so that a document reads as before wherever vggcost is not known:

    <!-- vggcost:begin compare models="vgg11,vgg16" columns="params,macs" -->
    (the table)
    <!-- vggcost:end sum=1a2b3c4d -->

and in a sentence `<!-- vggcost:value vgg16.params format="M" -->138.36 M<!-- /vggcost -->`. In reStructuredText the
first form is written `.. vggcost:begin …`. What is code in the document is not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from vggcost.errors import DocumentError
from vggcost.units import did_you_mean

__all__ = ["LANGUAGES", "Region", "find_regions", "read_words"]

LANGUAGES = {".md": "markdown", ".markdown": "markdown", ".rst": "rst"}
"""Endings of the documents that can be read."""

_WORDS = ("begin", "end", "value")
_FENCE = re.compile(r"[ \t]*(?:>[ \t]*|[-*+][ \t]+|\d+[.)][ \t]+)*(`{3,}|~{3,})(.*)")
# a code span ends in its paragraph; a comment that begins a line ends the paragraph
_SPAN = re.compile(r"(?<![`\\])(`+)(?!`)((?:(?!\n[ \t]*(?:\r?\n|<!--)).)+?)(?<!`)\1(?!`)", re.DOTALL)
_COMMENT = re.compile(
    r"<!--\s*(?:vggcost:(?P<word>[\w-]*)(?P<rest>.*?)|(?P<close>/vggcost)[ \t]*)(?:-->|(?P<open>$))", re.M
)
_RST = re.compile(r"^[ \t]*\.\.[ \t]+vggcost:(?!:)(?P<word>[\w-]*)(?P<rest>[^\r\n]*)", re.M)
_RST_CODE = re.compile(r"\.\. (?:code|code-block|sourcecode|parsed-literal|literalinclude|raw|math|highlight)::")
_RST_DIRECTIVE = re.compile(r"\.\. [\w:.+-]+::")
_SUM = re.compile(r"\s*(?:sum=(?P<sum>[0-9a-f]+))?\s*")


@dataclass(frozen=True, slots=True)
class Region:
    """A place of a document that vggcost writes.

    Attributes:
        kind: what is shown: a kind of table, or `value`.
        subject: for a value `model.metric`.
        words: the attributes of the marker.
        line: where it begins, from 1.
        start: where its text begins, in characters.
        end: where its text ends: of a table the end marker's line.
        tail: where the end marker ends.
        indent: what each line begins with.
        sum: checksum of what was written last; None where there is none.
    """

    kind: str
    subject: str
    words: dict[str, str]
    line: int
    start: int
    end: int
    tail: int
    indent: str = ""
    sum: str | None = None


def find_regions(text: str, name: str, language: str) -> list[Region]:
    """Find what vggcost writes in a document, in order.

    Args:
        text: the document.
        name: what messages call it.
        language: `markdown` or `rst`.

    Raises:
        DocumentError: a marker is unknown, not closed, or misplaced.
    """
    seen = _without_literal_blocks(text) if language == "rst" else _without_code(text)
    pattern = _RST if language == "rst" else _COMMENT
    found: list[Region] = []
    begun: tuple[re.Match[str], str] | None = None
    for marker in pattern.finditer(seen):
        word = marker["word"] if marker["word"] is not None else "/vggcost"
        where = f"{name}:{_line(text, marker.start())}"
        if marker.groupdict().get("open") is not None:
            raise DocumentError(f"{where}: this marker does not end on its line; close it with -->")
        opened = begun[1] if begun else ""
        if word in ("begin", "value") and begun:
            raise DocumentError(
                f"{where}: {word} inside the {opened} of line {_line(text, begun[0].start())}; close that one first, "
                "markers do not nest"
            )
        if word in ("begin", "value"):
            if word == "begin" or language == "rst":
                _alone(text, marker, where)
            if language == "rst" and word == "value":
                raise DocumentError(
                    f"{where}: reStructuredText has no comments inside a line; the role :vggcost:`vgg16.params` of "
                    "vggcost.sphinx shows a single figure"
                )
            begun = (marker, word)
        elif word in ("end", "/vggcost"):
            wanted = {"end": "begin", "/vggcost": "value"}[word]
            if opened != wanted or begun is None:
                raise DocumentError(f"{where}: this ends nothing; there is no vggcost:{wanted} before it that is open")
            make = _table if word == "end" else _value
            found.append(make(text, begun[0], marker, f"{name}:{_line(text, begun[0].start())}", where))
            begun = None
        else:
            raise DocumentError(
                f"{where}: unknown marker 'vggcost:{word}'{did_you_mean(word, _WORDS)}; there are {', '.join(_WORDS)}"
            )
    if begun:
        end = {"begin": "vggcost:end", "value": "/vggcost"}[begun[1]]
        raise DocumentError(
            f"{name}:{_line(text, begun[0].start())}: this {begun[1]} is not closed; write its {end} behind it"
        )
    return found


def _line(text: str, place: int) -> int:
    return text.count("\n", 0, place) + 1


def _alone(text: str, marker: re.Match[str], where: str) -> str:
    """A marker of a table has its line to itself; return what the line begins with."""
    start = text.rfind("\n", 0, marker.start()) + 1
    stop = text.find("\n", marker.end())
    before, after = text[start : marker.start()], text[marker.end() : stop if stop >= 0 else len(text)]
    if before.strip() or after.strip():
        raise DocumentError(f"{where}: a table's marker stands on a line of its own; move what is beside it")
    return before + marker[0][: len(marker[0]) - len(marker[0].lstrip())]


def _table(text: str, begin: re.Match[str], end: re.Match[str], where: str, end_where: str) -> Region:
    indent = _alone(text, begin, where)
    _alone(text, end, end_where)
    given = _SUM.fullmatch(end["rest"])
    if given is None:
        raise DocumentError(
            f"{end_where}: cannot read {end['rest'].strip()!r}; vggcost:end takes only the sum= that vggcost wrote"
        )
    subject, words = read_words(begin["rest"], where)
    start = text.index("\n", begin.end()) + 1
    stop = text.rfind("\n", 0, end.start()) + 1
    return Region(
        subject or "compare", "", words, _line(text, begin.start()), start, stop, end.end(), indent, given["sum"]
    )


def _value(text: str, begin: re.Match[str], end: re.Match[str], where: str, end_where: str) -> Region:
    if where != end_where:
        raise DocumentError(f"{where}: this value is not closed on its line; write <!-- /vggcost --> behind the figure")
    subject, words = read_words(begin["rest"], where)
    if "." not in subject:
        raise DocumentError(f"{where}: a value is named as model.metric, such as vgg16.params, not {subject!r}")
    return Region("value", subject, words, _line(text, begin.start()), begin.end(), end.start(), end.end())


def read_words(text: str, where: str) -> tuple[str, dict[str, str]]:
    """Read what a marker asks for: a word, which may be missing, and attributes.

    Raises:
        DocumentError: it cannot be read.

    Example:
        >>> read_words('compare models="a,b" sort="-macs"', "a.md:1")
        ('compare', {'models': 'a,b', 'sort': '-macs'})
    """
    subject, words, rest = "", dict[str, str](), text.strip()
    first = re.match(r"""[^\s="']+(?=\s|$)""", rest)
    if first:
        subject, rest = first[0], rest[first.end() :].strip()
    while rest:
        pair = re.match(r"""([\w-]+)=(?:"([^"]*)"|'([^']*)')(?=\s|$)\s*""", rest)
        if pair is None:
            raise DocumentError(
                f'{where}: cannot read {rest!r}; write attributes as name="value", with spaces between them'
            )
        if pair[1] in words:
            raise DocumentError(f"{where}: {pair[1]} is given twice")
        words[pair[1]] = pair[2] if pair[2] is not None else pair[3]
        rest = rest[pair.end() :]
    return subject, words


def _lines(text: str) -> list[str]:
    """The lines as editors count them; splitlines() also splits at form feeds and the like."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def _blank(text: str) -> str:
    return re.sub(r"[^\r\n]", " ", text)


def _without_code(text: str) -> str:
    """Blank out fenced code and code spans of Markdown; every place stays where it is."""
    lines, fence = [], ""
    for line in _lines(text):
        found = _FENCE.match(line)
        if fence:
            closes = found is not None and found[1].startswith(fence) and not found[2].strip()
            fence = "" if closes else fence
            lines.append(_blank(line))
        elif found and not (found[1][0] == "`" and "`" in found[2]):
            fence = found[1]
            lines.append(_blank(line))
        else:
            lines.append(line)
    return _SPAN.sub(lambda span: _blank(span[0]), "".join(lines))


def _without_literal_blocks(text: str) -> str:
    """Blank out literal blocks and code directives of reStructuredText; every place stays where it is."""
    return "".join(_unindented(text))


def _unindented(text: str) -> Iterator[str]:
    block = -1  # the indentation of what began a block, or -1
    for line in _lines(text):
        bare = line.strip()
        depth = len(line) - len(line.lstrip(" \t"))
        if block >= 0 and (not bare or depth > block):
            yield _blank(line)
            continue
        literal = bare.endswith("::") and not _RST_DIRECTIVE.match(bare)
        block = depth if literal or _RST_CODE.match(bare) else -1
        yield line
