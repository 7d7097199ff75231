"""TriPosT, self-improvement by interactive demonstrations (arXiv 2310.13522, NAACL 2024): a student corrects itself.

Needs questions with gold rationales in numbered steps (``stepwise:<name>``). The student first learns the rationales;
then, for some iterations, it attempts the questions, feedback names the first wrong step of what it wrote, an
improvement goes on from there until the end is right, and it learns from these conversations with itself
(their form: `conversation.py`; how they are made: `iteration.py`, `editing.py`; what is learned: `replay.py`).

Unlike the released code: padding is never trained, arithmetic is evaluated on the syntax tree instead of by `eval`,
later iterations do sample, and every conversation is accepted or rejected for one reason out of a closed list.
"""

from __future__ import annotations

from collections.abc import Sequence

from raydistill.actors.errors import UsageError
from raydistill.pipelines.data.records import Example, Question, Sample, WeightedText, content_hash
from raydistill.pipelines.recipes.tripost.config import TriPosT
from raydistill.pipelines.recipes.tripost.conversation import first_attempt
from raydistill.pipelines.sampling.prompter import AskedOnce, Prompt, Selection
from raydistill.pipelines.tasks.stepwise.prompts import attempt_prompt


class SelfImprovement(AskedOnce):
    """The recipe of TriPosT. As any recipe it gives the rationale baseline, which the iterations go on from."""

    name = "tripost"
    executes = False

    def __init__(self, config: TriPosT) -> None:
        self.config = config

    def prompts(self, question: Question) -> list[Prompt]:
        """None: the rationales come with the questions."""
        return []

    def student_prompt(self, question: Question) -> Prompt:
        return Prompt("attempt", [{"role": "user", "content": attempt_prompt(question.text)}])

    def extract(self, text: str) -> str | None:
        """The first attempt, which is what counts before any self-update."""
        return first_attempt(text) or None

    def select(self, question: Question, samples: Sequence[Sample]) -> Selection:
        """The gold rationale. Raises UsageError where the question has none."""
        rationale = gold_rationale(question)
        example = Example(
            id=content_hash(self.name, question.id, rationale),
            question_id=question.id,
            messages=tuple(self.student_prompt(question).messages),
            completion=(WeightedText(rationale),),
            group=question.id,
            answer=question.answer,
            source=f"{question.id}/gold",
        )
        return Selection([example])


def gold_rationale(question: Question) -> str:
    """The rationale that the question comes with. Raises UsageError where it has none."""
    rationale = str(question.meta.get("rationale") or "").strip()
    if not rationale:
        raise UsageError(
            f"recipe tripost: no rationale with the question {question.text[:60]!r}; expected a task that has them "
            "(stepwise:word_sorting), or a table with questions.rationale_column"
        )
    return rationale
