"""The diagnostics of the command line itself: CLI1xx, each with a page in `pages/`."""

from collections.abc import Sequence

import click

from batuta.model.diagnostic import Diagnostic, Location


def secret_in_arguments(number: int, column: int) -> Diagnostic:
    """CLI101. Says which argument it is by its place, and holds no part of it."""
    from batuta.manifest.declarations import credentials_written
    from batuta.runtime.registry import declarations

    return Diagnostic(
        code="CLI101",
        summary="A secret on the command line",
        detail=f"Argument {number} holds a secret or names one. It was not used and is not shown "
        "here, but the shell's history and the list of processes may have it.",
        fix="Change the secret if it was a real one. Keep it in the environment (env:NAME), a file "
        "(file:PATH) or the keyring (keyring:SERVICE/NAME), and name that place in the Platform's "
        "manifest, of these fields those that you have:\n"
        f"{credentials_written(declarations())}",
        locations=(Location("<command line>", 1, column),),
    )


def usage(error: click.ClickException, arguments: Sequence[str]) -> Diagnostic:
    """CLI102, from what Click found wrong."""
    path = "batuta"
    if isinstance(error, click.UsageError) and error.ctx is not None:
        path = error.ctx.command_path
    return Diagnostic(
        code="CLI102",
        summary="The command line is not understood",
        detail=error.format_message(),
        fix=f"Read what the command takes:\n  {path} --help",
        locations=(Location("<command line>", 1, _column(error, arguments)),),
    )


def _column(error: click.ClickException, arguments: Sequence[str]) -> int:
    name = error.option_name if isinstance(error, click.NoSuchOption) else None
    column = len("batuta ") + 1
    for argument in arguments:
        if name is not None and argument.partition("=")[0] == name:
            return column
        column += len(argument) + 1
    return 1


def cannot_write(path: str, reason: str) -> Diagnostic:
    """CLI103."""
    return Diagnostic(
        code="CLI103",
        summary="A file cannot be written",
        detail=f"{path}: {reason}.",
        fix="Name another file, or make room for this one.",
    )


def nobody_to_ask(command: str) -> Diagnostic:
    """CLI104. What `plan` can save is what `apply` does; other commands are agreed to."""
    way = f"Agree in advance:\n  {command} --yes"
    if command.partition(" ")[2].partition(" ")[0] == "apply":
        asked = command.removeprefix("batuta apply")
        way = (
            "Apply a plan that was saved and read before, or agree in advance:\n"
            f"  batuta plan{asked} --out plan.json\n"
            "  batuta apply plan.json\n"
            f"  {command} --yes"
        )
    return Diagnostic(
        code="CLI104",
        summary="There is nobody to ask",
        detail=f"`{command}` asks before it changes anything, and this is not a terminal.",
        fix=way,
    )


def another_digest(wanted: str, found: str, command: str = "batuta apply") -> Diagnostic:
    """CLI105."""
    return Diagnostic(
        code="CLI105",
        summary="This is not the approved plan",
        detail=f"Approved is {wanted}, but this plan's digest is {found}.",
        fix="Apply the plan that was approved, or have this one approved:\n"
        f"  {command} --approve-digest {found[:16]}",
    )


def losses_not_allowed(addresses: Sequence[str], command: str) -> Diagnostic:
    """CLI106."""
    flags = " ".join(f"--allow-data-loss '{address}'" for address in addresses)
    return Diagnostic(
        code="CLI106",
        summary="Data would be lost",
        detail=f"Rows, columns, precision or history go in: {', '.join(addresses)}. "
        "Nobody has agreed to that, so nothing was applied.",
        fix=f"Read the plan; if that is what you want, allow it by name:\n  {command} {flags}",
    )


def cost_not_agreed(total: str, command: str) -> Diagnostic:
    """CLI107."""
    return Diagnostic(
        code="CLI107",
        summary="This costs money",
        detail=f"The estimate is {total}. Nobody has agreed to that, so nothing was applied.",
        fix=f"Agree to it, or read less (--dry-run shows what drives the cost):\n  {command} --yes",
    )


def no_such_page(code: str, near: Sequence[str]) -> Diagnostic:
    """CLI108."""
    hint = f" The nearest is {', '.join(near)}." if near else ""
    return Diagnostic(
        code="CLI108",
        summary="No such code",
        detail=f"No page explains `{code}`.{hint}",
        fix="Codes are three letters and three digits, as in error[MAN101]:\n  batuta explain --list",
    )


def no_such_record(name: str, near: Sequence[str]) -> Diagnostic:
    """CLI109."""
    hint = f" The nearest is {', '.join(near)}." if near else ""
    return Diagnostic(
        code="CLI109",
        summary="No such resource in the state",
        detail=f"The state has nothing named `{name}`.{hint}",
        fix="List what it has:\n  batuta state list",
    )


def no_such_run(run: str, near: Sequence[str]) -> Diagnostic:
    """CLI114."""
    hint = f" The nearest is {near[0]}." if near else ""
    return Diagnostic(
        code="CLI114",
        summary="No such run",
        detail=f"No run `{run}` is recorded here.{hint}",
        fix="List the runs, newest first:\n  batuta runs",
    )


def already_there(path: str) -> Diagnostic:
    """CLI110."""
    return Diagnostic(
        code="CLI110",
        summary="A workspace is here already",
        detail=f"{path} exists, and `batuta init` never writes over a file.",
        fix="Edit it, or run `batuta init` in another folder.",
    )


def would_overwrite(path: str) -> Diagnostic:
    """CLI112."""
    return Diagnostic(
        code="CLI112",
        summary="A file is there already",
        detail=f"{path} exists, and nothing was written.",
        fix="Choose another name, or say --replace to write over it.",
    )


def system_refused(error: OSError) -> Diagnostic:
    """CLI111."""
    what = error.strerror or str(error)
    where = f"{error.filename}: " if error.filename else ""
    return Diagnostic(
        code="CLI111",
        summary="The operating system refused",
        detail=f"{where}{what}.",
        fix="Make room, mend the permissions, or move away what stands where a file or folder"
        " belongs, and run the same command again.",
    )


def no_workspace(folder: str) -> Diagnostic:
    """CLI113."""
    return Diagnostic(
        code="CLI113",
        summary="This is no workspace",
        detail=f"Neither {folder} nor a folder above it holds a batuta.yaml.",
        fix="Go into the workspace's folder, or make one here:\n  batuta init",
    )
