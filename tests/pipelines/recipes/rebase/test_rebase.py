"""The recipe of ReBase: its settings, what teacher and student are asked, what becomes an example."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from raydistill.actors.errors import UsageError
from raydistill.pipelines.data.records import Question
from raydistill.pipelines.data.rewritten import Rewritten
from raydistill.pipelines.recipes.rebase.asking import reanswerer, rewriter
from raydistill.pipelines.recipes.rebase.checker import load_checker
from raydistill.pipelines.recipes.rebase.config import ReBase
from raydistill.pipelines.recipes.rebase.prompts import row_text
from raydistill.pipelines.recipes.rebase.recipe import RetrievalBasedDistillation
from raydistill.pipelines.recipes.registry import make_recipe
from raydistill.pipelines.run_config import Run, load_config

INSTRUCTION = "Add the apples."
EXAMPLES = [
    {"input": f"Mia has {a} apples. Then {a} are bought. How many apples are there now?"}
    | {"reasoning": f"{a} + {a} = {2 * a}.", "output": str(2 * a)}
    for a in (2, 3, 4)
]
TARGET = {"instruction": INSTRUCTION, "examples": EXAMPLES}
BARE = {"instruction": INSTRUCTION, "examples": [{"input": e["input"], "output": e["output"]} for e in EXAMPLES]}
ROW = Question("r", '{"text": "3 and 4"}', "").noting(source="sums", row=7)


def rebase(**settings: Any) -> ReBase:
    return ReBase.model_validate({"target": TARGET, "datastore": "rows", **settings})


def test_the_target_may_stand_in_a_file_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "target.yaml"
    path.write_text(json.dumps(TARGET), encoding="utf-8")
    assert rebase(target=str(path)) == rebase()
    run = tmp_path / "run.yaml"
    run.write_text(f"teacher: {{model: m}}\nrecipe: {{recipe: rebase, target: {path}, datastore: rows}}\n")
    loaded = load_config(run)
    assert isinstance(loaded.recipe, ReBase) and loaded.recipe.target.instruction == INSTRUCTION
    again = Run.model_validate(json.loads(loaded.model_dump_json()))
    assert again == loaded  # what a run notes needs no other file


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("recipe.target=nowhere.yaml", "nowhere.yaml cannot be read"),
        ("recipe.datastore=null", "datastore is missing"),
        ("recipe.retrieval=none recipe.rewrite=false", "nothing to learn as it is"),
        ("recipe.check=nobody", "expected answers, programs, none or module:function"),
        ("recipe.vote_temperature=0", "votes above 1"),
        ("questions.task=gsm8k", "remove questions"),
        ("teacher.rounds=2", "raise teacher.n"),
        ("recipe={recipe: pad}", "needs questions"),
        ("recipe.target={instruction: Add., examples: [{input: x}]}", "needs input and output"),
        ("recipe.target={instruction: A., examples: [{input: x, output: y}, {input: x}]}", "needs input and output"),
    ],
)
def test_settings_that_do_not_fit_are_one_line(tmp_path: Path, override: str, message: str) -> None:
    path = tmp_path / "run.yaml"
    recipe = {"recipe": "rebase", "target": TARGET, "datastore": "rows"}
    path.write_text(json.dumps({"teacher": {"model": "m"}, "recipe": recipe}), encoding="utf-8")
    overrides = [override] if "={" in override or "=[" in override else override.split()
    with pytest.raises(UsageError, match=message) as error:
        load_config(path, overrides)
    assert "\n" not in str(error.value)


def read(config: ReBase, text: str) -> str | None:
    return rewriter(config).read(text, "text")


def test_the_teacher_is_shown_the_row_or_nothing_but_the_target() -> None:
    [rewrite], [direct] = (rewriter(rebase(retrieval=retrieval)).prompts(ROW) for retrieval in ("row", "none"))
    for prompt in (rewrite, direct):
        [message] = prompt.messages
        assert INSTRUCTION in message["content"] and json.dumps(EXAMPLES[2]) in message["content"]
    assert ROW.text in rewrite.messages[0]["content"] and ROW.text not in direct.messages[0]["content"]
    assert (rewrite.context, direct.context) == ("rewrite", "direct")
    whole = json.dumps(EXAMPLES[0])
    assert read(rebase(), whole) == whole and read(rebase(), whole[:-1]) is None
    assert read(rebase(target=BARE), whole) is None  # more than its examples have


def test_a_question_is_answered_again_in_words_or_as_a_program() -> None:
    words, programs = reanswerer(rebase()), reanswerer(rebase(check="programs"))
    question = Question.make("rebase", "How many?", "3")
    [prompt] = words.prompts(question)
    roles = [message["role"] for message in prompt.messages]
    assert roles == ["user", "assistant"] * 3 + ["user"] and prompt.messages[-1]["content"].endswith("How many?")
    bare = reanswerer(rebase(reasoning=False)).prompts(question)
    assert bare == [prompt]  # what is learned does not change what is right
    assert not words.executes and words.read("1 + 2 = 3.\nThe answer is 3.", "text") is not None
    [prompt] = programs.prompts(question)
    assert prompt.format == "program" and programs.executes and "solution()" in prompt.messages[0]["content"]
    assert programs.read("```python\ndef solution():\n    return 3\n```", "program") == "def solution():\n    return 3"


def test_the_student_learns_reasoning_and_answer_after_the_targets_examples() -> None:
    recipe = RetrievalBasedDistillation(rebase())
    example = recipe.example(ROW, Rewritten("Q?", "7", "3 + 4 = 7."))
    assert example.text == "3 + 4 = 7.\nThe answer is 7." and example.prompt_weight == 0
    [asked] = recipe.student.prompts(Question("", "Q?", ""))
    assert list(example.messages) == asked.messages
    assert example.messages[1]["content"] == "2 + 2 = 4.\nThe answer is 4."
    assert example.messages[-1] == {"role": "user", "content": f"{INSTRUCTION}\n\nQuestion: Q?"}
    assert (example.source, example.meta, example.answer) == ("r", {"source": "sums", "row": 7}, "7")


def test_controls_change_what_the_student_learns() -> None:
    made = Rewritten("Q?", "7", "3 + 4 = 7.")
    bare = RetrievalBasedDistillation(rebase(reasoning=False)).example(ROW, made)
    assert bare.text == "The answer is 7." and bare.messages[1]["content"] == "The answer is 4."
    assert len(RetrievalBasedDistillation(rebase(shots=0)).example(ROW, made).messages) == 1
    assert len(RetrievalBasedDistillation(rebase(shots=2)).example(ROW, made).messages) == 5
    whole = RetrievalBasedDistillation(rebase(loss="all")).example(ROW, made)
    assert whole.prompt_weight == 1 and whole.text.endswith("The answer is 7.")


def test_answers_are_of_the_kind_of_the_examples_unless_it_is_set() -> None:
    def kind(**settings: Any) -> str:
        config = Run.model_validate({"teacher": {"model": "m"}, "recipe": rebase(**settings).model_dump()})
        return make_recipe(config.recipe).load_questions(None).task.grader

    assert (kind(), kind(kind="text")) == ("numeric", "text")
    said = [{"input": "x", "output": "neutral"}]
    assert kind(target={"instruction": INSTRUCTION, "examples": said}) == "text"


def test_long_rows_are_cut_to_their_best_values() -> None:
    config = rebase(value_characters=20, row_characters=64)
    values = {"a": "short", "b": "one two three four five six", "c": "x" * 30, "d": "y" * 30}
    assert json.loads(row_text({"a": "short", "b": values["b"]}, (), config)) == {
        "a": "short",
        "b": "one two three four",
    }
    assert json.loads(row_text(values, ("a", "c"), config)) == {"a": "short", "c": "x" * 20}


def test_a_checker_answers_questions_of_the_task_and_no_others() -> None:
    check = load_checker("raydistill.demo.target_task:solve")
    assert check(EXAMPLES[0]["input"]) == "4" and check("Who is Mia?") is None
    assert (
        load_checker("raydistill.pipelines.sampling.program_dedup:canonical_program")("def solution(") is None
    )  # it may not choke either


@pytest.mark.parametrize(
    "name", ["raydistill.demo.target_task:nobody", "no_such_module:solve", "raydistill.demo.target_task:"]
)
def test_a_checker_that_is_not_there_is_one_line(name: str) -> None:
    with pytest.raises(UsageError, match=f"recipe.check: {name}: no such function"):
        load_checker(name)
