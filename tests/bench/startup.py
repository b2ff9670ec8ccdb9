"""How long the program takes to say anything at all: its version, and one checked manifest."""

from collections.abc import Sequence
from pathlib import Path

from tests.bench.measure import Row, batuta, python, run, take_turns

SECTION = "Start-up"
CLICK = "import click; click.version_option('1')(click.Group('x')).main(['--version'])"
HEAVY = ("pyarrow", "pydantic", "httpx", "rich")
MANIFEST = """\
apiVersion: batuta.dev/v1
kind: Workspace
metadata: {name: bench}
spec: {manifests: ["*.yaml"]}
---
apiVersion: batuta.dev/v1
kind: Dataset
metadata: {name: orders}
spec:
  source: {address: data/orders.csv, options: {delimiter: ";"}}
  destination: out/orders/
  format: parquet
"""


def rows(folder: Path, quick: bool) -> Sequence[Row]:
    """Return the ratios of `--version`, what it imports, and the cost of one `validate`."""
    place = folder / "startup"
    place.mkdir(parents=True, exist_ok=True)
    (place / "batuta.yaml").write_text(MANIFEST)
    rounds = 7 if quick else 15
    turns = take_turns(
        {
            "pass": lambda: run(python("pass"), cwd=place, memory=False),
            "click": lambda: run(python(CLICK), cwd=place, memory=False),
            "version": lambda: run(batuta("--version"), cwd=place, memory=False),
            "validate": lambda: run(batuta("validate"), cwd=place, memory=False),
        },
        rounds,
    )
    loaded = run(
        python(
            "import sys\nsys.argv = ['batuta', '--version']\nfrom batuta.cli.main import main\n"
            "main()\nprint(*{name.partition('.')[0] for name in sys.modules})"
        ),
        cwd=place,
    ).output.split()
    heavy = sorted(set(loaded) & set(HEAVY))
    return [
        Row(section=SECTION, work="`batuta --version`", figure="wall to `python -c pass`",
            reached=turns.ratio("version", "pass"), bar=5.0),
        Row(section=SECTION, work="`batuta --version`", figure="wall to a bare Click program",
            reached=turns.ratio("version", "click"), bar=1.5),
        Row(section=SECTION, work="`batuta --version`", unit="",
            figure=f"of {', '.join(HEAVY)}: how many it imports",
            reached=len(heavy), bar=0, note=", ".join(heavy)),
        Row(section=SECTION, work="`batuta validate`, one file", figure="CPU", unit=" s",
            reached=turns.middle("validate", "cpu_s"), bar=0.3),
    ]  # fmt: skip
