"""The tutorials say what happens: their commands are run, what they said is compared, and their code works."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest
from typer.main import get_command

from raydistill.pipelines import tasks
from raydistill.pipelines.cli.app import app
from raydistill.pipelines.config.sections import Questions
from raydistill.pipelines.data.records import Question, Sample
from tests import ROOT
from tests.rows import write_rows

FOLDER = ROOT / "docs" / "tutorials"
PAGES = sorted(FOLDER.glob("*.md"))
WEIGHTS = Path(os.environ.get("RAYDISTILL_MODELS", "models")) / "smollm2-135m-instruct"
OF_ITS_TOKENS = re.compile(r"^(?:ok|warn) +(?:stop token|prompts)\b.*\n", re.MULTILINE)


def loaded(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look for the types of their fields
    spec.loader.exec_module(module)
    return module


player = loaded("make_tutorials", ROOT / "docs" / "make_tutorials.py")


def text_of(name: str) -> str:
    return (FOLDER / f"{name}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_and_commands_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for link in re.findall(r"\]\((?!http)([^)#]+)", text):
        assert (page.parent / link).is_file(), link
    known = get_command(app).commands  # type: ignore[attr-defined]
    named = {*re.findall(r"(?:^\$ |`)raydistill (\w[\w-]*)", text, re.MULTILINE)}
    assert named <= known.keys(), named - known.keys()


def test_steps_are_read_and_written_back() -> None:
    page = "a\n```console\n$ echo one \\\n> two\none two\n$ true\n```\nb\n"
    assert [step.command for step in player.steps(page)] == ["echo one \\\ntwo", "true"]
    assert player.filled(page, ["one two\n", ""]) == page
    assert player.differences(page, ["one  two\n", ""]) and not player.differences(page, ["one two\n", ""])
    assert player.shown("a: 1 of 3\na: 2 of 3\nb: 1 of 2\n") == "a: 2 of 3\nb: 1 of 2\n"
    assert player.steady("took 3.5 s of 12 MB") == player.steady("took 12 s of 7 GB")


def run_as_told(page: str, folder: Path, models: Path | None = None) -> list[str]:
    """What the commands of a page say."""
    return player.play([step.command for step in player.steps(page)], folder, models)


def test_the_first_steps_say_what_the_page_says(tmp_path: Path) -> None:
    """Up to the run, with a small model in the student's place; what the doctor says of its tokens is left out."""
    shutil.copytree(ROOT / "demo" / "models" / "base-student", tmp_path / "models" / "smollm2-135m-instruct")
    (tmp_path / "mine").mkdir()
    page, _ = text_of("own-task").split("## The run\n")
    said = run_as_told(page, tmp_path / "mine", tmp_path / "models")
    assert player.differences(OF_ITS_TOKENS.sub("", page), [OF_ITS_TOKENS.sub("", one) for one in said]) == []


@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="the page tells of a machine without a GPU")
def test_the_page_on_one_gpu_says_what_is_said_without_one(tmp_path: Path) -> None:
    page = text_of("one-gpu")
    assert player.differences(page, run_as_told(page, tmp_path)) == []


@pytest.mark.slow
def test_a_budget_ends_and_goes_on_as_the_page_says(tmp_path: Path) -> None:
    said = run_as_told(text_of("budget"), tmp_path)
    assert "were not asked for" in said[-3] and "200 samples of teacher" in said[-2]


@pytest.mark.slow
@pytest.mark.skipif(not WEIGHTS.is_dir(), reason="RAYDISTILL_MODELS has no smollm2-135m-instruct")
def test_the_run_and_the_service_say_what_the_page_says(tmp_path: Path) -> None:
    """All of it, with the real weights; of the student's own program that it is one, and has a vote."""
    page = text_of("own-task")
    said = run_as_told(page, tmp_path)
    commands = [step.command for step in player.steps(page)]
    [solved] = [place for place, command in enumerate(commands) if "answer.json" in command and "print" in command]
    kind = re.compile(r"def solution\(\):\n(?:    .+\n)+\S+\n\{.*\}\n")
    assert kind.fullmatch(said[solved]) and kind.fullmatch(player.steps(page)[solved].output)
    said[solved] = player.steps(page)[solved].output
    (tmp_path / "said.md").write_text(player.filled(page, said), encoding="utf-8")  # it took a quarter of an hour
    assert "\n".join(player.differences(page, said)) == ""


def test_the_new_family_loads_and_judges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [block] = re.findall(r"```python\n(.*?)```", text_of("new-task-family"), re.DOTALL)
    (tmp_path / "receipts.py").write_text(block, encoding="utf-8")
    family = loaded("receipts", tmp_path / "receipts.py")
    monkeypatch.setitem(tasks.FAMILIES, "receipts", family.load)
    monkeypatch.setitem(tasks.GRADERS, "receipts", "numeric")
    rows = [{"items": [{"name": "tea", "price": 3}, {"name": "bun", "price": n}], "total": 3 + n} for n in (1, 2, 2)]
    path = write_rows(tmp_path / "receipts.jsonl", rows)
    found = tasks.load_questions(Questions(task="receipts", path=str(path)))
    assert [one.text.splitlines()[1:] for one in found.questions] == [["tea: $3", f"bun: ${n}"] for n in (1, 2)]
    assert len(found.duplicates) == 1 and found.task.grade(5, found.questions[1]).status == "passed"
    assert tasks.task_for("receipts").grader == "numeric"
    write_rows(tmp_path / "receipts.jsonl", [rows[0] | {"total": "much"}])
    with pytest.raises(Exception, match="receipts.jsonl:1: the gold answer 'much' is no number"):
        tasks.load_questions(Questions(task="receipts", path=str(path)))


def test_the_new_recipe_learns_the_shortest_right_program(tmp_path: Path) -> None:
    [block] = re.findall(r"```python\n(.*?)```", text_of("new-recipe"), re.DOTALL)
    (tmp_path / "shortest.py").write_text(block, encoding="utf-8")
    made = loaded("shortest", tmp_path / "shortest.py")
    recipe, question = made.ShortestProgram(made.Shortest()), Question("q", "1 + 1?", "2")
    programs = ("total = 1 + 1\n    return total", "return 1 + 1", "return 0")
    samples = [
        Sample(
            f"q/p/{n}", "q", n, "", f"def solution():\n    {body}", how, "ok", "2", 1, 1, "stop", n, format="program"
        )
        for n, (body, how) in enumerate(zip(programs, ("passed", "passed", "failed"), strict=True))
    ]
    [learned] = recipe.selector.select(question, samples).examples
    assert "return 1 + 1" in learned.text and "1 + 1?" in learned.messages[0]["content"]
    assert recipe.selector.enough(question, samples) and not recipe.selector.enough(question, samples[1:])
    assert recipe.answerer() and recipe.asks_teacher().executes
