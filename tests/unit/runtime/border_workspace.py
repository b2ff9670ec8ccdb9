"""A workspace with ends of every kind, and its borders; nothing of it is ever contacted."""

from collections.abc import Iterable
from pathlib import Path

from batuta.runtime.borders import Borders
from batuta.runtime.engine import Engine, WorkspaceOptions

HEAD = "apiVersion: batuta.dev/v1\n"
LAKE = """kind: Platform
metadata: {name: lake}
spec:
  type: aws
  network: OnPrem
  region: eu-central-1
  endpoints: ["http://127.0.0.1:8333"]
  cidrs: [127.0.0.0/8]
  aws: {endpoint: "http://127.0.0.1:8333", pathStyle: true}
"""
CLOUD = """kind: Platform
metadata: {name: cloud}
spec: {type: aws, region: eu-central-1}
"""
PLAIN = """kind: EgressPolicy
metadata: {name: lake-plain}
spec:
  allow: [{host: 127.0.0.1, ports: [8333]}]
  requireTls: false
"""


def dataset(name: str, source: str, destination: str, more: str = "") -> str:
    """One Dataset; ends are written as YAML."""
    spec = f"source: {source}, destination: {destination}{', ' if more else ''}{more}"
    return f"kind: Dataset\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n"


AT_LAKE = '{address: "s3://b/a/", platform: lake}'
AT_CLOUD = '{address: "s3://good/a/", platform: cloud}'


def engine(
    folder: Path, documents: Iterable[str], workspace: str = "{}", *, connect: bool = True
) -> Engine:
    """An engine over the documents, in a folder of its own."""
    first = f"kind: Workspace\nspec: {workspace}\n"
    text = "---\n".join(HEAD + each for each in (first, *documents))
    (folder / "batuta.yaml").write_text(text)
    return Engine.open(WorkspaceOptions(folder=folder), connect=connect)


def borders(folder: Path, *documents: str, workspace: str = "{}") -> Borders:
    """The borders of the documents' datasets."""
    opened = engine(folder, documents, workspace)
    try:
        return opened.borders
    finally:
        opened.close()
