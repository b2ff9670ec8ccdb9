"""What is said of a merge that no place admits: which labels met, and the ways out."""

from collections.abc import Sequence

from batuta.core.labels.flows import Conflict, Input, Place
from batuta.model.diagnostic import Diagnostic


def merge_refusal(
    place: Place, inputs: Sequence[Input], found: Conflict, address: str, ways: Sequence[str]
) -> Diagnostic:
    """Return why data from all inputs may not lie together at the place; `ways` lead out of it."""
    listed = "; ".join(
        f"{each.name} is ({each.label.confidentiality}, {each.label.integrity})" for each in inputs
    )
    return Diagnostic(
        code="LBL106",
        summary="The labels of what is merged do not go together",
        detail=f"{address}: {listed}. Together they are ({found.label.confidentiality},"
        f" {found.label.integrity}), which {_where(found, place)}.",
        fix="\n".join(ways),
        address=address,
    )


def _where(found: Conflict, place: Place) -> str:
    return (
        "no place admits" if found.nowhere else f"a place of the tier {place.tier} does not admit"
    )
