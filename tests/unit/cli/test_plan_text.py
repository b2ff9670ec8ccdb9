"""A plan on the screen: order, figures, widths, colour."""

import io
import re
from dataclasses import replace

import pytest

from batuta.cli.views import plan_text
from batuta.cli.views.page import ASCII, UNICODE, Page, cells, plain
from batuta.cli.views.plan_text import PlanView
from batuta.cli.views.screen import Screen, screen_of
from batuta.core.reasons import Why
from batuta.model.change import AddColumn, SchemaChange, SchemaClass
from batuta.model.decision import APPROVAL_USED, Approval
from batuta.model.log import Label
from batuta.model.plan import Plan, Reason
from batuta.model.table import Column
from batuta.runtime.approvals import record
from tests.unit.cli import golden, plans

MANIFEST = """\
apiVersion: batuta.dev/v1
kind: Dataset
metadata: {name: sales}
spec: {source: delta+data/sales,
  mode: Incremental
  destination: out/sales/
  tier: FullySovereign
"""


def source(_file: str) -> str:
    return MANIFEST


def shown(page: Page, plan: Plan, **view: object) -> str:
    wanted = PlanView(source=source, **view)  # type: ignore[arg-type]  # fields of PlanView
    return plain(plan_text.view(page, plans.envelope(plan), wanted))


PAGES = {
    "80": Page(width=80),
    "160": Page(width=160),
    "no-terminal": Page(),
    "ascii": Page(width=80, glyphs=ASCII),
    "exact": Page(width=100, exact=True),
}


@pytest.mark.parametrize("name", PAGES)
def test_a_plan_with_every_action_reads_as_accepted(name: str) -> None:
    view = PlanView(
        source=source, timings=True, saved=True, next_command="batuta apply --env prod plan.json"
    )
    text = plain(plan_text.view(PAGES[name], plans.everything(), view))
    golden.check(f"plan-{name}.txt", text)


def test_one_level_for_all_workers_is_a_few_words() -> None:
    made = plans.envelope(plans.plan(plans.create()), workers=plans.KEPT[:1])
    text = plain(plan_text.view(Page(width=80), made, PlanView()))
    assert "\nworkers: enforced, isolated\n" in text


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_nothing_but_commands_and_headings_is_wider_than_the_page(width: int) -> None:
    lines = plan_text.view(Page(width=width), plans.everything(), PlanView(source=source))
    wide = [text for text in plain(lines).splitlines() if cells(text) > width]
    # Commands stand unbroken so that they can be copied, a heading and a place are one word each.
    assert [t for t in wide if not re.search(r"batuta apply|Dataset/|-->|manifests/", t)] == []


def test_the_ascii_form_has_no_other_characters() -> None:
    page = Page(width=80, glyphs=ASCII)
    assert plain(plan_text.view(page, plans.everything(), PlanView())).isascii()


def test_colour_changes_no_text() -> None:
    texts = []
    for colour in (True, False):
        stream = io.StringIO()
        screen = Screen(stream, Page(width=80), colour=colour)
        screen.write(plan_text.view(screen.page, plans.everything(), PlanView(source=source)))
        texts.append(stream.getvalue())
    coloured, bare = texts
    assert "\x1b[31m" in coloured
    assert re.sub(r"\x1b\[\d+m", "", coloured) == bare
    assert "\x1b" not in bare


def test_no_changes_is_one_line() -> None:
    text = shown(Page(width=160), plans.plan(plans.same("a"), plans.same("b")))
    assert text == "No changes: 2 datasets as wanted · read: local, s3 (lake)\n"


def test_a_partial_plan_never_looks_complete() -> None:
    quiet = plans.plan(plans.same("a"), partial=True, not_selected=7)
    busy = plans.plan(plans.create(), partial=True, not_selected=7)
    assert "7 not selected" in shown(Page(), quiet)
    assert "7 not selected" in shown(Page(), busy)


def test_a_plan_that_read_nothing_says_so_in_its_verdict() -> None:
    for actions in ((plans.same("a"),), (plans.create(),)):
        assert "no platform was read" in shown(Page(), plans.plan(*actions, read=()))


def test_an_unknown_cost_is_never_blank_or_zero() -> None:
    text = shown(Page(), plans.plan(plans.append()))
    assert "cost: Unknown" in text.splitlines()[2]
    assert "0.00 USD" not in text


def test_the_cost_of_several_is_summed_with_the_weakest_confidence_and_the_unknown_counted() -> (
    None
):
    text = shown(Page(), plans.plan(plans.create(), plans.append(), plans.replaced()))
    assert "cost: 25.00 USD (Estimated); Unknown for 1 of 3" in text


def test_what_stops_the_line_stands_before_the_changes_and_losses_before_creations() -> None:
    text = plain(plan_text.view(Page(), plans.everything(), PlanView()))
    order = [
        text.index("BLOCKED: 2 datasets not done until this is settled; the others go on"),
        text.index("error[DRF101]"),
        text.index("Changes, worst first"),
        text.rindex("Dataset/legacy  delete"),
        text.rindex("Dataset/clicks  replace"),
        text.index("Dataset/orders  create"),
        text.index("without effect on this plan"),
        text.index("To plan again and apply the rest:"),
    ]
    assert order == sorted(order)


def test_drift_without_effect_is_one_line_and_is_listed_on_request() -> None:
    plan = plans.plan(plans.same("quiet", plans.QUIET), plans.create())
    short, long = shown(Page(), plan), shown(Page(), plan, show_drift=True)
    assert "1 dataset differs without effect on this plan (--show-drift lists them)" in short
    assert "Dataset/quiet" not in short
    assert "settings.level: last 3 → live 5 → wanted 3" in long


def test_the_last_command_applies_this_plan_and_allows_its_losses_by_name() -> None:
    text = shown(Page(), plans.plan(plans.delete()), next_command="batuta apply p.json")
    assert text.splitlines()[-1].strip() == "batuta apply p.json --allow-data-loss 'Dataset/legacy'"


def test_a_plan_with_nothing_but_blocked_datasets_offers_no_apply() -> None:
    text = shown(Page(), plans.plan(plans.blocked_by_tier()))
    assert "Nothing can be applied" in text
    assert "batuta apply" not in text


def test_names_from_outside_cannot_move_the_cursor_or_reverse_the_text() -> None:
    evil = SchemaChange(
        change=AddColumn(Column("a\x1b[2J\u202eb\nc", "string")),
        schema_class=SchemaClass.ADDITIVE,
        why="\x07\x9b31m",
    )
    stream = io.StringIO()
    screen = Screen(stream, Page(width=80), colour=True)
    plan = plans.plan(plans.same("x", evil), plans.create())
    screen.write(plan_text.view(screen.page, plans.envelope(plan), PlanView(show_drift=True)))
    left = re.sub(r"\x1b\[\d+m", "", stream.getvalue())
    assert not set(left) & set("\x1b\x07\x9b\u202e")


def test_a_long_plan_ends_in_one_line_for_each_change() -> None:
    many = plans.plan(*(plans.create(f"d{n:04}") for n in range(1000)))
    text = shown(Page(width=80), many)
    assert "800 more, one line each" in text
    assert all(f"Dataset/d{n:04}" in text for n in range(1000))
    assert len(text.splitlines()) < 200 * 12 + 900


def test_a_long_list_of_what_is_blocked_ends_in_one_line_for_each() -> None:
    many = plans.plan(*(plans.blocked_by_tier(f"d{n:04}") for n in range(1000)))
    text = shown(Page(width=80), many)
    assert "800 more, one line each" in text
    assert text.count("SOV101: The tier does not admit this end") == 800
    assert text.count("fix: ") == 200
    assert shown(Page(width=80, exact=True), many).count("fix: ") == 1000


def test_no_color_and_a_dumb_terminal_switch_colour_off_and_a_pipe_has_no_width() -> None:
    class Terminal(io.StringIO):
        encoding = "utf-8"

        def isatty(self) -> bool:
            return True

    assert screen_of(Terminal(), {"TERM": "xterm"}).colour
    assert not screen_of(Terminal(), {"TERM": "xterm", "NO_COLOR": "1"}).colour
    assert not screen_of(Terminal(), {"TERM": "dumb"}).colour
    assert screen_of(Terminal(), {"COLUMNS": "120"}).page.width == 120
    pipe = screen_of(io.StringIO(), {})
    assert (pipe.page.width, pipe.colour, pipe.interactive) == (None, False, False)
    assert pipe.page.glyphs is not UNICODE


def test_exactly_this_plan_is_promised_only_where_it_was_saved() -> None:
    plan = plans.plan(plans.create())
    assert "To plan again and apply:" in shown(Page(), plan)
    assert "To apply exactly this plan:" in shown(Page(), plan, saved=True)


def test_a_plan_names_the_recorded_decisions_that_it_rests_on() -> None:
    label = Label(confidentiality="Standard", integrity="Standard")
    approval = Approval(
        id="0123456789abcdef", kind="endorse", resource="Dataset/web", content="c" * 64,
        before=label, tier="PrivateCloud", reason="reviewed, TICKET-7", actor="rev",
        made_at="2026-01-01T00:00:00Z", expires_at="2026-02-01T00:00:00Z",
    )  # fmt: skip
    used = replace(plans.create(), decisions=((APPROVAL_USED, record(approval, None)),))

    text = shown(Page(), plans.plan(used))

    assert "decision: 0123456789abcdef: endorse to PrivateCloud, by rev: reviewed" in text
    assert "decision:" not in shown(Page(), plans.plan(plans.create()))


def test_what_waits_for_another_dataset_is_not_called_unchanged() -> None:
    waits = replace(plans.same("later"), reasons=(Reason(code=Why.WAITS, text="It waits."),))
    made = plans.plan(plans.create(), plans.same("calm"), waits)
    text = plain(plan_text.view(Page(), plans.envelope(made), PlanView()))
    assert "1 to create, 0 to update, 0 to replace, 0 to delete, 1 unchanged, 1 waiting" in text
