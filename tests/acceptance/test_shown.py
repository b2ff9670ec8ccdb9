"""What the tutorial and the README show is what the program says now."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel import requires_kernel

pytestmark = requires_kernel("user namespaces", "network namespaces", "seccomp", "landlock")

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)
NAMED = re.compile(r"as `([\w/.-]+)`:\s*$")
# What no two runs have in common.
VARIES = re.compile(
    r"(?<=plan )[0-9a-f]{16}|(?<=at version )[\d.]*[0-9a-f]{16}"
    r"|\d{4}-\d\d-\d\dT[\d:.]+Z|(?<=revision )\d+|[\d.]+ [KMG]iB"
    r"|[\d.]+ s(?= · run)|(?<=run )[\dT]+-[0-9a-f]+"
)


def steps(page: Path, begin: str) -> Iterator[tuple[str, str, str]]:
    """Yield language, the file that is named before, and the text of each block after `begin`."""
    text = page.read_text(encoding="utf-8").partition(begin)[2]
    at = 0
    for block in BLOCK.finditer(text):
        named = NAMED.search(text[at : block.start()])
        yield block[1], named[1] if named else "", block[2]
        at = block.end()


def settled(text: str) -> list[str]:
    """Return the lines without what differs from run to run, nor indentation and empty ones."""
    return [VARIES.sub("*", line).strip() for line in text.splitlines() if line.strip()]


def assert_shown(shown: str, said: str) -> None:
    """Every line that is shown was said, in that order."""
    lines = iter(settled(said))
    for line in settled(shown):
        assert line in lines, f"not said: {line}\n\n{said}"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    monkeypatch.setenv("PATH", path)
    monkeypatch.setenv("COLUMNS", "140")
    return tmp_path


def said_by(folder: Path, words: list[str]) -> str:
    done = subprocess.run(
        ["batuta", *words], check=False, cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_tutorial_shows_what_is_printed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    for language, file, text in steps(ROOT / "docs/tutorial/first-plan.md", "## A workspace"):
        if language == "yaml":
            (Path.cwd() / file).write_text(text, encoding="utf-8")
        elif language == "sh":
            for line in text.splitlines():
                if line.startswith("cd "):
                    monkeypatch.chdir(Path.cwd() / line.removeprefix("cd "))
                elif line.startswith("batuta "):
                    said_by(Path.cwd(), line.split()[1:])
                else:
                    subprocess.run(["sh", "-c", line], check=True)
        else:
            command, _, shown = text.partition("\n")
            assert command.startswith("$ batuta ")
            assert_shown(shown, said_by(Path.cwd(), command.split()[2:]))


def test_the_readme_shows_what_the_demo_prints(place: Path) -> None:
    done = subprocess.run(
        ["sh", str(ROOT / "manifests/quickstart/demo.sh")],
        env={**os.environ, "BATUTA_DEMO_FOLDER": str(place / "demo")},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    plans = [each for each in done.stdout.split("$ batuta ") if each.startswith("plan\n")]
    blocks = [text for _, _, text in steps(ROOT / "README.md", "## A quick look")]
    shown = [text for text in blocks if text.startswith("$ batuta plan\n")]
    assert len(shown) == 2, "the first plan, and the empty one after it"
    for text, said in zip(shown, plans, strict=False):
        assert_shown(text.partition("\n")[2], said)
