"""The Alimentar dataset: parts in a folder, and a log of commits that says which are current.

It works over the `Files` port, so it has no address scheme and no vendor library of its own:
a local folder and a prefix of an object store are the same to it.
"""

from typing import TYPE_CHECKING

from batuta.model.connector import Connector, Files
from batuta.model.seal import NO_SEAL, Seal

if TYPE_CHECKING:
    from batuta.model.dataset import DatasetStore


def _dataset(files: Files, seal: Seal = NO_SEAL) -> "DatasetStore":
    from batuta.connectors.alimentar.store import AlimentarStore

    return AlimentarStore(files, seal)


CONNECTOR = Connector(name="alimentar", schemes=(), platform_type="alimentar", dataset=_dataset)
