"""Each code has a case in tests/data/manifests/bad, found at the exact place."""

import json

import pytest

from batuta.manifest.findings import SUMMARIES
from batuta.manifest.load import load_documents
from batuta.manifest.resolve import Request, resolve
from tests.unit.manifest.cases import DATA, DECLARATIONS, ROOT

BAD = DATA / "bad"
EXPECTED = json.loads((BAD / "expected.json").read_text())
# MAN103 and MAN134 have tests of their own: a file of 8 MiB, and what `fmt` refuses.
ELSEWHERE = {"MAN103", "MAN134"}


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_bad_manifest_is_found_at_its_line_and_column(name: str) -> None:
    documents, found = load_documents([(name, (BAD / name).read_bytes())])
    overlay = BAD / name.replace(".yaml", ".overlay.yaml")
    environment = "prod" if overlay.exists() else None
    laid = [(overlay.name, overlay.read_bytes())] if overlay.exists() else []
    request = Request(
        declarations=DECLARATIONS,
        environment=environment,
        variables={"region": "us"} if environment else {},
        version="1.0.0",
    )
    resolution = resolve(documents, request, overlays=laid)
    seen = [*found, *resolution.diagnostics]
    places = [(d.code, d.locations[0].line, d.locations[0].column) for d in seen]
    wanted = [tuple(e) for e in EXPECTED[name]]
    if wanted[0][1] is None:
        assert [code for code, _, _ in places] == [wanted[0][0]]
    else:
        assert sorted(places) == sorted(wanted)


def test_every_code_has_a_case() -> None:
    cases = {code for entries in EXPECTED.values() for code, _, _ in entries}
    assert cases | ELSEWHERE == set(SUMMARIES)


@pytest.mark.parametrize("code", sorted(SUMMARIES))
def test_every_code_has_a_page_with_its_summary(code: str) -> None:
    page = (ROOT / "engine/batuta/cli/pages" / f"{code}.md").read_text()
    assert page.startswith(f"# {code}: {SUMMARIES[code]}\n")
    assert len(page.split("\n\n")) >= 3


def test_a_secret_is_never_repeated_in_a_finding() -> None:
    documents, _ = load_documents([("p.yaml", (BAD / "MAN125.yaml").read_bytes())])
    found = resolve(documents, Request(declarations=DECLARATIONS)).diagnostics
    assert "hunter2" not in repr(found)
