import ast
from random import Random
from statistics import mean

import pytest

from raydistill.demo import gold, gsm, programs, prompts, styles
from raydistill.demo.skill import Example
from raydistill.pipelines.prompts import context_names, load_context, render, render_context
from raydistill.pipelines.sampling.program_dedup import canonical_program

SEEDS = (3, 4_711)
DRAWS = 4
LOOP = 68  # the template whose program is no straight line


def question(template, seed=7):
    return gsm.instance(template, seed)


def drawn(instance, style, draws=DRAWS):
    rng = Random(f"{instance.template}/{instance.seed}/{style}")
    return [styles.rewrite(instance, style, rng) for _ in range(draws)]


def solution(program):
    """The statements of solution() and, before it, the helper functions."""
    *helpers, definition = ast.parse(program).body
    return definition.body, helpers


@pytest.mark.parametrize("style", styles.STYLES)
def test_every_template_in_every_style_returns_the_answer_with_the_questions_numbers(style):
    for template in gold.TEMPLATES:
        for seed in SEEDS:
            instance = question(template, seed)
            for program in drawn(instance, style):
                assert gold.returns_answer(program, instance.answer), program
                assert not gold.unexplained_numbers(program, instance.question), program


def test_styles_are_really_different_programs():
    forms = []
    for template in gold.TEMPLATES:
        rng = Random(template)
        written = (styles.rewrite(question(template), style, rng) for style in styles.STYLES)
        forms.append({canonical_program(program) for program in written})
    assert not any(None in found for found in forms)
    assert mean(map(len, forms)) >= 5.5  # 5.9 of 7; comments do not count as a difference


def test_a_style_leaves_room_for_chance():
    for style in styles.STYLES[1:]:
        texts = [len(set(drawn(question(template), style, 8))) for template in gold.TEMPLATES if template != LOOP]
        assert mean(texts) >= 1.5, style


def test_straight_line_is_the_gold_program():
    assert drawn(question(17), "straight-line", 1) == [gold.program(question(17))]


def test_named_steps_name_the_answer_and_mostly_do_one_operation_each():
    lines = operations = 0
    for template in gold.TEMPLATES:
        if template == LOOP:
            continue
        for program in drawn(question(template), "named steps"):
            [*steps, last], helpers = solution(program)
            assert isinstance(last.value, ast.Name) and last.value.id == steps[-1].targets[0].id and not helpers
            assert len({step.targets[0].id for step in steps}) == len(steps)
            lines += len(steps)
            operations += sum(isinstance(node, ast.BinOp) for step in steps for node in ast.walk(step))
    assert operations / lines < 1.25


def test_comments_stand_above_each_statement_and_change_nothing():
    for template in gold.TEMPLATES:
        instance = question(template)
        for program in drawn(instance, "commented"):
            body, _ = solution(program)
            above = [program.split("\n")[statement.lineno - 2].strip() for statement in body]
            expected = [isinstance(statement, ast.Assign | ast.Return) for statement in body]
            assert [line.startswith("# ") for line in above] == expected
            assert [line.startswith(("# the answer", "# answer = ")) for line in above][-1]
            assert canonical_program(program) == canonical_program(gold.program(instance))


def test_inline_has_fewer_statements_and_mostly_one():
    single = []
    for template in gold.TEMPLATES:
        if template == LOOP:
            continue
        before, _ = solution(gold.program(question(template)))
        for program in drawn(question(template), "inline"):
            body, helpers = solution(program)
            assert len(body) <= len(before) and not helpers
            single.append(len(body) == 1)
    assert mean(single) > 0.5


def test_reordered_has_the_same_operations_in_another_order():
    changed = []
    for template in gold.TEMPLATES:
        if template == LOOP:
            continue
        before, _ = solution(ast.unparse(ast.parse(gold.program(question(template)))))
        for program in drawn(question(template), "reordered"):
            body, _ = solution(program)
            assert sorted(operators(body)) == sorted(operators(before))
            changed.append(ast.dump(ast.Module(body, [])) != ast.dump(ast.Module(before, [])))
    assert mean(changed) > 0.9


def operators(body):
    return [type(node.op).__name__ for statement in body for node in ast.walk(statement) if isinstance(node, ast.BinOp)]


def test_givens_come_first_and_the_rest_has_no_number_of_the_question():
    for template in gold.TEMPLATES:
        if template == LOOP:
            continue
        instance = question(template)
        _, givens = gold.with_named_givens(instance)
        for program in drawn(instance, "givens first"):
            body, _ = solution(program)
            assert {statement.targets[0].id for statement in body[: len(givens)]} == set(givens)
            later = {node.value for s in body[len(givens) :] for node in ast.walk(s) if isinstance(node, ast.Constant)}
            assert later <= gold.UNIT_CONSTANTS | {1, 2, 3, 4}  # half, twice, three times, the one who invites


def test_helper_is_called_with_what_it_needs():
    for template in gold.TEMPLATES:
        if template == LOOP:
            continue
        for program in drawn(question(template), "helper function"):
            body, [helper] = solution(program)
            assert f" {helper.name}(" in ast.unparse(ast.Module(body, []))
            parameters = {argument.arg for argument in helper.args.args}
            assert len(parameters) >= 1 and "$" not in program
            free = {node.id for node in ast.walk(helper.body[0]) if isinstance(node, ast.Name)}
            assert free - {"sum", "len", "round"} == parameters


def test_a_loop_is_commented_and_otherwise_left_as_it_is():
    for style in set(styles.STYLES) - {"commented"}:
        assert set(drawn(question(LOOP), style)) == {gold.program(question(LOOP))}
    assert all("    # " in program for program in drawn(question(LOOP), "commented"))


def test_unknown_style():
    with pytest.raises(ValueError, match="unknown style 'rhymed'; known are straight-line, commented"):
        styles.rewrite(question(6), "rhymed", Random(0))


def test_every_program_context_has_a_style_that_is_taught():
    assert {load_context(name).style for name in context_names("program")} == set(styles.STYLES)


@pytest.mark.parametrize("name", context_names("program"))
@pytest.mark.parametrize("shots", programs.SHOTS)
def test_training_texts_are_what_render_context_asks(name, shots):
    example = programs.program_in_context(question(6), load_context(name), shots, Random(name))
    contents = [text for turn in example.turns for text in turn] + [example.prompt]
    roles = ["user", "assistant"] * len(example.turns) + ["user"]
    messages = [{"role": role, "content": text} for role, text in zip(roles, contents, strict=True)]
    assert messages == render_context(load_context(name), "program", question(6).question, shots)
    assert len(example.turns) == shots
    written = {styles.rewrite(question(6), load_context(name).style, Random(seed)) for seed in range(50)}
    assert prompts.unfenced(example.completion) in written


def test_drawn_examples_are_right_and_mix_plain_and_contexts():
    rng = Random(5)
    examples = [programs.program_in_style(question(template), rng) for template in gold.TEMPLATES for _ in range(2)]
    assert programs.program_check(examples, [example.completion for example in examples]) == [True] * len(examples)
    plain = [example for example in examples if example.prompt == prompts.program_prompt(example.question.question)]
    assert 0.1 < len(plain) / len(examples) < 0.5
    for example in plain:
        [message] = render("instruct", "program", example.question.question)
        assert example.prompt == message["content"]
        assert prompts.unfenced(example.completion) == gold.program(example.question)
    assert max(sum(map(len, [*sum(e.turns, ()), e.prompt, e.completion])) for e in examples) < 3 * 1024


def test_check_needs_the_value_not_the_text():
    asked = Example("", "", question(6))
    other = Example("", prompts.fenced("def solution():\n    return 6 * 7\n"))
    right = prompts.fenced(f"def solution():\n    return {question(6).answer}\n")
    completions = [right, "no program", right.replace("return", "return 1 +"), prompts.fenced("import os\n"), "x"]
    assert programs.program_check([asked] * 5, completions) == [True, False, False, False, False]
    answers = [prompts.fenced("def solution():\n    return 42.0\n"), right, prompts.fenced("def solution():\n    x")]
    assert programs.program_check([other, asked, other], answers) == [True, True, False]


def test_distinct_programs():
    same = ["def solution():\n    a = 3\n    return a\n", "def solution():\n    # b\n    b = 3\n    return b\n"]
    assert programs.distinct_programs([prompts.fenced(text) for text in same]) == 1
    assert programs.distinct_programs([*map(prompts.fenced, same), "def solution():\n    return 3\n", "def :"]) == 2
    assert programs.distinct_programs([]) == 0
