"""The rows of a source as they are, with what could not be read counted instead of ending the build.

malformed   a line that is no JSON object, a CSV line with too many fields
not_utf8    a row with bytes that are no UTF-8, or with halves of surrogate pairs
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from raydistill.actors.rows import hub_rows, is_unicode, read_file
from raydistill.pipelines.datastore.settings import SourceSettings


def read_rows(source: SourceSettings, dropped: Counter[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Number (from 1) and content of each readable row; what is dropped is added to `dropped`.

    Raises UsageError for a source that is not there or not of its kind at all.
    """
    if file := source.file():
        rows = read_file(str(file), dropped)
    else:
        complaint = f"source {source.name}: hub dataset {source.hub}: cannot be loaded"
        options = {"name": source.config, "streaming": True}
        rows = hub_rows(source.hub or "", source.split, options, complaint=complaint, label_names=True)
    for row in rows:
        if is_unicode(row.data):
            yield row.record or row.number, row.data
        else:
            dropped["not_utf8"] += 1
