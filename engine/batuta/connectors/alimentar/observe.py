"""A destination as it lies there, from one listing and the head of the log; no part is opened."""

from batuta.connectors.alimentar import names
from batuta.connectors.alimentar.deletion import announced
from batuta.connectors.alimentar.faults import fault, named
from batuta.connectors.alimentar.intents import all_intents
from batuta.connectors.alimentar.log import Log, open_log
from batuta.connectors.alimentar.place import by_path, place_of
from batuta.connectors.alimentar.sealing import head_problem
from batuta.model.connector import FileInfo, Files
from batuta.model.diagnostic import ConnectorError, Diagnostic
from batuta.model.log import Part
from batuta.model.observed import DestinationState
from batuta.model.seal import CheckSeal

_SHOWN = 20


def observe(files: Files, check: CheckSeal | None = None) -> DestinationState:
    """Return what lies there; with `check` the signature of the head is judged as well.

    Parts that are missing or have another size make it `damaged`: that is drift of the
    destination. Files that neither the log nor a run under way names are strangers.
    """
    free = files.free_bytes()
    if not files.exists():
        return DestinationState(address=files.location, condition="absent", free_bytes=free)
    infos = tuple(files.list())
    listed = by_path(infos)
    if not any(path.startswith(names.LOG) for path in listed):
        outside = tuple(path for path in listed if not path.startswith(names.STAGING))
        ours = {part.path for intent in all_intents(files).values() for part in intent.added}
        foreign = tuple(path for path in outside if path not in ours)
        return DestinationState(
            address=files.location,
            condition="foreign" if foreign else "empty",
            strangers=foreign,
            free_bytes=free,
        )
    history = tuple(path for path in listed if names.history_key(path) is not None)
    try:
        log = open_log(files)
    except ConnectorError as error:
        return DestinationState(
            address=files.location, condition="damaged", free_bytes=free, history=history,
            problems=error.diagnostics, snapshot=announced(files),
        )  # fmt: skip
    if log is None:
        return DestinationState(
            address=files.location, condition="foreign", strangers=tuple(listed), free_bytes=free
        )
    unsealed = head_problem(files, log, check) if check is not None else None
    problems = (*log.problems, *_part_problems(files, log, listed))
    problems = (unsealed, *problems) if unsealed is not None else problems
    return DestinationState(
        address=files.location,
        condition="damaged" if problems else "dataset",
        snapshot=log.snapshot,
        strangers=strangers(files, log, listed),
        history=history,
        free_bytes=free,
        problems=named(problems, log.entry.resource),
        oldest_history_ns=min(
            (info.modified_ns for info in infos if _is_history(info)), default=None
        ),
    )


def strangers(files: Files, log: Log, listed: dict[str, int]) -> tuple[str, ...]:
    """Return the files that are no part, no history, no log and nobody's work, in byte order."""
    current = log.folded.parts
    outside = [path for path in listed if path not in current and not _is_own(path)]
    if not outside:
        return ()
    under_way = {
        part.path
        for intent in all_intents(files).values()
        for part in (*intent.added, *intent.removed)
    }
    return tuple(path for path in outside if path not in under_way)


def _is_own(path: str) -> bool:
    if path.startswith(names.LOG):
        kinds = (names.entry_version, names.checkpoint_version, names.seal_version)
        return any(version(path) is not None for version in kinds)
    if path.startswith(names.HISTORY):
        return names.history_key(path) is not None
    return path.startswith(names.STAGING)


def _is_history(info: FileInfo) -> bool:
    return names.history_key(info.path) is not None


def _part_problems(files: Files, log: Log, listed: dict[str, int]) -> tuple[Diagnostic, ...]:
    bad = [part for part in log.folded.parts.values() if place_of(part, listed) is None]
    if bad:
        # A part that moved to its other place while the listing passed by is not missing.
        again = by_path(files.list())
        bad = [part for part in bad if place_of(part, again) is None]
        listed = again
    shown = [_problem(files, part, listed.get(part.path)) for part in bad[:_SHOWN]]
    if len(bad) > _SHOWN:
        detail = f"{files.location}: {len(bad) - _SHOWN} more parts are missing or changed."
        shown.append(fault("LOG121", detail))
    return tuple(shown)


def _problem(files: Files, part: Part, size: int | None) -> Diagnostic:
    if size is None:
        return fault("LOG121", f"{files.location}: {part.path} is not there.")
    detail = f"{files.location}: {part.path} has {size} bytes; the log says {part.size_bytes}."
    return fault("LOG122", detail)
