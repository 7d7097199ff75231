"""What is asked about a failed seed, which replies are taken, what programs agree on, which settings go together."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from raydistill.pipelines.data.gate import Gate
from raydistill.pipelines.data.records import Question, Sample
from raydistill.pipelines.recipes.llm2llm.config import LLM2LLM
from raydistill.pipelines.recipes.llm2llm.recipe import IterativeEnhancement
from raydistill.pipelines.recipes.llm2llm.voting import agreed, learned
from raydistill.pipelines.recipes.llm2llm.writing import NewQuestions, chosen, demands, writer
from raydistill.pipelines.run_config import Run

SEEDS = [
    Question.make("t", text, answer)
    for text, answer in (
        ("Mia has 3 eggs and buys 4. How many eggs has she?", "7"),
        ("Mia has 9 eggs and sells 4. How many eggs has she?", "5"),
        ("Who was born first?", "Ann"),
        ("Mia has 3 hens and buys 2. How many hens has she?", "5"),
    )
]


def sample(text: str, **changed: Any) -> Sample:
    told: dict[str, Any] = {"output": text, "status": "failed", "reason": "wrong_answer", "value": "12"} | changed
    return Sample("q/p/0", "q", 0, text, prompt_tokens=1, completion_tokens=1, finish_reason="stop", seed=0, **told)


def asked(config: LLM2LLM, attempt: Sample) -> str:
    [made] = demands(config, [(SEEDS[0], attempt)], SEEDS[1:])
    assert made.meta == {"seed": SEEDS[0].id}
    return made.text


def test_the_teacher_sees_the_seed_its_answer_and_what_the_student_wrote() -> None:
    said = asked(LLM2LLM(), sample("def solution():\n    return 3 * 4"))
    assert SEEDS[0].text in said and "Right answer: 7" in said and "return 3 * 4\nIt returned 12." in said
    assert not any(seed.text in said for seed in SEEDS[1:])
    said = asked(LLM2LLM(), sample("x", output="", value="", reason="no_program"))
    assert "x\nIt failed: no_program." in said


def test_failed_seeds_are_written_about_or_as_many_of_all() -> None:
    tried = [(seed, sample("x", status="passed" if place in (1, 3) else "failed")) for place, seed in enumerate(SEEDS)]
    failed = [one for one in tried if one[1].status == "failed"]
    assert chosen(LLM2LLM(), 1, tried) == failed
    rounds = [chosen(LLM2LLM(about="drawn", seed=seed), number, tried) for seed in range(3) for number in (1, 2)]
    assert all(len({seed.id for seed, _ in one} & {seed.id for seed in SEEDS}) == len(failed) for one in rounds)
    assert len({str(one) for one in rounds}) > 1 and any(one not in failed for drawn in rounds for one in drawn)
    assert chosen(LLM2LLM(about="drawn"), 1, tried) == rounds[0]


def test_with_contrast_the_nearest_right_seeds_stand_beside_it() -> None:
    said = asked(LLM2LLM(contrast=2), sample("x"))
    assert SEEDS[1].text in said and SEEDS[3].text in said and SEEDS[2].text not in said
    as_json = asked(LLM2LLM(contrast=1, wording="Like these:\n{examples}\nJSON {{input}}."), sample("x"))
    [nearest] = [seed for seed in SEEDS[1:] if seed.text in as_json]
    assert as_json == "Like these:\n" + "".join(
        json.dumps({"input": seed.text}) + "\n" for seed in (nearest, SEEDS[0])
    ) + "JSON {input}."  # fmt: skip


def test_what_is_asked_is_found_by_all_that_it_shows() -> None:
    first, second = ([*demands(LLM2LLM(), [(SEEDS[0], sample(text))], [])] for text in ("a", "b"))
    assert first[0].id != second[0].id and first == [*demands(LLM2LLM(), [(SEEDS[0], sample("a"))], [])]


def test_new_questions_pass_the_guards_or_are_counted() -> None:
    long = "The baker in the small town by the sea sells forty nine warm loaves a day."
    gate = Gate([Question.make("t", long, "1"), Question.make("t", "Is this asked?", "1")])
    new = NewQuestions(LLM2LLM(rouge=0.9), gate, [seed.text for seed in SEEDS])
    texts = [
        "Mia has 5 hats and buys 6. How many hats has she?",
        "mia has 5 hats, and buys 6: how many hats has she",  # the same words
        SEEDS[0].text,
        "Mia has 3 eggs and buys 5. How many eggs has she?",  # one word of twelve
        "is this asked",
        f"{long} How many in a week?",
        "",
        "How much is 2 + 2?",
        "How much is 2 - 2?",  # another question
    ]
    replies = [sample(json.dumps({"input": text})) for text in texts]
    replies.append(sample("Sure!"))
    cut_off = replace(sample('{"input": "cut'), finish_reason="length")
    taken = list(new.take({"seed": [*replies, cut_off]}))
    assert [text for _, text in taken] == [texts[0], texts[7], texts[8]] and {seed for seed, _ in taken} == {"seed"}
    assert new.dropped == {
        "duplicate": 2, "too_alike": 1, "evaluation_copy": 1, "evaluation_overlap": 1, "empty_field": 1,
        "not_json": 1, "length": 1,
    }  # fmt: skip


def test_what_is_stated_beside_a_question_may_be_there_and_is_not_used() -> None:
    text = json.dumps({"input": "How much is 2 + 2?", "reasoning": "2 + 2 = 5.", "output": "5"})
    plain, stating = LLM2LLM(), LLM2LLM(keys=("input", "reasoning", "output"))
    assert [*NewQuestions(stating, None, []).take({"seed": [sample(text)]})] == [("seed", "How much is 2 + 2?")]
    assert not [*NewQuestions(plain, None, []).take({"seed": [sample(text)]})]
    assert (writer(stating).output(text, "text", "stop"), writer(plain).output(text, "text", "stop")) == (text, None)
    assert writer(stating).version != writer(plain).version == "llm2llm-similar/1"


def test_an_answer_is_what_enough_programs_return() -> None:
    assert agreed(["7", "7", "8"], 2) == "7" and agreed(["7", "8", "9"], 2) is None and agreed(["", ""], 2) is None
    config, question = (
        LLM2LLM(votes=3, agree=2, max_programs=2),
        Question.make("t", "New?", "").noting(seed="s", round=1),
    )
    recipe = IterativeEnhancement(config)

    def programs(*values: str | None) -> list[Sample]:
        return [
            sample(f"def solution():\n    return {value} + {place}", value=value, status="passed")
            if value
            else sample("def solution(:", value="", reason="syntax")
            for place, value in enumerate(values)
        ]

    def voted(*values: str | None) -> Any:
        return learned(config, recipe.selector, [question], {question.id: programs(*values)})

    examples, dropped, unknown = voted("7", "8", "7")
    assert [example.answer for example in examples] == ["7", "7"] and not dropped and not unknown
    assert {example.question_id for example in examples} == {question.id} and "return 8" not in str(examples)
    assert examples[0].meta["question"] == "New?" and examples[0].meta["seed"] == "s" and examples[0].meta["votes"] == 2
    assert voted("7", "8", "9") == ([], {"no_agreement": 1}, 0) and voted("7", None, None) == ([], {"no_program": 1}, 0)
    assert voted("7", "7") == ([], {}, 1)  # a program has no verdict: asked for again


def test_settings_that_do_not_go_together_are_one_line(tiny_model: str) -> None:
    for settings, message in (
        (
            {"wording": "Write {another}: {question}"},
            r"\{another\} is nothing that is known: expected question, answer",
        ),
        ({"wording": 'JSON {"input": ...} {question}'}, "is nothing that is known"),
        ({"wording": "Write {question"}, "write {{ and }} for braces"),
        ({"wording": "Write another one."}, "the failed question is not in it"),
        ({"wording": "Like {question}", "contrast": 1}, "write {right} or {examples}"),
        ({"agree": 2}, "agree is 2 of 5 votes: expected more than half"),
        ({"agree": 6}, "agree is 6 of 5 votes"),
        ({"keys": ["output"]}, "expected input and, at most once each, reasoning and output, not output"),
        ({"keys": ["input", "input"]}, "not input, input"),
    ):
        with pytest.raises(ValidationError, match=message):
            LLM2LLM.model_validate(settings)
    run: dict[str, Any] = {"questions": {"task": "gsm8k"}, "teacher": {"model": "m"}, "recipe": {"recipe": "llm2llm"}}
    trained = run | {"train": {"student": tiny_model}}
    recorded = {
        "teacher": {"engine": "recorded", "model": "a"},
        "recipe": {"recipe": "llm2llm", "writer": {"model": "m"}},
    }
    for settings, message in (
        (run, "writes about what a student fails: expected a section train"),
        ({key: trained[key] for key in trained if key != "questions"}, "needs questions"),
        (trained | recorded, "recipe.writer is hosted as a local teacher is"),
        (trained | {"teachers": [{"name": "a"}, {"name": "b"}]}, "asks one teacher"),
    ):
        with pytest.raises(ValidationError, match=message):
            Run.model_validate(settings)
    assert Run.model_validate(trained).recipe.rounds == 10
