"""Manifests that are wrong, damaged or hostile: a code, little time, little memory, no traceback."""

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

BAD = Path(__file__).resolve().parents[2] / "data" / "manifests" / "bad"
CPU_S = 2.0
"""Of the processor's time, which does not depend on what else the machine does."""
MEMORY_BYTES = 1 << 30
HEAD = b"apiVersion: batuta.dev/v1\nkind: Dataset\nmetadata: {name: a}\n"
MEBIBYTE = 1 << 20

HOSTILE: dict[str, Callable[[], bytes]] = {
    "aliases that multiply": lambda: (
        b"a: &a [x, x]\n"
        + b"".join(
            b"%c: &%c [%s]\n" % (c, c, b", ".join([b"*%c" % (c - 1)] * 9)) for c in range(98, 122)
        )
    ),
    "merge keys that multiply": lambda: (
        b"a: &a {k: 1}\n"
        + b"".join(
            b"%c: &%c {<<: [%s]}\n" % (c, c, b", ".join([b"*%c" % (c - 1)] * 9))
            for c in range(98, 122)
        )
    ),
    "an alias of itself": lambda: HEAD + b"spec: &s [*s]\n",
    "a thousand brackets": lambda: HEAD + b"spec: " + b"[" * 1000,
    "a hundred thousand brackets": lambda: HEAD + b"spec: " + b"[" * 100_000,
    "a hundred thousand braces": lambda: HEAD + b"spec: " + b"{a: " * 100_000,
    "a deep indentation": lambda: b"".join(b" " * i + b"a:\n" for i in range(2000)),
    "a deep sequence": lambda: b"- " * 50_000 + b"x",
    "a hundred megabytes of one word": lambda: b"a" * 100 * MEBIBYTE,
    "a hundred megabytes of lines": lambda: b"- a\n" * (25 * MEBIBYTE),
    "a hundred megabytes of NUL": lambda: bytes(100 * MEBIBYTE),
    "a comment without end": lambda: HEAD + b"#" * 20 * MEBIBYTE,
    "a number of a million digits": lambda: HEAD + b"spec: " + b"9" * 1_000_000,
    "a key of a million letters": lambda: b"k" * 1_000_000 + b": 1\n",
    "the same key many times": lambda: HEAD + b"spec:\n" + b"  a: 1\n" * 50_000,
    "an object of Python": lambda: b"!!python/object/apply:os.system ['touch owned']\n",
    "an unknown tag": lambda: HEAD + b"spec: !secret x\n",
    "NUL in the middle": lambda: HEAD + b"spec: {source: 'a\0b'}\n",
    "not UTF-8": lambda: HEAD + b"spec: {source: \xff\xfe}\n",
    "UTF-16": lambda: (HEAD + b"spec: {}").decode().encode("utf-16"),
    "Latin-1": lambda: HEAD + "spec: {source: käse}".encode("latin-1"),
    "tabs": lambda: HEAD + b"spec:\n\tsource: a\n",
    "an escape sequence": lambda: HEAD + b"spec: {source: \x1b[2J}\n",
    "a list": lambda: b"- 1\n- 2\n",
    "a word": lambda: b"hello",
    "a lone quote": lambda: HEAD + b"spec: {source: 'a",
    "a control character in a name": lambda: HEAD.replace(b"{name: a}", b'{name: "a\\u0007"}'),
    "a newline in a name": lambda: HEAD.replace(b"{name: a}", b'{name: "a\\nb"}'),
    "a path out of the workspace as a name": lambda: HEAD.replace(b"name: a", b"name: ../../a"),
    "a null document": lambda: HEAD + b"spec: null\n",
    "numbers for everything": lambda: b"apiVersion: 1\nkind: 2\nmetadata: 3\nspec: 4\n",
}


def validated(folder: Path, content: bytes, *command: str) -> "subprocess.CompletedProcess[bytes]":
    """Run the program in a workspace with one more manifest; it is bounded and measured."""
    (folder / "batuta.yaml").write_text("apiVersion: batuta.dev/v1\nkind: Workspace\nspec: {}\n")
    (folder / "bad.yaml").write_bytes(content)

    def bounded() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CPU, (20, 20))

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "batuta", *(command or ("validate",))], cwd=folder,
        capture_output=True, check=False, timeout=120, preexec_fn=bounded,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    said = done.stdout + done.stderr
    assert done.returncode == 3, (done.returncode, said[-2000:])
    assert b"error[MAN" in said
    assert b"Traceback" not in said
    assert b"\x1b[2J" not in said
    assert len(said) < 256 * 1024
    assert spent < CPU_S, spent
    return done


@pytest.mark.parametrize("name", list(HOSTILE))
def test_a_hostile_manifest_is_answered_with_a_code(tmp_path: Path, name: str) -> None:
    """In two seconds of the processor and a gibibyte of address space."""
    validated(tmp_path, HOSTILE[name]())
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("path", sorted(BAD.glob("MAN*.yaml")), ids=lambda p: p.stem)
def test_every_known_mistake_is_answered_with_a_code(tmp_path: Path, path: Path) -> None:
    """The examples of the manifest room, through the program: the same code reaches the screen."""
    content = path.read_bytes()
    if b"kind: Workspace" in content:
        (tmp_path / "batuta.yaml").write_bytes(content)
        done = subprocess.run(
            [sys.executable, "-m", "batuta", "validate"], cwd=tmp_path,
            capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode in (0, 3)
        assert path.stem.encode() in done.stdout + done.stderr
    else:
        done = validated(tmp_path, content)
        assert path.stem.encode() in done.stdout + done.stderr


@pytest.mark.parametrize("command", ["plan", "apply", "drift", "fmt", "render", "validate"])
def test_no_command_trips_over_a_bad_manifest(tmp_path: Path, command: str) -> None:
    arguments = {"apply": ("apply", "--yes")}
    (tmp_path / "batuta.yaml").write_text("apiVersion: batuta.dev/v1\nkind: Workspace\nspec: {}\n")
    (tmp_path / "bad.yaml").write_bytes(HEAD + b"spec: {source: [, destination: 1}\n")
    done = subprocess.run(
        [sys.executable, "-m", "batuta", *arguments.get(command, (command,))], cwd=tmp_path,
        capture_output=True, check=False,
    )  # fmt: skip

    assert done.returncode == 3, done.stdout + done.stderr
    assert b"MAN" in done.stdout + done.stderr


def test_a_manifest_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A folder of a manifest's name, a broken link, a pipe."""
    (tmp_path / "batuta.yaml").write_text("apiVersion: batuta.dev/v1\nkind: Workspace\nspec: {}\n")
    (tmp_path / "link.yaml").symlink_to("nowhere.yaml")
    os.mkfifo(tmp_path / "pipe.yaml")
    done = subprocess.run(
        [sys.executable, "-m", "batuta", "validate"], cwd=tmp_path, capture_output=True,
        check=False, timeout=30,
    )  # fmt: skip

    assert done.returncode == 3, done.stdout + done.stderr
    assert b"MAN190" in done.stdout + done.stderr
