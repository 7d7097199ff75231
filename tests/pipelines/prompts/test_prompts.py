import re
from contextlib import closing

import pytest
import yaml

from raydistill.actors.errors import UsageError
from raydistill.actors.executor import Executor, Program
from raydistill.demo.gold import same_number
from raydistill.demo.rationales import WORDINGS
from raydistill.pipelines.prompts import (
    INSTRUCTIONS,
    MAX_SHOTS,
    context_names,
    fence,
    load_context,
    render,
    render_context,
)
from raydistill.pipelines.sampling.program_dedup import canonical_program

PROGRAMS, RATIONALES = context_names("program"), context_names("rationale")
NUMBER = r"\d+(?:\.\d+)?"
EQUATION = re.compile(rf"{NUMBER} [-+*/] {NUMBER}(?: [-+*/=] {NUMBER})*")


def test_enough_contexts_and_styles():
    assert len(PROGRAMS) >= 8 and len(RATIONALES) >= 4
    assert len({load_context(name).style for name in PROGRAMS}) >= 6
    assert len({load_context(name).style for name in RATIONALES}) >= 4
    assert context_names() == sorted(PROGRAMS + RATIONALES)


def test_each_context_asks_in_words_of_its_own():
    for names in (PROGRAMS, RATIONALES):
        assert len({load_context(name).instruction for name in names}) == len(names)
        shown = [tuple(demonstration.answer for demonstration in load_context(name).demonstrations) for name in names]
        assert len({answer for answers in shown for answer in answers}) == MAX_SHOTS * len(names)


def test_every_demonstrated_program_returns_its_value():
    demonstrations = [demonstration for name in PROGRAMS for demonstration in load_context(name).demonstrations]
    with closing(Executor()) as executor:
        verdicts = executor.run([Program(str(i), shown.answer) for i, shown in enumerate(demonstrations)])
    for shown, verdict in zip(demonstrations, verdicts, strict=True):
        assert verdict.status == "passed", (shown.answer, verdict)
        assert same_number(verdict.value, str(shown.value)), (shown.answer, verdict.value)


@pytest.mark.parametrize("name", RATIONALES)
def test_every_demonstrated_rationale_calculates_to_its_value(name):
    for shown in load_context(name).demonstrations:
        *steps, last = shown.answer.strip().split("\n")
        assert last == f"Therefore, the answer is {shown.value}."
        equations = [equation.split(" = ") for equation in EQUATION.findall("\n".join(steps))]
        assert len(equations) >= 2 and all(len(sides) >= 2 for sides in equations)
        for first, *others in equations:
            assert all(same_number(eval(side), str(eval(first))) for side in others), first
        assert same_number(equations[-1][-1], str(shown.value))


def test_same_value_wherever_a_question_is_shown():
    values: dict[str, set] = {}
    for name in context_names():
        for shown in load_context(name).demonstrations:
            values.setdefault(shown.question, set()).add(shown.value)
    assert len(values) >= 20
    assert all(len(found) == 1 for found in values.values())


def test_demonstrations_of_one_style_solve_different_questions_in_really_different_programs():
    for name in PROGRAMS:
        forms = {canonical_program(shown.answer) for shown in load_context(name).demonstrations}
        assert None not in forms and len(forms) >= 2


@pytest.mark.parametrize("shots", range(MAX_SHOTS + 1))
@pytest.mark.parametrize("name", ["helper", "numbered"])
def test_demonstrations_are_earlier_turns(name, shots):
    context = load_context(name)
    messages = render_context(context, context.target, "How many?", shots)
    assert [message["role"] for message in messages] == ["user", "assistant"] * shots + ["user"]
    instruction = f"{INSTRUCTIONS[context.target]} {context.instruction}"
    assert messages[-1]["content"] == f"{instruction}\n\nQuestion: How many?"
    for shown, user, assistant in zip(context.demonstrations, messages[:-1:2], messages[1::2], strict=False):
        assert user["content"] == f"{instruction}\n\nQuestion: {shown.question}"
        expected = fence(shown.answer) if context.target == "program" else shown.answer.strip()
        assert assistant["content"] == expected


def test_rationale_contexts_have_the_wordings_of_the_demo_models():
    assert {load_context(name).style for name in RATIONALES} == {"sentences", *WORDINGS}


def test_without_a_style_instruction_the_last_turn_is_the_plain_one():
    for target in ("program", "rationale"):
        plain, few_shot = render("instruct", target, "How many?"), render("few_shot", target, "How many?")
        assert plain == [{"role": "user", "content": f"{INSTRUCTIONS[target]}\n\nQuestion: How many?"}]
        assert few_shot[-1:] == plain and len(few_shot) == 2 * MAX_SHOTS + 1
    with pytest.raises(UsageError, match="unknown prompt 'many_shot'; known are instruct and few_shot"):
        render("many_shot", "program", "How many?")


def test_users_own_context(tmp_path):
    shown = {"question": "Why?", "answer": "def solution():\n    return 7\n", "value": 7}
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"style": "mine", "instruction": "Be brief.", "demonstrations": [shown] * 4}))
    context = load_context(str(path))
    assert (context.name, context.target, context.style) == ("mine", "program", "mine")
    first, answer, last = render_context(context, "program", "How?", shots=1)
    assert first["content"].endswith(" Be brief.\n\nQuestion: Why?") and "return 7" in answer["content"]
    assert last["content"].endswith(" Be brief.\n\nQuestion: How?")


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("style: [", "not valid YAML"),
        ("- a\n- b\n", "expected style, instruction and demonstrations, got list"),
        ("style: s\ndemonstrations: []\n", "demonstrations: Tuple should have at least 4 items"),
        ("style: s\nshots: 3\n", "shots: Extra inputs are not permitted"),
    ],
)
def test_malformed_context_is_one_line(tmp_path, text, complaint):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        load_context(str(path))
    assert complaint in str(caught.value) and "\n" not in str(caught.value)


def test_unknown_context_lists_the_known():
    with pytest.raises(UsageError, match=f"unknown context 'sonnet'; known are {', '.join(context_names())}"):
        load_context("sonnet")
    with pytest.raises(UsageError, match="cannot be read: .*No such file"):
        load_context("no/such/context.yaml")


def test_context_of_another_target_and_too_many_shots():
    with pytest.raises(UsageError, match="context helper shows a program, but a rationale is asked for"):
        render_context(load_context("helper"), "rationale", "How many?")
    with pytest.raises(UsageError, match="context helper: 5 shots asked for, expected 0 to 4"):
        render_context(load_context("helper"), "program", "How many?", 5)
