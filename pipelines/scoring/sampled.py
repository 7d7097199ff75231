"""What a model has sampled, as its engine had it: token ids, the log-probability of each, and the verdict.

A job made with `logprobs=True` stores them (`Sampler.job`): the log-probabilities are those of what was sampled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from raydistill.actors.segments import read_segments
from raydistill.pipelines.data.records import Question, Sample, TokenIds
from raydistill.pipelines.sampling.job import SamplingJob
from raydistill.pipelines.sampling.samples import read_samples


@dataclass(frozen=True, slots=True)
class SampledTokens:
    """A judged sample with its tokens, the end of turn included where it was sampled."""

    sample: Sample
    ids: TokenIds
    behaviour: tuple[float, ...]  # nats of each token of the completion, under the weights it came from


def read_sampled(job: SamplingJob, questions: Sequence[Question]) -> list[SampledTokens]:
    """The judged samples that `job` has of `questions`, in their order, then by index."""
    wanted = [name for question in questions for name in job.plan.sample_ids(question)]
    judged = read_samples(job.completions, job.verdicts)
    names = ["sample_id", "prompt_ids", "token_ids", "logprobs"]
    rows = {
        row["sample_id"]: row
        for table in read_segments(job.completions, names)
        for row in table.to_pylist()
        if row["token_ids"] and row["sample_id"] in judged
    }
    return [
        SampledTokens(
            judged[name],
            TokenIds(tuple(rows[name]["prompt_ids"]), tuple(rows[name]["token_ids"])),
            tuple(rows[name]["logprobs"]),
        )
        for name in wanted
        if name in rows
    ]
