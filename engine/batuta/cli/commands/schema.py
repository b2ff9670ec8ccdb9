"""`batuta schema`: the JSON Schemas of the documents, for editors and reviewers."""

from pathlib import Path

import click

from batuta.cli import documents, flow
from batuta.cli.app import App, pass_app
from batuta.cli.options import screen_options


@click.command("schema")
@click.argument("kind", required=False)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FOLDER", help="Write all schemas there."
)
@screen_options
@pass_app
def command(app: App, kind: str | None, out: Path | None) -> int:
    """Print the JSON Schema of KIND (dataset, plan, ...), or list what there is.

    \b
    Example:
        batuta schema dataset > dataset.schema.json
    """
    found = documents.schemas()
    if out is not None:
        for name, text in found.items():
            path = out / name
            path.parent.mkdir(parents=True, exist_ok=True)
            flow.write_document(path, text)
        app.out.say(f"wrote {len(found)} schemas to {out}")
        return 0
    kinds = {Path(name).name.removesuffix(".schema.json"): name for name in found}
    if kind is None:
        for name in kinds:
            app.out.say(name)
        return 0
    if kind.lower() not in kinds:
        raise click.UsageError(f"No schema `{kind}`; there are: {', '.join(kinds)}.")
    app.out.verbatim(found[kinds[kind.lower()]])
    return 0
