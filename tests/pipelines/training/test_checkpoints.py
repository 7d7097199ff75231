"""Checkpoints on disk are fit to resume from after a crash at any moment."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from raydistill.pipelines.training.checkpoints import COPY, FOLDER, LIST, Progress, keep_list, name_of, recover


def ray_list(*steps: int) -> str:
    """Ray Train's list of checkpoints, as far as it matters."""
    return json.dumps({"checkpoint_results": [{"checkpoint_dir_name": name_of(step)} for step in steps]})


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with checkpoints at steps 10 and 20, on the list, and one at step 30 that is half uploaded."""
    for step in (10, 20, 30):
        (tmp_path / FOLDER / name_of(step)).mkdir(parents=True)
    (tmp_path / FOLDER / LIST).write_text(ray_list(10, 20))
    return tmp_path


def state(run: Path) -> tuple[set[str], str | None]:
    path = run / FOLDER / LIST
    return {folder.name for folder in (run / FOLDER).glob("step_*")}, path.read_text() if path.exists() else None


def test_what_is_not_listed_is_removed(run):
    recover(str(run))
    assert state(run) == ({name_of(10), name_of(20)}, ray_list(10, 20))


@pytest.mark.parametrize("torn", ["", ray_list(20, 30)[:25]])
def test_torn_list_is_put_back(run, torn):
    assert keep_list(str(run))
    (run / FOLDER / LIST).write_text(torn)
    recover(str(run))
    assert state(run) == ({name_of(10), name_of(20)}, ray_list(10, 20))


@pytest.mark.parametrize("torn", [None, "", ray_list(20, 30)[:25]])
def test_without_a_whole_list_training_starts_anew(run, torn):
    (run / FOLDER / LIST).unlink()
    if torn is not None:
        (run / FOLDER / LIST).write_text(torn)
    recover(str(run))
    assert state(run) == (set(), None)


def test_a_crash_between_list_and_copy_does_not_bring_the_old_copy_back(run):
    (run / FOLDER / (LIST + COPY)).write_text(ray_list(5, 10))
    recover(str(run))
    (run / FOLDER / LIST).write_text("")
    recover(str(run))
    assert state(run) == ({name_of(10), name_of(20)}, ray_list(10, 20))


def test_a_new_run_has_nothing_to_recover(tmp_path):
    recover(str(tmp_path))
    assert state(tmp_path) == (set(), None)


def test_progress_knows_the_best_step():
    progress = Progress(step=10)
    assert (progress.student_step, progress.score) == (10, -10)
    assert [progress.add_validation(loss) for loss in (2.0, 2.5)] == [True, False]
    progress.step = 20
    assert (progress.student_step, progress.stale) == (10, 1)
    assert progress.add_validation(2.0)
    assert (progress.student_step, progress.best_loss, progress.score, progress.stale) == (20, 2.0, 2.0, 0)


OLDER = {  # as `progress.json` was when it had a field for each measure
    "step": 2,
    "tokens": 99,
    "train_s": 0.5,
    "losses": [3.0, 2.0],
    "validation": [[2, 2.5]],
    "consistency": [[1, 2.5, 1.0, 0.5], [2, 1.5, 1.0, 0.5]],
    "validation_consistency": [],
    "best_step": 2,
    "best_loss": 2.5,
    "stale": 0,
    "finished": False,
}


def test_progress_of_an_earlier_version_is_read_and_written_as_it_was():
    progress = Progress.from_json(OLDER)
    assert progress.to_json() == OLDER
    assert progress.history == {
        "loss": [3.0, 2.0],
        "validation_loss": [[2, 2.5]],
        "consistency": OLDER["consistency"],
        "validation_consistency": [],
    }
    without = Progress.from_json(OLDER | {"consistency": []})
    assert [*without.history] == ["loss", "validation_loss"]


def test_measures_of_steps_and_of_validations_are_kept_apart():
    progress = Progress(step=1)
    progress.add_measures("other", [4.0, 0.5], validation=True)
    assert "other" not in progress.history
    progress.step = 2
    progress.add_measures("other", [3.0, 0.5])
    assert (progress.history["other"], progress.history["validation_other"]) == ([[2, 3.0, 0.5]], [[1, 4.0, 0.5]])
    assert Progress.from_json(progress.to_json()) == progress
