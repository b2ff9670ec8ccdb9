"""Runs programs in turns and compares them: wall, processor time, peak memory, ratios.

Two shared cores give no seconds worth keeping. So the programs of a comparison take turns round
by round, each round gives a ratio for each pair, and the figure is the median of the rounds.
"""

import ctypes
import math
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

MIB = 1 << 20
ROOT = Path(__file__).resolve().parents[2]
SAMPLE_S = 0.03
_CLOSE_S = 0.25
_KCMP = {"x86_64": 312, "aarch64": 272}  # the system call that tells whether two things are one
TIMES = "\N{MULTIPLICATION SIGN}"
Field = Literal["wall_s", "cpu_s", "peak_mib"]


class ProgramFailedError(Exception):
    """A program of a comparison ended with an exit code that was not expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One run of one program.

    `peak_mib` is the resident memory of its whole process tree, each page of it counted once.
    """

    wall_s: float
    cpu_s: float
    peak_mib: float = 0.0
    output: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the report. `reached` and `bar` are in the same unit; None: no bar of its own.

    `unconfined` is the same figure with workers that stand behind no walls: where there is one,
    the bar is for it.
    """

    section: str
    work: str
    figure: str
    reached: float
    bar: float | None = None
    unit: str = TIMES
    note: str = ""
    unconfined: float | None = None

    @property
    def missed(self) -> bool:
        """True where the figure, as it is printed, is above its bar."""
        judged = self.reached if self.unconfined is None else self.unconfined
        return self.bar is not None and round(judged, 2) > self.bar


def batuta(*arguments: str | Path, confined: bool = True) -> list[str]:
    """Return the command line of this environment's `batuta`."""
    if not confined:
        return [sys.executable, "-m", "tests.bench.unconfined", *map(str, arguments)]
    return [str(Path(sys.executable).parent / "batuta"), *map(str, arguments)]


def python(code: str, *arguments: str | Path) -> list[str]:
    """Return the command line of a Python program given as text."""
    return [sys.executable, "-c", code, *map(str, arguments)]


def run(
    command: Sequence[str | Path],
    *,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    codes: Sequence[int] = (0,),
    memory: bool = True,
) -> Sample:
    """Run a program to its end; processor time is that of its whole process tree.

    What the kernel adds up leaves out what ran in a process namespace that was killed, as a
    confined worker's is; what was seen of each process while it ran counts where that is more.

    Args:
        cwd: Also its home, so that no configuration of the user's takes part.
        codes: Exit codes that count as success.
        memory: Watch the memory and the time of its processes. The watcher takes time of its
            own, about a hundredth of a core.
    """
    place = {
        "PATH": f"{Path(sys.executable).parent}:{os.defpath}",
        "HOME": str(cwd),
        "XDG_STATE_HOME": str(cwd / ".state"),
        "LC_ALL": "C.UTF-8",
        "PYTHONPATH": str(ROOT),
        **(env or {}),
    }
    with tempfile.TemporaryFile() as out:
        start = time.perf_counter()
        process = subprocess.Popen(
            [str(word) for word in command], cwd=cwd, env=place, stdout=out, stderr=out,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        watcher = _Watcher(process.pid) if memory else None
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        peak, seen_s = watcher.stop() if watcher else (0, 0.0)
        out.seek(0)
        text = out.read().decode("utf-8", "replace")
    if process.returncode not in codes:
        shown = " ".join(map(str, command))[:300]
        raise ProgramFailedError(f"exit code {process.returncode} of `{shown}`:\n{text[-2000:]}")
    return Sample(
        wall_s=wall, cpu_s=max(used.ru_utime + used.ru_stime, seen_s), peak_mib=peak / MIB,
        output=text,
    )  # fmt: skip


class _Watcher(threading.Thread):
    """Looks at a process and its descendants many times a second.

    Adds up their resident memory, and keeps for each the processor time it was last seen with.

    A page that several of them share counts once: of a library that ten processes map there is
    one copy. Linux divides such a page among those that share it, and tells at the price of a
    walk through all pages; so that is asked where the plain sum rises, and now and then between.
    """

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._peak = self._most = 0
        self._asked = -math.inf
        self._cpu_s: dict[tuple[int, float], float] = {}
        self._over = threading.Event()
        self.start()

    def run(self) -> None:
        try:
            root = psutil.Process(self._pid)
        except psutil.Error:
            return
        while not self._over.wait(SAMPLE_S):
            total = 0
            try:
                processes = (root, *root.children(recursive=True))
                for process in processes:
                    with process.oneshot():
                        total += process.memory_info().rss
                        spent = process.cpu_times()
                        self._cpu_s[process.pid, process.create_time()] = spent.user + spent.system
                self._peak = max(self._peak, self._once(processes, total), _highest(self._pid))
            except (psutil.Error, OSError):
                continue

    def _once(self, processes: Sequence[psutil.Process], total: int) -> int:
        """Return the memory of some processes; `total` counts shared pages for each of them."""
        if len(processes) == 1:
            return total
        now = time.monotonic()
        if total <= self._most * 1.01 and now < self._asked + _CLOSE_S:
            return 0
        self._most, self._asked = max(self._most, total), now
        return sum(_shared_out(each) for each in processes if not _borrows(each))

    def stop(self) -> tuple[int, float]:
        """Return the peak in bytes and the processor time of all that was seen, in seconds."""
        self._over.set()
        self.join()
        return self._peak, sum(self._cpu_s.values())


def _borrows(process: psutil.Process) -> bool:
    """True for a child that has not got memory of its own yet: between vfork and exec."""
    number = _KCMP.get(os.uname().machine)
    if number is None:
        return False
    told: int = ctypes.CDLL(None).syscall(number, process.pid, process.ppid(), 1, 0, 0)
    return told == 0


def _shared_out(process: psutil.Process) -> int:
    """Return the memory of one process with its part of what it shares, all of it if not told."""
    try:
        text = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    except OSError:
        return int(process.memory_info().rss)
    return next(int(t.split()[1]) * 1024 for t in text.splitlines() if t.startswith("Pss:"))


def _highest(pid: int) -> int:
    """The most that one process held so far; the kernel's `ru_maxrss` counts its parent as well."""
    if sys.platform == "linux":
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


@dataclass(frozen=True, slots=True)
class Rounds:
    """What several programs took, round by round, in turns."""

    samples: Mapping[str, Sequence[Sample]]

    def ratio(self, ours: str, peer: str, field: Field = "wall_s") -> float:
        """Return the median over the rounds of ours to the peer's."""
        pairs = zip(self.samples[ours], self.samples[peer], strict=True)
        return statistics.median(_value(a, field) / max(_value(b, field), 1e-9) for a, b in pairs)

    def middle(self, name: str, field: Field = "wall_s") -> float:
        """Return the median over the rounds of one program."""
        return statistics.median(_value(sample, field) for sample in self.samples[name])

    def peak_mib(self, name: str) -> float:
        """Return the most memory that one program took in any round."""
        return max(sample.peak_mib for sample in self.samples[name])


def _value(sample: Sample, field: Field) -> float:
    return {"wall_s": sample.wall_s, "cpu_s": sample.cpu_s, "peak_mib": sample.peak_mib}[field]


def take_turns(programs: Mapping[str, Callable[[], Sample]], rounds: int) -> Rounds:
    """Run each program once per round, beginning with another one each time."""
    samples: dict[str, list[Sample]] = {name: [] for name in programs}
    names = list(programs)
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            samples[name].append(programs[name]())
    return Rounds(samples)


def exponent(small: float, large: float, growth: float) -> float:
    """Return e where `large` is `small` times `growth` to the power of e."""
    return math.log(large / small, growth)
