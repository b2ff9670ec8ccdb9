"""Secrets in the arguments of a command: found before anything else reads them, never shown.

What stands in argv is in the shell's history, in `ps` and in the logs of CI.
"""

import re
from collections.abc import Sequence

_FIELD = (
    r"(?:token|password|passwd|passphrase|pwd|secret|credentials?|pat|apikey|"
    r"(?:api|access|account|secret|private|shared|signing|encryption|client|sas)[-_.]?(?:key|secret))"
)
# `--hf-token`, `--token=x`, `-token`; the name ends there, so `--token-file` is another flag.
_OPTION = re.compile(rf"^--?(?:[a-z0-9_.]+[-_.])*{_FIELD}(?:=|$)", re.IGNORECASE)
# `--var db_password=x`; a reference to a secret is what belongs there.
_ASSIGNED = re.compile(rf"^(?:--?[a-z0-9-]+=)?(?:[a-z0-9_.-]+[-_.])?{_FIELD}=(.*)$", re.I | re.S)
_REFERENCE = re.compile(r"^(?:env|file|keyring|profile|command):")
_USERINFO = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s:@]*:[^/\s@]+@", re.IGNORECASE)
_SIGNED = re.compile(r"[?&](?:x-amz-signature|x-amz-security-token|sig|signature)=", re.IGNORECASE)
_SHAPES = re.compile(
    r"(?:^|[^a-z0-9])(?:A[KS]IA[0-9A-Z]{16}(?![a-z0-9])|hf_[a-z0-9]{20,}|dapi[0-9a-f]{32}|gh[pousr]_[a-z0-9]{30,}|glpat-[\w-]{20,}|"
    r"xox[abp]-[\w-]{10,}|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.|-----BEGIN [A-Z ]*PRIVATE KEY)",
    re.IGNORECASE,
)


def secret_in(arguments: Sequence[str]) -> tuple[int, int] | None:
    """Return number and column (from 1) of the first argument with a secret, None for none."""
    for number, argument in enumerate(arguments, start=1):
        if _holds_secret(argument):
            before = sum(len(a) + 1 for a in arguments[: number - 1])
            return number, len("batuta ") + before + 1
    return None


def _holds_secret(argument: str) -> bool:
    if _OPTION.match(argument) or _USERINFO.search(argument):
        return True
    if (assigned := _ASSIGNED.match(argument)) and not _REFERENCE.match(assigned[1]):
        return True
    return bool(_SIGNED.search(argument) or _SHAPES.search(argument))
