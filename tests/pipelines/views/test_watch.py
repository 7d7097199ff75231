"""A run watched from outside: how far its stages are, what they cost, and what to do in the end."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from raydistill.pipelines.cli.app import app
from raydistill.pipelines.runtime.stages import stage
from raydistill.pipelines.views.run_folder import RunFolder
from raydistill.pipelines.views.watch import Seen, Watcher, clock
from tests.pipelines.views.written import write_run


def test_a_running_stage_is_counted_in_what_it_has_stored(tmp_path: Path) -> None:
    root = write_run(tmp_path / "r", 60, rows_at_once=20)
    questions = RunFolder.open(str(root)).stages[1]["questions"]
    known = {"model": "m", "completions": "c", "verdicts": "v", "questions": questions, "expected": 240}
    with stage(str(root), "run", "pad"), stage(str(root), "sampling", "now", **known):
        watcher = Watcher(str(root))
        _, [seen] = watcher.look()
        assert (seen.title, seen.state, seen.done, seen.expected) == ("now", "running", 60, 240)
        assert seen.passed == pytest.approx(2 / 3) and seen.tokens == 60 * 30
        assert seen.left is not None and seen.left == pytest.approx(180 / seen.rate)
        sorted((root / "completions/c").iterdir())[0].unlink()
        assert watcher.look()[1][0].done == 40
    assert Watcher(str(root)).look()[1][0].state == "done"


def test_time_left_is_known_where_rate_and_total_are() -> None:
    assert Seen("s", "sampling", "running", 10, 100, None, 0, 5.0).left == 45
    assert Seen("s", "sampling", "running", 0, 100, None, 0, 5.0).left is None
    assert Seen("s", "sampling", "done", 10, 100, None, 0, 5.0).left is None
    assert (clock(59.6), clock(3723)) == ("1:00", "1:02:03")


@pytest.mark.parametrize("arguments", [[], ["--once"]])
def test_the_command_ends_with_what_to_do(tmp_path: Path, arguments: list[str]) -> None:
    root = write_run(tmp_path / "r", 60)
    told = CliRunner().invoke(app, ["watch", str(root), *arguments], env={"COLUMNS": "140"})
    assert told.exit_code == 0 and told.stdout.splitlines()[-1].startswith("now: ")
    assert ("this machine" in told.stdout) == bool(arguments)
