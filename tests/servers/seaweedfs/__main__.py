"""Run a command beside a SeaweedFS that lives as long as the command does."""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.servers.seaweedfs.server import SeaweedFS


def main(arguments: list[str]) -> int:
    """Start the server, run the command, stop the server; return the command's exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.servers.seaweedfs", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    run = verbs.add_parser("run", help="run COMMAND with AWS_* variables that name the server")
    run.add_argument("--bucket", action="append", default=[], help="make this bucket first")
    run.add_argument("command", nargs="+", metavar="COMMAND", help="what to run, after `--`")
    chosen = parser.parse_args(arguments)

    with (
        tempfile.TemporaryDirectory(prefix="seaweedfs-") as folder,
        SeaweedFS.start(Path(folder)) as server,
    ):
        for bucket in chosen.bucket:
            server.make_bucket(bucket)
        try:
            done = subprocess.run(
                chosen.command, check=False, env=os.environ | server.environment()
            )
        except KeyboardInterrupt:
            return 130
        return done.returncode if done.returncode >= 0 else 128 - done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
