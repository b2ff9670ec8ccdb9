"""Names of files that make a table: hidden ones, patterns, formats by ending, folder columns.

Pure decisions over names; nothing is opened here. What cannot be decided is a `LayoutError`,
which a connector turns into a diagnostic of its own.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Literal
from urllib.parse import unquote

from batuta.model.format import Format
from batuta.model.table import Column

NULL_FOLDER = "__HIVE_DEFAULT_PARTITION__"
_FOLDER = re.compile(r"([^=/]+)=([^/]*)")
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,17}")

FolderNote = Literal["unread", "twice"]
Reason = Literal["unknown-format", "mixed-formats", "no-files", "schemas", "constants", "other-log"]

_LOGS = {"_delta_log": "Delta", ".hoodie": "Hudi"}
"""Folders of table formats whose log says which files count; without it removed ones do too."""

_OWN = frozenset({"_log", "_history", "_staging"})
_OWN_ENTRY = re.compile(r"_log/[0-9]{20}(\.checkpoint)?\.json")


class LayoutError(Exception):
    """These files make no table. `reason` is for the code, `detail` for the reader."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason: Reason = reason
        self.detail = detail


# Names


def is_hidden(key: str) -> bool:
    """True where a part of the path begins with `_` or `.`: Spark's readers skip such files.

    `_a=1` is not hidden: a partition column may begin with `_`.
    """
    parts = key.split("/")
    return any(p.startswith(".") or (p.startswith("_") and "=" not in p) for p in parts)


def own_filter(keys: Iterable[str]) -> Callable[[str], bool]:
    """Return a test for the paths below an address: False for what batuta keeps about a dataset.

    That is its log, history and staging where its log lies right under the address, and nothing
    anywhere else: somebody may call a folder `_log` too.
    """
    if not any(_OWN_ENTRY.fullmatch(key) for key in keys):
        return lambda _key: True
    return lambda key: key.partition("/")[0] not in _OWN


def refuse_other_log(keys: Iterable[str], address: str) -> None:
    """Refuse files, or names of folders that end in `/`, among which another table's log lies.

    Raises:
        LayoutError: the table has to be read by its log.
    """
    for key in keys:
        folders = key.split("/")[:-1]
        found = next((name for name in folders if name in _LOGS), None)
        if found is None:
            continue
        above = "/".join(folders[: folders.index(found)])
        where = f"{address.rstrip('/')}/{above}".rstrip("/")
        way = f" Its address is `delta+{where}`." if found == "_delta_log" else ""
        raise LayoutError(
            "other-log",
            f"`{found}/` makes it a {_LOGS[found]} table, whose files hold removed and outdated"
            f" rows as well; its log says which count.{way}",
        )


def pattern_filter(patterns: Sequence[str]) -> Callable[[str], bool]:
    """Return a test for paths: True where no pattern is given, or one of them matches.

    `*` and `?` stop at `/`, `**` does not, `[…]` is a set. A pattern without `/` is compared
    with the last part of the path, one with `/` with all of it.
    """
    if not patterns:
        return lambda _key: True
    whole = [re.compile(_regex(p.removeprefix("./")), re.DOTALL) for p in patterns if "/" in p]
    last = [re.compile(_regex(p), re.DOTALL) for p in patterns if "/" not in p]

    def matches(key: str) -> bool:
        name = key.rpartition("/")[2]
        return any(p.fullmatch(key) for p in whole) or any(p.fullmatch(name) for p in last)

    return matches


def _regex(pattern: str) -> str:
    out: list[str] = []
    at = 0
    while at < len(pattern):
        if pattern.startswith("**/", at):
            out.append("(?:.*/)?")
            at += 3
        elif pattern.startswith("**", at):
            out.append(".*")
            at += 2
        elif (set_ := re.compile(r"\[(!?)(\]?[^\]/]*)\]").match(pattern, at)) and set_[2]:
            inside = set_[2].replace("\\", r"\\").replace("[", r"\[").replace("^", r"\^")
            inside = inside.replace("]", r"\]").replace("&&", r"&\&").replace("||", r"|\|")
            out.append(f"[{'^/' if set_[1] else ''}{inside}]")
            at = set_.end()
        else:
            char = pattern[at]
            out.append({"*": "[^/]*", "?": "[^/]"}.get(char) or re.escape(char))
            at += 1
    return "".join(out)


# Format


def format_of(keys: Iterable[str], formats: Mapping[str, Format]) -> Format:
    """Return the one format that the endings of `keys` name; the longest ending counts.

    Raises:
        LayoutError: no key at all, an ending that no readable format has, or two formats.
    """
    endings = {
        f".{suffix.lstrip('.').lower()}": format_
        for format_ in formats.values()
        if format_.reader is not None
        for suffix in format_.suffixes
    }
    first: tuple[str, Format] | None = None
    for key in keys:
        found = _by_ending(key, endings)
        if found is None:
            known = ", ".join(sorted(endings))
            detail = f"`{key}` has no ending of a known format ({known})."
            raise LayoutError("unknown-format", detail)
        if first is None:
            first = (key, found)
        elif first[1].name != found.name:
            raise LayoutError(
                "mixed-formats",
                f"`{first[0]}` is {first[1].name}, but `{key}` is {found.name}.",
            )
    if first is None:
        raise LayoutError("no-files", "There is no file that a table could be read from.")
    return first[1]


def _by_ending(key: str, endings: Mapping[str, Format]) -> Format | None:
    name = key.rpartition("/")[2].lower()
    at = name.find(".", 1)
    while at >= 0:
        if (found := endings.get(name[at:])) is not None:
            return found
        at = name.find(".", at + 1)
    return None


# Columns from folders


def folder_constants(key: str) -> tuple[tuple[str, str | None], ...]:
    """Return the columns that `key`'s folders state (`a=1/b=x/…`), values percent-decoded."""
    pairs: list[tuple[str, str | None]] = []
    for part in key.split("/")[:-1]:
        if match := _FOLDER.fullmatch(part):
            value = None if match[2] in {NULL_FOLDER, ""} else unquote(match[2])
            pairs.append((unquote(match[1]), value))
    return tuple(pairs)


def shared_constants(keys: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that the folders of all `keys` state, in order; none where any differs.

    Raises:
        LayoutError: one path states a column twice.
    """
    first: tuple[str, ...] | None = None
    for key in keys:
        names = tuple(name for name, _ in folder_constants(key))
        if len(set(names)) < len(names):
            raise LayoutError("constants", f"The folders of `{key}` state one column twice.")
        if first is None:
            first = names
        elif names != first:
            return ()
    return first or ()


def folder_note(keys: Sequence[str], held: Collection[str]) -> tuple[FolderNote, str] | None:
    """Return what is to be said of folders that look like columns, None where all are just read.

    `held` are the columns that any of the files has itself: where one has it, its own is read.
    """
    some = next((key for key in keys if folder_constants(key)), None)
    if some is None:
        return None
    shared = shared_constants(keys)
    if not shared:
        return (
            "unread",
            f"`{some}` lies in a folder `name=value`, but others do not in the same ones.",
        )
    twice = [name for name in shared if name in held]
    if not twice:
        return None
    return "twice", f"Folders state `{twice[0]}`, as for `{some}`, and files have that column too."


def constant_columns(
    names: Sequence[str], keys: Sequence[str], types: Mapping[str, str]
) -> tuple[Column, ...]:
    """Return the columns for `names`, which may all be null, since a later folder may say so.

    A type is the declared one, else int64 where every value is a plain integer, else string.
    """
    values: dict[str, list[str]] = {name: [] for name in names}
    for key in keys:
        for name, value in folder_constants(key):
            if value is not None and name in values:
                values[name].append(value)
    return tuple(
        Column(name, types.get(name) or _inferred(values[name]), nullable=True) for name in names
    )


def _inferred(values: Sequence[str]) -> str:
    return "int64" if values and all(map(_INTEGER.fullmatch, values)) else "string"
