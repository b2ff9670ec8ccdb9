"""`batuta` as it is, but for the walls: no worker is confined, and none goes through the gateway.

`python -m tests.bench.unconfined apply --yes`. For the second column of the page only; the
product itself has no such switch.
"""

import sys
from dataclasses import replace

from batuta.runtime.sandbox import levels
from batuta.runtime.sandbox.confinement import Level
from batuta.runtime.sandbox.levels import Choice
from batuta.runtime.worker.posting import Errand
from batuta.runtime.worker.warden import Warden, Worker


def remove_walls() -> None:
    """Start every worker of this process as an ordinary one, with a network of its own."""
    start = Warden.start

    def bare(self: Warden, errand: Errand) -> Worker:
        posting = replace(errand.posting, way=None)
        worker = start(self, replace(errand, posting=posting))
        worker.posting = errand.posting  # so that it is used again for the same work
        return worker

    Warden.start = bare  # type: ignore[method-assign]
    levels.choose = lambda *_need: Choice(level=Level.ADVISORY)


if __name__ == "__main__":
    from batuta.cli.main import main

    remove_walls()
    sys.exit(main())
