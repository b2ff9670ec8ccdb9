"""Whatever a plan holds, its comment keeps to the budget and is well formed."""

import re
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from batuta.cli.views import plan_markdown
from batuta.model.plan import Action
from tests.unit.cli import plans

names = st.text(min_size=1, max_size=60)
makers: st.SearchStrategy[Callable[[str], Action]] = st.sampled_from(
    [
        plans.create,
        plans.append,
        plans.replaced,
        plans.evolve,
        plans.convert,
        plans.relabel,
        plans.move,
        plans.delete,
        plans.release,
        plans.same,
        plans.blocked_by_drift,
        plans.blocked_by_tier,
    ]
)


@st.composite
def actions(draw: st.DrawFn) -> tuple[Action, ...]:
    pairs = draw(st.lists(st.tuples(makers, names), max_size=25))
    return tuple(make(name) for make, name in pairs)


@settings(max_examples=80)
@given(
    held=actions(),
    max_bytes=st.integers(min_value=plan_markdown.LEAST_BYTES, max_value=70_000),
    workspace=names,
    environment=st.none() | names,
    command=names,
)
def test_a_comment_never_exceeds_its_budget_and_says_when_it_is_cut(
    held: tuple[Action, ...],
    max_bytes: int,
    workspace: str,
    environment: str | None,
    command: str,
) -> None:
    plan = plans.plan(*held, workspace=workspace, environment=environment)
    envelope = plans.envelope(plan)
    text = plan_markdown.view(envelope, max_bytes=max_bytes, next_command=command)
    assert len(text.encode()) <= max_bytes
    fences = re.findall(r"^`{3,}", text, flags=re.M)
    assert len(fences) % 2 == 0
    assert text.count("<details") == text.count("</details>")
    whole = plan_markdown.view(envelope, max_bytes=10_000_000, next_command=command)
    assert (text == whole) != ("left out to stay within" in text)
