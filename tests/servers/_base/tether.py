"""Become another program that the kernel kills when the process that asked for it ends.

    python tether.py PARENT_PID PROGRAM ARGUMENTS...

Started in place of the program itself. Nothing but the standard library is imported, and it runs
by its path, so that it starts in an interpreter without site packages.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(sys.argv[1]):  # it ended before the line above took effect
        sys.exit(1)
    os.execv(sys.argv[2], sys.argv[2:])
