"""What a worker needs to read the rows of a snapshot: that they can be read, and where they lie.

No part is opened here: what is in a file is only looked at by a process that may be lost.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from batuta.connectors.alimentar.faults import refusal
from batuta.connectors.alimentar.place import locate
from batuta.model.connector import Files
from batuta.model.format import Format
from batuta.model.log import Part, Snapshot, UnitRef
from batuta.model.transfer import Input


def readable(files: Files, snapshot: Snapshot | None, formats: Mapping[str, Format]) -> Snapshot:
    """Return `snapshot`, where its parts are of a format that has rows.

    Raises:
        ConnectorError: permanent. LOG143: nothing was committed; LOG142: no reader for the
            format, or the dataset is files.
    """
    if snapshot is None:
        raise refusal("LOG143", f"{files.location} has no log.")
    facts = snapshot.entry.facts
    found = formats.get(facts.format)
    if facts.schema is None or found is None or found.reader is None:
        detail = f"{files.location} holds {facts.format}, which cannot be read as rows."
        raise refusal("LOG142", detail)
    return snapshot


def inputs(files: Files, parts: Sequence[Part]) -> tuple[Input, ...]:
    """Return one input for each part, from the root or from history, signed where needed.

    Raises:
        ConnectorError: permanent. LOG121: a part lies nowhere; LOG122: it has another size.
    """
    places = locate(files, parts)
    found = files.inputs(
        [
            (place, part.size_bytes, UnitRef(part.path, part.sha256))
            for place, part in zip(places, parts, strict=True)
        ]
    )
    return tuple(
        replace(source, key=part.path, sha256=part.sha256)
        for source, part in zip(found, parts, strict=True)
    )
