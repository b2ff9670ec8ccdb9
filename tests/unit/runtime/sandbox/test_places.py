"""What a worker sees of the host: the paths that were named, by the names that were used."""

import sys
from pathlib import Path

import pytest

from batuta.model.diagnostic import BatutaError
from batuta.runtime.sandbox import places
from batuta.runtime.sandbox.request import Bind


def _kinds(binds: tuple[Bind, ...]) -> dict[str, str]:
    return {bind.path: bind.kind for bind in binds}


def test_links_on_the_way_are_kept_and_the_real_path_is_bound(tmp_path: Path) -> None:
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "first").symlink_to("real")
    (tmp_path / "second").symlink_to(tmp_path / "first")

    binds, links = places.binds([str(tmp_path / "second" / "deep")], [], network=False)

    assert _kinds(binds)[str(tmp_path / "real" / "deep")] == "read"
    assert dict(links)[str(tmp_path / "second")] == str(tmp_path / "first")
    assert dict(links)[str(tmp_path / "first")] == "real"


def test_a_path_in_a_wider_one_of_the_same_kind_needs_no_place_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "data" / "staging").mkdir(parents=True)
    paths = [str(tmp_path / "data"), str(tmp_path / "data" / "staging")]

    read, _ = places.binds(paths, [], network=False)
    written, _ = places.binds(paths[:1], paths[1:], network=False)

    assert paths[1] not in _kinds(read)
    assert _kinds(written)[paths[1]] == "write"
    assert _kinds(written)[paths[0]] == "read"


def test_nothing_of_a_person_is_among_the_systems_paths() -> None:
    binds, _ = places.binds([], [], network=False)
    own = {sys.prefix, sys.base_prefix, places.PACKAGE_ROOT}

    strange = [
        bind.path
        for bind in binds
        if not bind.path.startswith(("/usr", "/lib", "/etc", "/dev", "/sys", "/nix", "/bin"))
        and not any(bind.path.startswith(str(Path(each).resolve())) for each in own)
    ]

    assert strange == []
    assert not any(bind.kind == "write" for bind in binds)


def test_authorities_are_seen_only_where_there_is_a_way_out() -> None:
    without, _ = places.binds([], [], network=False)

    assert not any("ssl" in bind.path or "pki" in bind.path for bind in without)


def test_a_path_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BatutaError) as refused:
        places.check([str(tmp_path / "absent")])

    assert refused.value.diagnostics[0].code == "EGR203"
    assert "absent" in refused.value.diagnostics[0].detail
