"""How one CSV file is written: its options, checked, and where its records end."""

import codecs
import re
from dataclasses import dataclass

import numpy as np

from batuta.formats.csv import faults
from batuta.model.canonical import Json
from batuta.model.format import Options

_NEWLINE, _RETURN = 10, 13


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """The options of one file. `delimiter` is None until the first record was seen."""

    delimiter: str | None
    quote: str | None
    header: bool
    encoding: str
    nulls: tuple[str, ...]
    timestamp_format: str | None
    decimal: str

    @property
    def is_utf8(self) -> bool:
        """Whether positions in the text are positions in the file."""
        return self.encoding == "utf-8"


def dialect_of(options: Options) -> Dialect:
    """Return the dialect that `options` describe.

    Raises:
        ConnectorError: an option is not usable (FMT121).
    """
    delimiter = options.get("delimiter")
    quote = options.get("quote", '"')
    _one_byte("delimiter", delimiter, empty=False)
    _one_byte("quote", quote, empty=True)
    if quote and quote == delimiter:
        raise faults.bad_option("`delimiter` and `quote` are the same character.")
    decimal = options.get("decimal", ".")
    if decimal not in {".", ","}:
        raise faults.bad_option("`decimal` is a dot or a comma.")
    timestamp_format = options.get("timestampFormat")
    if timestamp_format is not None and "%" not in str(timestamp_format):
        raise faults.bad_option("`timestampFormat` holds no directive such as %Y.")
    return Dialect(
        delimiter=None if delimiter is None else str(delimiter),
        quote=str(quote) if quote else None,
        header=_boolean("header", options.get("header", True)),
        encoding=_encoding(options.get("encoding", "utf-8")),
        nulls=_texts(options.get("null", [""])),
        timestamp_format=None if timestamp_format is None else str(timestamp_format),
        decimal=str(decimal),
    )


def _one_byte(name: str, value: Json, *, empty: bool) -> None:
    if value is None or (empty and value == ""):
        return
    if not isinstance(value, str) or len(value) != 1 or not value.isascii() or value in "\r\n":
        raise faults.bad_option(f"`{name}` is one ASCII character, not {value!r}.")


def _boolean(name: str, value: Json) -> bool:
    if not isinstance(value, bool):
        raise faults.bad_option(f"`{name}` is true or false, not {value!r}.")
    return value


def _encoding(value: Json) -> str:
    try:
        found = codecs.lookup(str(value))
    except (LookupError, ValueError) as error:
        raise faults.bad_option(f"The encoding {value!r} is not known.") from error
    # The codec machinery also lists transformations of bytes, which decode to no text.
    if not getattr(found, "_is_text_encoding", True):
        raise faults.bad_option(f"{value!r} is no encoding of text.")
    return "utf-8" if found.name in {"utf-8", "utf-8-sig", "ascii"} else found.name


def _texts(value: Json) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, list | tuple):
        raise faults.bad_option(f"`null` is a list of texts, not {value!r}.")
    return tuple(str(text) for text in value)


class Records:
    """Finds where records end, with the rules that the parser follows.

    A quote opens a quoted field only where a field begins; elsewhere it is a character like
    any other. Inside, two quotes stand for one and lines may break.
    """

    def __init__(self, delimiter: str, quote: str | None) -> None:
        self.delimiter = delimiter.encode()
        self.quote = quote.encode() if quote else None
        d = re.escape(self.delimiter)
        field = b"[^%b\r\n]*+" % d
        if self.quote:
            q = re.escape(self.quote)
            field = b"(?:%b(?:[^%b]|%b%b)*+%b%b|(?!%b)%b)" % (q, q, q, q, q, field, q, field)
        self._record = re.compile(b"(?:%b%b)*+%b(?:\r\n|\n|\r|\\Z)" % (field, d, field))

    def first(self, text: bytes) -> bytes:
        """Return the first record with its end, or nothing where it does not end in `text`."""
        found = self._record.match(text)
        return found.group() if found else b""

    def split(self, text: bytes) -> list[tuple[int, int]]:
        """Return start and end of each record; what is no record at the end is left out."""
        found: list[tuple[int, int]] = []
        at = 0
        while at < len(text) and (match := self._record.match(text, at)):
            found.append((at, match.end()))
            at = match.end()
        return found

    def last_end(self, text: bytes) -> int:
        """Return the length of the longest run of whole records at the start of `text`."""
        if self.quote is None or self.quote not in text:
            return max(text.rfind(b"\n"), text.rfind(b"\r", 0, len(text) - 1)) + 1
        codes = np.frombuffer(text, dtype=np.uint8)
        quotes = np.flatnonzero(codes == self.quote[0])
        if not self._well_placed(codes, quotes):
            ends = [end for _, end in self.split(text) if text[end - 1] in b"\r\n"]
            return self._before_return(text, ends)
        breaks = np.flatnonzero((codes == _NEWLINE) | (codes == _RETURN))
        outside = breaks[np.searchsorted(quotes, breaks) % 2 == 0]
        return self._before_return(text, [int(at) + 1 for at in outside[-2:]])

    @staticmethod
    def _before_return(text: bytes, ends: list[int]) -> int:
        # A carriage return at the very end may be the first half of a line end.
        if ends and ends[-1] == len(text) and text.endswith(b"\r"):
            ends = ends[:-1]
        return ends[-1] if ends else 0

    def ends_open(self, text: bytes) -> bool:
        """Say whether `text`, whole records and the file's last one, ends inside quotes."""
        if self.quote is None or self.quote not in text:
            return False
        codes = np.frombuffer(text, dtype=np.uint8)
        quotes = np.flatnonzero(codes == self.quote[0])
        if self._well_placed(codes, quotes):
            return len(quotes) % 2 == 1
        records = self.split(text)
        return not records or records[-1][1] < len(text)

    def _well_placed(
        self, codes: "np.ndarray[tuple[int], np.dtype[np.uint8]]",
        quotes: "np.ndarray[tuple[int], np.dtype[np.intp]]",
    ) -> bool:  # fmt: skip
        """Say whether quotes simply alternate between opening and closing."""
        around = np.zeros(256, dtype=bool)
        around[[_NEWLINE, _RETURN, self.delimiter[0], (self.quote or b"")[0]]] = True
        opening, closing = quotes[::2], quotes[1::2]
        before = opening[opening > 0] - 1
        after = closing[closing < len(codes) - 1] + 1
        if not (around[codes[before]].all() and around[codes[after]].all()):
            return False
        # An opening quote after a quote is the second of a doubled one, or a stray.
        doubled = before[codes[before] == (self.quote or b"")[0]]
        return bool(np.isin(doubled, closing).all())
