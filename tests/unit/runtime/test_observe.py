"""Looking for a log above or below a source."""

from pathlib import Path

from batuta.model.address import parse_address
from batuta.runtime.borders import Border
from batuta.runtime.cache import Cache
from batuta.runtime.connections import Connections
from batuta.runtime.errands import Errands
from batuta.runtime.observe import Observer
from batuta.runtime.worker.pool import WorkerPool


def test_a_single_file_is_not_taken_for_a_folder_with_a_log(tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text("id\n1\n")
    connections = Connections(platforms={}, environment={}, root=tmp_path)
    borders: dict[str, Border] = {}
    errands = Errands(
        bounds=borders.__getitem__,
        beyond=lambda place, _platform: borders[str(place)],
        root=tmp_path,
        scratch=tmp_path,
        place_of=lambda _name: None,
    )
    observer = Observer(connections, WorkerPool(), Cache(tmp_path / "cache.db"), errands)

    assert observer.log_at(parse_address("orders.csv"), None, "t") is None
    assert observer.log_at(parse_address("missing/"), None, "t") is None
