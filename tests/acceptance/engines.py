"""Ways to make the real program run on small data: short parts, few workers, prepared workers."""

from dataclasses import replace

from batuta.runtime.engine import Engine, WorkspaceOptions
from batuta.runtime.worker import warden
from batuta.runtime.worker.pool import WorkerPool

TARGET_BYTES = 256 * 1024
_START = "from batuta.runtime.worker.main import main"


def set_sizes(workers: WorkerPool | None = None, target_bytes: int = TARGET_BYTES) -> None:
    """Make every engine of this process write small parts; in the workers of a pool, if given."""
    real = Engine.open

    def opened(options: WorkspaceOptions, *, connect: bool = True) -> Engine:
        targets = dict.fromkeys(("ald", "arrow", "parquet"), target_bytes)
        engine = real(replace(options, targets=targets), connect=connect)
        if workers is not None:
            engine.pool = workers
        return engine

    Engine.open = staticmethod(opened)  # type: ignore[method-assign]  # the real one runs inside


def prepare_workers(code: str) -> None:
    """Make every worker of this process run `code` before it serves."""
    warden.WORKER_CODE = warden.WORKER_CODE.replace(_START, f"exec({code!r}); {_START}")
