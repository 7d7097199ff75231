"""What a run would ask of its teacher now: the samples that are neither stored nor recorded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from raydistill.actors.engine.recording import Recording
from raydistill.actors.engine.requests import Request
from raydistill.pipelines.data.records import Question, Sample
from raydistill.pipelines.sampling.job import QUESTIONS_PER_FLOW, SamplingJob
from raydistill.pipelines.sampling.samples import stored_rows, to_sample
from raydistill.pipelines.sampling.segment_index import SegmentIndex
from raydistill.pipelines.sampling.stages import Budget


@dataclass(slots=True)
class Missing:
    """The requests of a job for which nothing is there; of each question those of its first round with some.

    Whether a question needs a further round, its verdicts say. `unjudged` counts questions that lack some.
    """

    job: SamplingJob
    recording: Recording | None = None
    unjudged: int = 0

    def of(self, questions: Sequence[Question]) -> Iterator[Request]:
        index, verdicts = SegmentIndex(self.job.completions), SegmentIndex(self.job.verdicts)
        for start in range(0, len(questions), QUESTIONS_PER_FLOW):
            portion = questions[start : start + QUESTIONS_PER_FLOW]
            stored, samples = index.of(portion).sample_ids, dict[str, Sample]()
            if self.job.rounds > 1:
                judged = stored_rows(verdicts, portion)
                made = stored_rows(index, portion)
                samples = {i: to_sample(row, judged[i]) for i, row in made.items() if i in judged}
            for question in portion:
                yield from self._of(question, stored, samples)

    def _of(self, question: Question, stored: set[str], samples: dict[str, Sample]) -> Sequence[Request]:
        for rounds in range(1, self.job.rounds + 1):
            plan = replace(self.job.plan, rounds=rounds)
            if missing := list(self._unrecorded(plan.missing(question, stored))):
                return missing
            ids, budget = plan.sample_ids(question), Budget(rounds == self.job.rounds, self.job.question_tokens)
            if not budget.last_round and not all(i in samples for i in ids):
                self.unjudged += 1
                return ()
            if budget.finishes(self.job.selector, question, [samples[i] for i in ids if i in samples]):
                return ()
        return ()

    def _unrecorded(self, requests: Sequence[Request]) -> Iterator[Request]:
        for request in requests:
            indices = self.recording.lacks(request) if self.recording else request.indices
            if indices:
                yield replace(request, indices=indices)
