"""Fields of a source that nothing would heed: refused by name, since rows would be silently wrong."""

from batuta.model.diagnostic import Diagnostic
from batuta.model.observed import SourceState, states_of
from batuta.model.resource import Dataset, SourcePart

_TEXT = frozenset({"csv", "jsonl"})


def unheeded(dataset: Dataset, source: SourceState) -> Diagnostic | None:
    """Return what the first field says that the source has no use for; None where it heeds all."""
    parts: tuple[SourcePart, ...] = dataset.source.merge or (dataset.source,)
    for number, (part, state) in enumerate(zip(parts, states_of(source), strict=True)):
        place = f"spec.source.merge.{number}" if dataset.source.merge else "spec.source"
        if (found := _field(part, state)) is not None:
            name, why, fix = found
            return Diagnostic(
                code="PLN127",
                summary="A field of the source would have no effect",
                detail=f"`{name}` of {dataset.address}: {why}",
                fix=fix,
                locations=dataset.place(f"{place}.{name}"),
                address=dataset.address,
            )
    return None


def _field(part: SourcePart, state: SourceState) -> tuple[str, str, str] | None:
    where = f"dataset:{part.dataset}" if part.dataset is not None else str(part.address)
    if part.where is not None:
        why = f"{where} runs no queries, so that its rows cannot be chosen."
        return "where", why, "Remove `where`, or read through a platform that runs queries."
    if state.kind != "table" or state.format in _TEXT:
        return None
    why = f"{where} states its own types and layout; this is a field of CSV and JSON Lines."
    if part.options:
        return "options", why, "Remove `options`."
    if part.types:
        return "schema", why, "Remove `schema`."
    return None
