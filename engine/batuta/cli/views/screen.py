"""A stream that lines are written to: how wide it is, whether it has colour and which glyphs."""

import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TextIO

from batuta.cli.views.page import ASCII, UNICODE, Line, Page, Span, line, safe


@dataclass(frozen=True, slots=True)
class Screen:
    """One of the two output streams. `interactive` is True where a person watches it."""

    stream: TextIO = field(repr=False)
    page: Page = field(default_factory=Page)
    colour: bool = False
    interactive: bool = False

    def write(self, lines: Iterable[Line]) -> None:
        """Write each line and a newline; nothing else reaches the stream."""
        self.stream.writelines(self._text(each) + "\n" for each in lines)
        self.stream.flush()

    def say(self, *parts: str | Span) -> None:
        """Write one line."""
        self.write([line(*parts)])

    def verbatim(self, text: str) -> None:
        """Write a document as it is; only for text that batuta itself has made."""
        self.stream.write(text)
        self.stream.flush()

    def ask(self, *parts: str | Span) -> None:
        """Write the text of a question and a blank, without a newline."""
        self.stream.write(self._text(line(*parts)) + " ")
        self.stream.flush()

    def without_colour(self) -> "Screen":
        """The same screen, plain."""
        return replace(self, colour=False)

    def exactly(self) -> "Screen":
        """The same screen, with figures to the last byte and lists to the last name."""
        return replace(self, page=replace(self.page, exact=True))

    def _text(self, spans: Line) -> str:
        return "".join(self._span(span) for span in spans).rstrip(" ")

    def _span(self, span: Span) -> str:
        text = safe(span.text)
        if not self.colour or not span.style or not text:
            return text
        return f"\x1b[{span.style}m{text}\x1b[0m"


def screen_of(stream: TextIO, environ: Mapping[str, str] | None = None) -> Screen:
    """Return a screen for a standard stream, as the terminal and the environment allow.

    `NO_COLOR` and `TERM=dumb` switch colour off. Where the stream is no terminal the page has
    no width, unless `COLUMNS` gives one.
    """
    env = os.environ if environ is None else environ
    interactive = stream.isatty()
    unicode = "utf" in (getattr(stream, "encoding", None) or "ascii").lower()
    width: int | None = None
    if env.get("COLUMNS", "").isdigit() and int(env["COLUMNS"]) > 0:
        width = int(env["COLUMNS"])
    elif interactive:
        width = shutil.get_terminal_size().columns
    return Screen(
        stream,
        Page(width=None if width is None else max(width, 40), glyphs=UNICODE if unicode else ASCII),
        colour=interactive and not env.get("NO_COLOR") and env.get("TERM") != "dumb",
        interactive=interactive,
    )
