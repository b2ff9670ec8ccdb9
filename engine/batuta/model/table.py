"""Table schemas in Arrow's names, and the fingerprint that tells two of them apart.

A type is its Arrow spelling (`int64`, `decimal128(12, 2)`, `timestamp[us, tz=UTC]`,
`list<item: int32>`, `struct<x: float, y: string not null>`). `model.arrow` turns spellings
into Arrow types and back; this module needs no Arrow, so that a plan is read without it.
"""

from dataclasses import dataclass

from batuta.model.canonical import Json, digest


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name as stored, its Arrow type's spelling, and whether it may be null."""

    name: str
    type: str
    nullable: bool = True


@dataclass(frozen=True, slots=True)
class TableSchema:
    """Columns in the order in which the source lists them; names are unique."""

    columns: tuple[Column, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in order."""
        return tuple(column.name for column in self.columns)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over names, types and nullability; the order of columns does not count."""
        rows: list[Json] = [
            [c.name, c.type, c.nullable] for c in sorted(self.columns, key=lambda c: c.name)
        ]
        return digest(rows)
