"""`python -m raydistill` is the command `raydistill`."""

from raydistill.pipelines.cli.app import main

main()
