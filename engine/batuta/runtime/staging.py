"""Staging folders, which workers write to, and what the supervisor takes over from them.

In a staging folder (the destination's own `_staging/`, or one beside the state for what goes to
an object store) workers write below `work`, in a folder for each transfer. What was taken over
lies beside `work`, again in a folder for each transfer, where no worker can write.
"""

import shutil
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from batuta.runtime.sandbox import publish

WORK = "work"


def taken(work: Path) -> Path:
    """Return where the files of a transfer that works in `work` lie once they are taken over."""
    return work.parent.parent / work.name


def take_over(work: Path, names: Iterable[str]) -> Path:
    """Move finished files to where no worker can reach them; return that folder.

    What an earlier run took over, or published, is passed over.

    Raises:
        BatutaError: EGR204, one of them is no plain finished file.
        OSError: a move failed.
    """
    into = taken(work)
    into.mkdir(exist_ok=True)
    if not work.exists():
        return into
    if sys.platform == "linux":
        publish.take(work, names, into)
    else:
        for name in names:
            with suppress(FileNotFoundError):
                (work / name).replace(into / name)
    return into


def clear(work: Path) -> None:
    """Remove what a transfer staged.

    The folder above it stays until the run ends: a worker that is shared with other datasets may
    be about to have it mounted, and could not be started without it.
    """
    for folder in (work, taken(work)):
        shutil.rmtree(folder, ignore_errors=True)


def tidy(scratch: Path) -> None:
    """Remove the folders of destinations beside the state in which nothing is staged any more."""
    for folder in scratch.glob("*"):
        remove_empty(folder / WORK, folder)


def remove_empty(*folders: Path) -> None:
    """Remove folders that are empty, one after the other; others stay."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()
