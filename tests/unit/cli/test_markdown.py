"""A plan as a comment: what always fits, what is cut, what can never break out."""

import re

from batuta.cli.views import plan_markdown
from batuta.model.plan import Action, Envelope
from tests.unit.cli import golden, plans


def comment(envelope: Envelope, max_bytes: int = 65_000) -> str:
    return plan_markdown.view(envelope, max_bytes=max_bytes, next_command="batuta apply plan.json")


def test_a_comment_reads_as_accepted() -> None:
    golden.check("comment.md.txt", comment(plans.everything()))


def test_a_comment_that_is_cut_reads_as_accepted() -> None:
    golden.check("comment-cut.md.txt", comment(plans.everything(), 4000))


def test_a_comment_begins_with_the_marker_of_its_workspace_and_environment() -> None:
    assert comment(plans.everything()).startswith("<!-- batuta:shop:prod -->\n")


def test_the_status_is_the_worst_thing_in_the_plan() -> None:
    status: dict[str, tuple[Action, ...]] = {
        "BLOCKED": (plans.create(), plans.blocked_by_tier()),
        "NEEDS APPROVAL": (plans.create(), plans.relabel()),
        "PASS": (plans.create(),),
        "NO CHANGES": (plans.same("a"),),
    }
    for wanted, actions in status.items():
        assert f"## batuta plan: {wanted}\n" in comment(plans.envelope(plans.plan(*actions)))


def test_a_comment_within_its_budget_says_nothing_of_cuts() -> None:
    assert "left out" not in comment(plans.everything())


def test_a_cut_comment_says_how_much_is_missing_and_keeps_what_blocks() -> None:
    many = plans.plan(plans.blocked_by_tier(), *(plans.create(f"d{n}") for n in range(2000)))
    text = comment(plans.envelope(many))
    cut = re.search(r"\*\*([\d,]+) of 2,001 entries are shortened or left out", text)
    assert cut is not None
    assert int(cut[1].replace(",", "")) > 1000
    assert "error[SOV101]" in text
    assert text.endswith("Next: `batuta apply plan.json`\n")


def test_text_from_outside_cannot_end_a_code_block_or_the_marker() -> None:
    plan = plans.plan(
        plans.create("x\n```\n# heading"),
        workspace="a-->b @team",
        environment="`|<b>",
        read=("<img src=x> @all",),
    )
    text = comment(plans.envelope(plan))
    assert text.splitlines()[0] == "<!-- batuta:a___b__team:___b_ -->"
    outside = re.sub(r"(`{3,})text\n.*?\n\1\n", "", text, flags=re.S)
    assert "# heading" not in re.sub(r"`[^`\n]*`", "", outside)
    assert "<img" not in re.sub(r"`[^`\n]*`", "", outside)
