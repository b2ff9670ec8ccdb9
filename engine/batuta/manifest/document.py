"""A composed YAML document: plain values, and a place for each key and value.

Places are kept as one packed integer a node, in the order in which the nodes were written;
paths are spelled only when somebody asks where a value came from.
"""

from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from batuta.model.diagnostic import Location

Value: TypeAlias = "None | bool | int | float | str | list[Value] | dict[str, Value]"
Path: TypeAlias = tuple[str | int, ...]
Number: TypeAlias = tuple[int, int]
"""Which of all documents: the number of its file, and its own in that file."""

LINE_SHIFT, COLUMN_SHIFT = 40, 17  # 23 bits each for line and column hold any file we accept
_COLUMN_MASK, LENGTH_MAX = (1 << 23) - 1, (1 << 17) - 1


class Spot(NamedTuple):
    """Where a value stands, and the key before it (the same place for the root and for items)."""

    key: Location
    value: Location


def unpack(file: str, mark: int) -> Location:
    """Return the place of a packed mark, counting from 1."""
    return Location(
        file,
        (mark >> LINE_SHIFT) + 1,
        (mark >> COLUMN_SHIFT & _COLUMN_MASK) + 1,
        mark & LENGTH_MAX,
    )


def spell(path: Path) -> str:
    """Return a path as text, `spec.allow[0].host`; empty for the root."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """One document of a file.

    `marks` holds a packed place for the root, then for each key and each value in the order
    of writing. `templated` is True where the file holds `${`. `valid` is True where the
    document alone is known to fit its kind. `spots` replaces `marks` in a document that was
    merged from several.
    """

    file: str
    value: Value
    marks: "array[int]"
    templated: bool = False
    valid: bool = False
    spots: Mapping[Path, Spot] | None = field(default=None, repr=False)

    @property
    def kind(self) -> str:
        """The `kind`, or an empty string where there is no such text."""
        return _text(self.value, "kind")

    @property
    def name(self) -> str:
        """The `metadata.name`, or an empty string where there is no such text."""
        return _text(self.value.get("metadata"), "name") if isinstance(self.value, dict) else ""

    def walk(self) -> Iterator[tuple[Path, Spot]]:
        """Yield every path with its place, the root first, in the order of writing."""
        if self.spots is not None:
            yield from self.spots.items()
            return
        marks = iter(self.marks)
        root = unpack(self.file, next(marks))
        stack: list[tuple[Path, Value, Spot]] = [((), self.value, Spot(root, root))]
        while stack:
            path, value, spot = stack.pop()
            if spot.key.line == 0:  # an entry whose marks come next
                spot = self._next_spot(marks, isinstance(path[-1], str))
            yield path, spot
            stack.extend(_children(path, value))

    def _next_spot(self, marks: Iterator[int], keyed: bool) -> Spot:
        first = unpack(self.file, next(marks))
        return Spot(first, unpack(self.file, next(marks)) if keyed else first)

    def spot(self, path: Path) -> Spot:
        """Return the place of `path`, or of its nearest parent that was written."""
        return nearest(dict(self.walk()), path)

    def place(self, path: str) -> Location | None:
        """Return the place of one value by its spelled path; the others are not spelled."""
        if self.spots is not None:
            return self.places().get(path)
        number = _number_of(path, "", self.value, 0)
        return None if number is None else unpack(self.file, self.marks[number])

    def places(self) -> Mapping[str, Location]:
        """Return the place of each value by its spelled path, the root as an empty path."""
        if self.spots is not None:
            return {spell(path): spot.value for path, spot in self.walk()}
        marks = iter(self.marks)
        found = {"": next(marks)}
        _spell_below("", self.value, marks, found)
        return _Spelled(self.file, found)


def nearest(spots: Mapping[Path, Spot], path: Path) -> Spot:
    """Return the place of `path` among those of a document, or of its nearest written parent."""
    while path and path not in spots:
        path = path[:-1]
    return spots[path]


class _Spelled(Mapping[str, Location]):
    """Places by spelled path; of those of a document only one or two are ever looked at."""

    __slots__ = ("_file", "_marks")

    def __init__(self, file: str, marks: dict[str, int]) -> None:
        self._file = file
        self._marks = marks

    def __getitem__(self, path: str) -> Location:
        return unpack(self._file, self._marks[path])

    def __contains__(self, path: object) -> bool:
        return path in self._marks

    def __iter__(self) -> Iterator[str]:
        return iter(self._marks)

    def __len__(self) -> int:
        return len(self._marks)


def _spell_below(path: str, value: Value, marks: Iterator[int], found: dict[str, int]) -> None:
    if isinstance(value, dict):
        start = f"{path}." if path else ""
        for key, below in value.items():
            next(marks)  # the key's own
            found[spelled := start + key] = next(marks)
            if isinstance(below, dict | list):
                _spell_below(spelled, below, marks, found)
    elif isinstance(value, list):
        for number, below in enumerate(value):
            found[spelled := f"{path}[{number}]"] = next(marks)
            if isinstance(below, dict | list):
                _spell_below(spelled, below, marks, found)


def _number_of(path: str, here: str, value: Value, number: int) -> int | None:
    """Return which mark is that of `path`; `number` is that of `value`, which stands at `here`."""
    if path == here:
        return number
    keyed = isinstance(value, dict)
    for key, below in _entries(value):
        spelled = (f"{here}.{key}" if here else key) if keyed else f"{here}[{key}]"
        number += 2 if keyed else 1  # the key's own comes before it
        if path.startswith(spelled) and path[len(spelled) : len(spelled) + 1] in _ENDS:
            found = _number_of(path, spelled, below, number)
            if found is not None:
                return found
        if isinstance(below, dict | list):
            number += _marks_below(below)
    return None


_ENDS = ("", ".", "[")


def _entries(value: Value) -> Iterable[tuple[str, Value]]:
    if isinstance(value, dict):
        return value.items()
    if isinstance(value, list):
        return ((str(number), below) for number, below in enumerate(value))
    return ()


def _marks_below(value: "dict[str, Value] | list[Value]") -> int:
    """Return how many marks the entries of a map or a list have."""
    keyed = isinstance(value, dict)
    count = len(value) * (2 if keyed else 1)
    for below in value.values() if isinstance(value, dict) else value:
        if isinstance(below, dict | list):
            count += _marks_below(below)
    return count


_PENDING = Spot(Location("", 0, 0), Location("", 0, 0))


def _children(path: Path, value: Value) -> list[tuple[Path, Value, Spot]]:
    if isinstance(value, dict):
        return [((*path, key), value[key], _PENDING) for key in reversed(value)]
    if isinstance(value, list):
        return [((*path, i), value[i], _PENDING) for i in reversed(range(len(value)))]
    return []


def _text(value: Value, key: str) -> str:
    if isinstance(value, dict):
        found = value.get(key)
        return found if isinstance(found, str) else ""
    return ""
