"""`batuta init`: a first workspace to edit; never writes over a file."""

import os
import shlex
from pathlib import Path

import click

from batuta.cli import flow, refusals
from batuta.cli.app import App, pass_app
from batuta.cli.exit import Exit
from batuta.cli.options import screen_options
from batuta.model.diagnostic import BatutaError

SCHEMA_HOST = "https://batuta.dev/schemas/v1"

WORKSPACE = f"""\
# yaml-language-server: $schema={SCHEMA_HOST}/workspace.schema.json
apiVersion: batuta.dev/v1
kind: Workspace
metadata: {{name: {{name}}}}
spec: {{}}
"""

EXAMPLE = f"""\
# yaml-language-server: $schema={SCHEMA_HOST}/dataset.schema.json
apiVersion: batuta.dev/v1
kind: Dataset
metadata: {{name: example}}
spec:
  source: data/example/  # a folder, s3://bucket/prefix/, delta+path, ...
  destination: out/example/
  format: files  # byte for byte; ald, parquet and arrow are for tables
"""

DATA = "id,name\n1,first\n2,second\n"
IGNORE = "# What batuta leaves beside the manifests: state, cache, saved plans\n.batuta/\n"


@click.command("init")
@click.argument("folder", required=False, type=click.Path(path_type=Path, file_okay=False))
@screen_options
@pass_app
def command(app: App, folder: Path | None) -> int:
    """Make a workspace in FOLDER (here when left out): batuta.yaml, an example, .gitignore.

    Files that exist are left as they are; where batuta.yaml exists nothing is written.

    \b
    Example:
        batuta init shop && cd shop && batuta plan
    """
    root = app.folder if folder is None else app.folder / folder
    if (root / "batuta.yaml").exists():
        return flow.refuse(app, refusals.already_there(str(root / "batuta.yaml")))
    files = {
        ".gitignore": IGNORE,
        "data/example/example.csv": DATA,
        "datasets/example.yaml": EXAMPLE,
        # Last: it is what makes the folder a workspace.
        "batuta.yaml": WORKSPACE.replace("{name}", _name(root)),
    }
    for path, text in files.items():
        made = _write(root / path, text)
        app.out.say(f"{'wrote' if made else 'left as it is:'} {path}")
    here = "" if root.resolve() == app.folder.resolve() else f"cd {shlex.quote(str(folder))} && "
    app.out.say(f"Next: {here}batuta plan")
    return Exit.OK


def _name(root: Path) -> str:
    """Return a name that a manifest accepts, after the folder's."""
    kept = "".join(c if c.isascii() and c.isalnum() else "-" for c in root.resolve().name.lower())
    return kept.strip("-")[:60] or "workspace"


def _write(path: Path, text: str) -> bool:
    """Create the file; False where it exists already."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # O_EXCL also refuses a dangling link, which `exists` would call absent.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        return False
    except OSError as error:
        reason = error.strerror or str(error)
        raise BatutaError(refusals.cannot_write(str(path), reason)) from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    return True
