"""The command `raydistill`: one file per group of verbs, each a thin layer over a room."""
