"""Names of a dataset's files, and the keys it refuses."""

import pytest

from batuta.connectors.alimentar import names


def test_entry_names_sort_as_versions() -> None:
    versions = [0, 9, 10, 99, 10**18]

    assert sorted(names.entry_name(v) for v in versions) == [names.entry_name(v) for v in versions]
    assert [names.entry_version(names.entry_name(v)) for v in versions] == versions


def test_a_checkpoint_is_no_entry() -> None:
    assert names.entry_version(names.checkpoint_name(63)) is None
    assert names.checkpoint_version(names.checkpoint_name(63)) == 63


@pytest.mark.parametrize("path", ["_log/42.json", "_log/0000000000000000004٢.json", "_log/x", "42"])
def test_other_names_in_the_log_are_neither(path: str) -> None:
    assert names.entry_version(path) is None
    assert names.checkpoint_version(path) is None


@pytest.mark.parametrize("path", ["part-0123456789abcdef.ald", "d/e f/ü.csv", "a\nb"])
def test_history_is_found_from_path_and_digest_and_back(path: str) -> None:
    sha256 = "0123456789abcdef" * 4

    assert names.history_key(names.history_name(path, sha256)) == (path, sha256[:16])


@pytest.mark.parametrize(
    "key",
    [
        "", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/.", "a\0b", "_log/x", "_log",
        "_LOG/x", "_history/0123456789abcdef/a", "_Staging", "\udc80", "x" * 256, "é" * 128,
        "/".join(["y" * 200] * 16),
    ],
)  # fmt: skip
def test_an_unsafe_key_is_refused_by_name(key: str) -> None:
    problems = names.check_keys([key, "fine.csv"])

    assert [problem.code for problem in problems] == ["LOG111"]
    assert repr(key) in problems[0].detail


@pytest.mark.parametrize(
    "key", ["a", "a b", "..a", "a..", "…", "_logs/x", "x_log", "x/_log/y", "x" * 255, ".hidden"]
)
def test_a_safe_key_is_kept(key: str) -> None:
    assert names.check_keys([key]) == ()


def test_a_file_that_is_a_folder_of_another_is_refused() -> None:
    problems = names.check_keys(["a/b", "a/b/c", "a/bc"])

    assert [problem.code for problem in problems] == ["LOG112"]
    assert "'a/b'" in problems[0].detail
    assert "'a/b/c'" in problems[0].detail


@pytest.mark.parametrize(
    ("one", "other"),
    [("A.csv", "a.csv"), ("d/X", "D/x"), ("\u00e9", "e\u0301"), ("STRASSE", "straße")],
)
def test_keys_clash_only_where_case_does_not_count(one: str, other: str) -> None:
    assert names.check_keys([one, other]) == ()
    assert [p.code for p in names.check_keys([one, other], case_sensitive=False)] == ["LOG112"]


def test_only_encoded_parts_have_part_names() -> None:
    assert names.is_part_name(names.part_name("0123456789abcdef", "parquet"))
    assert not names.is_part_name("d/part-0123456789abcdef.parquet")
    assert not names.is_part_name("part-0123456789ABCDEF.parquet")
