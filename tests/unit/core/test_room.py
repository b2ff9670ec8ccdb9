"""What fits on a disk one by one and not side by side."""

from dataclasses import replace

import pytest

from batuta.core.plan_input import Disk, Observation
from batuta.core.planner import plan
from batuta.model.observed import DestinationState
from batuta.model.plan import Blocked
from tests.unit.core import build

LAKE = build.platform("lake")


def kinds(free: int, *, staging: bool = False) -> dict[str, str]:
    """Two new datasets, the second on an object store where `staging`; both on one disk."""
    source = build.source()
    size = sum(unit.size_bytes for unit in source.units) or source.size_bytes
    second = {"destination": "s3://b/two/", "destination_platform": "lake"} if staging else {}
    datasets = [build.dataset("one"), build.dataset("two", **second)]
    seen = {
        each.name: Observation(
            source=source,
            destination=DestinationState(address=str(each.destination), condition="absent"),
        )
        for each in datasets
    }
    disk = Disk("/data", free * size // 10)
    given = replace(
        build.given(build.desired(*datasets, platforms=[LAKE]), seen),
        disks={each.name: disk for each in datasets if each.destination.is_local},
        staging=disk,
    )
    actions = plan(given).actions
    for action in actions:
        if isinstance(action, Blocked):
            assert [d.code for d in action.diagnostics] == ["PLN109"]
            assert "/data" in action.diagnostics[0].detail
    return {action.target.resource.partition("/")[2]: action.kind for action in actions}


@pytest.mark.parametrize("staging", [False, True])
def test_what_several_datasets_need_of_one_disk_is_summed(staging: bool) -> None:
    """Staged uploads wait on this machine: they take space as well."""
    assert kinds(25, staging=staging) == {"one": "create", "two": "create"}
    assert kinds(15, staging=staging) == {"one": "blocked", "two": "blocked"}
