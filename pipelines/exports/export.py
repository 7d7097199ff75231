"""One export of a run: rows or weights into a folder, with their card; and to the hub, if that is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from raydistill.actors.errors import UsageError
from raydistill.actors.storage import is_uri
from raydistill.pipelines.exports.cards import dataset_card, model_card
from raydistill.pipelines.exports.files import write_rows
from raydistill.pipelines.exports.hub import push
from raydistill.pipelines.exports.models import export_adapter, export_model
from raydistill.pipelines.exports.rows import FORMS
from raydistill.pipelines.views.run_folder import RunFolder

WEIGHTS = {"model": export_model, "adapter": export_adapter}
TARGETS = (*FORMS, *WEIGHTS, "card")


def export(run: RunFolder, target: str, folder: Path, license_id: str, say: Callable[[str], object]) -> None:
    """Write one of `TARGETS` into `folder`, which is made. Raises UsageError where the run has none of it."""
    if target not in TARGETS:
        raise UsageError(f"--to {target}: expected one of {', '.join(TARGETS)}")
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out {folder}: is a file; expected a folder")
    if target in FORMS:
        count = write_rows(FORMS[target](run), folder, target)
        card = dataset_card(run, target, count, license_id)
        say(f"{folder}: {count:,} rows, {target}.jsonl and {target}.parquet")
    else:
        folder.mkdir(parents=True, exist_ok=True)
        if target in WEIGHTS:
            WEIGHTS[target](run, folder)
        card = model_card(run, license_id)
        say(f"{folder}: {target}")
    (folder / "README.md").write_text(card, encoding="utf-8", errors="replace")


def default_folder(run: RunFolder, target: str) -> Path:
    """Where an export goes if nothing else is said. Raises UsageError for a run under a URI."""
    if is_uri(run.root):
        raise UsageError(f"{run.root}: exports are written to folders; say which one: --out FOLDER")
    return Path(run.root, "exports", target)


def push_export(
    folder: Path, target: str, repository: str, *, public: bool, dry_run: bool, say: Callable[[str], object]
) -> None:
    """Send an export to the hub (`hub.push`)."""
    kind: Literal["dataset", "model"] = "dataset" if target in FORMS else "model"
    push(folder, repository, kind, public=public, dry_run=dry_run, say=say)
