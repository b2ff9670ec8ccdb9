"""What a worker may use up follows from the work that it is sent to do."""

from dataclasses import replace
from pathlib import Path

from batuta.core.egress.rules import MAX_CONNECTIONS
from batuta.model.address import parse_address
from batuta.model.plan import Create, Volume
from batuta.runtime.borders import Border
from batuta.runtime.errands import Errands
from batuta.runtime.sandbox.levels import Need
from tests.unit.cli.plans import create
from tests.unit.core.egress.policies import STANDARD, policy_for

STORE = ("s3.eu-central-1.amazonaws.com", 443)
KIB = 1024


def of_files(count: int, size_bytes: int) -> Create:
    """A copy out of a store, of so many files of one size."""
    action = create()
    source = replace(action.transfer.source, address=parse_address("s3://lake/orders/"))
    return replace(
        action,
        transfer=replace(action.transfer, source=source),
        volume=Volume(read_bytes=count * size_bytes, units_read=count),
    )


def errands(folder: Path) -> Errands:
    need = Need(tier=STANDARD, local_ends=False)
    border = Border(policy=policy_for(STORE[0]), need=need, source=(STORE,))
    return Errands(
        bounds=lambda _name: border,
        beyond=lambda _place, _platform: border,
        root=folder,
        scratch=folder,
        place_of=lambda _name: None,
    )


def test_a_reader_of_many_files_may_ask_for_each_and_connect_for_each(tmp_path: Path) -> None:
    """A request has 0.4 KiB, with a session token three times that; a piece of work a connection."""
    for count in (10, 5_000, 300_000):
        way = errands(tmp_path).data(of_files(count, KIB)).posting.way
        assert way is not None
        (rule,) = way.policy.allow
        assert rule.max_upload_bytes is not None
        assert rule.max_upload_bytes >= count * 3 * 1200
        assert rule.max_connections >= max(MAX_CONNECTIONS, 2 * count)


def test_a_reader_of_few_files_may_not_do_more_for_it(tmp_path: Path) -> None:
    way = errands(tmp_path).data(of_files(10, KIB)).posting.way
    assert way is not None
    (rule,) = way.policy.allow
    assert rule.max_connections == MAX_CONNECTIONS
    assert rule.max_upload_bytes == 32 * KIB * KIB
