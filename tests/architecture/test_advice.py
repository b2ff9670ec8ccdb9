"""Every command that a message or an explain page advises can be pasted: it is all there.

What only the reader knows stands in capitals (`DATASET`), never left out.
"""

import ast
import re
import shlex
from collections.abc import Iterator

import click
import pytest

from batuta.cli.root import root
from tests.architecture.house import ENGINE, python_files, shown

IN_TICKS = re.compile(r"`batuta ([a-z-][^`<>]*)`")
AT_THE_END = re.compile(r": batuta ([^`]*?)\.?$", re.DOTALL)
BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)
INDENTED = re.compile(r"^    batuta (.*)$", re.MULTILINE)


def _texts(tree: ast.Module) -> Iterator[str]:
    """Every text that is no docstring; what is filled in later stands as `X`."""
    bodies = [node.body for node in ast.walk(tree) if hasattr(node, "body")]
    prose = {
        id(body[0].value)
        for body in bodies
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr)
    }
    inner = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        for part in ast.walk(node)
        if part is not node
    }
    for node in ast.walk(tree):
        if id(node) in prose | inner:
            continue
        if isinstance(node, ast.JoinedStr):
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _at_the_end(text: str) -> Iterator[str]:
    """The command that a sentence ends with, after a colon; where it is one and not prose."""
    for found in AT_THE_END.findall(text):
        if found.split()[0] in root.list_commands(click.Context(root)):
            yield found


def _advised() -> Iterator[tuple[str, str]]:
    for path in python_files("engine"):
        if path.name == "tiers_page.py":
            continue  # a page of the reference, which names commands and does not advise them
        for text in _texts(ast.parse(path.read_text("utf-8"))):
            for found in (*IN_TICKS.findall(text), *_at_the_end(text)):
                yield shown(path), found
    for page in sorted((ENGINE / "cli" / "pages").glob("*.md")):
        text = page.read_text("utf-8")
        lines = [
            line.removeprefix("batuta ")
            for block in BLOCK.findall(text)
            for line in block.splitlines()
            if line.startswith("batuta ")
        ]
        for found in (*lines, *INDENTED.findall(text)):
            yield shown(page), found.partition(" > ")[0]


@pytest.mark.parametrize(("where", "typed"), sorted(set(_advised())))
def test_a_command_that_is_advised_is_whole(where: str, typed: str) -> None:
    assert wrong_with(shlex.split(typed, comments=True)) is None, f"{where}: batuta {typed}"


def test_the_law_sees_what_is_left_out_and_what_is_not_there() -> None:
    assert wrong_with(["data", "verify"]) == "DATASET is missing"
    assert wrong_with(["label", "approve", "x", "--to", "Standard"]) == "--reason is missing"
    assert wrong_with(["plan", "--nonsense"]) is not None
    assert wrong_with(["nonsense"]) is not None
    assert wrong_with(["data", "verify", "DATASET", "--accept-head", "REASON"]) is None


def wrong_with(words: list[str]) -> str | None:
    """Say what `batuta` would miss in its arguments; None where it would begin its work."""
    command: click.Command = root
    context = click.Context(root, info_name="batuta")
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(context, words[0])
        if found is None:
            return f"there is no {words[0]}"
        command, words = found, words[1:]
    inner = click.Context(command, parent=context)
    try:
        given, left, _ = command.make_parser(inner).parse_args(list(words))
    except click.UsageError as error:
        return error.format_message()
    if left and not isinstance(command, click.Group):
        return f"{left[0]} is too much"
    for param in () if "--help" in words else command.params:
        value = given.get(param.name or "")
        if param.required and not (isinstance(value, str | list | tuple) and value):
            return f"{_name(param)} is missing"
    return None


def _name(param: click.Parameter) -> str:
    return param.opts[0] if isinstance(param, click.Option) else param.human_readable_name
