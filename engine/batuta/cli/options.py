"""Options that several commands share."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from batuta.cli.app import App, option_callback

if TYPE_CHECKING:
    from batuta.model.resource import DriftPolicy

_C = TypeVar("_C", bound=Callable[..., Any])

CLASSES = ("additive", "widening", "breaking", "semantic")
CHOICES = ("Apply", "Skip", "Force", "Stop")


def _no_colour(app: App, _value: bool) -> None:
    app.out, app.err = app.out.without_colour(), app.err.without_colour()


def _exact(app: App, _value: bool) -> None:
    app.out, app.err = app.out.exactly(), app.err.exactly()


def _environment(app: App, value: str) -> None:
    app.environment = value


def _variables(app: App, values: tuple[str, ...]) -> None:
    for each in values:
        name, equals, value = each.partition("=")
        if not equals or not name:
            raise click.BadParameter("write it as NAME=VALUE", param_hint="--var")
        app.variables[name] = value


def screen_options(command: _C) -> _C:
    """Add `--no-color` and `--exact`."""
    command = click.option(
        "--exact",
        is_flag=True,
        expose_value=False,
        callback=option_callback(_exact),
        help="Figures to the last byte, lists to the last name.",
    )(command)
    return click.option(
        "--no-color",
        is_flag=True,
        expose_value=False,
        callback=option_callback(_no_colour),
        help="No colour; the text stays the same. NO_COLOR does it too.",
    )(command)


def workspace_options(command: _C) -> _C:
    """Add `--env` and `--var`, and the options of the screen."""
    command = screen_options(command)
    command = click.option(
        "--var",
        multiple=True,
        metavar="NAME=VALUE",
        expose_value=False,
        callback=option_callback(_variables),
        help="Set a variable of the workspace. May be repeated.",
    )(command)
    return click.option(
        "--env",
        metavar="NAME",
        expose_value=False,
        callback=option_callback(_environment),
        help="The environment: its overlay, variables and state.",
    )(command)


def selection_options(command: _C) -> _C:
    """Add `--select`, `--exclude` and `--resync`."""
    command = click.option(
        "--resync",
        multiple=True,
        metavar="SELECTOR",
        help="Read these datasets anew, whatever is recorded. May be repeated.",
    )(command)
    command = click.option(
        "--exclude",
        multiple=True,
        metavar="SELECTOR",
        help="Leave these datasets out. May be repeated.",
    )(command)
    return click.option(
        "--select",
        multiple=True,
        metavar="SELECTOR",
        help="Only these: NAME, a glob, tag:K=V, tier:T, platform:P, +NAME (with what it "
        "reads), NAME+ (with what reads it). May be repeated.",
    )(command)


def drift_option(command: _C) -> _C:
    """Add `--on-drift`."""
    return click.option(
        "--on-drift",
        multiple=True,
        metavar="[CLASS=]CHOICE",
        callback=_drift_policy,
        help="What to do with schema drift: Apply, Skip, Force or Stop, for all classes or, as "
        "additive=Apply, for one. May be repeated.",
    )(command)


def _drift_policy(
    _context: click.Context, _option: click.Parameter, values: tuple[str, ...]
) -> "DriftPolicy | None":
    if not values:
        return None
    from batuta.model.resource import DriftChoice, DriftPolicy

    chosen: dict[str, DriftChoice] = {}
    for each in values:
        name, _, text = each.rpartition("=")
        if name and name not in CLASSES:
            raise click.BadParameter(f"a class is one of {', '.join(CLASSES)}")
        if text.capitalize() not in CHOICES:
            raise click.BadParameter(f"a choice is one of {', '.join(CHOICES)}")
        chosen |= dict.fromkeys([name] if name else CLASSES, DriftChoice(text.capitalize()))
    return DriftPolicy(**chosen)


def egress_option(command: _C) -> _C:
    """Add `--egress`."""
    return click.option(
        "--egress", metavar="NAME", help="The EgressPolicy to go by, one of the workspace's."
    )(command)


def loss_option(command: _C) -> _C:
    """Add `--allow-data-loss`."""
    return click.option(
        "--allow-data-loss",
        multiple=True,
        metavar="ADDRESS",
        help="Let this dataset (Dataset/NAME) lose data in this run. May be repeated.",
    )(command)


def moment(text: str | None) -> str | None:
    """Return the time that a `--since` names, RFC 3339 in UTC; None where none is given.

    Raises:
        BadParameter: It is neither a time, nor a date, nor a duration such as `30d`.
    """
    if text is None:
        return None
    import re
    from datetime import UTC, datetime, timedelta

    from batuta.manifest.scalars import DURATION, duration_s

    if DURATION.pattern and re.fullmatch(DURATION.pattern, text):
        when = datetime.now(UTC) - timedelta(seconds=duration_s(text))
    else:
        try:
            when = datetime.fromisoformat(text)
        except ValueError as error:
            raise click.BadParameter(
                f"{text!r} is neither a time (2026-01-31, 2026-01-31T12:00:00Z) nor a duration (30d)",
                param_hint="--since",
            ) from error
        when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
