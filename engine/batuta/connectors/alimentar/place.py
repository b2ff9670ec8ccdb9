"""Where the content of a part lies at this moment: in the root, or in history.

History comes first where it has the part: a path in the root may just have got its next
content, for a commit that is under way.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

from batuta.connectors.alimentar.faults import refusal
from batuta.connectors.alimentar.names import HISTORY, history_name
from batuta.model.connector import FileInfo, Files
from batuta.model.log import Part

# Up to so many files of an object store each is asked for; above it one listing is cheaper.
_FEW = 16


def in_history(files: Files, part: Part) -> bool:
    """True where history holds `part`, with its size."""
    return files.size(history_name(part.path, part.sha256)) == part.size_bytes


def many_in_history(files: Files, parts: Sequence[Part]) -> frozenset[str]:
    """Return the paths of those parts that history holds, with their sizes."""
    if len(parts) <= _FEW:
        return frozenset(part.path for part in parts if in_history(files, part))
    sizes = by_path(files.list(HISTORY))
    return frozenset(
        part.path
        for part in parts
        if sizes.get(history_name(part.path, part.sha256)) == part.size_bytes
    )


def sizes_of(files: Files, paths: Collection[str]) -> dict[str, int]:
    """Return the sizes in bytes of those of `paths` that are there."""
    if files.moves or len(paths) <= _FEW:
        found = ((path, files.size(path)) for path in paths)
        return {path: size for path, size in found if size is not None}
    return by_path(files.list())


def by_path(infos: Iterable[FileInfo]) -> dict[str, int]:
    """Return sizes by path."""
    return {info.path: info.size_bytes for info in infos}


def place_of(part: Part, sizes: Mapping[str, int]) -> str | None:
    """Return where a listing has `part` with its size, None where it has not."""
    for path in (history_name(part.path, part.sha256), part.path):
        if sizes.get(path) == part.size_bytes:
            return path
    return None


def locate(files: Files, parts: Sequence[Part]) -> tuple[str, ...]:
    """Return the places of `parts`, in their order.

    Raises:
        ConnectorError: LOG121, permanent: a part lies nowhere with its size.
    """
    sizes = by_path(files.list())
    if any(place_of(part, sizes) is None for part in parts):
        # A part that moved while the listing passed by is in neither place; it moves once.
        sizes = by_path(files.list())
    places = []
    for part in parts:
        if (place := place_of(part, sizes)) is None:
            raise missing(files, part, sizes.get(part.path))
        places.append(place)
    return tuple(places)


def missing(files: Files, part: Part, size: int | None) -> Exception:
    """Return the error for a part that is not there, or is there with another `size`."""
    if size is None:
        return refusal("LOG121", f"{files.location}: {part.path} is neither there nor in history.")
    detail = f"{files.location}: {part.path} has {size} bytes, the log says {part.size_bytes}."
    return refusal("LOG122", detail)
