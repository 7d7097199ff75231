"""Selection of distinct verified outputs: what most recipes keep of a question's samples."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from raydistill.pipelines.data.records import Example, Question, Sample, WeightedText, content_hash
from raydistill.pipelines.prompts import fence
from raydistill.pipelines.sampling.program_dedup import canonical_program
from raydistill.pipelines.sampling.prompter import Format, Prompt, Prompter, Selection


@dataclass(frozen=True, slots=True)
class DistinctVerified:
    """Keeps at most `most` distinct verified outputs of a question in each format, in the order of their samples.

    Each becomes an example of the prompt of `student` that asks for its format. Programs are the same if their syntax
    trees are (`sampling.program_dedup`), texts if their words are.
    """

    recipe: str  # part of the examples' ids
    student: Prompter
    most: int
    verified: bool = True  # false keeps outputs that are wrong, too
    weights: Mapping[Format, float] = field(default_factory=dict)  # of the loss, by format; 1 if not told

    @property
    def version(self) -> str:
        asked = self.student.version, self.student.formats
        settings = (self.recipe, asked, self.most, self.verified, dict(self.weights))
        return f"distinct-verified/1/{settings}"

    def enough(self, question: Question, samples: Sequence[Sample]) -> bool:
        """Whether there are as many as wanted of each format."""
        found = Counter(self._asked(question, sample).format for sample in self._kept(question, samples, Counter()))
        return all(found[form] >= self.most for form in self.student.formats)

    def select(self, question: Question, samples: Sequence[Sample]) -> Selection:
        dropped: Counter[str] = Counter()
        kept = self._kept(question, samples, dropped)
        return Selection([self._example_of(question, sample) for sample in kept], dict(dropped))

    def _kept(self, question: Question, samples: Sequence[Sample], dropped: Counter[str]) -> list[Sample]:
        kept, known = list[Sample](), defaultdict[Format, set[str]](set)
        for sample in samples:
            form = self._asked(question, sample).format
            if sample.status == "unknown" or not sample.output or self.verified and sample.status != "passed":
                dropped[sample.reason] += 1
            elif (spelling := spelled_alike(sample.output, form)) in known[form]:
                dropped["duplicate"] += 1
            elif len(known[form]) == self.most:
                dropped["over_limit"] += 1
            else:
                known[form].add(spelling)
                kept.append(sample)
        return kept

    def _asked(self, question: Question, sample: Sample) -> Prompt:
        """The student's prompt for the format of a sample."""
        prompts = self.student.prompts(question)
        return next((p for p in prompts if p.format == sample.format), prompts[0])

    def _example_of(self, question: Question, sample: Sample) -> Example:
        asked = self._asked(question, sample)
        completion = fence(sample.output) if asked.format == "program" else sample.output
        return self.example(question, asked, completion, sample.value, sample.id, context=sample.context)

    def example(
        self, question: Question, asked: Prompt, completion: str, answer: str, source: str, **meta: str
    ) -> Example:
        """What the student learns to answer when it is `asked` a question."""
        return Example(
            id=content_hash(self.recipe, source, completion),
            question_id=question.id,
            messages=tuple(asked.messages),
            completion=(WeightedText(completion, self.weights.get(asked.format, 1.0)),),
            group=question.id,
            answer=answer,
            source=source,
            meta=meta,
        )


def spelled_alike(output: str, form: Format) -> str:
    """What two outputs share when they are the same solution."""
    return (canonical_program(output) if form == "program" else None) or " ".join(output.split())
