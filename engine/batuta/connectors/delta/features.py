"""Which tables may be read at all: an allow list over the protocol, everything else refused.

A reader feature is allowed when its meaning is honoured here (column mapping, deletion
vectors, types) or when it only changes how the log is written. Writer-only features never
change what a stored row means (the protocol lists what does as a reader feature), so they
are not looked at.
"""

from batuta.connectors.delta.problems import problem
from batuta.connectors.delta.snapshot import TableVersion

COLUMN_MAPPING = "columnMapping"
DELETION_VECTORS = "deletionVectors"

# Honoured by this connector.
_HONOURED = frozenset(
    {
        COLUMN_MAPPING,
        DELETION_VECTORS,
        "timestampNtz",
        # Files written before the change hold the narrower type; it is cast.
        "typeWidening",
        "typeWidening-preview",
        # Read as struct<value, metadata>; shredded files are refused by their own columns.
        "variantType",
        "variantType-preview",
    }
)
# Change how the log is kept, which is the library's business, or bind writers alone.
_HARMLESS = frozenset({"v2Checkpoint", "vacuumProtocolCheck"})
_NEWEST_READER_VERSION = 3


def check(table: TableVersion) -> None:
    """Refuse a table whose protocol asks for what is not honoured here.

    Raises:
        ConnectorError: DLT103 with the names of the features. No retry helps.
    """
    if table.min_reader_version > _NEWEST_READER_VERSION:
        raise problem(
            "DLT103",
            f"{table.uri} asks for reader version {table.min_reader_version}; "
            f"{_NEWEST_READER_VERSION} is the newest that is known here.",
        )
    unknown = sorted(table.reader_features - _HONOURED - _HARMLESS)
    if unknown:
        raise problem("DLT103", f"{table.uri} uses the table features {', '.join(unknown)}.")
    if mapping_mode(table) == "none":
        return
    if table.min_reader_version != 2 and COLUMN_MAPPING not in table.reader_features:
        raise problem(
            "DLT103", f"{table.uri} sets a column mapping that its protocol does not allow."
        )


def mapping_mode(table: TableVersion) -> str:
    """How columns are named in data files: `none`, `name` or `id`."""
    mode = table.setting("delta.columnMapping.mode", "none")
    if mode not in {"none", "name", "id"}:
        raise problem("DLT103", f"{table.uri} maps its columns by `{mode}`.")
    return mode


def has_deletions(table: TableVersion) -> bool:
    """True where files may have deletion vectors."""
    return DELETION_VECTORS in table.reader_features
