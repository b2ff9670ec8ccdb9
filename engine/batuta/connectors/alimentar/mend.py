"""Parts that somebody changed or spoilt: out of the way, so that a re-sync can put them right.

What lies under a part's name and is not its content goes to history under its own digest. So
nothing is lost, nothing there stands for a content that it is not, and `history` lets it go.
"""

from collections.abc import Sequence

from batuta.connectors.alimentar.hashing import hash_files
from batuta.connectors.alimentar.names import history_name
from batuta.model.connector import Files
from batuta.model.log import Part


def set_spoilt_aside(files: Files, parts: Sequence[Part]) -> frozenset[str]:
    """Hash `parts` where they lie; return the paths of those that do not lie whole in the root.

    May be cut short anywhere and done again: a part is spoilt, then missing, then put right.
    """
    places = [place for p in parts for place in (p.path, history_name(p.path, p.sha256))]
    found = [each for each in hash_files(files, places, lambda _files, _bytes: None) if each]
    digests = {each.path: each.sha256 for each in found}
    moves = [
        (place, history_name(part.path, digests[place]))
        for part in parts
        for place in (part.path, history_name(part.path, part.sha256))
        if digests.get(place, part.sha256) != part.sha256
    ]
    files.move(moves)
    return frozenset(part.path for part in parts if digests.get(part.path) != part.sha256)
