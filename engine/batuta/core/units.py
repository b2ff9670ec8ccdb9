"""Which parts of a dataset still hold what the source has, and which units must be read.

A part holds rows of one or several units; a unit may be spread over several parts. A part can
only be kept whole, and a unit can only be read whole, so one changed unit pulls along every
part that holds rows of it, and every other unit in those parts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from batuta.model.log import Part, UnitRef
from batuta.model.observed import Unit
from batuta.model.resource import OnSourceDelete


@dataclass(frozen=True, slots=True)
class UnitPlan:
    """What stays, what is read and what goes; each in its given order.

    `vanished` are removed parts whose units are all gone at the source: nothing takes their
    place. `lost` are units that are gone at the source, should be kept, and cannot, because
    their part also holds rows of a unit that changed; empty unless deletes are kept.
    """

    keep: tuple[Part, ...]
    read: tuple[Unit, ...]
    remove: tuple[Part, ...]
    vanished: tuple[Part, ...] = ()
    lost: tuple[UnitRef, ...] = ()


def reconcile(
    parts: Sequence[Part], units: Sequence[Unit], on_source_delete: OnSourceDelete
) -> UnitPlan:
    """Return the least reading that makes the dataset hold what `units` say.

    Rows of the kept parts and of the read units are together the rows of a Snapshot: no row
    twice, none missing. With `Keep`, rows of units that are gone stay as well. A part without
    units cannot be tied to the source and is removed. Linear in parts and units.
    """
    now = {unit.key: unit.version for unit in units}
    keeps_gone = on_source_delete is OnSourceDelete.KEEP
    holders: dict[UnitRef, list[int]] = {}
    stale: list[int] = []
    for index, part in enumerate(parts):
        for ref in part.units:
            holders.setdefault(ref, []).append(index)
        if not _holds(part, now, keeps_gone=keeps_gone):
            stale.append(index)
    removed = _closure(parts, holders, stale)
    kept = {ref for i, part in enumerate(parts) if i not in removed for ref in part.units}
    gone = tuple(p for i, p in enumerate(parts) if i in removed)
    return UnitPlan(
        keep=tuple(p for i, p in enumerate(parts) if i not in removed),
        read=tuple(unit for unit in units if unit.ref not in kept),
        remove=gone,
        vanished=tuple(p for p in gone if p.units and not any(r.key in now for r in p.units)),
        lost=_lost(gone, now) if keeps_gone else (),
    )


def is_tied(parts: Sequence[Part]) -> bool:
    """True where every part says which units it holds, so that units can be compared."""
    return all(part.units for part in parts)


def _holds(part: Part, now: dict[str, str], *, keeps_gone: bool) -> bool:
    if not part.units:
        return False
    for ref in part.units:
        version = now.get(ref.key)
        if version != ref.version and not (version is None and keeps_gone):
            return False
    return True


def _closure(
    parts: Sequence[Part], holders: dict[UnitRef, list[int]], stale: list[int]
) -> set[int]:
    # A unit of a removed part is read again as a whole, so its other parts must go too.
    removed = set(stale)
    queue = list(stale)
    while queue:
        for ref in parts[queue.pop()].units:
            for index in holders.pop(ref, ()):
                if index not in removed:
                    removed.add(index)
                    queue.append(index)
    return removed


def _lost(removed: Sequence[Part], now: dict[str, str]) -> tuple[UnitRef, ...]:
    found = {ref: None for part in removed for ref in part.units if ref.key not in now}
    return tuple(found)
