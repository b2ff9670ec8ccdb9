"""Where a workspace is, which files belong to it, and where its state, cache and scratch lie."""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import translate
from pathlib import Path

from batuta.model.address import parse_address
from batuta.model.canonical import digest

MANIFEST = "batuta.yaml"
STATE_FOLDER = ".batuta"
OVERLAYS = "environments"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspacePlaces:
    """`root` is what relative paths start at; `home` holds state, cache, plans and staging.

    `declared` is False where no `batuta.yaml` was found on the way up. `lent` is a folder that
    goes with the process and has state and cache instead, where none is to be left behind.
    """

    root: Path
    home: Path
    declared: bool
    lent: Path | None = None

    def database(self, environment: str | None) -> Path:
        """The state database; each environment has one of its own."""
        folder = self.lent or self.home
        return folder / f"state-{environment}.db" if environment else folder / "state.db"

    @property
    def databases(self) -> tuple[Path, ...]:
        """The state databases of all environments that have one."""
        found = [self.home / "state.db", *sorted(self.home.glob("state-*.db"))]
        return tuple(path for path in found if path.exists())

    @property
    def cache(self) -> Path:
        """The cache's file."""
        return (self.lent or self.home) / "cache.db"

    @property
    def plans(self) -> Path:
        """The folder of saved plans."""
        return self.home / "plans"

    @property
    def keys(self) -> Path:
        """The folder of the signing key and the trust file."""
        # One-line commands outside a workspace have a state each, and the keys in common.
        return (self.home if self.declared else self.home.parent) / "keys"

    @property
    def egress_log(self) -> Path:
        """The log of what workers tried to reach."""
        return self.home / "egress" / "audit.jsonl"

    @property
    def scratch(self) -> Path:
        """The folder for staging where the destination is not on this file system."""
        return self.home / "staging"


def find_workspace(
    folder: Path, environment: Mapping[str, str], single: str | None = None
) -> WorkspacePlaces:
    """Walk up from `folder` to a `batuta.yaml`; without one, keep the state under XDG_STATE_HOME.

    `single` names the destination of a one-line command, so that two of them outside any
    workspace do not wait for each other.
    """
    start = folder.resolve()
    for candidate in (start, *start.parents):
        if (candidate / MANIFEST).is_file():
            return WorkspacePlaces(root=candidate, home=candidate / STATE_FOLDER, declared=True)
    base = environment.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    name = digest([str(start), _place(single)])[:16]
    return WorkspacePlaces(root=start, home=Path(base) / "batuta" / name, declared=False)


def _place(single: str | None) -> str | None:
    """One spelling for one place, so that every command about it finds the same state."""
    if single is None:
        return None
    try:
        return str(parse_address(single)).rstrip("/")
    except ValueError:
        return single


def manifest_files(root: Path, patterns: Iterable[str]) -> list[str]:
    """Return the manifests below `root` that match, relative, with `/`, in byte order.

    Hidden folders and `environments/` are left out; links to folders are not followed.
    """
    patterns = tuple(patterns)
    wanted = re.compile("|".join(map(_expression, patterns)) or "(?!)", re.DOTALL)
    # A workspace may keep the data beside its manifests: what no glob can reach is not listed.
    starts = tuple(_plain_start(pattern) for pattern in patterns)
    found: list[str] = []
    for folder, names, files in os.walk(root):
        inside = folder[len(str(root)) :].strip(os.sep).replace(os.sep, "/")
        inside = f"{inside}/" if inside else ""
        names[:] = sorted(
            name for name in names
            if not name.startswith(".") and not (inside == "" and name == OVERLAYS)
            and _leads_on(f"{inside}{name}/", starts)
        )  # fmt: skip
        for name in files:
            path = f"{inside}{name}"
            if not name.startswith(".") and wanted.fullmatch(path):
                found.append(path)
    return sorted(found, key=lambda path: path.encode())


def _plain_start(pattern: str) -> str:
    """Return the folders that a glob names as they are, each with a slash."""
    plain = re.split(r"[*?\[]", pattern, maxsplit=1)[0]
    return plain[: plain.rfind("/") + 1]


def _leads_on(folder: str, starts: Iterable[str]) -> bool:
    """True where something in a folder can begin with one of `starts`."""
    return any(folder.startswith(start) or start.startswith(folder) for start in starts)


def overlay_files(root: Path, folder: str) -> list[str]:
    """Return the overlay files of one environment, relative to `root`, in byte order."""
    return [
        f"{folder.rstrip('/')}/{path}"
        for path in manifest_files(root / folder, ("**/*.yaml", "**/*.yml"))
    ] if (root / folder).is_dir() else []  # fmt: skip


def _expression(pattern: str) -> str:
    """Spell a glob in which `**/` stands for any number of folders, none included."""
    # From Python 3.14 on the end is spelled in the other way.
    pieces = [
        translate(piece).removesuffix(r"\Z").removesuffix(r"\z") for piece in pattern.split("**/")
    ]
    return "(?:.*/)?".join(pieces)
