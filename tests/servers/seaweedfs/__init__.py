"""SeaweedFS: S3 with real signatures, conditional writes and versions, and an Iceberg REST catalog.

    with SeaweedFS.start(folder) as server:
        server.make_bucket("orders")

As a command, it runs another command with the server's address and keys in the environment:

    python -m tests.servers.seaweedfs run --bucket orders -- COMMAND...
"""

from tests.servers.seaweedfs.server import SeaweedFS

SERVER = SeaweedFS

__all__ = ["SERVER", "SeaweedFS"]
