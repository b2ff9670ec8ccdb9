"""How this machine keeps workers is asked before anything is contacted, and is no part of a plan."""

import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from batuta.core.plan_document import digest_of
from batuta.model.plan import Blocked
from batuta.runtime.keeping import Keeping
from batuta.runtime.planning import Planned, Planner, PlanRequest
from batuta.runtime.proofs import Proofs
from batuta.runtime.sandbox import levels
from batuta.runtime.sandbox.confinement import Level
from batuta.runtime.sandbox.probe import Finding
from tests.conftest import requires_kernel
from tests.unit.runtime.border_workspace import dataset, engine

NOT = Finding(given=False, step="user namespaces", errno=1, reason="Operation not permitted")
GIVEN = Finding(given=True, layers=frozenset({"seccomp"}))
DECLARED = dataset("declared", "data/", "out/declared/", "tier: PrivateCloud")
DERIVED = dataset("derived", "data/", "out/derived/")
LINK = """kind: Platform
metadata: {name: linked}
spec: {type: aws, region: eu-central-1, network: PrivateLink, cidrs: [10.20.0.0/16]}
"""
FAR = dataset("far", '{address: "s3://good/a/", platform: linked}', "out/far/")


def _on(*given: Level) -> Keeping:
    """A machine that gives these levels and no others."""
    found = {level: GIVEN if level in given else NOT for level in Level}
    return Keeping(partial(levels.choose, found=found.__getitem__))


def _never(host: str, _timeout_s: float) -> tuple[str, ...]:
    raise AssertionError(f"{host} was looked up")


def _planned(
    folder: Path,
    keeping: Keeping,
    *documents: str,
    workspace: str = "{}",
    resolver: Callable[[str, float], tuple[str, ...]] = _never,
    **asked: bool,
) -> Planned:
    (folder / "data").mkdir(exist_ok=True)
    (folder / "data/a").write_text("a")
    opened = engine(folder, documents, workspace)
    try:
        planner = Planner(
            opened.desired,
            opened.observer,
            opened.store,
            folder,
            keeping=keeping,
            proofs=Proofs(resolver),
        )
        return planner.plan(PlanRequest(**asked), lambda _event: None)  # type: ignore[arg-type]
    finally:
        opened.close()


def _blocked(planned: Planned) -> dict[str, list[str]]:
    return {
        action.target.resource.partition("/")[2]: [d.code for d in action.diagnostics]
        for action in planned.plan.actions
        if isinstance(action, Blocked)
    }


def test_every_worker_at_the_best_level_is_one_group(tmp_path: Path) -> None:
    planned = _planned(tmp_path, _on(*Level), DECLARED, DERIVED)

    (kept,) = planned.workers
    assert (kept.level, kept.enforced, kept.lost) == ("isolated", True, ())
    assert kept.resources == ("Dataset/declared", "Dataset/derived")


def test_a_declared_tier_without_its_level_is_blocked_and_a_derived_one_goes_on(
    tmp_path: Path,
) -> None:
    planned = _planned(tmp_path, _on(), DECLARED, DERIVED)

    assert _blocked(planned) == {"declared": ["EGR201"]}
    (action,) = [a for a in planned.plan.actions if isinstance(a, Blocked)]
    assert action.reasons[0].code == "enforcement"
    assert action.diagnostics[0].address == "Dataset/declared"
    assert action.diagnostics[0].locations[0].line == 8
    (kept,) = planned.workers
    assert (kept.level, kept.enforced, kept.resources) == (
        "advisory", False, ("Dataset/derived",)
    )  # fmt: skip
    assert any("user namespaces" in each for each in kept.lost)


def test_a_workspace_that_requires_enforcement_blocks_both(tmp_path: Path) -> None:
    planned = _planned(
        tmp_path, _on(), DECLARED, DERIVED, workspace="{enforcement: Required}"
    )  # fmt: skip

    assert _blocked(planned) == {"declared": ["EGR201"], "derived": ["EGR201"]}


def test_a_plan_that_reads_no_platform_asks_nothing_of_the_machine(tmp_path: Path) -> None:
    def tried(_level: object) -> Finding:
        raise AssertionError("a level was tried")

    keeping = Keeping(partial(levels.choose, found=tried))
    planned = _planned(tmp_path, keeping, DECLARED, LINK, FAR, offline=True)

    assert planned.workers == ()
    assert _blocked(planned) == {"declared": ["PLN116"], "far": ["PLN116"]}


def test_the_digest_does_not_depend_on_the_machine(tmp_path: Path) -> None:
    one = _planned(tmp_path, _on(*Level), DERIVED)
    other = _planned(tmp_path, _on(Level.SEALED), DERIVED)

    assert digest_of(one.plan) == digest_of(other.plan)
    assert [k.level for k in (*one.workers, *other.workers)] == ["isolated", "sealed"]


@requires_kernel("user namespaces")
def test_the_program_says_which_level_a_poorer_machine_gives(tmp_path: Path) -> None:
    """Where no further namespace can be made the plan is the same, kept otherwise."""
    engine(tmp_path, [DERIVED]).close()
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a").write_text("a")
    plan = [sys.executable, "-m", "batuta", "plan", "--format", "json"]
    poorer = ["unshare", "-Ur", "sh", "-c",
              'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"', "sh", *plan]  # fmt: skip
    found = [
        json.loads(subprocess.run(each, cwd=tmp_path, capture_output=True, check=True).stdout)
        for each in (plan, poorer)
    ]

    assert found[0]["digest"] == found[1]["digest"]
    assert [k["level"] for k in found[1]["workers"]] == ["sealed"]


@pytest.mark.parametrize("address", ["52.219.1.1", "192.168.7.7"])
def test_a_private_endpoint_that_leads_elsewhere_is_refused(tmp_path: Path, address: str) -> None:
    asked: list[str] = []

    def resolver(host: str, _timeout_s: float) -> tuple[str, ...]:
        asked.append(host)
        return (address,)

    planned = _planned(tmp_path, _on(*Level), LINK, FAR, DERIVED, resolver=resolver)

    assert _blocked(planned) == {"far": ["EGR110"]}
    assert asked == ["good.s3.eu-central-1.amazonaws.com"]


def test_a_public_endpoint_is_not_looked_up(tmp_path: Path) -> None:
    public = LINK.replace("network: PrivateLink, cidrs: [10.20.0.0/16]", "network: Public")
    policy = 'kind: EgressPolicy\nmetadata: {name: no}\nspec: {deny: [{host: "*.s3.eu-central-1.'
    policy += 'amazonaws.com"}], appliesTo: {datasets: [far]}}\n'
    planned = _planned(tmp_path, _on(*Level), public, policy, FAR)

    assert _blocked(planned) == {"far": ["EGR102"]}
