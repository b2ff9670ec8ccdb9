"""`batuta destroy`: plans the deletion of a dataset that batuta made, and asks."""

import click

from batuta.cli import flow
from batuta.cli.app import App, pass_app
from batuta.cli.options import loss_option, workspace_options
from batuta.cli.typed import typed


@click.command("destroy")
@click.argument("datasets", nargs=-1, required=True, metavar="DATASET...")
@workspace_options
@loss_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_app
def command(
    app: App, datasets: tuple[str, ...], allow_data_loss: tuple[str, ...], yes: bool
) -> int:
    """Delete the data of DATASET (a name or a path), after showing every file and asking.

    Only what batuta made is ever deleted, never what it imported or what is protected.

    \b
    Example:
        batuta destroy orders
    """
    from batuta.runtime.planning import PlanRequest

    words = typed(app, "destroy", *datasets, allow_data_loss=allow_data_loss, yes=yes)
    app.single = datasets[0]  # outside a workspace each place has a state of its own
    engine = app.open(keeps=False)  # what has no state is none to give up
    names = tuple(engine.datasets.name_of(name) for name in datasets)
    request = PlanRequest(destroy=names, select=names, allow_data_loss=allow_data_loss)
    # Naming a dataset here is the consent to lose its data; the question is still asked.
    consent = flow.Consent(command=words, yes=yes, allow_data_loss=(*allow_data_loss, *names))
    run = flow.Run(resume=words)
    return flow.plan_and_apply(app, engine, request, consent, run)
