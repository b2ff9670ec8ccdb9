"""How far a worker is in the bytes that its partitions are said to have, by the rows that came."""

from collections.abc import Iterable
from dataclasses import dataclass

from batuta.model.transfer import Partition


@dataclass
class Share:
    """Deals the size of partitions out to the rows that come of them.

    A decoder does not say what it took from a file. The whole is exact; in between it is by rows
    where their number is known, else by segments.
    """

    size_bytes: int
    rows: int | None
    segments: int = 0
    resumed: bool = False
    _rows_done: int = 0
    _told: int = 0

    @classmethod
    def of(cls, partitions: Iterable[Partition], *, resumed: bool = False) -> "Share":
        """Return the share of partitions that are read one after the other.

        `resumed`: some of it was read by an earlier run, so that its end is not the whole.
        """
        every = tuple(partitions)
        known = [partition.rows for partition in every if partition.rows is not None]
        return cls(
            size_bytes=sum(partition.size_bytes for partition in every),
            rows=sum(known) if len(known) == len(every) else None,
            segments=len(every[0].segments) if len(every) == 1 else 0,
            resumed=resumed,
        )

    def next(self, rows: int, segment: int = 0) -> int:
        """Return the bytes that the next `rows` rows stand for; they are of segment `segment`."""
        self._rows_done += rows
        if self.rows:
            reached = self.size_bytes * min(self._rows_done, self.rows) // self.rows
        elif self.segments and not self.resumed:
            reached = self.size_bytes * segment // self.segments
        else:
            reached = 0
        return self._up_to(reached)

    def rest(self) -> int:
        """Return what is left when the last row has come: rows may have been left out."""
        return 0 if self.resumed else self._up_to(self.size_bytes)

    def _up_to(self, reached: int) -> int:
        more = max(0, reached - self._told)
        self._told += more
        return more
