"""The rows of one part for whoever asked to see them: read and rendered here, sent in pieces.

Rendered in the worker, so that nothing but text, or an Arrow stream to be passed on unread, comes
out of the process in which a foreign file was decoded.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import pyarrow as pa

from batuta.model.arrow import aligned
from batuta.model.diagnostic import BatutaError, ConnectorError, Diagnostic, Failure
from batuta.model.format import Format
from batuta.runtime.mover_read import open_input
from batuta.runtime.worker.render import STYLES, Render
from batuta.runtime.worker.wire import Reply, ShowRequest

_UNFIT = (pa.ArrowInvalid, pa.ArrowNotImplementedError, UnicodeDecodeError)


def show(request: ShowRequest, formats: Mapping[str, Format]) -> Iterator[Reply]:
    """Yield a part's rows as pieces of the wanted style; each batch ends with an empty piece.

    Raises:
        ConnectorError: as reading and the part's format raise them; WRK217, a value has no text
            or does not fit the dataset's schema (permanent).
    """
    render = STYLES[request.style]()
    first, left = request.first, request.limit
    with _named_if_unfit(request.input.key, *_UNFIT):
        for batch in batches(request, formats):
            rows = batch if left is None else batch.slice(0, left)
            yield from _pieces(render, rows, first, request.input.key)
            yield Reply(payload=b"", rows=rows.num_rows)
            first = False
            if left is not None:
                left -= rows.num_rows
                if left == 0:
                    return


def _pieces(render: Render, rows: pa.RecordBatch, first: bool, key: str) -> Iterator[Reply]:
    # Python's values know no year 10000 and no two fields of one name. Elsewhere, as in a reader,
    # such errors are faults of batuta, so they are caught around this alone.
    with _named_if_unfit(key, *_UNFIT, ValueError, OverflowError):
        for piece in render(rows, first):
            yield Reply(payload=piece)


@contextmanager
def _named_if_unfit(key: str, *kinds: type[Exception]) -> Iterator[None]:
    """Make errors of these kinds WRK217."""
    try:
        yield
    except kinds as error:
        # The text of the error may hold a value.
        detail = f"{key} holds a value that has no text: {type(error).__name__}."
        fix = "Take the rows as they are with `--format arrow`, or look with the file's own tools."
        unseen = Diagnostic(
            code="WRK217", summary="A value cannot be shown", detail=detail, fix=fix
        )
        raise ConnectorError(unseen, kind=Failure.PERMANENT) from error


def batches(request: ShowRequest, formats: Mapping[str, Format]) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a part in order, with the columns of the dataset's schema in theirs.

    A column that the part lacks, which only imported files may, is null there. What is opened is
    read to its end though it moves to history meanwhile, so its place is not looked at again.
    """
    opener = formats[request.format].reader
    assert opener is not None
    reader = opener()
    try:
        with open_input(request.input) as file:
            stored = reader.inspect(file, {}, {}).schema
            found = reader.batches(
                file, start=None, end=None, columns=None, schema=stored, options={}
            )
            for batch in found:
                same = stored == request.schema
                yield batch.rows if same else aligned(batch.rows, request.schema)
    except BatutaError as error:
        raise _named(error, request.input.key) from error


def _named(error: BatutaError, key: str) -> ConnectorError:
    """Say which part it is; what reads a format does not know."""
    first = error.diagnostics[0]
    if key not in first.detail:
        first = replace(first, detail=f"{key}: {first.detail}")
    if isinstance(error, ConnectorError):
        return ConnectorError(first, kind=error.kind, retry_after_s=error.retry_after_s)
    return ConnectorError(first, kind=Failure.PERMANENT)
