"""MCC-KD, multi-CoT consistent knowledge distillation (arXiv 2310.14747): diverse rationales, consistent answers.

Needs a teacher that reasons in words and questions with gold answers. Of the teacher's rationales those with the right
final answer remain; near-duplicates leave, and the K least alike by n-gram Jaccard similarity become examples, all
ending in one canonical answer sentence. Each epoch trains a random pair of each question's rationales by
cross-entropy plus alpha times the mean KL divergence of both directions between their answer distributions
(`training/losses/consistency.py`).

The authors' code lacks selection and span search and cannot run its training; their evident intent is followed.
Unlike it: answer tokens are compared where a causal model predicts them, and pairs whose answers share no token are
counted and trained by cross-entropy alone. Controls: `select: random` and `similar`, `rationales: 1`, `alpha: 0` (pairs
without consistency), `filter: false`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from raydistill.pipelines.data.blocks import Block, Sentence, Table, Texts
from raydistill.pipelines.data.examples import read_examples
from raydistill.pipelines.data.records import Consistency, Example, Question, Sample, WeightedText, content_hash
from raydistill.pipelines.prompts import demonstrated, render
from raydistill.pipelines.recipes.base import Recipe
from raydistill.pipelines.recipes.mcc_kd.config import MccKD
from raydistill.pipelines.recipes.mcc_kd.consistency import count
from raydistill.pipelines.recipes.mcc_kd.diversity import pick
from raydistill.pipelines.sampling.prompter import Format, Prompt, Prompter, Selection
from raydistill.pipelines.tasks.answers import Number, canonical, infer_kind, read_value
from raydistill.pipelines.tasks.extract import final_reply, until_next_question

if TYPE_CHECKING:
    from raydistill.pipelines.context import ExampleSet, RunContext
    from raydistill.pipelines.training.train import TrainResult
    from raydistill.pipelines.views.run_folder import RunFolder

ROWS_FOR_PAIRS, PAIRS_SHOWN = 2000, 5  # examples that a page looks through, and pairs that it shows
ENDING = "Therefore, the answer is {answer}."
_REST = r"(?:(?![.!?]\s)[^\n])*\Z"  # of the last sentence
_STATED = re.compile(
    r"(?:^|\n)[ \t]*(?:####|(?:(?:the )?(?:final )?answer|a)[ \t]*:)[^\n]*\Z"  # a last line #### 18, A: 18, Answer: 18
    r"|(?:^|(?<=\n)|(?<=[.!?]\s))(?:(?:therefore|thus|hence|so|then|and)\b,?[ \t]*)*"  # Therefore, the answer is 18.
    rf"(?:the[ \t]+)?(?:(?:final|correct|right|best)[ \t]+)?(?:answer|option|choice)[ \t]+(?:is|=){_REST}"
    r"|<answer>(?:(?!<answer>).)*\Z",
    re.IGNORECASE | re.DOTALL,
)


class MultiCotConsistentDistillation(Recipe[MccKD]):
    """The recipe of MCC-KD: several rationales per question, the most diverse right ones, trained in pairs."""

    name = "mcc_kd"
    Config = MccKD

    def __init__(self, config: MccKD) -> None:
        super().__init__(config)
        reader = "until-next-question/2"
        self.student = Prompter(ask_student, read, "rationale/1", ("rationale",), reader)
        self.teacher = Prompter(self._ask_teacher, read, f"rationale-{config.prompt}/1", ("rationale",), reader)
        self.selector = DiverseRationales(config)

    def asks_teacher(self) -> Prompter:
        return self.teacher

    def demonstrations(self) -> list[str]:
        return demonstrated(self.config.prompt, "rationale")

    def synthesize(self, ctx: RunContext) -> ExampleSet:
        """Several rationales of the teacher, of which the least alike with the right answer are kept (section 3.1)."""
        examples = ctx.synthesize("synthesis", self.teacher, self.selector)
        student = ctx.config.train
        if student and examples.count and self.config.rationales > 1:
            counts = count(
                read_examples(examples.folder), student.student, student.revision, max_length=student.max_length
            )
            kept = {"correct": ctx.sections["verification"]["passed"], "selected": examples.count}
            ctx.report(mcc_kd=kept | asdict(counts))
            ctx.say(f"{counts.pairs:,} pairs of rationales, {counts.with_span:,} with a common answer span")
        return examples

    def train(self, ctx: RunContext, examples: ExampleSet) -> TrainResult:
        """Cross-entropy and, for pairs, consistency of their answers (section 3.2); both are the trainer's losses."""
        result = ctx.train(examples)
        if measured := result.history.get("validation_consistency"):
            parts = ("step", "cross_entropy", "answer_kl", "answer_agreement")
            ctx.sections["mcc_kd"]["validation"] = dict(zip(parts, measured[-1], strict=True))
        return result

    def tell(self, run: RunFolder) -> list[Block]:
        """Prompts, rounds, how many pairs there are, and some of them side by side."""
        blocks, told = [*super().tell(run)], run.report.get("mcc_kd")
        if told:
            line = (
                f"Of {told['correct']:,} right rationales {told['selected']:,} were kept: {told['pairs']:,} pairs of a "
            )
            line += f"question's rationales, of which {told['with_span']:,} end in the same answer span."
            blocks.append(Sentence(line))
        if told and (after := told.get("validation")):
            blocks.append(
                Table("At the last validation", ("measure", "value"), [(k, f"{v:.4g}") for k, v in after.items()])
            )
        groups: dict[str, list[str]] = {}
        for row in run.first_examples(ROWS_FOR_PAIRS):
            groups.setdefault(row["group"], []).append("".join(part["text"] for part in row["completion"]))
        pairs = [(group, texts) for group, texts in groups.items() if len(texts) > 1][:PAIRS_SHOWN]
        texts = run.questions([group.partition("/")[0] for group, _ in pairs])
        for group, rationales in pairs:
            several = [(f"rationale {place}", text) for place, text in enumerate(rationales, start=1)]
            blocks.append(Texts(f"Pair: {texts.get(group.partition('/')[0], group)}", several))
        return blocks

    def _ask_teacher(self, question: Question) -> list[Prompt]:
        """One prompt per question; n samples of it are drawn, round after round."""
        asked = render(self.config.prompt, "rationale", question.text)
        return [Prompt(f"rationale-{self.config.prompt}", asked, "rationale")]


def ask_student(question: Question) -> list[Prompt]:
    return [Prompt("rationale", render("instruct", "rationale", question.text), "rationale")]


def read(text: str, form: Format) -> str | None:
    """The rationale, up to a next question that the model makes up."""
    return until_next_question(final_reply(text)).strip() or None


@dataclass(frozen=True, slots=True)
class DiverseRationales:
    """Keeps at most K distinct right rationales of a question, chosen as `config.select` says."""

    config: MccKD

    @property
    def version(self) -> str:
        """The weight and temperature of the loss are in the examples, too."""
        return f"diverse-rationales/1/{self.config.model_dump(exclude={'prompt'})}"

    def enough(self, question: Question, samples: Sequence[Sample]) -> bool:
        """Whether there are K right rationales of which none is a near-duplicate of another."""
        return len(self.select(question, samples).examples) >= self.config.rationales

    def select(self, question: Question, samples: Sequence[Sample]) -> Selection:
        """Those without a right answer or any reasoning leave first, then near-duplicates."""
        dropped: Counter[str] = Counter()
        usable: list[tuple[Sample, str]] = []
        for sample in samples:
            if sample.status == "unknown" or self.config.filter and sample.status != "passed":
                dropped[sample.reason] += 1
            elif not sample.value or not (reasoning := without_ending(sample.output)):
                dropped["no_rationale"] += 1
            else:
                usable.append((sample, reasoning))
        chosen, duplicates = pick(
            [reasoning for _, reasoning in usable],
            self.config.rationales,
            self.config.select,
            n=self.config.ngram,
            threshold=self.config.near_duplicate,
            seed=f"{self.config.seed}/{question.id}",
        )
        dropped["near_duplicate"] += len(duplicates)
        dropped["over_limit"] += len(usable) - len(chosen) - len(duplicates)
        return Selection([self._example(question, *usable[place]) for place in chosen], dict(+dropped))

    def _example(self, question: Question, sample: Sample, reasoning: str) -> Example:
        """Examples of a question are of one group where they end in the same answer."""
        answer = gold_text(question) if sample.status == "passed" else sample.value
        completion = f"{reasoning}\n{ENDING.format(answer=answer)}"
        several, (asked,) = self.config.rationales > 1, ask_student(question)
        return Example(
            id=content_hash(self.config.recipe, sample.id, completion),
            question_id=question.id,
            messages=tuple(asked.messages),
            completion=(WeightedText(completion),),
            group=f"{question.id}/{answer}",
            answer=answer,
            source=sample.id,
            consistency=Consistency(self.config.alpha, self.config.temperature) if several else None,
        )


def without_ending(rationale: str) -> str:
    """`rationale` without the lines or sentences at its end that only state the answer; "" if it has no others."""
    text, shorter = rationale.strip(), _STATED.sub("", rationale.strip()).rstrip()
    while shorter != text:
        text, shorter = shorter, _STATED.sub("", shorter).rstrip()
    return text


def gold_text(question: Question) -> str:
    """The gold answer as the ending writes it: 1080 for $1,080.00, B for (B); words as the task writes them."""
    choices = question.meta.get("choices")
    if choices or infer_kind([question.answer]) == "choice":
        return canonical(question.answer, "choice", choices)
    is_number = isinstance(read_value(question.answer), Number)
    return canonical(question.answer, "numeric") if is_number else question.answer.strip()
