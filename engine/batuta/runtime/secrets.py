"""References to secrets, turned into values at the last moment and kept nowhere.

`env:NAME`, `file:PATH` (a file of its owner alone), `keyring:SERVICE/NAME` and `command:…`,
whose output may say until when it holds. `profile:NAME` stands for all the credentials of a
Platform: the vendor's own tools read it, and `Connections` hands it on to them.
"""

import json
import os
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from batuta.model.diagnostic import BatutaError, Diagnostic, Location
from batuta.runtime.private_file import Unfit, read_private
from batuta.runtime.secret import Secret

_TIMEOUT_S = 30
_EXPIRY_NAMES = ("expires_at", "Expiration", "expiration")
_VALUE_NAMES = ("value", "token", "access_token")
# Below this a keyring's backend stores in the clear, or is a null one.
_LEAST_PRIORITY = 1


@dataclass(frozen=True, slots=True)
class Resolved:
    """A value and when it ends: seconds since 1970, None where nobody said."""

    secret: Secret
    expires_s: float | None = None


def resolve(
    reference: str, environment: Mapping[str, str], root: Path, where: tuple[Location, ...] = ()
) -> Resolved:
    """Return the value behind `reference`; never logged, never stored.

    Raises:
        BatutaError: SEC101 with the reference (not the value) and what is wrong with it.
    """
    kind, _, rest = reference.partition(":")
    match kind:
        case "env":
            if rest in environment:
                return Resolved(Secret(environment[rest]))
            raise _unresolved(reference, f"the environment has no variable {rest}", where)
        case "file":
            path = Path(os.path.expanduser(rest))
            return _full(reference, Resolved(_from_file(reference, path, root, where)), where)
        case "command":
            return _full(reference, _from_command(reference, rest, where), where)
        case "profile":
            raise _unresolved(reference, "a profile gives all the credentials, or none", where)
        case "keyring":
            return _full(reference, Resolved(_from_keyring(reference, rest, where)), where)
        case _:
            raise _unresolved(
                "(a literal)", "a secret is written as a reference, never as a value", where
            )


def _full(reference: str, found: Resolved, where: tuple[Location, ...]) -> Resolved:
    """Refuse a secret that was fetched and is empty: the platform would only call it wrong."""
    if not found.secret.use():
        raise _unresolved(reference, "what it names is empty", where)
    return found


def _from_file(reference: str, path: Path, root: Path, where: tuple[Location, ...]) -> Secret:
    try:
        content = read_private(path if path.is_absolute() else root / path)
        return Secret(content.decode().strip())
    except Unfit as error:
        raise _unresolved(reference, str(error), where) from None
    except UnicodeDecodeError:
        raise _unresolved(reference, "the file cannot be read (it is not UTF-8)", where) from None
    except OSError as error:
        why = f"the file cannot be read ({error.strerror})"
        raise _unresolved(reference, why, where) from None


def _from_command(reference: str, command: str, where: tuple[Location, ...]) -> Resolved:
    try:
        done = subprocess.run(
            shlex.split(command), capture_output=True, timeout=_TIMEOUT_S, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        why = f"the command has not ended within {_TIMEOUT_S} seconds"
        raise _unresolved(reference, why, where) from None
    except (OSError, ValueError):
        raise _unresolved(reference, "the command cannot be run", where) from None
    if done.returncode != 0:
        raise _unresolved(reference, f"the command ended with {done.returncode}", where)
    text = done.stdout.decode(errors="replace").strip()
    try:
        return _said(text)
    except ValueError:
        raise _unresolved(reference, "what the command printed has no value", where) from None


def _said(text: str) -> Resolved:
    """What a command printed: the value itself, or a JSON object with value and expiry."""
    if not text.startswith("{"):
        return Resolved(Secret(text))
    try:
        said = json.loads(text)
    except ValueError:
        return Resolved(Secret(text))
    value = next((said[name] for name in _VALUE_NAMES if isinstance(said.get(name), str)), None)
    if value is None:
        raise ValueError("no value")
    ends = next((said[name] for name in _EXPIRY_NAMES if isinstance(said.get(name), str)), None)
    return Resolved(Secret(value), None if ends is None else _seconds(ends))


def _seconds(text: str) -> float:
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _from_keyring(reference: str, rest: str, where: tuple[Location, ...]) -> Secret:
    try:
        import keyring
    except ImportError:
        raise _unresolved(
            reference, "the package keyring is missing (pip install keyring)", where
        ) from None
    backend = keyring.get_keyring()
    if backend.priority < _LEAST_PRIORITY:
        name = type(backend).__module__.rpartition(".")[2]
        why = f"the only keyring here ({name}) keeps secrets in the clear or not at all"
        raise _unresolved(reference, why, where)
    service, _, name = rest.partition("/")
    value = keyring.get_password(service, name)
    if value is None:
        raise _unresolved(reference, "the keyring has no such entry", where)
    return Secret(str(value))


def _unresolved(reference: str, why: str, where: tuple[Location, ...]) -> BatutaError:
    return BatutaError(
        Diagnostic(
            code="SEC101",
            summary="A secret cannot be resolved",
            detail=f"`{reference}`: {why}.",
            fix="Set what the reference names, or point it elsewhere (env:NAME, file:PATH, "
            "keyring:SERVICE/NAME, command:…, or profile:NAME for all the credentials of a Platform).",
            locations=where,
        )
    )
