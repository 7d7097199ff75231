"""The rows that questions are made of: of a local file or folder, or of a dataset on the Hugging Face hub.

path --expand--> file, folder or hub id --read_rows--> Row --field("question.stem")--> value
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from raydistill.actors.errors import UsageError
from raydistill.actors.rows import SUFFIXES, Row, folder_rows, hub_rows, read_file
from raydistill.pipelines.config.files import expand


def read_rows(path: str, *, split: str, size: int | None, options: Mapping[str, Any]) -> Iterator[Row]:
    """The first `size` rows of a file, or of the `split` of a folder or hub dataset (`options` of load_dataset).

    Raises UsageError for a file that is missing, empty or malformed, and for a dataset that cannot be had.
    """
    source = expand(path)
    if Path(source).is_file():
        rows = read_file(source)
    elif Path(source).is_dir():
        rows = folder_rows(source, split, options)
    elif source.endswith(SUFFIXES) or not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", source):
        raise UsageError(f"{source}: no such file; expected one of {', '.join(SUFFIXES)}, or a hub dataset id")
    else:
        complaint = f"{source}: neither a local file nor a hub dataset that can be loaded"
        rows = hub_rows(source, split, options, complaint=complaint)
    row = None
    for row in islice(rows, size):
        yield row
    if row is None:
        raise UsageError(f"{source}: no rows in it")
