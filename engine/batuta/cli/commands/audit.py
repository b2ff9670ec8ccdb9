"""`batuta audit`: for the auditor, what is known of a dataset, signed; and checking that offline."""

from pathlib import Path

import click

from batuta.cli import flow
from batuta.cli.app import App, pass_app
from batuta.cli.exit import Exit, of_diagnostics
from batuta.cli.options import moment, workspace_options
from batuta.cli.views import audits


@click.command("audit")
@click.argument("dataset", required=False, metavar="[DATASET]")
@workspace_options
@click.option("--since", metavar="TIME", help="From this time on (RFC 3339, a date, or 30d).")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write it here, not to stdout."
)
@click.option(
    "--verify",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Check an audit, offline.",
)
@click.option(
    "--trust",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="With --verify: the trust file to check with. Default: the workspace's.",
)
@pass_app
def command(
    app: App,
    dataset: str | None,
    since: str | None,
    out: Path | None,
    verify: Path | None,
    trust: Path | None,
) -> int:
    """Write all that is known of DATASET as one signed document, or check one with --verify.

    It says for each version where it lay, at which tier and under which label, which runs could
    have moved it, what they tried to reach, who decided what, and which copies batuta made; and
    what the record does not show, which is summed up on the error stream as well. It reads logs
    and no files: `batuta data verify` hashes those.

    \b
    Example:
        batuta audit orders --since 2026-01-01 --out audit.json
        batuta audit --verify audit.json --trust trust.json
    """
    if (dataset is None) == (verify is None):
        raise click.UsageError("Name a dataset, or a file with --verify.")
    if trust is not None and verify is None:
        raise click.UsageError("--trust goes with --verify; an audit is signed with the own key.")
    if verify is not None:
        return _check(app, app.folder / verify, trust)
    assert dataset is not None
    app.single = dataset
    made = app.open().auditor.audit(dataset, moment(since))
    content = made.content.decode()
    if out is None:
        app.out.verbatim(content)
    else:
        flow.write_document(app.folder / out, content)
    app.err.write(audits.made(app.err.page, made, str(out) if out is not None else None))
    return Exit.OK


def _check(app: App, path: Path, trust: Path | None) -> int:
    from batuta.runtime.audit_check import check_bundle
    from batuta.runtime.trust import read_trust

    known = (
        read_trust(app.folder / trust)
        if trust is not None
        else app.open(connect=False).seals.keys[1]
    )
    found = check_bundle(path, known)
    app.out.write(audits.checked(app.out.page, found))
    code = of_diagnostics(found.problems)
    return Exit.ERROR if code is Exit.OK and found.problems else code
