"""Threads of the driver have one heap."""

import platform
import subprocess
import sys

import pytest

_GROWTH = """
import sys, threading
from batuta.runtime.heap import share_heap
if sys.argv[1] == "shared":
    share_heap()
def reserved():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmSize"))
met, before = threading.Barrier(9), reserved()
def work():
    kept = [bytes(2000 + each) for each in range(200)]
    met.wait()
    met.wait()
for _ in range(8):
    threading.Thread(target=work).start()
met.wait()
print(reserved() - before)
met.wait()
"""


def _growth_mib(how: str) -> float:
    done = subprocess.run(
        [sys.executable, "-c", _GROWTH, how], capture_output=True, text=True, check=True
    )
    return int(done.stdout) / 1024


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have one heap")
def test_threads_reserve_no_heaps_of_their_own() -> None:
    assert _growth_mib("apart") - _growth_mib("shared") > 5 * 60
