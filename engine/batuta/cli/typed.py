"""The command that was typed, put together again: what a screen offers to copy really does it."""

import shlex
from collections.abc import Iterable
from typing import TYPE_CHECKING

from batuta.cli.app import App
from batuta.cli.options import CLASSES

if TYPE_CHECKING:
    from batuta.model.resource import DriftPolicy


def typed(
    app: App,
    *words: str,
    select: Iterable[str] = (),
    exclude: Iterable[str] = (),
    resync: Iterable[str] = (),
    on_drift: "DriftPolicy | None" = None,
    allow_data_loss: Iterable[str] = (),
    yes: bool = False,
) -> str:
    """Return a command with all that decides what it does, quoted for a shell.

    The environment and the variables of the workspace are the app's.
    """
    said = ["batuta", *words]
    said += ["--env", app.environment] if app.environment else []
    for name, value in app.variables.items():
        said += ["--var", f"{name}={value}"]
    for flag, values in (("--select", select), ("--exclude", exclude), ("--resync", resync)):
        for value in values:
            said += [flag, value]
    for choice in _choices(on_drift):
        said += ["--on-drift", choice]
    for value in allow_data_loss:
        said += ["--allow-data-loss", value]
    return shlex.join([*said, *(["--yes"] if yes else [])])


def _choices(policy: "DriftPolicy | None") -> list[str]:
    if policy is None:
        return []
    chosen = [(name, getattr(policy, name).value) for name in CLASSES]
    if len({choice for _, choice in chosen}) == 1:
        return [chosen[0][1]]
    return [f"{name}={choice}" for name, choice in chosen if choice != "Stop"]
