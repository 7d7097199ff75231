"""Files of requests for a batch API: as many as its limits ask for, complete when they have their names."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from raydistill.actors.errors import UsageError

MOST_LINES, MOST_BYTES = 50_000, 200_000_000
"""Of one file, at OpenAI."""


def write_request_files(lines: Iterable[Mapping[str, Any]], out: Path, most_lines: int = MOST_LINES) -> list[Path]:
    """Write lines to `out`, then ``out-2``, ``out-3`` ...; returns the files. Nothing is left where one fails.

    Raises UsageError where a file is there already: who sent it would send some of its requests again.
    """
    parts: list[tuple[Path, Path]] = []
    file, count, size = None, 0, 0
    try:
        for line in lines:
            text = json.dumps(line, ensure_ascii=False).encode() + b"\n"
            if file is None or count == most_lines or size + len(text) > MOST_BYTES:
                if file:
                    file.close()
                parts.append(_place(out, len(parts) + 1))
                file, count, size = parts[-1][1].open("wb"), 0, 0
            file.write(text)
            count, size = count + 1, size + len(text)
        if file:
            file.close()
        return [part.rename(path) for path, part in parts]
    finally:
        for _, part in parts:
            part.unlink(missing_ok=True)


def _place(out: Path, number: int) -> tuple[Path, Path]:
    """The path of a file, and what it is called while it is written."""
    path = out if number == 1 else out.with_name(f"{out.stem}-{number}{out.suffix}")
    if path.exists():
        raise UsageError(f"{path}: is there already; remove it if its requests were not sent, or name another file")
    return path, path.with_name(f"{path.name}.part")
