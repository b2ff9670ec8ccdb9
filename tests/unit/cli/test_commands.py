"""Every command explains itself, with an example that is a valid command line."""

import shlex

import click
import pytest

from batuta.cli import documents, explain
from batuta.cli.root import root

CONTEXTS = {c.command_path: c for c in documents.walk(click.Context(root, info_name="batuta"))}

WANTED = [
    "init",
    "validate",
    "fmt",
    "render",
    "plan",
    "apply",
    "drift",
    "explain",
    "schema",
    "release",
    "destroy",
    "import",
    "runs",
    "state/list",
    "state/show",
    "state/verify",
    "state/rebuild",
    "state/mv",
    "state/rm",
    "lock/show",
    "lock/steal",
    "data/sync",
    "data/cat",
    "data/log",
    "data/verify",
]


def test_every_command_of_the_list_is_there() -> None:
    found = {path.removeprefix("batuta ").replace(" ", "/") for path in CONTEXTS}
    assert set(WANTED) <= found


@pytest.mark.parametrize("path", CONTEXTS)
def test_every_command_has_help_and_an_example(path: str) -> None:
    text, example = documents.split_help(CONTEXTS[path].command)
    assert len(text) > 20
    assert text.endswith(".")
    assert example.startswith("batuta ")


@pytest.mark.parametrize("path", [p for p in CONTEXTS if p != "batuta"])
def test_every_example_is_understood_by_the_command_itself(path: str) -> None:
    _, example = documents.split_help(CONTEXTS[path].command)
    own = [part for row in example.splitlines() for part in row.split("&&") if path in part]
    assert own, "an example shows another command"
    for part in own:
        words = shlex.split(part.partition(">")[0])[1:]
        command: click.Command = root
        while isinstance(command, click.Group) and words:
            context = click.Context(command)
            command = command.get_command(context, words.pop(0)) or pytest.fail(part)
        command.make_context("x", words, resilient_parsing=True)
        for word in words:
            if word.startswith("--"):
                names = {opt for p in command.params for opt in p.opts}
                assert word.partition("=")[0] in names


@pytest.mark.parametrize("path", CONTEXTS)
def test_every_option_has_help(path: str) -> None:
    for parameter in CONTEXTS[path].command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name


def test_every_page_has_a_summary_text_and_something_to_copy() -> None:
    found = explain.pages()
    assert [p.code for p in found if p.code.startswith("CLI")]
    for page in found:
        path = explain.PAGES / f"{page.code}.md"
        assert path.read_text(encoding="utf-8").startswith(f"# {page.code}: {page.summary}\n")
        assert page.summary
        assert len(page.body.split()) > 8, page.code
        assert page.body.count("```") % 2 == 0, page.code


def test_every_refusal_of_the_command_line_has_its_page_with_the_same_summary() -> None:
    from batuta.cli import refusals

    made = [
        refusals.secret_in_arguments(1, 8),
        refusals.usage(click.UsageError("No such thing."), []),
        refusals.cannot_write("x", "y"),
        refusals.nobody_to_ask("batuta apply"),
        refusals.another_digest("a", "b"),
        refusals.losses_not_allowed(["Dataset/a"], "batuta apply"),
        refusals.cost_not_agreed("1.00 USD", "batuta apply"),
        refusals.no_such_page("X", []),
        refusals.no_such_record("X", []),
        refusals.no_such_run("X", []),
        refusals.already_there("x"),
        refusals.system_refused(OSError(13, "denied")),
        refusals.would_overwrite("x"),
        refusals.no_workspace("/work"),
    ]
    summaries = {page.code: page.summary for page in explain.pages()}
    for diagnostic in made:
        assert summaries[diagnostic.code] == diagnostic.summary
        assert diagnostic.detail.endswith(".")
    assert {d.code for d in made} == {code for code in summaries if code.startswith("CLI")}
