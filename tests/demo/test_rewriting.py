"""Rewriting for ReBase's demo: what the generators teach passes their own checks, and tampering with it does not."""

import json
from collections import Counter
from random import Random

import pytest

from raydistill.actors.errors import UsageError
from raydistill.demo import rewriting, source_rows, target_task
from raydistill.pipelines.recipes.rebase import prompts as rebase_prompts

COUNT = 300
MAX_CHARACTERS = 1750  # of prompt and completion: 600 tokens at the tokenizer's rate on such text, 2.9 a token

SKILLS = {
    "rewriting": (rewriting.rewriting, rewriting.rewriting_check),
    "new_question": (rewriting.new_question, rewriting.new_question_check),
    "declining": (rewriting.declining, rewriting.declining_check),
}


def drawn(name):
    rng = Random(f"test/{name}")
    return [SKILLS[name][0](rng) for _ in range(COUNT)]


def verdicts(name, examples, tamper):
    completions = [rebase_prompts.example_json(tamper(example, json.loads(example.completion))) for example in examples]
    return SKILLS[name][1](examples, completions)


@pytest.mark.parametrize("name", SKILLS)
def test_what_is_taught_passes_its_own_check(name):
    examples = drawn(name)
    assert all(SKILLS[name][1](examples, [example.completion for example in examples]))
    assert len({example.prompt for example in examples}) == COUNT


@pytest.mark.parametrize("name", SKILLS)
def test_prompts_stay_short(name):
    assert max(len(example.prompt) + len(example.completion) for example in drawn(name)) <= MAX_CHARACTERS


def wrong_output(example, answer):
    return answer | {"output": str(int(answer["output"]) + 1)}


def wrong_quantity(example, answer):
    first = answer["input"].split()[next(i for i, word in enumerate(answer["input"].split()) if word.isdigit())]
    return answer | {"input": answer["input"].replace(f" {first} ", f" {int(first) + 1} ", 1)}


def wrong_step(example, answer):
    return answer | {"reasoning": answer["reasoning"].replace("=", "= 1", 1)}


def copied(example, answer):
    return example.key.examples[1]


def copied_with_other_spelling(example, answer):
    shown = example.key.examples[1]
    return shown | {"input": shown["input"].replace(". ", " .  ")}


def other_question(example, answer):
    others = [question for question in target_task.QUESTIONS if question != example.key.form.question]
    things = target_task.parse(answer["input"]).things
    form = example.key.form.question.format(things=things)
    return answer | {"input": answer["input"].replace(form, others[0].format(things=things))}


def no_text_output(example, answer):
    return answer | {"output": int(answer["output"])}


def another_key(example, answer):
    return answer | {"topic": "stock"}


@pytest.mark.parametrize("name", ["rewriting", "new_question"])
@pytest.mark.parametrize(
    "tamper",
    [
        wrong_output,
        wrong_quantity,
        wrong_step,
        copied,
        copied_with_other_spelling,
        other_question,
        no_text_output,
        another_key,
    ],
)
def test_tampered_answers_fail(name, tamper):
    assert not any(verdicts(name, drawn(name), tamper))


@pytest.mark.parametrize("name", SKILLS)
@pytest.mark.parametrize("broken", ["", "{", "[]", "null", '"input"', "3", '{"input": "A", "output": "1"}'])
def test_what_is_no_such_json_fails(name, broken):
    examples = drawn(name)[:5]
    assert not any(SKILLS[name][1](examples, [broken] * 5))
    assert not any(SKILLS[name][1](examples, [example.completion[:-1] for example in examples]))


def test_quantities_that_are_not_in_the_row_fail():
    def elsewhere(example, answer):
        numbers = (997, 991, 983)
        assert not source_rows.numbers(example.key.row) & set(numbers)
        return target_task.example(example.key.form, "Mia", "maps", numbers)

    examples = [e for e in drawn("rewriting") if e.key.form.who == "person"]
    examples = [e for e in examples if not source_rows.numbers(e.key.row) & {997, 991, 983}]
    assert len(examples) > COUNT / 5
    assert not any(verdicts("rewriting", examples, elsewhere))


def test_a_new_question_may_share_quantities_or_things_with_an_example_but_not_both():
    [example] = drawn("new_question")[:1]
    form, shown = example.key.form, target_task.parse(example.key.examples[0]["input"])
    other = next(who for who in target_task.WHO[form.who] if who != shown.who)
    things = next(t for t in target_task.THINGS if t not in {target_task.parse(e["input"]).things
                                                             for e in example.key.examples})  # fmt: skip
    same = target_task.example(form, other, shown.things, shown.quantities)
    new = target_task.example(form, other, things, shown.quantities)
    completions = [rebase_prompts.example_json(answer) for answer in (same, new)]
    assert rewriting.new_question_check([example] * 2, completions) == [False, True]


def test_a_row_without_quantities_is_to_be_declined_and_only_that():
    declined = drawn("declining")[0].completion
    examples = drawn("rewriting")
    assert not any(rewriting.rewriting_check(examples, [declined] * COUNT))
    assert not any(rewriting.declining_check(examples, [example.completion for example in examples]))


def test_every_family_with_quantities_is_rewritten():
    rng = Random(3)
    for name in source_rows.WITH_QUANTITIES:
        rows = [source_rows.random_row({name: {}}, rng) for _ in range(100)]
        assert sum(len(source_rows.quantities(row)) >= 2 for row in rows) >= 25, name
    for name in source_rows.WITHOUT_QUANTITIES:
        rows = [source_rows.random_row({name: {}}, rng) for _ in range(50)]
        assert sum(not source_rows.quantities(row) for row in rows) >= 40, name


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Mia has 5 apples. Then 7 are bought. How many apples remain?", 12),
        ("The box holds 50 bees. Next, 7 are given away. Next, 40 are made. What is the number of bees now?", 83),
        ("Mia has 5 apples. Then 7 are sold. How many apples remain?", None),  # more go than there are
        ("Mia has 5 apples. Then 7 are bought. How many pears remain?", None),
        ("Mia has 5 apples. How many apples remain?", None),
        ("Mia has 5 apples. Then 7 are painted. How many apples remain?", None),
        ("Mia has 5 apples. Then 7 are bought. How many apples remain? 3", None),
        ("Mia has 0 apples. Then 7 are bought. How many apples remain?", None),
        ("Mia has 5 apples. Then 7000 are bought. How many apples remain?", None),
        ("", None),
    ],
)
def test_solver(text, answer):
    assert target_task.solve(text) == answer


def test_distinct_inputs_are_counted_by_their_words():
    examples = drawn("new_question")[:3]
    completions = [example.completion for example in examples]
    assert rewriting.distinct_inputs([*completions, completions[0].replace(". ", ".  "), "{"]) == 3


def test_formats_differ():
    forms = Counter(example.key.form for example in drawn("rewriting"))
    assert len(forms) > 0.9 * COUNT


def test_prompt_names_the_keys_that_the_examples_have():
    with_reasoning = rebase_prompts.rewrite_prompt(
        "Sum.", [{"input": "1+1", "reasoning": "1+1=2", "output": "2"}], "{}"
    )
    without = rebase_prompts.direct_prompt("Sum.", [{"input": "1+1", "output": "2"}])
    assert with_reasoning[0]["content"].endswith("Answer with JSON: input, reasoning, output.")
    assert without[0]["content"].endswith("Answer with JSON: input, output.")
    braces = rebase_prompts.rewrite_prompt("Use {set}.", [{"input": "{a}", "output": "a"}], '{"q": "{b}"}')
    assert all(text in braces[0]["content"] for text in ("Use {set}.", '"{a}"', '{"q": "{b}"}'))


@pytest.mark.parametrize("examples", [[], [{"input": "1", "output": "1"}, {"input": "1", "label": "1"}]])
def test_unusable_examples_are_named(examples):
    with pytest.raises(UsageError, match="same keys in each"):
        rebase_prompts.direct_prompt("Sum.", examples)
