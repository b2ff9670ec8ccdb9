"""The report of a bug: written to a file with secrets taken out; the screen gets its id."""

import os
import platform
import re
import sys
import traceback
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

import batuta

_SECRET_NAME = re.compile(r"TOKEN|SECRET|PASS|KEY|CREDENTIAL|AUTH|SIGNATURE|DSN", re.IGNORECASE)
_PATTERNS = (
    re.compile(r"(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"),
    re.compile(r"(?<=[?&=])(?:X-Amz-[A-Za-z-]+|sig|signature|token)=[^&\s'\"]+", re.IGNORECASE),
    re.compile(r"(?i)(?<=bearer )[\w.~+/=-]{8,}"),
    re.compile(
        r"(?i)(?:password|passwd|passphrase|secret|token|api[-_]?key|access[-_]?key)"
        r"[\"']?\s*[=:]\s*[\"']?[^\s\"',;&)]+"
    ),
    re.compile(r"\b(?:hf_[A-Za-z0-9]{20,}|dapi[0-9a-f]{32}|gh[pousr]_\w{30,}|AKIA[A-Z0-9]{16})\b"),
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----", re.S),
)
_TAKEN_OUT = "[taken out]"
# Shorter values (`1`, `on`) are no secrets, and taking them out would garble the report.
_LEAST_SECRET = 6


def redact(text: str, environ: Mapping[str, str]) -> str:
    """Return `text` without values of secret-looking variables, tokens, passwords, signatures."""
    for spelling in _live_spellings():
        text = text.replace(spelling, _TAKEN_OUT)
    secrets = {v for k, v in environ.items() if _SECRET_NAME.search(k) and len(v) >= _LEAST_SECRET}
    for value in sorted(secrets, key=len, reverse=True):
        text = text.replace(value, _TAKEN_OUT)
    for pattern in _PATTERNS:
        text = pattern.sub(_TAKEN_OUT, text)
    return text


def _live_spellings() -> tuple[str, ...]:
    """Return the secrets in use, where any part of batuta that holds them was loaded at all."""
    loaded = sys.modules.get("batuta.runtime.secret")
    return loaded.live_spellings() if loaded is not None else ()


def state_folder(start: Path, environ: Mapping[str, str]) -> Path:
    """Return `.batuta/` beside the nearest `batuta.yaml`, else the user's state folder."""
    for folder in (start, *start.parents):
        if (folder / "batuta.yaml").is_file():
            return folder / ".batuta"
    home = environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(home) / "batuta"


def write(error: BaseException, arguments: Sequence[str], start: Path) -> tuple[str, Path | None]:
    """Write the report and return its id and file; the file is None where none can be written."""
    report = uuid.uuid4().hex[:12]
    text = "\n".join(
        [
            f"report {report}",
            f"batuta {batuta.__version__}, Python {sys.version.split()[0]}, {platform.platform()}",
            f"arguments: {list(arguments)}",
            "",
            "".join(traceback.format_exception(error)),
        ]
    )
    path = state_folder(start, os.environ) / "reports" / f"{report}.txt"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(redact(text, os.environ))
    except OSError:
        return report, None
    return report, path
