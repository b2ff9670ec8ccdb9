"""Borders: what workers may reach is known before anything is contacted."""

from pathlib import Path
from time import process_time

import pytest

from batuta.core.egress.policy import rules_of
from batuta.model.address import parse_address
from batuta.model.plan import Blocked
from batuta.model.tier import Tier
from batuta.runtime.borders import Border, Borders
from batuta.runtime.planning import PlanRequest
from tests.unit.runtime.border_workspace import (
    AT_CLOUD,
    AT_LAKE,
    CLOUD,
    LAKE,
    PLAIN,
    borders,
    dataset,
    engine,
)


def _codes(border: Border) -> list[str]:
    return [each.code for each in border.diagnostics]


def test_two_local_ends_need_no_way_out(tmp_path: Path) -> None:
    border = borders(tmp_path, dataset("d", "data/", "out/", "tier: FullySovereign")).of("d")

    assert border.policy.closed
    assert (border.source, border.destination) == ((), ())
    assert border.need.local_ends
    assert border.need.declared
    assert border.diagnostics == ()


def test_a_look_at_a_plain_endpoint_is_not_told_to_name_a_policy(tmp_path: Path) -> None:
    """Commands that look have no option for it; what the message prints is enough for them."""
    for name in ("1", "2"):
        (tmp_path / name).mkdir()
    before = borders(tmp_path / "1", LAKE, dataset("d", "data/", AT_LAKE))
    address = parse_address("s3://bucket/other/")
    for border in (before.at(address), before.kept("d")):
        (found,) = border.refused
        assert found.code == "EGR103"
        assert "--egress" not in found.fix
        assert "have a policy in the workspace that lets it be plain" in found.fix
    assert "`--egress lake-plain`" in before.of("d").refused[0].fix

    after = borders(tmp_path / "2", LAKE, PLAIN, dataset("d", "data/", AT_LAKE))

    assert after.at(address).refused == ()
    assert after.kept("d").refused == ()


def test_a_plain_endpoint_without_a_policy_may_not_be_contacted(tmp_path: Path) -> None:
    border = borders(tmp_path, LAKE, dataset("d", AT_LAKE, "out/")).of("d")

    assert _codes(border) == ["EGR103"]
    assert border.policy.closed


def test_a_policy_that_the_dataset_names_opens_the_plain_endpoint(tmp_path: Path) -> None:
    border = borders(tmp_path, LAKE, PLAIN, dataset("d", AT_LAKE, "out/", "egress: lake-plain"))
    found = border.of("d")

    assert found.diagnostics == ()
    assert found.source == (("127.0.0.1", 8333),)
    assert found.destination == ()
    assert [rule.name for rule in found.policy.allow] == ["127.0.0.1:8333"]
    assert not found.need.local_ends
    assert found.need.tier is Tier.FULLY_SOVEREIGN
    assert not found.need.declared


def test_a_platform_that_the_tier_does_not_admit_may_not_be_contacted(tmp_path: Path) -> None:
    border = borders(tmp_path, CLOUD, dataset("d", AT_CLOUD, "out/", "tier: PrivateCloud")).of("d")

    assert _codes(border) == ["SOV101"]
    assert border.refused[0].locations[0].line == 13


def test_the_workspace_default_tier_counts_as_declared(tmp_path: Path) -> None:
    made = borders(
        tmp_path, CLOUD, dataset("d", AT_CLOUD, "out/"), workspace="{defaultTier: PrivateCloud}"
    )
    assert _codes(made.of("d")) == ["SOV101"]


STATED = "{address: data/, origin: {tier: FullySovereign}}"
INTO_CLOUD = '{address: "s3://good/out/", platform: cloud}'


@pytest.mark.parametrize(
    ("source", "more", "code"),
    [
        (STATED, "tier: Standard", "SOV105"),
        (STATED, "", "SOV102"),
        ("data/", "tier: Standard, residency: [us-east-1]", "SOV107"),
        ("data/", "residency: [us-east-1]", "SOV107"),
    ],
)
def test_what_the_manifest_alone_forbids_opens_no_host(
    tmp_path: Path, source: str, more: str, code: str
) -> None:
    opened = engine(tmp_path, (CLOUD, dataset("d", source, INTO_CLOUD, more)))
    try:
        assert _codes(opened.borders.of("d")) == [code]
        offline = opened.plan(PlanRequest(offline=True), lambda _: None).plan
        status = opened.egress.status()
    finally:
        opened.close()
    (action,) = offline.actions
    assert isinstance(action, Blocked)
    assert [d.code for d in action.diagnostics] == [code]
    assert (status[0].hosts, status[0].closed) == ((), (code,))


def test_a_stated_origin_forbids_nothing_that_a_label_could_allow(tmp_path: Path) -> None:
    here = dataset("d", STATED, "out/", "tier: Standard")
    merged = dataset("m", f"{{merge: [{STATED}, {AT_CLOUD}]}}", "m/", "tier: Standard")
    made = borders(tmp_path, CLOUD, here, merged)
    assert (made.of("d").refused, made.of("m").refused) == ((), ())


@pytest.mark.parametrize(
    ("source", "more", "tier"),
    [
        ("data/", "", Tier.PRIVATE_CLOUD),
        ("{address: data/, origin: {tier: FullySovereign}}", "", Tier.FULLY_SOVEREIGN),
        (AT_LAKE, "egress: lake-plain", Tier.FULLY_SOVEREIGN),
        (AT_CLOUD, "", Tier.STANDARD),
    ],
)
def test_a_derived_tier_is_foreseen_from_the_ends_and_what_is_stated(
    tmp_path: Path, source: str, more: str, tier: Tier
) -> None:
    made = borders(tmp_path, LAKE, CLOUD, PLAIN, dataset("d", source, "out/", more))

    assert made.of("d").need.tier is tier
    assert made.of("d").refused == ()


def test_a_dataset_that_reads_another_one_needs_the_hosts_of_its_destination(
    tmp_path: Path,
) -> None:
    up = dataset("up", "data/", '{address: "s3://b/out/", platform: lake}', "egress: lake-plain")
    down = dataset("down", "{dataset: up}", "out/", "egress: lake-plain")
    made = borders(tmp_path, LAKE, PLAIN, up, down)

    assert made.of("up").destination == (("127.0.0.1", 8333),)
    assert made.of("down").source == (("127.0.0.1", 8333),)
    assert made.of("down").destination == ()


def test_every_source_of_a_merge_has_its_hosts(tmp_path: Path) -> None:
    merge = f"{{merge: [{AT_LAKE}, {AT_CLOUD}, data/]}}"
    border = borders(
        tmp_path, LAKE, CLOUD, PLAIN, dataset("d", merge, "out/", "egress: lake-plain")
    )
    found = border.of("d")

    assert found.source == (("127.0.0.1", 8333), ("good.s3.eu-central-1.amazonaws.com", 443))
    assert _codes(found) == ["EGR101"]


def test_what_a_policy_says_of_level_and_violation_is_in_the_border(tmp_path: Path) -> None:
    policy = PLAIN + "  weakestLevel: Filtered\n  onViolation: Stop\n"
    one = dataset("one", AT_LAKE, "out/one/", "egress: lake-plain")
    two = dataset("two", "data/", "out/two/")
    made = borders(tmp_path, LAKE, policy, one, two, workspace="{enforcement: Required}")

    assert made.of("one").stop
    assert made.of("one").need.filtered_allowed
    assert not made.of("two").stop
    assert not made.of("two").need.filtered_allowed
    assert made.of("two").need.required


def test_a_denied_host_is_refused_with_its_line(tmp_path: Path) -> None:
    policy = (
        "kind: EgressPolicy\nmetadata: {name: few}\nspec:\n  appliesTo: {tiers: [Standard]}\n"
        '  allow: [{host: "*.s3.eu-central-1.amazonaws.com"}]\n'
        "  deny: [{host: good.s3.eu-central-1.amazonaws.com}]\n"
    )
    border = borders(tmp_path, CLOUD, policy, dataset("d", AT_CLOUD, "out/")).of("d")

    assert _codes(border) == ["EGR102"]
    assert border.refused[0].locations[0].line == 16


def test_each_refusal_names_its_own_dataset(tmp_path: Path) -> None:
    both = [dataset(name, AT_LAKE, f"out/{name}/") for name in ("one", "two")]
    made = borders(tmp_path, LAKE, *both)

    assert [made.of(n).refused[0].address for n in ("one", "two")] == ["Dataset/one", "Dataset/two"]


def test_a_place_without_a_dataset_gets_the_policy_that_lets_it_through(tmp_path: Path) -> None:
    made = borders(tmp_path, LAKE, PLAIN)

    assert made.at(parse_address("s3://b/x/"), "lake").refused == ()
    assert made.at(parse_address("out/x/")).policy.closed


def test_ten_thousand_datasets_share_what_is_composed(tmp_path: Path) -> None:
    """A plan of ten thousand asks for each border twice; that may not be felt."""
    many = [dataset(f"d{i}", f'{{address: "s3://b/{i}/", platform: lake}}', f"out/{i}/",
                    "egress: lake-plain") for i in range(2_000)]  # fmt: skip
    made = borders(tmp_path, LAKE, PLAIN, *many)
    began = process_time()
    found = [made.of(f"d{i}") for i in range(2_000)]
    spent_s = process_time() - began

    assert all(each.policy is found[0].policy for each in found)
    assert len(rules_of(made.documents[0])) == 1
    assert spent_s < 2.0, spent_s


def test_an_unknown_name_is_a_mistake_of_the_code(tmp_path: Path) -> None:
    made: Borders = borders(tmp_path)
    with pytest.raises(KeyError):
        made.of("nobody")


def test_a_wildcard_that_reaches_every_customer_is_refused_by_validate(tmp_path: Path) -> None:
    policy = (
        "kind: EgressPolicy\nmetadata: {name: wide}\nspec:\n  appliesTo: {tiers: [PrivateCloud]}\n"
        '  allow: [{host: "*.amazonaws.com"}]\n'
    )
    found = engine(tmp_path, [policy], connect=False).validate()

    assert found.desired is None
    assert [(d.code, d.locations[0].line) for d in found.diagnostics] == [("EGR108", 10)]
