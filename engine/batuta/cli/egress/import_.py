"""`batuta egress import`: hosts as a platform itself states them, as an EgressPolicy document."""

import re
import sys
from pathlib import Path

import click

from batuta.cli import flow, refusals
from batuta.cli.app import App, pass_app
from batuta.cli.exit import Exit
from batuta.cli.options import screen_options

FORMS = (
    "snowflake-allowlist", "aws-vpc-endpoints", "azure-storage-account", "huggingface-domains",
    "hosts",
)  # fmt: skip
TIERS = ("FullySovereign", "HybridSovereign", "PrivateCloud", "Standard")
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


def _name(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    if value is not None and not _NAME.fullmatch(value):
        raise click.BadParameter("small letters, digits and `-`, as names in manifests are")
    return value


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        reason = f"{path} cannot be read: {error.strerror or error}"
        raise click.BadParameter(reason, param_hint="FILE") from error


@click.command("import")
@click.argument("form", type=click.Choice(FORMS), metavar="FORM")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--name", callback=_name, help="The policy's name. Default: FORM.")
@click.option(
    "--tier",
    "tiers",
    multiple=True,
    type=click.Choice(TIERS),
    help="For this tier. May be repeated.",
)
@click.option(
    "--dataset", "datasets", multiple=True, metavar="GLOB", help="For these. May be repeated."
)
@click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write it here, not to stdout.",
)
@click.option("--replace", is_flag=True, help="With --out: write over the file that is there.")
@screen_options
@pass_app
def command(
    app: App,
    form: str,
    file: Path,
    name: str | None,
    tiers: tuple[str, ...],
    datasets: tuple[str, ...],
    out: Path | None,
    replace: bool,
) -> int:
    """Make an EgressPolicy of the hosts that FILE states; `-` reads standard input.

    FORM says what printed it: snowflake-allowlist (SYSTEM$ALLOWLIST() and its PRIVATELINK
    sister), aws-vpc-endpoints (aws ec2 describe-vpc-endpoints), azure-storage-account (az storage
    account show), huggingface-domains (.well-known/meta.json), or hosts (a host or host:port a
    line). Lists of addresses are refused: they say nothing about hosts.

    \b
    Example:
        batuta egress import snowflake-allowlist allowlist.json --tier PrivateCloud -o egress.yaml
    """
    from batuta.runtime.egress_import import Naming, imported

    path = None if out is None else app.folder / out
    if path is not None and path.exists() and not replace:
        return flow.refuse(app, refusals.would_overwrite(str(out)))
    content = sys.stdin.buffer.read() if str(file) == "-" else _read(app.folder / file)
    source = "stdin" if str(file) == "-" else file.name
    naming = Naming(name=name or form, tiers=tiers, datasets=datasets)
    text = imported(form, source, content, naming)
    if path is None:
        app.out.verbatim(text)
    else:
        there = path.exists()
        with flow.writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        flow.write_document(path, text)
        app.err.say(f"{'Replaced' if there else 'Wrote'} {out}. Check it with: batuta validate")
    return Exit.OK
