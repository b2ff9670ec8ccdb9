"""The order in which datasets are planned and run: what is read comes before its readers."""

from collections.abc import Mapping, Sequence
from heapq import heapify, heappop, heappush


def ordered(edges: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return all names of `edges`, each after the names it depends on, else by name.

    Names that are depended on but have no edges of their own are left out. Members of a cycle,
    which the manifest room refuses, come last by name. Deterministic; n log n.
    """
    waiting = {name: {d for d in needed if d in edges} for name, needed in edges.items()}
    readers: dict[str, list[str]] = {}
    for name, needed in waiting.items():
        for each in needed:
            readers.setdefault(each, []).append(name)
    ready = [name for name, needed in waiting.items() if not needed]
    heapify(ready)
    result: list[str] = []
    while ready:
        name = heappop(ready)
        result.append(name)
        del waiting[name]
        for reader in readers.get(name, ()):
            waiting[reader].discard(name)
            if not waiting[reader]:
                heappush(ready, reader)
    return (*result, *sorted(waiting))
