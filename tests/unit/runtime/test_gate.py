"""The supervisor's own way out: who knocks at it does not change what a command comes to."""

import socket
from dataclasses import replace
from pathlib import Path

from batuta.cli.views.progress import refused
from batuta.model.address import parse_address
from batuta.runtime.borders import Border
from batuta.runtime.egress.audit import Row
from batuta.runtime.egress.audit_read import rows
from batuta.runtime.errands import Errands
from batuta.runtime.parts import event_of
from batuta.runtime.sandbox.levels import Need
from batuta.runtime.worker.gate import SUPERVISOR, Gate, Refusal
from batuta.runtime.worker.posting import Way
from tests.unit.core.egress.policies import STANDARD, policy_for


def test_a_stranger_at_the_port_is_in_the_log_and_is_no_violation(tmp_path: Path) -> None:
    told: list[object] = []
    gate = Gate(run="look", audit=tmp_path / "audit.jsonl", told=told.append)
    way = gate.own(Way(policy=policy_for("store.test"), whole=policy_for("store.test"), keeps=True))
    for said in (b"GET / HTTP/1.1\r\n\r\n", b"nonsense\r\n\r\n"):
        with socket.create_connection((way.host, way.port), 5) as stranger:
            stranger.sendall(said)
            while stranger.recv(1000):
                pass
    gate.close()

    found = list(rows(tmp_path / "audit.jsonl"))
    assert [(row.worker, row.verdict) for row in found] == [(SUPERVISOR, "deny")] * 2
    assert gate.refusals == []
    assert told == []


def test_the_same_policy_has_one_way_out(tmp_path: Path) -> None:
    gate = Gate(run="look", audit=tmp_path / "audit.jsonl")
    way = Way(policy=policy_for("store.test"), whole=policy_for("store.test"), keeps=True)
    assert gate.own(way) == gate.own(way)
    gate.close()


def test_a_place_that_a_dataset_has_left_is_reached_by_its_own_policy(tmp_path: Path) -> None:
    """Its log is asked for by audits and recoveries; the dataset's ends are others by now."""
    store = ("s3.eu-central-1.amazonaws.com", 443)
    need = Need(tier=STANDARD, local_ends=False)
    there = Border(policy=policy_for(store[0]), need=need, destination=(store,))
    now = Border(policy=policy_for(), need=need)
    errands = Errands(
        bounds={"moved": now, "stays": replace(there, stop=True)}.__getitem__,
        beyond=lambda _place, _platform: there,
        root=tmp_path,
        scratch=tmp_path,
        place_of=lambda _name: None,
    )
    place = parse_address("s3://lake/orders/")

    for name in ("moved", "stays", "nobody"):
        way = errands.own(name, place, None)
        assert way is not None
        assert not way.policy.closed
    assert errands.own("moved", parse_address("out/"), None) is None


def test_a_connection_that_is_cut_for_a_request_is_one_refusal(tmp_path: Path) -> None:
    told: list[Refusal] = []
    gate = Gate(run="look", audit=tmp_path / "audit.jsonl", told=told.append)
    cut = Row(
        event="request", connection=1, worker=SUPERVISOR, host="store.test", port=443,
        verdict="deny", code="budget.upload", rule="store.test:443", line="EgressPolicy/p",
    )  # fmt: skip
    for row in (cut, replace(cut, event="end"), replace(cut, connection=2, event="end")):
        gate._see(row)

    assert [refusal.row.connection for refusal in told] == [1, 2]
    assert "`maxUpload`" in told[0].diagnostic.fix
    said = refused(event_of(told[0]))
    assert said.startswith("batuta's own connection to store.test:443 was refused by store.test")
