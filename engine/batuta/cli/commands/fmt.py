"""`batuta fmt`: manifests in one layout; comments and values stay as they were written."""

import os
from pathlib import Path

import click

from batuta.cli.app import App, pass_app
from batuta.cli.exit import Exit, of_diagnostics
from batuta.cli.flow import write_document
from batuta.cli.options import screen_options
from batuta.cli.views import diagnostics, figures
from batuta.model.diagnostic import Diagnostic

# YAML of other tools may lie beside the manifests; only what speaks of batuta is touched.
_MARK = b"batuta.dev/"


@click.command("fmt")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 where a file would change.")
@screen_options
@pass_app
def command(app: App, files: tuple[Path, ...], check: bool) -> int:
    """Bring FILES (all manifests of the workspace when left out) into one layout.

    \b
    Example:
        batuta fmt --check
    """
    from batuta.manifest.format import format_text

    found: list[Diagnostic] = []
    changed = 0
    for path in files or _manifests(app.folder):
        content = path.read_bytes()
        name = os.path.relpath(path, app.folder)
        formatted, findings = format_text(name, content)
        found += findings
        if findings or formatted == content:
            continue
        changed += 1
        if not check:
            write_document(path, formatted.decode())
        app.out.say(f"{'would change' if check else 'formatted'} {name}")
    app.err.write(diagnostics.view(app.err.page, found, lambda file: _text(app.folder / file)))
    if found:
        return of_diagnostics(found)
    app.err.say(f"{figures.counted(changed, 'file')} {'to format' if check else 'formatted'}")
    return Exit.ERROR if check and changed else Exit.OK


def _manifests(folder: Path) -> list[Path]:
    from batuta.runtime.workspace import OVERLAYS, find_workspace, manifest_files

    root = find_workspace(folder, os.environ).root
    globs = ("**/*.yaml", "**/*.yml")
    paths = [root / path for path in manifest_files(root, globs)]
    overlays = root / OVERLAYS
    paths += [overlays / path for path in manifest_files(overlays, globs)]
    return [path for path in paths if overlays in path.parents or _MARK in path.read_bytes()]


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
