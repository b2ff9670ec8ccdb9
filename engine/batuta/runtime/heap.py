"""Where the memory of threads comes from."""

import ctypes
import sys

_M_ARENA_MAX = -8


def share_heap() -> None:
    """Let all threads of this process allocate from one heap, where the C library has several.

    glibc gives each thread one of its own, from which a text that another thread lets go of does
    not come back: a driver's threads work on thousands of small things, one at a time, and would
    keep a tenth of its memory apart.
    """
    if sys.platform != "linux":
        return
    choose = getattr(ctypes.CDLL(None), "mallopt", None)
    if choose is not None:
        choose(_M_ARENA_MAX, 1)
