"""What is said of a merge that no place admits: which labels met, and each way out as a command."""

from collections.abc import Sequence

from batuta.core.labels.flows import Choice, Conflict, Input, Place, Way, conflict
from batuta.model.diagnostic import Diagnostic, Location


def merge_refusal(
    place: Place, inputs: Sequence[Input], address: str, locations: tuple[Location, ...] = ()
) -> Diagnostic | None:
    """Return why data from all inputs may not lie together at the place; None where it may."""
    found = conflict(place, inputs)
    if found is None:
        return None
    listed = "; ".join(
        f"{each.name} is ({each.label.confidentiality}, {each.label.integrity})" for each in inputs
    )
    return Diagnostic(
        code="LBL106",
        summary="The labels of what is merged do not go together",
        detail=f"{address}: {listed}. Together they are ({found.label.confidentiality},"
        f" {found.label.integrity}), which {_where(found, place)}.",
        fix="\n".join(["One of these, and then again:", *_commands(found)]),
        locations=locations,
        address=address,
    )


def _where(found: Conflict, place: Place) -> str:
    return (
        "no place admits" if found.nowhere else f"a place of the tier {place.tier} does not admit"
    )


def _commands(found: Conflict) -> list[str]:
    return [text for way in found.ways for text in _command(way)]


def _command(way: Way) -> list[str]:
    match way.choice:
        case Choice.DECLASSIFY:
            return [f"  batuta label approve {n} --to {way.to} --reason REASON" for n in way.inputs]
        case Choice.ENDORSE:
            return [
                f"  batuta label approve {name} --to {way.to} --endorse --reason REASON"
                for name in way.inputs
            ]
        case Choice.RESOURCE:
            names = ", ".join(way.inputs)
            return [f"  take {names} from an origin of {way.to} or better"]
        case Choice.QUIT:
            return []
