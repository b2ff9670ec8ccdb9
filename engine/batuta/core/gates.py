"""What closes the way for one action: losing data, money and bytes, disk space."""

from dataclasses import dataclass

from batuta.core import refusals
from batuta.core.case import Case
from batuta.core.reasons import Why
from batuta.core.shape import Shape
from batuta.core.transfer_plan import Reading, cost_of
from batuta.model.cost import Confidence
from batuta.model.diagnostic import Diagnostic, Severity
from batuta.model.plan import Volume

Closed = tuple[Why, Diagnostic]


@dataclass(frozen=True, slots=True)
class Loss:
    """What a transfer would lose. `why` is set where nobody chose that, so leave is needed."""

    any: bool
    why: str | None

    @property
    def needs_leave(self) -> bool:
        """True where the loss follows from no choice of the manifest and must be allowed."""
        return self.why is not None

    @staticmethod
    def of(case: Case, shaped: Shape | None, reading: Reading) -> "Loss":
        """Return what a reading under a shape loses: columns, precision, or rows."""
        if reading.loss is not None:
            return Loss(True, reading.loss)
        if shaped is not None and shaped.loses and not shaped.asked:
            return Loss(
                True, "the edited choice of columns drops or narrows columns that are there."
            )
        history = case.dataset.history
        unkept = bool(reading.vanished) and history.keep_s == 0 and history.versions == 0
        return Loss(unkept or (shaped is not None and shaped.loses), None)


def data_loss(case: Case, loss: Loss) -> Closed | None:
    """Closed where a protected dataset would lose anything, or any dataset what nobody chose."""
    live = case.live
    protect = case.dataset.protect or (live is not None and live.protect)
    if loss.any and live is not None and protect:
        place = case.dataset.place("spec.protect")
        return Why.PROTECTED, refusals.protected(case.dataset.address, place)
    if loss.why is not None and not case.asked(case.world.input.asked.allow_data_loss):
        return Why.DATA_LOSS, refusals.loses(case, loss.why)
    return None


def budget(case: Case, volume: Volume) -> Closed | None:
    """Closed where an action reads more bytes than the dataset's or the workspace's budget."""
    dataset, workspace = case.dataset, case.world.input.desired.workspace
    caps = [b.max_bytes for b in (dataset.budget, workspace.budget) if b.max_bytes is not None]
    if not caps or volume.read_bytes <= min(caps):
        return None
    return Why.OVER_BUDGET, Diagnostic(
        code="CST101",
        summary="More bytes would be read than the budget allows",
        detail=f"{dataset.address} would read {volume.read_bytes} bytes; the budget allows"
        f" {min(caps)}.",
        fix="Raise `budget.maxBytes`, or read less: fewer columns, files or rows.",
        locations=dataset.place("spec.budget.maxBytes"),
        address=dataset.address,
    )


def unknown_price(case: Case) -> tuple[Diagnostic, ...]:
    """A warning where there is a budget in money and no price to hold against it."""
    dataset, workspace = case.dataset, case.world.input.desired.workspace
    limits = [b.per_run or b.per_month for b in (dataset.budget, workspace.budget)]
    limit = next((limit for limit in limits if limit), None)
    if limit is None or cost_of(case, Volume()).confidence is not Confidence.UNKNOWN:
        return ()
    return (
        Diagnostic(
            code="CST102",
            summary="A budget cannot be checked without a price",
            detail=f"{dataset.address} has a budget of {limit}, and what its transfer costs is"
            " not known.",
            fix="Set `budget.maxBytes` as well: bytes are always known.",
            severity=Severity.WARNING,
            locations=dataset.place("spec.budget"),
            address=dataset.address,
        ),
    )


def space(case: Case, volume: Volume) -> Closed | None:
    """Closed where the destination has less space than staging and new files need.

    Superseded files are moved into history on a file system, so they need no space again. The
    free figure stands only here: it changes all the time and must not be part of a plan that
    can be done.
    """
    free = case.destination.free_bytes
    needed = volume.staging_bytes + volume.new_bytes
    if free is None or needed <= free:
        return None
    dataset = case.dataset
    return Why.NO_SPACE, Diagnostic(
        code="PLN109",
        summary="There is not enough space at the destination",
        detail=f"{dataset.address} needs {needed} bytes at {dataset.destination}"
        f" (staging {volume.staging_bytes}, new {volume.new_bytes}; {volume.history_bytes} more go"
        f" from the current snapshot into history, in place); {free} are free.",
        fix="Free some space, shorten `history`, or name another destination.",
        locations=dataset.place("spec.destination"),
        address=dataset.address,
    )
