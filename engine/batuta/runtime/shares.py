"""Folders that workers share: ten thousand small datasets need few workers then."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass

SHARED = 256
"""Datasets whose folders one posting may hold."""


@dataclass(frozen=True, slots=True)
class Folders:
    """What the data worker of one action reads and where it stages, as far as it is local."""

    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()


class Shares:
    """Which folders go together: those of work of one kind, in the order in which they came."""

    def __init__(self) -> None:
        self._whole: dict[tuple[Hashable, Folders], Folders] = {}

    def put(self, asked: Iterable[tuple[Hashable, Folders]]) -> None:
        """Let work of equal kind share postings, so many folders at a time."""
        kinds: dict[Hashable, list[Folders]] = {}
        for kind, folders in asked:
            kinds.setdefault(kind, []).append(folders)
        for kind, every in kinds.items():
            distinct = list(dict.fromkeys(every))
            for start in range(0, len(distinct), SHARED):
                some = distinct[start : start + SHARED]
                whole = Folders(
                    read=tuple(sorted({path for each in some for path in each.read})),
                    write=tuple(sorted({path for each in some for path in each.write})),
                )
                self._whole |= {(kind, each): whole for each in some}

    def of(self, kind: Hashable, folders: Folders) -> Folders:
        """Return the folders of the posting that work with these folders shares."""
        return self._whole.get((kind, folders), folders)
