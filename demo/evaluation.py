"""Accuracy of the demo models per skill and template, on held-out seeds.

Programs that a model wrote run in the executor's processes, never in this one.
"""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from random import Random
from typing import Any

from demo import gold, gsm, mixture
from demo.copying import numbers_in
from demo.prompts import ANSWER_SENTENCE, unfenced

HELD_OUT_SEED = 1_000_000  # instances of this seed and the next ones: far from TRAIN_SEED_START
BATCH = 128
MAX_NEW_TOKENS = 320


SAMPLING_TEMPERATURE = 1.4
SAMPLES = 1
QUESTIONS_PER_TEMPLATE = 2
INVENTED_QUESTIONS = 100


@dataclass(frozen=True)
class Item:
    """One held-out example: what is asked, what would be right, and where it belongs."""

    skill: mixture.Skill
    template: int | None  # of gsm_symbolic, or None
    example: mixture.Example


def held_out(skill: mixture.Skill, per_template: int, invented: int) -> list[Item]:
    """Held-out items of a skill: ``per_template`` for each template, or ``invented`` without templates."""
    rng = Random(f"held-out/{skill.name}")
    if skill.invent:
        return [Item(skill, None, skill.invent(rng)) for _ in range(invented)]
    instances = [gsm.instance(template, HELD_OUT_SEED + i) for template in skill.templates for i in range(per_template)]
    return [Item(skill, question.template, skill.about(question, rng)) for question in instances]


def complete(model: Any, tokenizer: Any, prompts: Sequence[str], temperature: float = 0.0, seed: int = 0) -> list[str]:
    """One completion per prompt (user content); temperature 0 is greedy. Similar lengths go together."""
    import torch

    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    completions = [""] * len(prompts)
    torch.manual_seed(seed)
    sampling = {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature else {}
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        chats = [[{"role": "user", "content": prompts[i]}] for i in rows]
        inputs = tokenizer.apply_chat_template(
            chats, add_generation_prompt=True, padding=True, return_dict=True, return_tensors="pt"
        ).to(model.device)
        with torch.no_grad():
            output = model.generate(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                max_new_tokens=MAX_NEW_TOKENS,
                **sampling,
            )
        texts = tokenizer.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        for i, text in zip(rows, texts, strict=True):
            completions[i] = text
    return completions


def grade(items: Sequence[Item], completions: Sequence[str]) -> list[bool]:
    """Whether each completion of one skill's items is right, by the way that skill is graded."""
    graders = {"program": programs_right, "answer": answers_right, "numbers": numbers_right}
    [graded_by] = {item.skill.graded_by for item in items}
    return graders[graded_by](items, completions)


def programs_right(items: Sequence[Item], completions: Sequence[str]) -> list[bool]:
    """Whether each program returns the question's answer or, without one, what the gold program returns."""
    answers = [item.example.question.answer if item.example.question else None for item in items]
    if None in answers:
        answers = program_values([item.example.completion for item in items])
    return list(map(gold.same_number, program_values(completions), answers))


def answers_right(items: Sequence[Item], completions: Sequence[str]) -> list[bool]:
    """Whether each rationale states the number that the gold rationale states."""
    stated = [stated_answer(item.example.completion) for item in items]
    return list(map(gold.same_number, map(stated_answer, completions), stated))


def numbers_right(items: Sequence[Item], completions: Sequence[str]) -> list[bool]:
    """Whether each completion lists the question's numbers, all and in order."""
    return [
        numbers_line(completion) == numbers_in(item.example.question.question)
        for item, completion in zip(items, completions, strict=True)
    ]


def program_values(completions: Sequence[str]) -> list[Any]:
    """The values of model-written programs, None where a program fails, each run by the executor."""
    from actors.executor import Executor, Program

    programs = [Program(id=str(i), source=unfenced(text)) for i, text in enumerate(completions)]
    with closing(Executor()) as executor:
        verdicts = executor.run(programs)
    return [verdict.value if verdict.status == "passed" else None for verdict in verdicts]


def stated_answer(rationale: str) -> str | None:
    """The number of the last answer sentence, or None without one."""
    opening, closing = ANSWER_SENTENCE.split("{answer}")
    _, found, rest = rationale.rpartition(opening)
    return rest.strip().removesuffix(closing) if found else None


def numbers_line(completion: str) -> list[str]:
    """The numbers of the line ``numbers = [...]`` of a quantities answer."""
    line = next((line for line in completion.split("\n") if line.startswith("numbers = [")), "")
    return numbers_in(line)


def accuracy(
    model: Any, tokenizer: Any, items: Sequence[Item], temperature: float = 0.0, samples: int = 1
) -> dict[str, Any]:
    """Fraction right over all samples: overall, with its standard error's n, and per template."""
    by_template: dict[int, list[bool]] = defaultdict(list)
    right: list[bool] = []
    for sample in range(samples):
        completions = complete(model, tokenizer, [item.example.prompt for item in items], temperature, sample)
        for item, ok in zip(items, grade(items, completions), strict=True):
            right.append(ok)
            if item.template is not None:
                by_template[item.template].append(ok)
    return {
        "accuracy": _mean(right),
        "questions": len(items),
        "samples": samples,
        "temperature": temperature,
        "templates": {template: _mean(oks) for template, oks in sorted(by_template.items())},
    }


def _mean(right: Sequence[bool]) -> float:
    return round(sum(right) / max(len(right), 1), 4)


def measure(name: str, model: Any, tokenizer: Any) -> dict[str, Any]:
    """All skills of a model greedily, what it was asked for also sampled; every model on ``gsm_programs``."""
    results = {}
    for skill in mixture.SKILLS:
        if not skill.graded_by or (name not in skill.shares and skill.name != "gsm_programs"):
            continue
        items = held_out(skill, QUESTIONS_PER_TEMPLATE, INVENTED_QUESTIONS)
        results[skill.name] = {"greedy": accuracy(model, tokenizer, items)}
        if skill.sampled and name in skill.shares:
            results[skill.name]["sampled"] = accuracy(model, tokenizer, items, SAMPLING_TEMPERATURE, SAMPLES)
        figures = {mode: result["accuracy"] for mode, result in results[skill.name].items()}
        print(f"{name}: {skill.name} {figures}", flush=True)
    return results
