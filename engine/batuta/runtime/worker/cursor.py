"""The highest value of a cursor column, as text that the next run goes on from."""

import pyarrow as pa
import pyarrow.compute as pc


def highest_of(column: pa.Array | pa.ChunkedArray, before: str | None = None) -> str | None:
    """Return the highest value as text, `before` where there is none; never less than it."""
    highest = pc.max(column)
    if not highest.is_valid:
        return before
    if before is not None:
        earlier = pa.scalar(before).cast(column.type)
        highest = earlier if pc.less(highest, earlier).as_py() else highest
    return str(highest.cast(pa.string()).as_py())
