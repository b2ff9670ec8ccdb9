"""The egress log: whatever happens to it afterwards is found."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batuta.model.egress import NO_LINES, LogHead
from batuta.runtime.egress.anchors import Anchor
from batuta.runtime.egress.audit import AuditLog, Row, log_files
from batuta.runtime.egress.audit_read import follow, head_of, rows, verify


def _write(path: Path, count: int, max_bytes: int = 1 << 20) -> LogHead:
    log = AuditLog(path, max_bytes=max_bytes)
    for number in range(count):
        log.append(Row(event="refused", host=f"h{number}.test", code="host.not_allowed", up=number))
    log.close()
    return log.head


def test_what_was_written_is_read_and_proves_itself(tmp_path: Path) -> None:
    path = tmp_path / "egress.jsonl"
    head = _write(path, 20)

    found = verify(path, anchors=[Anchor(head, "run r")])
    assert (found.rows, found.torn, found.findings, found.head) == (20, 0, (), head)
    assert [row.host for row in rows(path)] == [f"h{n}.test" for n in range(20)]
    assert path.stat().st_mode & 0o077 == 0


def test_no_log_is_an_empty_one(tmp_path: Path) -> None:
    found = verify(tmp_path / "egress.jsonl")
    assert (found.rows, found.head.n, found.findings) == (0, 0, ())


@given(
    edit=st.sampled_from(["flip", "drop", "swap", "twice", "insert"]),
    at=st.integers(0, 8),
    offset=st.integers(0, 200),
)
def test_an_edit_is_found(
    tmp_path_factory: pytest.TempPathFactory, edit: str, at: int, offset: int
) -> None:
    path = tmp_path_factory.mktemp("log") / "egress.jsonl"
    head = _write(path, 10)
    lines = path.read_bytes().splitlines(keepends=True)
    match edit:
        case "flip":
            line = bytearray(lines[at])
            line[offset % (len(line) - 1)] ^= 1
            lines[at] = bytes(line)
        case "drop":
            del lines[at]
        case "swap":
            lines[at], lines[at + 1] = lines[at + 1], lines[at]
        case "twice":
            lines.insert(at, lines[at])
        case _:
            lines.insert(at, b'{"event":"refused","n":1}\n')
    path.write_bytes(b"".join(lines))

    assert [found.code for found in verify(path, anchors=[Anchor(head, "run r")]).findings]


def test_a_cut_off_end_is_found_by_a_head_kept_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "egress.jsonl"
    head = _write(path, 10)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))

    assert verify(path).findings == ()
    assert [found.code for found in verify(path, anchors=[Anchor(head, "run r")]).findings] == [
        "EGR304"
    ]


def test_any_number_of_heads_that_were_kept_hold_a_log_that_grew_through_rotation(
    tmp_path: Path,
) -> None:
    """Each run keeps the head of its time; what others append later does not matter to it."""
    path = tmp_path / "egress.jsonl"
    log = AuditLog(path, max_bytes=2000)
    anchors = [Anchor(NO_LINES, "run 0")]
    for number in range(60):
        log.append(Row(event="refused", up=number))
        anchors.append(Anchor(log.settled(), f"run {number + 1}"))
    log.close()

    assert len(log_files(path)) > 3
    found = verify(path, anchors=anchors)
    assert (found.findings, found.anchor) == ((), anchors[-1])
    assert head_of(path) == anchors[-1].head == log.settled()


def test_one_finding_names_the_newest_of_the_heads_that_are_gone(tmp_path: Path) -> None:
    path = tmp_path / "egress.jsonl"
    anchors = [Anchor(_write(path, 3), f"run {number}") for number in range(4)]
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:5]))

    (finding,) = verify(path, anchors=anchors).findings
    assert finding.code == "EGR304"
    assert "Line 12" in finding.detail
    assert "run 3" in finding.detail
    assert "3 heads" in finding.detail
    path.unlink()
    assert [found.code for found in verify(path, anchors=anchors).findings] == ["EGR304"]


def test_a_log_that_was_cut_off_and_written_on_is_another_log(tmp_path: Path) -> None:
    """The chain holds, and there are lines enough: only their digests tell."""
    path = tmp_path / "egress.jsonl"
    anchors = [Anchor(_write(path, 5), f"run {number}") for number in range(2)]
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:4]))
    _write(path, 20)

    assert verify(path).findings == ()
    (finding,) = verify(path, anchors=anchors).findings
    assert finding.code == "EGR308"
    assert "Line 5" in finding.detail
    assert "run 0" in finding.detail


def test_a_head_that_may_be_of_another_log_is_no_finding(tmp_path: Path) -> None:
    path = tmp_path / "egress.jsonl"
    mine = Anchor(_write(path, 3), "version 0", sure=False)
    other = Anchor(LogHead(2, "ab" * 32), "version 1", sure=False)

    found = verify(path, anchors=[mine, other])
    assert (found.findings, found.missing) == ((), (other,))


def test_the_head_of_a_log_is_a_line_that_is_whole(tmp_path: Path) -> None:
    """A line that is being written, or was torn, is never what is kept elsewhere."""
    path = tmp_path / "egress.jsonl"
    assert head_of(path) == NO_LINES
    head = _write(path, 3)
    with path.open("ab") as file:
        file.write(b'{"event":"refu')
    assert head_of(path) == head
    _write(path, 1)
    assert verify(path, anchors=[Anchor(head, "run r")]).findings == ()
    assert head_of(path).n == 6


def test_a_line_torn_by_a_crash_stays_in_the_chain(tmp_path: Path) -> None:
    path = tmp_path / "egress.jsonl"
    _write(path, 3)
    with path.open("ab") as file:
        file.write(b'{"event":"refu')
    head = _write(path, 1)

    found = verify(path, anchors=[Anchor(head, "run r")])
    assert (found.findings, found.torn) == ((), 1)
    assert [row.event for row in rows(path)][-2:] == ["torn", "refused"]


def test_a_torn_line_cannot_hide_an_edit(tmp_path: Path) -> None:
    """A line that was made unreadable afterwards is no torn one: what follows does not say so."""
    path = tmp_path / "egress.jsonl"
    _write(path, 5)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = b"#\n"
    path.write_bytes(b"".join(lines))

    assert {found.code for found in verify(path).findings} == {"EGR303"}


def test_the_chain_goes_on_through_files(tmp_path: Path) -> None:
    path = tmp_path / "egress.jsonl"
    head = _write(path, 200, max_bytes=4000)

    assert len(log_files(path)) > 5
    found = verify(path, anchors=[Anchor(head, "run r")])
    assert (found.rows, found.findings) == (200, ())
    log_files(path)[1].unlink()
    assert {found.code for found in verify(path, anchors=[Anchor(head, "run r")]).findings} == {
        "EGR303"
    }


def test_many_writers_make_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "egress.jsonl"
    code = (
        "import sys; from pathlib import Path\n"
        "from batuta.runtime.egress.audit import AuditLog, Row\n"
        "log = AuditLog(Path(sys.argv[1]), max_bytes=8000)\n"
        "for _ in range(50): log.append(Row(event='refused'))\n"
    )
    others = [subprocess.Popen([sys.executable, "-c", code, str(path)]) for _ in range(2)]
    log = AuditLog(path, max_bytes=8000)

    def write() -> None:
        for _ in range(50):
            log.append(Row(event="refused"))

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [other.wait(60) for other in others] == [0, 0]
    log.close()

    found = verify(path)
    assert (found.rows, found.findings) == (250, ())


def test_following_sees_each_line_once_through_rotation(tmp_path: Path) -> None:
    path = tmp_path / "egress.jsonl"
    log = AuditLog(path, max_bytes=2000)
    log.append(Row(event="refused"))
    done = threading.Event()
    seen: list[int] = []

    def read() -> None:
        for row in follow(path, stop=done.is_set):
            seen.append(row.n)
            if row.n == 60:
                done.set()

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(59):
        log.append(Row(event="refused"))
    reader.join(20)
    log.close()

    assert seen == list(range(1, 61))
    assert [row.n for row in follow(path, stop=lambda: True, since=55)] == [56, 57, 58, 59, 60]


@pytest.mark.parametrize("read", ["rows", "verify", "follow"])
def test_a_rotation_between_listing_and_opening_hides_no_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: str
) -> None:
    path = tmp_path / "egress.jsonl"
    log = AuditLog(path, max_bytes=2000)
    for _ in range(5):
        log.append(Row(event="refused"))
    left = [1]

    def listed(of: Path) -> list[Path]:
        found = log_files(of)
        if left and left.pop():
            for _ in range(40):  # more than one rotation
                log.append(Row(event="refused"))
        return found

    monkeypatch.setattr("batuta.runtime.egress.audit_read.log_files", listed)
    if read == "verify":
        assert verify(path).findings == ()
        return
    found = rows(path) if read == "rows" else follow(path, stop=lambda: True)
    numbers = [row.n for row in found]
    assert numbers == list(range(1, numbers[-1] + 1))
    log.close()


def test_a_closed_log_takes_nothing(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "egress.jsonl")
    log.close()
    log.close()
    with pytest.raises(OSError, match="closed"):
        log.append(Row(event="refused"))


def test_the_log_is_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "egress.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        AuditLog(tmp_path / "egress.jsonl")
    assert not (tmp_path / "elsewhere").exists()


def test_a_line_is_canonical_and_leaves_out_what_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "egress.jsonl"
    _write(path, 1)
    line = path.read_bytes()
    stored = json.loads(line)
    assert line == json.dumps(stored, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    assert set(stored) == {"n", "time", "event", "host", "code", "previous"}
    assert os.listdir(tmp_path)
