"""Bytes of a YAML file to documents of plain values with marks, within fixed bounds.

libyaml's events are folded into values by a loop with its own stack: nesting cannot exhaust
the interpreter's, and a hostile file is refused before it costs much. Scalars follow the core
schema of YAML 1.2 (`no` is a string); keys are always text. Tags, merge keys, directives and
complex keys are refused by name. The cyclic collector is the caller's to switch off.
"""

import re
import sys
from array import array
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, cast

import yaml
from yaml import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)
from yaml._yaml import CParser

from batuta.manifest.document import (
    COLUMN_SHIFT,
    LENGTH_MAX,
    LINE_SHIFT,
    Document,
    Path,
    Spot,
    Value,
)
from batuta.manifest.findings import Refused, found, quoted
from batuta.manifest.scalars import NOT_PLAIN_TEXT, AmbiguousNumber, plain
from batuta.model.diagnostic import Diagnostic, Location

_DOCUMENT_END = re.compile(r"^\.\.\.(?=\s|\Z)", re.MULTILINE)
_TAB = re.compile(r"#[^\n\r]*|\t")
# What libyaml's parser returns; its marks are never missing, whatever its type stubs say.
Event: TypeAlias = Any

MAX_BYTES = 8 * 1024 * 1024
MAX_DEPTH = 64
MAX_NODES = 250_000
MAX_FINDINGS = 100

FORBIDDEN = re.compile(
    "[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)


@dataclass(frozen=True, slots=True)
class Composed:
    """What one file holds: documents that are whole, and all that is wrong with the text."""

    documents: tuple[Document, ...]
    diagnostics: tuple[Diagnostic, ...]


def compose(file: str, content: bytes) -> Composed:
    """Return the documents of `content`; empty documents (only comments) are left out.

    Nothing is raised for any bytes. A file with a diagnostic should not be used further, but
    its documents serve to find more errors in the same run.
    """
    try:
        text = _decode(file, content)
    except Refused as refusal:
        return Composed((), refusal.diagnostics)
    composer = _Composer(file, text)
    composer.run()
    if "\t" in text and not composer.diagnostics:
        composer.diagnostics += _tabs(file, text)
    return Composed(tuple(composer.documents), tuple(composer.diagnostics))


def _decode(file: str, content: bytes) -> str:
    if len(content) > MAX_BYTES:
        raise Refused(
            found(
                "MAN103",
                f"{quoted(file)} has more than {MAX_BYTES:,} bytes.",
                "Split it into several files, or keep data files out of the manifests' globs.",
                Location(file, 1, 1),
            )
        )
    content = content.removeprefix(b"\xef\xbb\xbf")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8")
        detail = f"The byte 0x{content[error.start]:02x} is not part of a UTF-8 character."
        if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
            detail = "The file begins with the mark of UTF-16."
        place = _place(file, before, len(before))
        raise Refused(found("MAN101", detail, "Save the file as UTF-8.", place)) from None
    if "..." in text and (end := _DOCUMENT_END.search(text)):
        detail = "`...` ends a document; readers of YAML disagree about two of them in a row."
        fix = "Remove the line; `---` begins the next document."
        raise Refused(found("MAN108", detail, fix, _place(file, text, end.start())))
    if bad := FORBIDDEN.search(text):
        raise Refused(
            found(
                "MAN102",
                f"The character U+{ord(bad[0]):04X} may not stand in a manifest.",
                f'Remove it, or write it in double quotes as "\\u{ord(bad[0]):04x}" '
                "(U+0000 is never accepted).",
                _place(file, text, bad.start()),
            )
        )
    return text


def _tabs(file: str, text: str) -> list[Diagnostic]:
    """Refuse the first tab between tokens: libyaml takes some of them, other readers none."""
    end = 0
    for token in yaml.scan(text, Loader=yaml.CSafeLoader):
        start, after = token.start_mark.index, token.end_mark.index
        tab = next((m for m in _TAB.finditer(text, end, max(start, end)) if m[0] == "\t"), None)
        index = tab.start() if tab else -1
        if index < 0 and isinstance(token, yaml.ScalarToken) and token.plain:
            index = text.find("\t", start, after)
        if index >= 0:
            detail = "A tab stands outside of quotes; readers of YAML disagree about it."
            return [found("MAN104", detail, "Use spaces, or quotes.", _place(file, text, index))]
        end = max(end, after)
    return []


def _place(file: str, text: str, index: int) -> Location:
    lines = re.split(r"\r\n|\r|\n", text[:index])
    return Location(file, len(lines), len(lines[-1]) + 1, 1)


class _Composer:
    """Folds the events of one file. A frame is a container and the key that waits for a value."""

    __slots__ = (
        "_anchors", "_container", "_dropped", "_file", "_key", "_marks", "_nodes", "_open",
        "_parser", "_stack", "_templated", "_text", "diagnostics", "documents",
    )  # fmt: skip

    def __init__(self, file: str, text: str) -> None:
        self._file, self._text = file, text
        self._templated = "${" in text
        self._parser = CParser(text)
        self._nodes = 0
        self.documents: list[Document] = []
        self.diagnostics: list[Diagnostic] = []

    def run(self) -> None:
        """Compose until the end, or until something that makes the rest unreadable."""
        try:
            while not isinstance(event := self._parser.get_event(), StreamEndEvent):
                if isinstance(event, DocumentStartEvent):
                    self._refuse_directives(event)
                    self._document()
        except Refused as refusal:
            self.diagnostics.extend(refusal.diagnostics)
        except yaml.MarkedYAMLError as error:
            self.diagnostics.append(_syntax(self._file, self._text, error))
        except yaml.YAMLError as error:
            detail = f"libyaml stopped with {error.__class__.__name__}."
            fix = "Save the file as plain UTF-8 text."
            self.diagnostics.append(found("MAN104", detail, fix, Location(self._file, 1, 1)))

    def _document(self) -> None:
        root: list[Value] = []
        self._container: list[Value] | dict[str, Value] = root
        self._key: str | None = None
        self._stack: list[tuple[list[Value] | dict[str, Value], str | None]] = []
        self._marks = marks = list[int]()
        self._anchors: dict[str, tuple[Value, int, int]] = {}
        self._open: dict[int, tuple[str, int]] = {}
        self._dropped = False
        get: Callable[[], Event] = self._parser.get_event
        dispatch, limit = _DISPATCH, MAX_NODES - self._nodes
        while (kind := (event := get()).__class__) is not DocumentEndEvent:
            dispatch[kind](self, event)
            if len(marks) > limit:
                raise Refused(self._too_many(event))
        self._nodes += len(marks)
        if root[0] is not None:
            document = Document(self._file, root[0], array("Q", marks), self._templated)
            self.documents.append(_without_dropped_entries(document) if self._dropped else document)

    def _scalar(self, event: Event) -> None:
        start, text = event.start_mark, event.value
        length = event.end_mark.index - start.index
        if length > LENGTH_MAX:
            length = 0
        self._marks.append(start.line << LINE_SHIFT | start.column << COLUMN_SHIFT | length)
        if event.tag is not None:
            self._refuse_tag(event)
        if self._key is None and self._container.__class__ is dict:
            self._begin_entry(text, event)
            return
        value: Value = text
        if not event.style:
            if not text or text[0] in NOT_PLAIN_TEXT:
                value = self._plain(text, event)
        elif "\0" in text:
            self._report("MAN102", "The text holds U+0000.", "Remove it.", event)
        if event.anchor is not None:
            self._refuse_second_anchor(event)
            self._anchors[event.anchor] = (value, len(self._marks) - 1, len(self._marks))
        self._add(value)

    def _add(self, value: Value) -> None:
        if (key := self._key) is None:
            cast("list[Value]", self._container).append(value)
        else:
            cast("dict[str, Value]", self._container)[key] = value
            self._key = None

    def _begin_entry(self, text: str, event: Event) -> None:
        container = cast("dict[str, Value]", self._container)
        if event.anchor is not None:
            self._refuse_second_anchor(event)
            self._anchors[event.anchor] = (text, len(self._marks) - 1, len(self._marks))
        if text in container:
            self._report(
                "MAN107", f"{quoted(text)} stands twice in this map; one of the two would be lost.",
                "Keep one of them.", event,
            )  # fmt: skip
        elif text == "<<" and not event.style:
            self._report(
                "MAN108", "`<<` merges another map into this one, and hides where a field is from.",
                "Write the fields out, or put them into an environment's overlay.", event,
            )  # fmt: skip
        elif "\0" in text:
            self._report("MAN102", "The key holds U+0000.", "Remove it.", event)
        else:
            self._key = sys.intern(text)
            return
        self._dropped = True
        self._key = f"\0{len(self._marks)}"

    def _plain(self, text: str, event: Event) -> Value:
        try:
            return plain(text)
        except AmbiguousNumber as problem:
            detail = f"{quoted(text)} is not accepted: {problem}."
            self._report("MAN109", detail, "Put it in quotes if it is text.", event)
            return 0  # a number, so that only its spelling is reported

    def _start(self, event: Event) -> None:
        start, value = event.start_mark, _NEW[event.__class__]()
        container, key, stack = self._container, self._key, self._stack
        if key is None:
            if container.__class__ is dict:
                raise Refused(self._complex_key(event))
            cast("list[Value]", container).append(value)
        else:
            cast("dict[str, Value]", container)[key] = value
        stack.append((container, None))
        if len(stack) > MAX_DEPTH:
            raise Refused(self._too_deep(event))
        if event.tag is not None:
            self._refuse_tag(event)
        if event.anchor is not None:
            self._refuse_second_anchor(event)
            self._open[len(stack)] = (event.anchor, len(self._marks))
        self._marks.append(start.line << LINE_SHIFT | start.column << COLUMN_SHIFT)
        self._container, self._key = value, None

    def _end(self, _event: Event) -> None:
        if self._open and (opened := self._open.pop(len(self._stack), None)):
            anchor, first = opened
            self._anchors[anchor] = (self._container, first, len(self._marks))
        self._container, self._key = self._stack.pop()

    def _alias(self, event: Event) -> None:
        if self._key is None and isinstance(self._container, dict):
            raise Refused(self._complex_key(event))
        if (target := self._anchors.get(event.anchor)) is None:
            self._report(
                "MAN104", f"`*{event.anchor}` names no anchor that is complete before it.",
                f"Define `&{event.anchor}` before it is used.", event,
            )  # fmt: skip
            raise Refused
        value, first, after = target
        if len(self._marks) + after - first > MAX_NODES - self._nodes:
            raise Refused(self._too_many(event))
        if len(self._stack) + _height(value) > MAX_DEPTH:
            raise Refused(self._too_deep(event))
        self._marks.extend(self._marks[first:after])
        self._add(value)

    def _at(self, event: Event) -> Location:
        start, end = event.start_mark, event.end_mark
        length = end.column - start.column if end.line == start.line else 0
        return Location(self._file, start.line + 1, start.column + 1, length)

    def _report(self, code: str, detail: str, fix: str, event: Event) -> None:
        self.diagnostics.append(found(code, detail, fix, self._at(event)))
        if len(self.diagnostics) >= MAX_FINDINGS:
            raise Refused

    def _refuse_tag(self, event: Event) -> None:
        self._report(
            "MAN108", f"The tag {quoted(str(event.tag))} would change the type of a value.",
            "Remove it; put text in quotes.", event,
        )  # fmt: skip

    def _refuse_directives(self, event: DocumentStartEvent) -> None:
        if event.tags or event.version not in (None, (1, 2)):
            self._report(
                "MAN108", "The directive would change how the document is read.",
                "Remove the line that starts with `%`; manifests are YAML 1.2.", event,
            )  # fmt: skip

    def _refuse_second_anchor(self, event: Event) -> None:
        opened = any(event.anchor == anchor for anchor, _ in self._open.values())
        if opened or event.anchor in self._anchors:
            self._report(
                "MAN108", f"The anchor `&{event.anchor}` is defined twice.",
                "Give each anchor a name of its own.", event,
            )  # fmt: skip

    def _complex_key(self, event: Event) -> Diagnostic:
        detail = "A key is a list, a map or an alias; keys are text."
        return found("MAN108", detail, "Write the key as plain text.", self._at(event))

    def _too_deep(self, event: Event) -> Diagnostic:
        detail = f"A value here would be more than {MAX_DEPTH} levels deep."
        return found("MAN105", detail, "Flatten the document.", self._at(event))

    def _too_many(self, event: Event) -> Diagnostic:
        detail = f"A file may hold {MAX_NODES:,} keys and values, aliases written out."
        return found("MAN106", detail, "Split the file, or drop aliases.", self._at(event))


_NEW: dict[type, Callable[[], list[Value] | dict[str, Value]]] = {
    MappingStartEvent: dict,
    SequenceStartEvent: list,
}
_DISPATCH: dict[type, Callable[[_Composer, Any], None]] = {
    ScalarEvent: _Composer._scalar,
    MappingStartEvent: _Composer._start,
    SequenceStartEvent: _Composer._start,
    MappingEndEvent: _Composer._end,
    SequenceEndEvent: _Composer._end,
    AliasEvent: _Composer._alias,
}


def _height(value: Value) -> int:
    """Levels of containers in a value that is known to be at most MAX_DEPTH deep."""
    if isinstance(value, dict):
        return 1 + max(map(_height, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(_height, value), default=0)
    return 0


def _syntax(file: str, text: str, error: yaml.MarkedYAMLError) -> Diagnostic:
    mark = error.problem_mark or error.context_mark
    place = Location(file, mark.line + 1, mark.column + 1) if mark else Location(file, 1, 1)
    problem = error.problem or "the text ends too early"
    context = f" ({error.context})" if error.context else ""
    if "maximum nesting depth" in problem:
        return found("MAN105", f"{problem.capitalize()}{context}.", "Flatten the document.", place)
    fix = "Check indentation, colons and quotes on this line and the one before."
    rows = text.splitlines()
    row = rows[place.line - 1] if place.line <= len(rows) else ""
    if "\t" in row[: len(row) - len(row.lstrip())]:
        detail = "The line is indented with a tab; YAML takes spaces only."
        return found("MAN104", detail, "Indent with spaces.", place)
    return found("MAN104", f"{problem[0].upper()}{problem[1:]}{context}.", fix, place)


def _without_dropped_entries(document: Document) -> Document:
    """Drop entries whose key was refused, with their marks, so that checks can go on."""
    spots: dict[Path, Spot] = {}
    for path, spot in document.walk():
        if not any(isinstance(part, str) and part.startswith("\0") for part in path):
            spots[path] = spot
    return replace(document, value=_kept(document.value), spots=spots)


def _kept(value: Value) -> Value:
    if isinstance(value, dict):
        return {k: _kept(v) for k, v in value.items() if not k.startswith("\0")}
    if isinstance(value, list):
        return [_kept(v) for v in value]
    return value
