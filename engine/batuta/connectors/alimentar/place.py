"""Where the content of a part lies at this moment: in the root, or in history.

History comes first where it has the part: a path in the root may just have got its next
content, for a commit that is under way.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from batuta.connectors.alimentar.faults import refusal
from batuta.connectors.alimentar.names import HISTORY, history_name
from batuta.model.connector import FileInfo, Files
from batuta.model.log import Part

if TYPE_CHECKING:
    import pyarrow as pa

# Below this many parts each is asked for; above it one listing is cheaper.
_FEW = 16


def size_of(files: Files, path: str) -> int | None:
    """Return the size of one file in bytes, None where it is not there."""
    if (found := _opened(files, path)) is None:
        return None
    with found:
        return int(found.size())


def in_history(files: Files, part: Part) -> bool:
    """True where history holds `part`, with its size."""
    return size_of(files, history_name(part.path, part.sha256)) == part.size_bytes


def many_in_history(files: Files, parts: Sequence[Part]) -> frozenset[str]:
    """Return the paths of those parts that history holds, with their sizes."""
    if len(parts) <= _FEW:
        return frozenset(part.path for part in parts if in_history(files, part))
    sizes = {info.path: info.size_bytes for info in files.list(HISTORY)}
    return frozenset(
        part.path
        for part in parts
        if sizes.get(history_name(part.path, part.sha256)) == part.size_bytes
    )


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


def _opened(files: Files, path: str) -> "pa.NativeFile | None":
    try:
        return files.open(path)
    except FileNotFoundError:
        return None
