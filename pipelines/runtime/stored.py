"""What a run's folder holds, in one line: for whoever has interrupted it."""

from __future__ import annotations

from pathlib import Path

from raydistill.actors.storage import is_uri

ROWS = ("completions", "verdicts", "trajectories")


def what_is_stored(run_dir: str) -> str:
    """``in runs/demo are stored 1,204 completions, 1,180 verdicts, ...``; of a URI its name alone."""
    if is_uri(run_dir):
        return f"what is finished is stored in {run_dir}"
    root = Path(run_dir).expanduser()
    counts = {name: _rows(root / name) for name in ROWS}
    counts |= {
        "sets of examples": len(list(root.glob("examples/*/summary.json"))),
        "checkpoints": len(list(root.glob("training/*/checkpoints/step_*"))),
        "students": len(list(root.glob("training/*/result.json"))),
        "scores": len(list(root.glob("evaluation/*.json"))),
    }
    told = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
    return f"stored in {run_dir}: {told or 'nothing yet'}"


def _rows(folder: Path) -> int:
    """Rows of all segments below `folder`, as their footers say."""
    import pyarrow.parquet as pq

    return sum(pq.read_metadata(path).num_rows for path in folder.rglob("*.parquet"))
