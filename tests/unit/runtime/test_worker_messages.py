"""What a worker says is bounded in time and size, and is what it has to be, whoever speaks."""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from batuta.model.diagnostic import ConnectorError
from batuta.model.log import Part, UnitRef
from batuta.model.observed import Unit
from batuta.model.transfer import ChunkReceipt
from batuta.runtime.clock import monotonic_s
from batuta.runtime.transfer import TransferRun
from batuta.runtime.worker.pool import Cancelled, WorkerPool, answer_of, decoded, payload
from batuta.runtime.worker.wire import MOST_BYTES, Reply
from tests.unit.cli.plans import create


def heard(pool: WorkerPool, speak: Callable[[socket.socket], None], code: int = 1) -> float:
    """Let somebody speak in a worker's place; return after how many seconds that was given up."""
    ours, theirs = socket.socketpair()
    speaker = threading.Thread(target=_quietly, args=(speak, theirs), daemon=True)
    worker: Any = SimpleNamespace(channel=ours, process=SimpleNamespace(wait=lambda: code))
    speaker.start()
    began = monotonic_s()
    try:
        pool._next(worker, "somebody")
    finally:
        ours.close()
        speaker.join(5)
        theirs.close()
    return monotonic_s() - began


def _quietly(speak: Callable[[socket.socket], None], channel: socket.socket) -> None:
    with contextlib.suppress(OSError):
        speak(channel)


def drips(channel: socket.socket) -> None:
    channel.sendall(struct.pack("<I", 1000))
    for _ in range(1000):
        threading.Event().wait(0.05)
        channel.sendall(b"x")


def test_a_message_that_comes_in_drips_is_given_up() -> None:
    began = monotonic_s()
    with pytest.raises(ConnectorError, match="no progress"):
        heard(WorkerPool(size=1, stall_s=0.5), drips)
    assert monotonic_s() - began < 20


@pytest.mark.parametrize(("code", "said"), [(-9, "SIGKILL"), (-40, "signal 40"), (3, "code 3")])
def test_however_a_worker_ends_it_is_said(code: int, said: str) -> None:
    """A real-time signal has no name, and a worker can end itself with one."""
    with pytest.raises(ConnectorError, match=said):
        heard(WorkerPool(size=1), socket.socket.close, code)


def receipt(path: str, *keys: str, size_bytes: int = 1) -> ChunkReceipt:
    units = tuple(UnitRef(key, "v") for key in keys)
    part = Part(path=path, size_bytes=size_bytes, sha256="a" * 64, units=units)
    return ChunkReceipt(task="t", chunk=0, files=(part,))


@pytest.mark.parametrize(
    ("copy", "told"),
    [
        (True, receipt("0123456789abcdef")),  # of no unit at all
        (True, receipt("0123456789abcdef", "another.csv")),
        (True, receipt("../0123456789abcdef", "a.csv")),
        (False, receipt("_log/00000000000000000000.json", "a.csv")),
        (False, receipt("part-0123456789abcdef.ald", "a.csv", size_bytes=-1)),
    ],
)
def test_a_worker_that_tells_of_a_file_that_nobody_asked_for_is_not_believed(
    copy: bool, told: ChunkReceipt
) -> None:
    run = TransferRun.__new__(TransferRun)  # what a receipt is compared with is all it needs
    action = create()
    run.action = replace(action, transfer=replace(action.transfer, copy=copy))
    run.units = (Unit(key="a.csv", version="v", size_bytes=1),)
    run._check(receipt("0123456789abcdef" if copy else "part-0123456789abcdef.ald", "a.csv"), "t")
    with pytest.raises(ConnectorError, match="nobody asked for"):
        run._check(told, "t")


def test_a_run_that_is_to_stop_does_not_wait_for_the_rest_of_a_message() -> None:
    pool = WorkerPool(size=1)
    threading.Timer(0.3, pool.stop.set).start()
    with pytest.raises(Cancelled):
        heard(pool, drips)


def test_a_message_is_not_longer_than_one_may_be() -> None:
    with pytest.raises(ConnectorError, match="too long"):
        heard(WorkerPool(size=1), lambda c: c.sendall(struct.pack("<I", MOST_BYTES + 1)))


def test_what_is_no_answer_costs_the_worker_and_nothing_else() -> None:
    with pytest.raises(ConnectorError, match="no answer"):
        heard(WorkerPool(size=1), lambda c: c.sendall(struct.pack("<I", 1) + b"\xc1"))
    with pytest.raises(ConnectorError, match="no answer"):
        decoded(b"\x93\x01\x02\x03", tuple[str, ...], "somebody")


def test_a_worker_that_ends_without_an_answer_is_a_diagnostic_and_no_crash() -> None:
    def ask(told: Callable[[Reply], None]) -> None:
        told(Reply(rows=3))
        told(Reply(end=True))

    with pytest.raises(ConnectorError, match="without an answer") as caught:
        answer_of(ask, payload, "somebody")
    assert caught.value.diagnostics[0].code == "WRK201"
    assert answer_of(lambda told: told(Reply(payload=b"", end=True)), payload, "somebody") == b""
