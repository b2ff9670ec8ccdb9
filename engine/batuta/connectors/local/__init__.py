"""Folders and files of this machine: the connector behind paths and `file:`."""

from typing import TYPE_CHECKING

from batuta.model.connector import Connector

if TYPE_CHECKING:
    from batuta.model.address import Address
    from batuta.model.connector import Connection, Files, Source


def _source(connection: "Connection") -> "Source":
    from batuta.connectors.local.source import LocalSource

    return LocalSource(connection)


def _files(connection: "Connection", address: "Address") -> "Files":
    from batuta.connectors.local.files import LocalFiles

    return LocalFiles(connection, address)


CONNECTOR = Connector(
    name="local",
    schemes=("file",),
    platform_type="local",
    source=_source,
    files=_files,
)
