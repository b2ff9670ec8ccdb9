"""The rows of a dataset for a test to compare: read as a worker reads them, in this process."""

from collections.abc import Iterator

import pyarrow as pa

from batuta.model.arrow import to_arrow
from batuta.runtime.engine import Engine
from batuta.runtime.registry import formats
from batuta.runtime.worker import show
from batuta.runtime.worker.wire import ShowRequest


def rows_of(engine: Engine, where: str, version: int | None = None) -> pa.Table:
    """Return the rows of a version (None: the newest) in their order."""
    dataset = engine.datasets.committed(where).dataset
    snapshot = dataset.readable(version, dict(formats()))
    schema, format_name = snapshot.entry.facts.schema, snapshot.entry.facts.format
    assert schema is not None

    def batches() -> Iterator[pa.RecordBatch]:
        for source in dataset.inputs(snapshot.parts):
            request = ShowRequest(input=source, format=format_name, schema=schema, style="arrow")
            yield from show.batches(request, formats())

    found = list(batches())
    return pa.Table.from_batches(found) if found else to_arrow(schema).empty_table()
