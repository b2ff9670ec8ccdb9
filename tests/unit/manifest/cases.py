"""What the tests of this room share: declarations, texts, and short ways to resolve them."""

from pathlib import Path

from batuta.manifest.declarations import Declarations
from batuta.manifest.load import load_documents
from batuta.manifest.resolve import Request, Resolution, resolve
from batuta.model.diagnostic import Diagnostic
from batuta.model.format import OptionSpec
from batuta.model.resource import Dataset, Desired

ROOT = Path(__file__).parents[3]
DATA = ROOT / "tests" / "data" / "manifests"

# The same form as the connectors declare, so that these tests need none of them.
DECLARATIONS = {
    "local": Declarations(schemes=("file",), needs_platform=False),
    "aws": Declarations(
        schemes=("s3",),
        options=(
            OptionSpec(name="endpoint", type="string", help="URL of the store."),
            OptionSpec(name="pathStyle", type="boolean", help="Bucket in the path."),
            OptionSpec(name="retries", type="integer", help="Tries."),
            OptionSpec(name="mode", type="string", help="A choice.", choices=("fast", "safe")),
        ),
        credentials=(
            OptionSpec(name="accessKeyId", type="string", help="Id.", secret=True),
            OptionSpec(name="secretAccessKey", type="string", help="Key.", secret=True),
        ),
    ),
    "needy": Declarations(
        options=(OptionSpec(name="account", type="string", help="Account.", required=True),),
    ),
}

HEAD = "apiVersion: batuta.dev/v1\nkind: Dataset\nmetadata: {name: a}\nspec:\n"
ENDS = "  source: delta+data/a\n  destination: out/a/\n"
WORKSPACE = "apiVersion: batuta.dev/v1\nkind: Workspace\nspec: {}\n"


class Memory(dict[str, bytes]):
    """A parse cache that keeps everything."""

    def put(self, key: str, content: bytes) -> None:
        self[key] = content


def dataset_text(spec: str = ENDS, name: str = "a") -> str:
    """A Dataset document whose spec is the indented text `spec`."""
    return HEAD.replace("name: a", f"name: {name}") + spec


def run(
    *texts: str,
    overlay: str = "",
    environment: str | None = None,
    variables: dict[str, str] | None = None,
    version: str = "1.0.0",
) -> tuple[Resolution, list[Diagnostic]]:
    """Load and resolve texts named `0.yaml`, `1.yaml`, …; the findings are those of both."""
    documents, found = load_documents([(f"{i}.yaml", t.encode()) for i, t in enumerate(texts)])
    request = Request(
        declarations=DECLARATIONS,
        environment=environment,
        variables=variables or {},
        version=version,
    )
    laid = [("overlay.yaml", overlay.encode())] if overlay else []
    resolution = resolve(documents, request, overlays=laid)
    return resolution, [*found, *resolution.diagnostics]


def desired(*texts: str, overlay: str = "", environment: str | None = None) -> Desired:
    """The desired state of texts that must be right."""
    resolution, found = run(*texts, overlay=overlay, environment=environment)
    assert found == []
    assert resolution.desired is not None
    return resolution.desired


def dataset(spec: str) -> Dataset:
    """The one Dataset of a document that must be right."""
    return desired(dataset_text(spec)).datasets[0]


def codes(*texts: str, overlay: str = "", environment: str | None = None) -> list[str]:
    """The codes of what is wrong with texts."""
    return [d.code for d in run(*texts, overlay=overlay, environment=environment)[1]]
