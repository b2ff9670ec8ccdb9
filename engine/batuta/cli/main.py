"""The entry point: runs a command and turns whatever happens into an exit code.

Nothing below this module ends the process. What only a failing command needs is imported
when it fails, so that a command that works does not wait for it.
"""

import errno
import gc
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from batuta.cli import argv
from batuta.cli.root import Invocation, root

# A plan of thousands of datasets lives until the end: looking it through for garbage each 700
# objects, as is the default, takes a tenth of the time and finds nothing.
_COLLECT = (50_000, 20, 50)

# What a machine may say at any time, with no bug behind it.
_ORDINARY = {
    errno.EISDIR,
    errno.ENOTDIR,
    errno.ELOOP,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EMFILE,
}

if TYPE_CHECKING:
    from batuta.cli.app import App
    from batuta.model.diagnostic import Diagnostic


def main(arguments: Sequence[str] | None = None, app: "App | None" = None) -> int:
    """Run `batuta` with `arguments` (those of the process when None); return the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    invocation = Invocation(app)
    gc.set_threshold(*_COLLECT)
    try:
        code = _run(given, invocation)
        sys.stdout.flush()
    except BrokenPipeError:
        from batuta.cli.pipe import close_quietly

        close_quietly()
        return 1
    finally:
        if invocation.app is not None:
            invocation.app.close()
    return code


def _run(given: list[str], invocation: Invocation) -> int:
    if (found := argv.secret_in(given)) is not None:
        from batuta.cli.refusals import secret_in_arguments

        return _refuse(secret_in_arguments(*found), invocation)
    try:
        if given[:1] not in (["--version"], ["--help"]):
            from batuta.cli.interrupt import end_on_sigterm

            end_on_sigterm()
        answer = root.main(given, prog_name="batuta", standalone_mode=False, obj=invocation)
    except (click.Abort, KeyboardInterrupt):
        return _cancelled(invocation)
    except click.ClickException as error:
        from batuta.cli.refusals import usage

        return _refuse(usage(error, given), invocation)
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001  # the last stop, where a bug becomes a report
        return _failed(error, given, invocation)
    return answer if isinstance(answer, int) else 0


def _app(invocation: Invocation) -> "App":
    from batuta.cli.app import app_on_terminal

    if invocation.app is None:
        invocation.app = app_on_terminal()
    found: App = invocation.app
    return found


def _refuse(diagnostic: "Diagnostic", invocation: Invocation) -> int:
    from batuta.cli.exit import of_diagnostics
    from batuta.cli.views import diagnostics

    app = _app(invocation)
    app.err.write(diagnostics.view(app.err.page, [diagnostic], diagnostics.no_source))
    return of_diagnostics([diagnostic])


def _cancelled(invocation: Invocation) -> int:
    from batuta.cli.exit import Exit

    _app(invocation).err.say("cancelled")
    return Exit.CANCELLED


def _failed(error: Exception, given: list[str], invocation: Invocation) -> int:
    from batuta.cli.exit import Exit, of_error
    from batuta.cli.views import diagnostics
    from batuta.model.diagnostic import BatutaError, typed_again

    app = _app(invocation)
    if isinstance(error, BatutaError):
        found = error.diagnostics
        if app.engine is not None and not app.engine.in_workspace:
            found = typed_again(found)
        app.err.write(diagnostics.view(app.err.page, found, app.source))
        return of_error(error)

    if isinstance(error, OSError) and error.errno in _ORDINARY:
        from batuta.cli.refusals import system_refused

        return _refuse(system_refused(error), invocation)

    from batuta.cli import crash

    report, path = crash.write(error, given, app.folder)
    where = f"written to {path}" if path else "which could not be written to the state folder"
    app.err.say(f"batuta has a bug: report {report}, {where}")
    return Exit.BUG
