"""`python -m batuta.cli.generate`: writes `schemas/` and the generated pages of `docs/reference/`.

With `--check` nothing is written, and the exit code is 1 where a file is not what it would be.
"""

from collections.abc import Sequence
from pathlib import Path

import click

from batuta.cli import documents


def wanted(parts: Sequence[str]) -> dict[Path, str]:
    """Return the text of every generated file by its path from the root of the repository."""
    found: dict[Path, str] = {}
    if "schemas" in parts:
        found |= {Path("schemas") / name: text for name, text in documents.schemas().items()}
    if "docs" in parts:
        found |= {Path("docs/reference") / name: t for name, t in documents.pages().items()}
    return found


def stale(root: Path, files: dict[Path, str]) -> list[Path]:
    """Return the files that are missing or differ, and schemas that nothing makes any more."""
    differing = [p for p, text in files.items() if _text(root / p) != text]
    if any(p.parts[0] == "schemas" for p in files):
        there = (p.relative_to(root) for p in (root / "schemas").rglob("*.json"))
        differing += [p for p in there if p not in files]
    return sorted(differing)


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(["schemas", "docs"]))
@click.option("--check", is_flag=True, help="Write nothing; fail where a file is stale.")
@click.option("--root", type=click.Path(path_type=Path), default=".", help="The repository.")
def command(parts: tuple[str, ...], check: bool, root: Path) -> int:
    """Write the generated files, or check them."""
    files = wanted(parts or ("schemas", "docs"))
    old = stale(root, files)
    for path in old:
        if check:
            click.echo(f"stale: {path}")
        elif path in files:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(files[path], encoding="utf-8")
            click.echo(f"wrote {path}")
        else:
            (root / path).unlink()
            click.echo(f"removed {path}")
    return 1 if check and old else 0


if __name__ == "__main__":
    raise SystemExit(command(standalone_mode=False))
