"""The state: durable groups, fencing, checksums, versions."""

import json
import re
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from batuta.model.diagnostic import BatutaError, StateLocked
from batuta.model.egress import LogHead
from batuta.model.log import Facts, Head, Label
from batuta.model.state import ResourceRecord, RunRecord, StepRecord
from batuta.model.transfer import ChunkReceipt, Position
from batuta.runtime.state import schema
from batuta.runtime.state.lease import LeaseKeeper, current, steal
from batuta.runtime.state.store import (
    StateStore,
    drop_resource,
    drop_transfer,
    put_chunk,
    put_resource,
    put_run,
    put_step,
    put_transfer,
)


def record(name: str, revision: int = 1) -> ResourceRecord:
    facts = Facts(
        source="data/in", source_version="v1", schema=None, format="files", mode="Mirror",
        tier="PrivateCloud", tier_derived=True,
    )  # fmt: skip
    return ResourceRecord(
        address=f"Dataset/{name}", revision=revision, destination=f"out/{name}",
        destination_platform=None, origin="Manifest", owner="Created",
        head=Head(0, "0" * 64), facts=facts,
        label=Label(confidentiality="PrivateCloud", integrity="Standard"), run="r1", plan="p",
    )  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StateStore]:
    opened = StateStore(tmp_path / "state.db")
    yield opened
    opened.close()


def test_a_write_without_the_lease_is_refused(store: StateStore) -> None:
    with pytest.raises(StateLocked):
        store.write([put_resource(record("a"))])
    assert list(store.resources()) == []


def test_what_was_written_is_read_back_and_dropped(store: StateStore) -> None:
    with LeaseKeeper(store, "test"):
        store.write([put_resource(record("b")), put_resource(record("a"))])
        assert [r.address for r in store.resources()] == ["Dataset/a", "Dataset/b"]
        store.write([drop_resource("Dataset/a")])
    assert store.resource("Dataset/a") is None
    assert store.resource("Dataset/b") == record("b")


def test_chunks_come_back_in_order_and_go_with_their_transfer(store: StateStore) -> None:
    receipts = [
        ChunkReceipt(task="t", chunk=n, next=Position(0, str(n)), done=n == 2) for n in range(3)
    ]
    with LeaseKeeper(store, "test"):
        store.write([put_transfer("x", "Dataset/a", "staging")])
        for receipt in reversed(receipts):
            store.write([put_chunk("x", receipt)])
        assert store.chunks("x") == {"t": receipts}
        store.write(drop_transfer("x"))
    assert store.chunks("x") == {}
    assert store.transfers() == []


def test_an_outcome_replaces_its_intent(store: StateStore) -> None:
    run = RunRecord(
        id="r", command="c", plan="p", actor="a", started_at="", ended_at=None,
        status="running", actions=1, done=0, failed=0,
    )  # fmt: skip
    with LeaseKeeper(store, "test"):
        store.write([put_run(run)])
        step = StepRecord(run="r", action="Dataset/a", step="create", status="intent")
        store.write([put_step(step)])
        done = StepRecord(
            run="r", action="Dataset/a", step="create", status="done", detail={"n": 1}
        )
        store.write([put_step(done)])
    assert store.unfinished_runs() == [run]
    assert store.steps("r") == [done]


def test_writers_at_the_same_time_all_get_through(store: StateStore) -> None:
    with LeaseKeeper(store, "test"):
        threads = [
            threading.Thread(target=store.write, args=([put_resource(record(f"n{i}"))],))
            for i in range(32)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(list(store.resources())) == 32


def test_a_second_runner_is_told_who_holds_the_state(store: StateStore, tmp_path: Path) -> None:
    other = StateStore(tmp_path / "state.db")
    with LeaseKeeper(store, "batuta apply"):
        with pytest.raises(StateLocked) as refused, LeaseKeeper(other, "batuta plan"):
            pass
        assert "batuta apply" in refused.value.diagnostics[0].detail
    with LeaseKeeper(other, "batuta plan"):
        pass
    other.close()


def test_a_runner_whose_lease_was_stolen_cannot_write(store: StateStore, tmp_path: Path) -> None:
    other = StateStore(tmp_path / "state.db")
    with LeaseKeeper(store, "first"):
        assert steal(other) is not None
        with LeaseKeeper(other, "second"), pytest.raises(StateLocked):
            store.write([put_resource(record("late"))])
    assert list(other.resources()) == []
    assert current(other) is None
    other.close()


def test_a_holder_that_died_here_is_replaced_at_once(store: StateStore) -> None:
    database = sqlite3.connect(store.path)
    with LeaseKeeper(store, "dies"):
        row = database.execute("SELECT token, beats, record FROM lease").fetchone()
    dead = re.sub(r'"holder":"(\d+):\d+', r'"holder":"\1:1', row[2])
    assert dead != row[2]
    database.execute("UPDATE lease SET record = ?", (dead,))
    database.commit()
    database.close()
    with LeaseKeeper(store, "next"):
        held = current(store)
        assert held is not None
        assert held.command == "next"


def test_a_holder_in_another_container_of_the_same_name_is_not_taken_for_dead(
    store: StateStore, tmp_path: Path
) -> None:
    """Its process cannot be seen from here, and lives."""
    other = StateStore(tmp_path / "state.db")
    with LeaseKeeper(store, "batuta apply"):
        database = sqlite3.connect(store.path)
        held = database.execute("SELECT record FROM lease").fetchone()[0]
        elsewhere = re.sub(r'"holder":"\d+:\d+:(.*?):\d+"', r'"holder":"1:1:\1:7"', held)
        assert elsewhere != held
        database.execute("UPDATE lease SET record = ?", (elsewhere,))
        database.commit()
        database.close()
        with pytest.raises(StateLocked), LeaseKeeper(other, "batuta plan"):
            pass
    other.close()


def test_a_holder_before_this_machine_was_started_anew_is_dead(store: StateStore) -> None:
    database = sqlite3.connect(store.path)
    with LeaseKeeper(store, "dies"):
        held = database.execute("SELECT record FROM lease").fetchone()[0]
    before = re.sub(r"(:\d+:)[0-9a-f-]{36}:", r"\1another-start:", held)
    assert before != held
    database.execute("UPDATE lease SET record = ?", (before,))
    database.commit()
    database.close()
    with LeaseKeeper(store, "next"):
        pass


def test_of_two_that_wait_for_a_dead_holder_the_second_leaves_the_first_alone(
    store: StateStore, tmp_path: Path
) -> None:
    database = sqlite3.connect(store.path)
    with LeaseKeeper(store, "dies"):
        token, beats, held = database.execute("SELECT token, beats, record FROM lease").fetchone()
    elsewhere = re.sub(r'"host":"[^"]*"', '"host":"elsewhere"', held)
    database.execute("UPDATE lease SET record = ?", (elsewhere,))
    database.commit()
    database.close()
    other = StateStore(tmp_path / "state.db")
    first, second = LeaseKeeper(store, "first"), LeaseKeeper(other, "second")
    assert first._try_take(steal=(token, beats))[0] == token + 1

    found, holder, _ = second._try_take(steal=(token, beats))

    assert found is None
    assert holder.command == "first"
    other.close()


def test_a_value_that_the_database_does_not_take_fails_its_writer_and_nobody_waits(
    store: StateStore,
) -> None:
    with LeaseKeeper(store, "batuta apply"):
        with pytest.raises(UnicodeEncodeError):
            store.write([("INSERT INTO meta VALUES (?, ?)", ("key", "\udcff"))])
        store.write([put_resource(record("after"))])
    assert [found.address for found in store.resources()] == [record("after").address]


def test_several_that_make_one_state_at_once_all_get_it(tmp_path: Path) -> None:
    failed: list[BatutaError] = []

    def make(path: Path, ready: threading.Barrier) -> None:
        ready.wait()
        try:
            StateStore(path).close()
        except BatutaError as error:
            failed.append(error)

    for number in range(10):
        given = (tmp_path / f"{number}.db", threading.Barrier(6))
        threads = [threading.Thread(target=make, args=given) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failed


def test_a_newer_state_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(BatutaError) as refused:
        StateStore(path)
    assert refused.value.diagnostics[0].code == "STA101"


def test_a_state_that_a_newer_batuta_makes_meanwhile_is_refused_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.db"
    real = schema._step

    def overtaken(database: sqlite3.Connection) -> int:
        other = sqlite3.connect(path)
        other.execute("PRAGMA user_version = 99")
        other.close()
        return real(database)

    monkeypatch.setattr(schema, "_step", overtaken)
    with pytest.raises(BatutaError) as refused:
        StateStore(path)
    assert refused.value.diagnostics[0].code == "STA101"


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(b"not a database at all, not even nearly" * 50)
    with pytest.raises(BatutaError) as refused:
        StateStore(path)
    assert refused.value.diagnostics[0].code == "STA102"


def test_verify_finds_an_edited_record(store: StateStore) -> None:
    with LeaseKeeper(store, "test"):
        store.write([put_resource(record("a"))])
    assert store.verify() == []
    database = sqlite3.connect(store.path)
    database.execute("UPDATE resources SET record = replace(record, 'out/a', 'out/b')")
    database.commit()
    database.close()
    assert [d.code for d in store.verify()] == ["STA103"]


def test_a_run_that_was_recorded_before_there_were_anchors_is_read(store: StateStore) -> None:
    run = RunRecord(
        id="r", command="c", plan="p", actor="a", started_at="", ended_at="", status="done",
        actions=1, done=1, failed=0, egress_head=LogHead(7, "ab" * 32),
    )  # fmt: skip
    sql, values = put_run(run)
    before = json.loads(str(values[2]))
    assert before.pop("egress_head") == {"n": 7, "digest": "ab" * 32}
    with LeaseKeeper(store, "test"):
        store.write([(sql, (*values[:2], json.dumps(before), values[3]))])
        assert store.runs() == [replace(run, egress_head=None)]
        store.write([put_run(run)])
    assert store.runs() == [run]
