"""What the rows found for a target are of: the share of its own family among the best, by rows and by datasets.

    raydistill index build configs/datastores/public-reasoning.yaml limits.rows_per_source=10000
    python -m benchmarks.retrieval_families --index runs/datastore

Targets are those in configs/targets that have a family in `FAMILIES`. Prints one JSON line; exits 1 where less than
90 % of the best rows by row-level scores are of the target's family. Dataset-level scores stand beside it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks import command
from raydistill.actors.retrieval.retriever import Level, Retriever
from raydistill.actors.retrieval.row_index import RowIndex
from raydistill.pipelines.datastore.retrieval import lookup_of
from raydistill.pipelines.datastore.settings import TargetTask, load_settings
from raydistill.pipelines.report import environment

ROOT = Path(__file__).parent.parent


FAMILIES = {  # of configs/datastores/public-reasoning.yaml
    "arithmetic": {"gsm8k", "svamp"},
    "commonsense": {"commonsenseqa", "strategyqa"},
    "extractive-qa": {"xquad_en"},
    "nli": {"mnli"},
}
LEVELS: tuple[Level, ...] = ("row", "dataset")
REACH = 0.9


def shares(sources: Sequence[str], family: set[str]) -> dict[str, Any]:
    """The share of `family` among the rows' sources, and how many rows each source has."""
    own = sum(source in family for source in sources)
    return {"share": round(own / len(sources), 4) if sources else 0.0, "sources": dict(Counter(sources).most_common())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--index", required=True)
    parser.add_argument("--top", type=int, default=200)
    options = parser.parse_args()
    started, retriever = time.monotonic(), Retriever(options.index)
    found: dict[str, dict[str, Any]] = {}
    for name, family in FAMILIES.items():
        target = load_settings(ROOT / "configs" / "targets" / f"{name}.yaml", TargetTask)
        rows = {level: retriever.retrieve(lookup_of(target, options.top, level=level)) for level in LEVELS}
        found[name] = {level: shares([row.source for row in rows[level]], family) for level in LEVELS}
    known, sources = environment(), RowIndex.open(options.index).sources()
    about = {
        "rows": sum(source.rows for source in sources),
        "top": options.top,
        "reached": all(target["row"]["share"] >= REACH for target in found.values()),
        "commit": known["commit"],
        "date": date.today().isoformat(),
        "command": command(),
        "seconds": round(time.monotonic() - started, 1),
    }
    print(json.dumps({"targets": found, **about}))
    sys.exit(not about["reached"])


if __name__ == "__main__":
    main()
