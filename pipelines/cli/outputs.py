"""Files that commands write: what is wrong with their names is told before any work is done."""

from __future__ import annotations

import os
from pathlib import Path

from raydistill.actors.errors import UsageError


def check_out(out: Path) -> None:
    """Raise UsageError where no file can be written to `out`, whose folder may still be missing."""
    expected = "expected the name of a file to write, such as verdicts.jsonl"
    if out.is_dir():
        raise UsageError(f"--out {out}: is a folder; {expected}")
    folder = next(parent for parent in out.absolute().parents if parent.exists())
    if not folder.is_dir():
        raise UsageError(f"--out {out}: {folder} is a file, not a folder; {expected}")
    if not os.access(folder, os.W_OK):
        raise UsageError(f"--out {out}: nothing may be written in {folder}; {expected}")
