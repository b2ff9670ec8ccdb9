"""Documents that could go stale: commands, links, named tests and manifests in them."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from batuta.cli.root import root
from batuta.manifest.load import load_documents
from batuta.runtime.sandbox import advice
from batuta.runtime.sandbox.advice import Facts
from batuta.runtime.sandbox.confinement import Level
from batuta.runtime.sandbox.probe import Finding
from tests.architecture.house import ROOT, shown

PAGES = sorted(
    path
    for path in (
        ROOT / "README.md",
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "manifests").rglob("*.md"),
    )
    if path.name not in {"commands.md", "diagnostics.md"}
)
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
BLOCK = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)


def _blocks(page: Path, *languages: str) -> Iterator[str]:
    for language, body in BLOCK.findall(page.read_text(encoding="utf-8")):
        if language in languages:
            yield body


def _commands(page: Path) -> Iterator[list[str]]:
    for body in _blocks(page, "sh"):
        for line in body.replace("\\\n", " ").splitlines():
            for part in re.split(r"&&|\|\||\||;", line.partition(" #")[0]):
                words = shlex.split(part.strip(), comments=True)
                if words[:1] == ["batuta"]:
                    yield words[1:]


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_every_command_that_is_shown_can_be_typed(page: Path) -> None:
    for words in _commands(page):
        assert _parses(words), f"{shown(page)}: batuta {' '.join(words)}"


def _parses(words: list[str]) -> bool:
    command: click.Command = root
    context = click.Context(root, info_name="batuta")
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(context, words[0])
        if found is None:
            return False
        command, words = found, words[1:]
    known = {name for p in command.params for name in (*p.opts, *p.secondary_opts)}
    used = [word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)]
    return set(used) <= known | {"--help", "--version"}


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_every_link_leads_somewhere(page: Path) -> None:
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    broken = [target for target in LINK.findall(text) if not (page.parent / target).exists()]
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_every_test_that_is_named_is_there(page: Path) -> None:
    for file, name in TEST.findall(page.read_text(encoding="utf-8")):
        assert f"\ndef {name}(" in (ROOT / file).read_text(encoding="utf-8"), f"{file}::{name}"


def test_the_threat_model_names_a_test_for_each_claim() -> None:
    page = ROOT / "docs" / "explanation" / "threat-model.md"
    rows = [row for row in page.read_text(encoding="utf-8").splitlines() if row.startswith("| ")]
    claims = [row for row in rows if not row.startswith("| claim")]
    assert len(claims) > 20
    assert [row for row in claims if not TEST.search(row)] == []


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_whole_manifests_that_are_shown_are_valid(page: Path) -> None:
    for number, body in enumerate(_blocks(page, "yaml")):
        if body.startswith("apiVersion: batuta.dev/v1"):
            _, found = load_documents([(f"block-{number}.yaml", body.encode())])
            assert found == [], (shown(page), found)


CONTAINERS = (ROOT / "docs" / "how-to" / "containers.md").read_text(encoding="utf-8")
REFUSED = Finding(given=False, step="namespaces", errno=1, reason="Operation not permitted")


@pytest.mark.parametrize(
    "facts",
    [
        Facts(system="Linux", container="docker", apparmor_restricts=1),
        Facts(system="Linux", container="podman"),
        Facts(system="Linux", container="kubernetes"),
        Facts(system="Linux", container="lxc"),
        Facts(system="Linux", max_user_namespaces=0),
        Facts(system="Linux", unprivileged_userns_clone=0),
        Facts(system="Linux", apparmor_restricts=1),
    ],
    ids=lambda facts: facts.container or "machine",
)
def test_the_page_on_containers_has_every_setting_that_doctor_prints(facts: Facts) -> None:
    flat = " ".join(CONTAINERS.replace("\\\n", " ").split())
    for step in advice.raising(Level.ISOLATED, REFUSED, facts):
        for line in step.lines:
            setting = line.partition("   #")[0].strip()
            if setting.startswith("profile batuta"):
                setting = "profile batuta"  # the program is that of the machine
            assert setting.rstrip("{ ") in flat, setting
