"""Answers questions with repairs or self-updates by a scripted student: a process of its own, to be killed.

    python -m tests.pipelines.inference.answering_driver <repairs | updates> <run folder> <questions file>

Every sample that the student is asked for is noted in ``asked.txt`` of the run's folder when it has answered.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from raydistill.actors.engine.requests import Completion, Request
from raydistill.pipelines.config.sections import EngineConfig, SamplingConfig
from raydistill.pipelines.context import RunContext
from raydistill.pipelines.inference.answering import Answerer, answer_questions
from raydistill.pipelines.recipes.pad.config import PaD
from raydistill.pipelines.recipes.pad.recipe import ProgramAidedDistillation
from raydistill.pipelines.recipes.pad.repairing import RepairsFailures
from raydistill.pipelines.recipes.tripost.updating import UpdatesItself
from raydistill.pipelines.run_config import Run
from raydistill.pipelines.tasks import load_questions

ANSWER_S = 0.5
BROKEN, RIGHT = "def solution():\n    return missing", "def solution():\n    return 7"
UPDATED = (
    'Step 1: 3 + 4 = 8, so 8\nStep 2: Therefore, the answer is 8.\nFeedback: Step 1 is wrong: "3 + 4 = 8". 3 + 4 = 7.\n'
    "Updated answer:\nStep 1: 3 + 4 = 7, so 7\nStep 2: Therefore, the answer is 7."
)
ANSWERERS: dict[str, Answerer] = {
    "repairs": RepairsFailures(ProgramAidedDistillation(PaD()).student, 2),
    "updates": UpdatesItself(2),
}
SAID = {"program": BROKEN, "repair": RIGHT, "attempt": UPDATED, "go-on": " All steps are right."}


class SlowStudent:
    """Stands for an engine: answers one after the other, and notes what it was asked."""

    def __init__(self, note: str) -> None:
        self._note = note

    async def call(self, method: str, *arguments: Any) -> list[Completion]:
        (requests,) = arguments
        return [await self._answer(request) for request in requests]

    async def _answer(self, request: Request) -> Completion:
        context = request.id.rpartition("/")[2]
        await asyncio.sleep(ANSWER_S if context in ("repair", "go-on") else 0)
        with open(self._note, "a", encoding="utf-8") as note:
            note.write(f"{request.id}/0\n")
        return Completion(request.id, 0, SAID[context], "", "stop", 5, 7, request.seed, "slow")


class SlowContext(RunContext):
    """Asks the slow student instead of an engine; Ray, sandbox and files are real."""

    def run(self, title: str, job: Any, questions: Any, model: Any, **options: Any) -> Any:
        return super().run(title, job, questions, SlowStudent(f"{self.root}/asked.txt"), **options)


def main(kind: str, root: str, questions: str) -> None:
    config = Run.model_validate(
        {"run_dir": root, "questions": {"task": "table", "path": questions}, "teacher": {"model": "some/model"}}
    )
    Path(root).mkdir(exist_ok=True)
    ctx, loaded = SlowContext(config, None), load_questions(config.questions)
    try:
        model = EngineConfig(model="some/model", max_num_seqs=2)
        found = answer_questions(ctx, "answering", model, ANSWERERS[kind], loaded, SamplingConfig(temperature=0))
    finally:
        ctx.close()
    told = {asked: [(one.value, len(one.trail)) for one in answers] for asked, answers in found.by_question.items()}
    Path(root, "answers.json").write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
