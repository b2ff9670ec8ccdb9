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

from batuta.runtime.egress.audit import AuditLog, LogHead, Row, log_files
from batuta.runtime.egress.audit_read import follow, rows, verify


def _write(path: Path, count: int, max_bytes: int = 1 << 20) -> LogHead:
    log = AuditLog(path, max_bytes=max_bytes)
    for number in range(count):
        log.append(Row(event="refused", host=f"h{number}.test", code="host.not_allowed", up=number))
    log.close()
    return log.head


def test_what_was_written_is_read_and_proves_itself(tmp_path: Path) -> None:
    path = tmp_path / "egress.jsonl"
    head = _write(path, 20)

    found = verify(path, head=head)
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

    assert [found.code for found in verify(path, head=head).findings]


def test_a_cut_off_end_is_found_by_a_head_kept_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "egress.jsonl"
    head = _write(path, 10)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))

    assert verify(path).findings == ()
    assert [found.code for found in verify(path, head=head).findings] == ["EGR304"]


def test_a_line_torn_by_a_crash_stays_in_the_chain(tmp_path: Path) -> None:
    path = tmp_path / "egress.jsonl"
    _write(path, 3)
    with path.open("ab") as file:
        file.write(b'{"event":"refu')
    head = _write(path, 1)

    found = verify(path, head=head)
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
    found = verify(path, head=head)
    assert (found.rows, found.findings) == (200, ())
    log_files(path)[1].unlink()
    assert {found.code for found in verify(path, head=head).findings} == {"EGR303"}


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
