"""`python -m raydistill` is the command `raydistill`."""

import sys

if sys.version_info[:2] not in ((3, 11), (3, 12)):  # pip sees to it where it installs; a checkout can be run by any
    sys.exit(f"raydistill: needs Python 3.11 or 3.12, and this is {sys.version.split()[0]}: see docs/install.md")

from raydistill.pipelines.cli.app import main

main()
