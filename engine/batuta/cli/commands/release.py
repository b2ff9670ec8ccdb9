"""`batuta release`: batuta forgets a dataset and leaves its data where it lies."""

import click

from batuta.cli import flow
from batuta.cli.app import App, pass_app
from batuta.cli.options import loss_option, workspace_options
from batuta.cli.typed import typed


@click.command("release")
@click.argument("datasets", nargs=-1, required=True, metavar="DATASET...")
@workspace_options
@loss_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_app
def command(
    app: App, datasets: tuple[str, ...], allow_data_loss: tuple[str, ...], yes: bool
) -> int:
    """Forget DATASET (a name or a path) and leave its data where it lies.

    \b
    Example:
        batuta release orders
    """
    from batuta.runtime.planning import PlanRequest

    words = typed(app, "release", *datasets, allow_data_loss=allow_data_loss, yes=yes)
    app.single = datasets[0]  # outside a workspace each place has a state of its own
    engine = app.open(keeps=False)  # what has no state is none to give up
    names = tuple(engine.datasets.name_of(name) for name in datasets)
    request = PlanRequest(release=names, select=names, allow_data_loss=allow_data_loss)
    consent = flow.Consent(command=words, yes=yes, allow_data_loss=allow_data_loss)
    run = flow.Run(resume=words)
    return flow.plan_and_apply(app, engine, request, consent, run)
