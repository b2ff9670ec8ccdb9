"""References to secrets, turned into values at the last moment and kept nowhere.

`env:NAME`, `file:PATH` (readable by its owner alone), `keyring:SERVICE/NAME`, `profile:NAME`
(handed on: the vendor's own configuration resolves it) and `command:…`.
"""

import os
import shlex
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path

from batuta.model.diagnostic import BatutaError, Diagnostic, Location

_TIMEOUT_S = 30


def resolve(
    reference: str, environment: Mapping[str, str], root: Path, where: tuple[Location, ...] = ()
) -> str:
    """Return the value behind `reference`; never logged, never stored.

    Raises:
        BatutaError: SEC101 with the reference (not the value) and what is wrong with it.
    """
    kind, _, rest = reference.partition(":")
    match kind:
        case "env":
            if rest in environment:
                return environment[rest]
            raise _unresolved(reference, f"the environment has no variable {rest}", where)
        case "file":
            return _from_file(reference, Path(os.path.expanduser(rest)), root, where)
        case "command":
            return _from_command(reference, rest, where)
        case "profile":
            return rest
        case "keyring":
            return _from_keyring(reference, rest, where)
        case _:
            raise _unresolved(
                "(a literal)", "a secret is written as a reference, never as a value", where
            )


def _from_file(reference: str, path: Path, root: Path, where: tuple[Location, ...]) -> str:
    try:
        full = path if path.is_absolute() else root / path
        mode = full.stat().st_mode
        if mode & (stat.S_IRGRP | stat.S_IROTH):
            raise _unresolved(reference, "others can read the file (run: chmod 600 on it)", where)
        return full.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise _unresolved(reference, f"the file cannot be read ({reason})", where) from None


def _from_command(reference: str, command: str, where: tuple[Location, ...]) -> str:
    try:
        done = subprocess.run(
            shlex.split(command), capture_output=True, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, ValueError, subprocess.TimeoutExpired):
        raise _unresolved(reference, "the command cannot be run", where) from None
    if done.returncode != 0:
        raise _unresolved(reference, f"the command ended with {done.returncode}", where)
    return done.stdout.decode(errors="replace").strip()


def _from_keyring(reference: str, rest: str, where: tuple[Location, ...]) -> str:
    try:
        import keyring
    except ImportError:
        raise _unresolved(
            reference, "the package keyring is missing (pip install keyring)", where
        ) from None
    service, _, name = rest.partition("/")
    value = keyring.get_password(service, name)
    if value is None:
        raise _unresolved(reference, "the keyring has no such entry", where)
    return str(value)


def _unresolved(reference: str, why: str, where: tuple[Location, ...]) -> BatutaError:
    return BatutaError(
        Diagnostic(
            code="SEC101",
            summary="A secret cannot be resolved",
            detail=f"`{reference}`: {why}.",
            fix="Set what the reference names, or point it elsewhere (env:NAME, file:PATH, "
            "keyring:SERVICE/NAME, profile:NAME).",
            locations=where,
        )
    )
