"""The parse cache changes how long loading takes, never what it gives."""

import gc

from batuta.manifest.document import Document
from batuta.manifest.load import Text, load_documents
from batuta.manifest.resolve import Request, Resolution, resolve
from tests.unit.manifest.cases import DECLARATIONS, ENDS, WORKSPACE, Memory, dataset_text

OVERLAY = "kind: Dataset\nmetadata: {name: a}\nspec: {history: {keep: 2h}}\n"
FILES = {"a.yaml": dataset_text(ENDS + "  protect: true\n"), "w.yaml": WORKSPACE}


class Disk:
    """Files with stamps, and a count of how often each was read."""

    def __init__(self) -> None:
        self.files = dict(FILES)
        self.reads: list[str] = []

    def texts(self) -> list[Text]:
        def reader(name: str) -> Text:
            def read() -> bytes:
                self.reads.append(name)
                return self.files[name].encode()

            return Text(name, read, stamp=str(hash(self.files[name])))

        return [reader(name) for name in self.files]


def go(disk: Disk, cache: Memory | None, overlay: str = "") -> Resolution:
    disk.reads.clear()
    documents, found = load_documents(disk.texts(), cache=cache)
    assert found == []
    laid = [("o.yaml", overlay.encode())] if overlay else []
    return resolve(documents, Request(declarations=DECLARATIONS), overlays=laid, cache=cache)


def test_a_second_run_reads_no_file_and_gives_the_same_state_and_places() -> None:
    for overlay in ("", OVERLAY):
        disk, cache = Disk(), Memory()
        plain, cold = go(disk, None, overlay), go(disk, cache, overlay)
        warm = go(disk, cache, overlay)
        assert disk.reads == []
        assert warm.documents == ()
        assert plain.desired == cold.desired == warm.desired
        assert plain.desired is not None
        assert warm.desired is not None
        for one, other in zip(plain.desired.datasets, warm.desired.datasets, strict=True):
            assert dict(one.places) == dict(other.places)
        assert dict(plain.desired.workspace.places) == dict(warm.desired.workspace.places)


def test_what_was_resolved_keeps_no_document_and_still_knows_each_place() -> None:
    disk, cache = Disk(), Memory()
    for _ in ("cold", "warm"):
        desired = go(disk, cache).desired
        assert desired is not None
        alive = [each for each in gc.get_objects() if isinstance(each, Document)]
        assert [each.kind for each in alive if each.file in FILES] == []
        (place,) = desired.datasets[0].place("spec.protect")
        assert (place.file, place.line) == ("a.yaml", 7)
        assert str(desired.workspace.places["spec"]) == "w.yaml:3:7"


def test_one_changed_file_is_read_alone_and_counts() -> None:
    disk, cache = Disk(), Memory()
    go(disk, cache)
    disk.files["a.yaml"] = dataset_text()
    changed = go(disk, cache)
    assert disk.reads == ["a.yaml"]
    assert changed.desired is not None
    assert changed.desired.datasets[0].protect is False


def test_another_overlay_environment_or_declaration_is_resolved_anew() -> None:
    disk, cache = Disk(), Memory()
    go(disk, cache)
    laid = go(disk, cache, OVERLAY).desired
    assert laid is not None
    assert laid.datasets[0].history.keep_s == 7200
    documents, _ = load_documents(disk.texts(), cache=cache)
    for request in (
        Request(declarations=DECLARATIONS, environment="prod"),
        Request(declarations={}),
        Request(declarations=DECLARATIONS, variables={"x": "1"}),
    ):
        assert resolve(documents, request, cache=cache).desired is None


def test_a_damaged_entry_is_composed_again() -> None:
    disk, cache = Disk(), Memory()
    first = go(disk, cache)
    for damage in (b"", b"\xc1", b"\x93\x01\x02\x03"):
        for key in list(cache):
            cache[key] = damage
        assert go(disk, cache).desired == first.desired


def test_a_place_in_a_damaged_entry_is_found_in_the_file() -> None:
    for damage in (b"", b"\xc1", b"\x90", b"\x91\x01"):
        disk, cache = Disk(), Memory()
        go(disk, cache)
        cache.update({key: damage for key in cache if key.startswith("documents/")})
        desired = go(disk, cache).desired
        assert desired is not None
        assert disk.reads == []
        assert str(desired.datasets[0].places["spec.protect"]) == "a.yaml:7:12"
        assert disk.reads == ["a.yaml"]


def test_a_file_with_a_finding_is_never_kept() -> None:
    cache = Memory()
    for _ in range(2):
        _, found = load_documents([("a.yaml", b"a: 1\na: 2\n")], cache=cache)
        assert [d.code for d in found] == ["MAN107"]
    assert not cache


def test_an_invalid_document_is_reported_from_the_cache_too() -> None:
    cache = Memory()
    text = dataset_text(ENDS + "  teir: Standard\n").encode()
    for _ in range(2):
        documents, _ = load_documents([("a.yaml", text)], cache=cache)
        found = resolve(documents, Request(declarations=DECLARATIONS), cache=cache).diagnostics
        assert [(d.code, str(d.locations[0])) for d in found] == [("MAN113", "a.yaml:7:3")]
