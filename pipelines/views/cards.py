"""Samples as cards of a page: their texts cut, made visible, programs highlighted; and which are shown where."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from raydistill.pipelines.views.run_folder import RunFolder
from raydistill.pipelines.views.samples import ShownSample, drawn, fetch
from raydistill.pipelines.views.text import completion, cut, one_line, python

ROWS, OF_EACH_REASON = 500, 6
EVALUATED = 0.3  # share of the rows that are answers of evaluations, where there are some
SHORT = 300  # characters of values and messages


@dataclass(frozen=True, slots=True)
class Card:
    """A sample as the page shows it; what is Markup is HTML already."""

    id: str
    title: str
    question: Markup
    text: Markup
    output: Markup
    gold: str
    value: str
    message: str
    stdout: str
    status: str
    reason: str
    context: str
    stage: str
    model: str
    tokens: int
    learned: bool


def make_card(sample: ShownSample, most: int) -> Card:
    """`most`: characters of a completion that are shown; of a question half of them."""
    is_program = sample.format == "program"
    text = completion(sample.text, sample.output if is_program else "", most)
    if len(text) > 3 * most:  # of very many tokens, or of signs that HTML writes at length
        text = escape(cut(sample.text, most))
    output = Markup("")
    if sample.output.strip() not in sample.text:
        output = python(cut(sample.output, most // 2)) if is_program else escape(cut(sample.output, most // 2))
    names = ("gold", "value", "message", "stdout")
    return Card(
        id=one_line(sample.id),
        title=one_line(sample.question or sample.text, 160) or "(empty)",
        question=escape(cut(sample.question, most // 2)),
        text=text,
        output=output,
        **{name: cut(getattr(sample, name), SHORT) for name in names},
        status=sample.status,
        reason=one_line(sample.reason),
        context=one_line(sample.context),
        stage=one_line(sample.stage),
        model=one_line(sample.model),
        tokens=sample.tokens,
        learned=sample.learned,
    )


def sampled(run: RunFolder, seed: int = 0) -> list[ShownSample]:
    """`ROWS` samples of a run, those of its teacher first, with some of each reason among them."""
    asked = [sampling for sampling in run.samplings if not sampling.evaluates]
    evaluated = [sampling for sampling in run.samplings if sampling.evaluates]
    share = round(ROWS * EVALUATED) if evaluated and asked else ROWS if evaluated else 0
    ids = drawn(asked, ROWS - share, of_each_reason=OF_EACH_REASON, seed=seed)
    ids |= drawn(evaluated, share, seed=seed)
    return [one for sampling in run.samplings for one in fetch(run, sampling, sorted(ids.get(sampling.title, [])))]


@dataclass(frozen=True, slots=True)
class Reason:
    """A reason for which samples failed or were left out, how many there are, and a few of them."""

    reason: str
    count: int
    cards: list[Card]


def with_examples(counts: Iterable[tuple[str, int]], cards: Sequence[Card], most: int = 2) -> list[Reason]:
    """Each reason with the first cards that show it: verdicts of that reason which nobody learned from."""
    return [
        Reason(one_line(reason), count, [card for card in cards if card.reason == reason and not card.learned][:most])
        for reason, count in counts
    ]


def choices(cards: Sequence[Card]) -> list[tuple[str, str, list[str]]]:
    """What the browser filters by: attribute, label, and the values that there are."""
    names = {"status": "Verdict", "reason": "Reason", "context": "Prompt", "stage": "Stage", "model": "Model"}
    told = [(name, label, sorted({getattr(card, name) for card in cards} - {""})) for name, label in names.items()]
    return [*told, ("learned", "Learned from", ["yes", "no"])]
