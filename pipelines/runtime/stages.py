"""The record of a run's stages: what was done when, with which result, and where its rows lie.

    stages/<time_ns>-<id>.json     one file a stage: a run of the command, a sampling job, a training

A stage that was killed has no `ended`. Reports, comparisons and exports find by these which folder of completions and
verdicts belongs to whom.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from raydistill.actors.storage import read_bytes, resolve, scheme, write_json

FOLDER = "stages"
LONGEST_ERROR = 2000  # characters


@contextmanager
def stage(root: str, kind: str, title: str, **known: Any) -> Iterator[dict[str, Any]]:
    """Record a stage of the run in `root`; what the block puts into the dictionary is stored with its end."""
    uri = f"{root}/{FOLDER}/{time.time_ns():020d}-{uuid.uuid4().hex[:8]}.json"
    told: dict[str, Any] = {"kind": kind, "title": title, **known, "started": now(), "ended": None, "error": None}
    write_json(uri, told)
    try:
        yield told
    except BaseException as error:
        said = " ".join(str(error).split())
        told |= {"ended": now(), "error": ": ".join(filter(None, (type(error).__name__, said)))[:LONGEST_ERROR]}
        with suppress(OSError):  # of a full disk, which may be the very error
            write_json(uri, told)
        raise
    told["ended"] = now()
    write_json(uri, told)


def now() -> str:
    """This moment as ``2026-11-29T18:10:14.673+00:00``."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def read_stages(root: str) -> list[dict[str, Any]]:
    """The stages of a run in the order in which they began, all lives of the run together."""
    from pyarrow.fs import FileSelector

    filesystem, path = resolve(f"{root}/{FOLDER}")
    infos = filesystem.get_file_info(FileSelector(path, allow_not_found=True))
    names = sorted(info.path for info in infos if info.path.endswith(".json"))
    return [json.loads(told) for name in names if (told := read_bytes(scheme(root) + name))]
