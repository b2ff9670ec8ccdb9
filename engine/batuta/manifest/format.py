"""`fmt`: one layout for manifests, by ruamel's round trip; comments and scalars stay as written.

The resolver here takes every plain scalar for text, so nothing is respelled. A result is
checked before anybody sees it: the same values, the same comments, and stable.
"""

import io
import re
from collections.abc import Iterator
from itertools import pairwise

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.resolver import VersionedResolver

from batuta.manifest.compose import compose
from batuta.manifest.findings import found
from batuta.model.diagnostic import Diagnostic, Location

_WIDTH = 1_000_000
_ROUNDS = 4
_COMMENT = re.compile(r"#[^\n\r]*")
_BREAK = re.compile(r"^---(?=[ \n]|\Z)", re.MULTILINE)


class _TextResolver(VersionedResolver):
    """Takes every plain scalar for text, so that it is written back as it was."""

    @property
    def versioned_resolver(self) -> dict[str, list[object]]:
        """No patterns: no plain scalar is anything but text."""
        return {}


def editor() -> YAML:
    """Return the round-trip reader and writer for whatever edits manifests."""
    editing = YAML(typ="rt")
    editing.Resolver = _TextResolver
    editing.preserve_quotes = True
    editing.width = _WIDTH
    editing.indent(mapping=2, sequence=4, offset=2)
    return editing


def format_text(file: str, content: bytes) -> tuple[bytes, list[Diagnostic]]:
    """Return `content` in the one layout, and no findings; or as it is, with what is wrong.

    The layout: two spaces a level, lists set in, LF, a newline at the end, comments beside or
    above what they speak of. Formatting the result again changes nothing.
    """
    before = compose(file, content)
    if before.diagnostics:
        return content, list(before.diagnostics)
    if not all(isinstance(document.value, dict) for document in before.documents):
        return content, [_refusal(file, "A document is not a map.")]
    text = content.removeprefix(b"\xef\xbb\xbf").decode("utf-8")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    for _ in range(_ROUNDS):
        try:
            once = _once(text)
        except (YAMLError, yaml.YAMLError, ValueError, AssertionError) as error:
            return content, [
                _refusal(file, f"The editor cannot read it: {error.__class__.__name__}.")
            ]
        if once == text:
            break
        text = once
    result = text.encode()
    after = compose(file, result)
    if after.diagnostics or [d.value for d in after.documents] != [
        d.value for d in before.documents
    ]:
        return content, [_refusal(file, "A value would change.")]
    if once != text or comments(text) != comments(content.decode("utf-8-sig")):
        return content, [_refusal(file, "A comment would be lost.")]
    return result, []


def _once(text: str) -> str:
    """Format each document by itself: between documents ruamel loses comments."""
    starts = [match.start() for match in _BREAK.finditer(text)]
    if not _documents_begin_at(text, starts):
        starts = []
    cuts = [0, *starts, len(text)]
    chunks = [text[a:b] for a, b in pairwise(cuts)]
    formatted = [_chunk(chunk) for chunk in chunks if chunk.strip()]
    return _aligned("".join(formatted))


def _documents_begin_at(text: str, starts: list[int]) -> bool:
    """True where each `---` at a line's start is a document's and not part of a block of text."""
    tokens = yaml.scan(text, Loader=yaml.CSafeLoader)
    marks = [t.start_mark.index for t in tokens if isinstance(t, yaml.DocumentStartToken)]
    return marks == starts


def _chunk(text: str) -> str:
    head = ""
    if text.startswith("---"):
        line, _, text = text.partition("\n")
        head = (
            line.rstrip() + "\n"
            if line.strip() == "---" or line[3:].lstrip().startswith("#")
            else ""
        )
        if not head:
            text = f"{line[3:].lstrip()}\n{text}"
            head = "---\n"
    editing, out = editor(), io.StringIO()
    loaded = editing.load(text)
    if loaded is None:
        return head + _tidy(text)
    editing.dump(loaded, out)
    return head + _tidy(out.getvalue())


def _tidy(text: str) -> str:
    body = text.strip("\n")
    return body + "\n" if body else ""


def comments(text: str) -> list[str]:
    """Return the comments of a text that is valid YAML, in order, blanks at their ends aside."""
    return [text[start:end].rstrip() for start, end in _comment_spans(text)]


def _comment_spans(text: str) -> list[tuple[int, int]]:
    """Find comments between tokens: a `#` inside a scalar is part of a token."""
    spans: list[tuple[int, int]] = []
    end = 0
    for start, stop in (*_token_spans(text), (len(text), len(text))):
        for match in _COMMENT.finditer(text, end, max(start, end)):
            spans.append(match.span())
        end = max(end, stop)
    return spans


def _token_spans(text: str) -> Iterator[tuple[int, int]]:
    for token in yaml.scan(text, Loader=yaml.CSafeLoader):
        yield token.start_mark.index, token.end_mark.index


def _aligned(text: str) -> str:
    """Put comments of their own line above what follows them, others two blanks behind."""
    starts = {start for start, _ in _comment_spans(text)}
    result: list[str] = []
    waiting: list[int] = []
    index = 0
    for line in text.splitlines(keepends=True):
        place = next((i for i in range(len(line)) if index + i in starts), None)
        index += len(line)
        if place is None:
            indent = len(line) - len(line.lstrip(" "))
            if line.strip():
                for i in waiting:
                    result[i] = " " * indent + result[i].lstrip()
                waiting = []
            result.append(line)
        elif line[:place].strip():
            result.append(f"{line[:place].rstrip()}  {line[place:]}")
        else:
            waiting.append(len(result))
            result.append(line)
    return "".join(result)


def _refusal(file: str, detail: str) -> Diagnostic:
    fix = "Leave this file to hand, or move the comment onto a line of its own."
    return found("MAN134", detail, fix, Location(file, 1, 1))
