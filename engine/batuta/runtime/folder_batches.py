"""Folders of many datasets, batched for one worker: ten thousand small datasets need few workers."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass

BATCH_DATASETS = 256
"""Datasets whose folders one posting may hold."""


@dataclass(frozen=True, slots=True)
class Folders:
    """What the data worker of one action reads and where it stages, as far as it is local."""

    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()


class FolderBatches:
    """Which folders go together: those of work of one kind, in the order in which they came."""

    def __init__(self) -> None:
        self._whole: dict[tuple[Hashable, Folders], Folders] = {}

    def put(self, asked: Iterable[tuple[Hashable, Folders]]) -> None:
        """Batch the folders of work of equal kind, so many at a time."""
        kinds: dict[Hashable, list[Folders]] = {}
        for kind, folders in asked:
            kinds.setdefault(kind, []).append(folders)
        for kind, every in kinds.items():
            distinct = list(dict.fromkeys(every))
            for start in range(0, len(distinct), BATCH_DATASETS):
                some = distinct[start : start + BATCH_DATASETS]
                whole = Folders(
                    read=tuple(sorted({path for each in some for path in each.read})),
                    write=tuple(sorted({path for each in some for path in each.write})),
                )
                self._whole |= {(kind, each): whole for each in some}

    def of(self, kind: Hashable, folders: Folders) -> Folders:
        """Return the batch that these folders are in; they alone, where they are in none."""
        return self._whole.get((kind, folders), folders)
