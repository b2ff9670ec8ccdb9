"""The page that documents the log byte by byte is true, and every code has its page."""

import re
from pathlib import Path

import batuta
from batuta.connectors.alimentar import faults
from batuta.connectors.alimentar.entry import (
    decode_checkpoint,
    decode_entry,
    decode_intent,
    digest_of,
    encode,
)
from batuta.connectors.alimentar.fold import Fold, Logged, fold, to_checkpoint
from batuta.connectors.alimentar.names import entry_name, unsafe
from batuta.model.log import Head, LogEntry, Part

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "reference" / "dataset-log.md").read_text()
BLOCKS = [block.strip().encode() for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]
PAGES = Path(batuta.__file__).parent / "cli" / "pages"


def test_the_example_is_an_entry_and_its_digest_holds() -> None:
    content = BLOCKS[0]
    entry = decode_entry(content, name=entry_name(0), version=0)

    digest = re.search(r"```text\n([0-9a-f]{64})\n```", PAGE)
    assert digest is not None
    assert digest[1] == digest_of(content)
    assert f"{len(content)} bytes" in PAGE
    assert unsafe(entry.added[0].path) is None


def test_the_checkpoint_of_the_example_follows_from_it() -> None:
    entry = decode_entry(BLOCKS[0], name=entry_name(0), version=0)
    folded = fold(Fold(), (Logged(Head(0, digest_of(BLOCKS[0])), entry),))

    assert encode(to_checkpoint(folded)) == BLOCKS[1]
    assert decode_checkpoint(BLOCKS[1], name="c", version=0) == to_checkpoint(folded)


def test_the_example_of_an_intent_is_one() -> None:
    assert encode(decode_intent(BLOCKS[2], name="i")) == BLOCKS[2]


def test_the_page_names_every_field() -> None:
    named = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))

    assert set(LogEntry.__dataclass_fields__) | set(Part.__dataclass_fields__) <= named


def test_every_code_has_a_page_with_its_summary() -> None:
    for code, (summary, _) in faults._TABLE.items():
        first = (PAGES / f"{code}.md").read_text().splitlines()[0]
        assert first == f"# {code}: {summary}"
