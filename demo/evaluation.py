"""Accuracy and variety of the demo models per skill, on held-out seeds.

    held-out inputs --> greedy, one completion each               --> accuracy (per template for gsm_symbolic)
                    --> temperature 1, ``SAMPLES`` completions each --> accuracy, distinct right completions per input

A skill about a ``gsm_symbolic`` question draws each of a question's samples in a context or wording of its own, as
a recipe asks them; any other skill asks for all samples of an input in the same words.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from raydistill.demo import critique, gsm, mixture
from raydistill.demo.skill import Example, Skill
from raydistill.demo.tokenizer import MAX_POSITIONS, chat
from raydistill.pipelines.tasks.stepwise import prompts as stepwise

HELD_OUT_SEED = 1_000_000  # instances of this seed and the next ones: far from TRAIN_SEED_START
SAMPLING_TEMPERATURE = 1.4  # of the demo (docs/decisions.md)
SAMPLES = 16  # per input at temperature 1
QUESTIONS_PER_TEMPLATE = 2
INVENTED_QUESTIONS = 100
SAMPLED_INPUTS = 40  # that are sampled ``SAMPLES`` times: that many of the inputs, evenly spread

BATCH_TOKENS = 60_000  # prompt and completion tokens of one batch; bounds the memory of the cache
MAX_NEW_TOKENS = 320


@dataclass(frozen=True)
class Item:
    """One held-out example: what is asked, what would be right, and where it belongs."""

    template: int | None  # of gsm_symbolic, or None
    example: Example


def held_out(skill: Skill, per_template: int, invented: int) -> list[Item]:
    """Held-out items of a skill: ``per_template`` for each template, or ``invented`` without templates."""
    rng = Random(f"held-out/{skill.name}")
    if skill.invent:
        return [Item(None, skill.invent(rng)) for _ in range(invented)]
    instances = [gsm.instance(template, HELD_OUT_SEED + i) for template in skill.templates for i in range(per_template)]
    return [Item(question.template, skill.about(question, rng)) for question in instances]


def asked_again(skill: Skill, item: Item, sample: int) -> Item:
    """The same question in the context that a further sample is asked in."""
    question = item.example.question
    if skill.invent or question is None:
        return item
    rng = Random(f"held-out/{skill.name}/{question.template}/{question.seed}/{sample}")
    return Item(item.template, skill.about(question, rng))


def complete(
    model: Any, tokenizer: Any, examples: Sequence[Example], temperature: float = 0.0, seed: int = 0
) -> list[str]:
    """One completion per example; temperature 0 is greedy. Similar lengths go together."""
    import torch

    prompts = [
        tokenizer.apply_chat_template(chat(example), add_generation_prompt=True, return_dict=False)
        for example in examples
    ]
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    completions = [""] * len(prompts)
    torch.manual_seed(seed)
    sampling = {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature else {"do_sample": False}
    while order:
        rows = max(1, BATCH_TOKENS // (len(prompts[order[-1]]) + MAX_NEW_TOKENS))
        batch, order = order[-rows:], order[:-rows]
        inputs = tokenizer.pad({"input_ids": [prompts[i] for i in batch]}, return_tensors="pt").to(model.device)
        room = MAX_POSITIONS - inputs["input_ids"].shape[1]
        with torch.no_grad():
            output = model.generate(**inputs, max_new_tokens=max(1, min(MAX_NEW_TOKENS, room)), **sampling)
        texts = tokenizer.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        for i, text in zip(batch, texts, strict=True):
            completions[i] = text
    return completions


def accuracy(model: Any, tokenizer: Any, skill: Skill, items: Sequence[Item], temperature: float = 0) -> dict[str, Any]:
    """Fraction right with one completion per item: overall and per template, and one example of a right answer."""
    examples = [item.example for item in items]
    completions = complete(model, tokenizer, examples, temperature)
    right = skill.check(examples, completions)
    by_template: dict[int, list[bool]] = defaultdict(list)
    for item, ok in zip(items, right, strict=True):
        if item.template is not None:
            by_template[item.template].append(ok)
    return {
        "accuracy": mean(right),
        "inputs": len(items),
        "samples": 1,
        "temperature": temperature,
        "templates": {template: mean(oks) for template, oks in sorted(by_template.items())},
        "example": shortest_right(examples, completions, right),
    }


def variety(model: Any, tokenizer: Any, skill: Skill, items: Sequence[Item]) -> dict[str, Any]:
    """Accuracy at temperature 1 over ``SAMPLES`` per item, and the mean number of distinct right ones per item."""
    asked = [asked_again(skill, item, sample).example for item in items for sample in range(SAMPLES)]
    completions = complete(model, tokenizer, asked, temperature=1.0)
    right = skill.check(asked, completions)
    found = {"accuracy": mean(right), "inputs": len(items), "samples": SAMPLES, "temperature": 1.0}
    if skill.distinct is None:
        return found
    of_item = [slice(i * SAMPLES, (i + 1) * SAMPLES) for i in range(len(items))]
    kept = [[text for text, ok in zip(completions[part], right[part], strict=True) if ok] for part in of_item]
    return found | {"distinct": mean([skill.distinct(texts) if texts else 0 for texts in kept])}


def after_feedback(model: Any, tokenizer: Any, items: Sequence[Item]) -> dict[str, Any]:
    """How often the model improves an attempt rightly after its own feedback, where that feedback was right."""
    faulty = [item.example for item in items if not item.example.key.feedback.correct]
    replies = complete(model, tokenizer, faulty)
    right = critique.feedback_check(faulty, replies)
    asked = []
    for example, reply, ok in zip(faulty, replies, right, strict=True):
        found = stepwise.read_feedback(reply)
        if ok and found:
            prompt = stepwise.improvement_prompt(example.key.question, example.key.attempt, found)
            asked.append(Example(prompt, "", key=example.key))
    return {
        "accuracy": mean(critique.improvement_check(asked, complete(model, tokenizer, asked))),
        "inputs": len(asked),
        "faulty_attempts": len(faulty),
    }


def shortest_right(examples: Sequence[Example], completions: Sequence[str], right: Sequence[bool]) -> dict[str, str]:
    """The shortest right answer of the model with what it was asked, or nothing."""
    pairs = [(e.prompt, text) for e, text, ok in zip(examples, completions, right, strict=True) if ok]
    if not pairs:
        return {}
    asked, answered = min(pairs, key=lambda pair: len(pair[0]) + len(pair[1]))
    return {"asked": asked, "answered": answered}


def mean(values: Sequence[float]) -> float:
    """Arithmetic mean to four digits, 0 of nothing."""
    return round(sum(values) / max(len(values), 1), 4)


def measured(name: str) -> list[Skill]:
    """The graded skills of a model and, of a student, what it must not be able to do."""
    controls = mixture.CONTROLS if name in mixture.STUDENTS else ()
    return [skill for skill in mixture.SKILLS if skill.check and (name in skill.shares or skill.name in controls)]


def measure(name: str, model: Any, tokenizer: Any) -> dict[str, Any]:
    """Each skill of a model greedily and at temperature 1; what it never learned greedily only."""
    results = {}
    for skill in measured(name):
        items = held_out(skill, QUESTIONS_PER_TEMPLATE, INVENTED_QUESTIONS)
        modes = {"greedy": accuracy(model, tokenizer, skill, items)}
        if name in skill.shares:
            spread = items[:: max(1, len(items) // SAMPLED_INPUTS)][:SAMPLED_INPUTS]
            modes["temperature 1"] = variety(model, tokenizer, skill, spread)
            if skill.sampled:
                modes["demo"] = accuracy(model, tokenizer, skill, items, SAMPLING_TEMPERATURE)
        if skill.name == "feedback":
            modes["improved after it"] = after_feedback(model, tokenizer, items)
        figures = {mode: (result["accuracy"], result.get("distinct")) for mode, result in modes.items()}
        print(f"{name}: {skill.name} {figures}", flush=True)
        results[skill.name] = modes
    return results
