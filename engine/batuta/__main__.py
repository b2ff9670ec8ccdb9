"""`python -m batuta`: the same program as the `batuta` command."""

import sys

from batuta.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
