"""The records that travel through a run, from question to training example.

    Question --prompt--> Request, Completion (engine.requests) --extract, execute, grade--> Sample --select--> Example

Ids are content hashes, so the same input has the same id on every machine and in every run:
``question_id`` is the hash of task, text and answer; ``sample_id`` is ``<question_id>/<prompt key>/<index>``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any


def content_hash(*parts: object, length: int = 16) -> str:
    """Hex digest of `parts`, stable over runs and machines (SHA-256 of their canonical JSON, cut to `length`)."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:length]


@dataclass(frozen=True, slots=True)
class Question:
    """One task item, e.g. ``Question("1f0c...", "How many eggs ...?", "18", '{"row": 4}')``."""

    id: str
    text: str
    answer: str  # the gold label as the task wrote it; never enters a prompt or the sandbox
    notes: str = "{}"  # `meta` as JSON text, which takes a third of a dictionary's memory

    @classmethod
    def make(cls, task: str, text: str, answer: str, **meta: Any) -> Question:
        """The question with its id; `meta` must be plain JSON, anything else becomes its text."""
        return cls(content_hash(task, text, answer), text, answer).noting(**meta)

    @property
    def meta(self) -> dict[str, Any]:
        """What its task notes about it, as plain JSON: row number, choices, template, ..."""
        return json.loads(self.notes)

    def noting(self, **meta: Any) -> Question:
        """The same question with more in its `meta`."""
        return replace(self, notes=json.dumps(self.meta | meta, ensure_ascii=False, default=str))


@dataclass(frozen=True, slots=True)
class Sample:
    """One completion of a question together with what verification said of it.

    `status` is three-valued: ``passed`` and ``failed`` judge the output, ``unknown`` says that verification
    itself did not happen; an unknown sample is never trained on and never scored.
    """

    id: str
    question_id: str
    index: int  # which of the question's n samples
    text: str  # the completion as generated
    output: str  # what was extracted from it and verified: program source, or the stated answer
    status: str  # passed | failed | unknown
    reason: str  # sandbox taxonomy, or wrong_answer | no_program | no_answer | length | engine_error
    value: str  # the program's value or the parsed answer, as text; "" if there is none
    prompt_tokens: int
    completion_tokens: int
    finish_reason: str  # stop | length | error
    seed: int
    context: str = ""  # which prompt (few-shot context) evoked it
    detail: str = ""  # the interpreter's last line, or other evidence
    format: str = "text"  # program, rationale or text: what was asked for
    stdout: str = ""  # what its program printed in the end; not read from stored samples


@dataclass(frozen=True, slots=True)
class WeightedText:
    """A piece of a training example; ``WeightedText("def solution(): ...", weight=1.0)``.

    `weight` multiplies the cross-entropy of each of its tokens: 0 for prompt text, 1 for a target,
    1.5 for feedback on an attempt (arXiv 2310.13522).
    """

    text: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Consistency:
    """Weight and temperature of the loss between two examples' answers (arXiv 2310.14747); ``Consistency(0.1, 1.3)``"""

    weight: float  # of the mean KL divergence of both directions, beside the cross-entropy: the paper's alpha
    temperature: float = 1.0  # of both distributions


@dataclass(frozen=True, slots=True)
class TokenIds:
    """An example's tokens as an engine had them, which stay ids up to the loss; ``TokenIds((1, 9), (4, 2))``"""

    prompt: tuple[int, ...]
    completion: tuple[int, ...]  # with its end-of-turn token, where that was sampled


@dataclass(frozen=True, slots=True)
class Policy:
    """What a clipped policy gradient needs of a sampled completion: a value for each of its tokens, the stop included.

    ``Policy((0.3, -1.2), (-0.1, -2.0))``: the ratio of a token's probability to that under which it was sampled times
    its advantage, as in arXiv 1707.06347, Eq. 7.
    """

    advantages: tuple[float, ...]
    behaviour: tuple[float, ...]  # log-probabilities in nats under the weights and sampling that it came from
    teacher: tuple[float, ...] = ()  # the same under the teacher; for people: what is trained is in the advantages
    weight: float = 1.0  # of the whole term, beside the cross-entropy
    clip: tuple[float, float] = (0.2, 0.2)  # the ratio counts from 1 - clip[0] to 1 + clip[1]


@dataclass(frozen=True, slots=True)
class SoftTargets:
    """A teacher's distribution at each token of a completion, its stop included: the k most likely and one tail bucket.

    ``SoftTargets(((7, 3), (2, 5)), ((-0.1, -2.5), (-0.01, -5.0)))``. `beta` says in which direction student and teacher
    are compared (arXiv 2306.13649): 0 is the forward KL, teacher || student; 1 the reverse; between them the
    generalised Jensen-Shannon divergence.
    """

    ids: tuple[tuple[int, ...], ...]  # per token k different ones
    logprobs: tuple[tuple[float, ...], ...]  # nats, at temperature 1
    weight: float = 1.0
    temperature: float = 1.0  # of both distributions
    beta: float = 0.0


@dataclass(frozen=True, slots=True)
class Example:
    """One training example: a chat prompt and the completion that the student learns.

    The trainer knows no recipe: what a recipe wants is in the weights of the completion's segments and, where
    `consistency` is set, in `group` and `answer`: each epoch trains a random pair of each group, whose distributions
    are compared at the tokens of `answer`, which both completions end with. With `tokens`, those are trained instead of
    what a tokenizer makes of the texts, and the completion is one segment.
    """

    id: str
    question_id: str
    messages: tuple[Mapping[str, str], ...]  # the prompt as chat messages, without the completion
    completion: tuple[WeightedText, ...]  # the assistant's turn; the end-of-turn token is trained with the last weight
    group: str = ""
    answer: str = ""
    source: str = ""  # where it came from: sample id, "gold", ...
    meta: Mapping[str, Any] = field(default_factory=dict)
    consistency: Consistency | None = None
    prompt_weight: float = 0.0  # of the prompt's tokens; 0 trains none of them
    tokens: TokenIds | None = None
    policy: Policy | None = None
    soft_targets: SoftTargets | None = None

    @property
    def text(self) -> str:
        """The whole completion as one string."""
        return "".join(segment.text for segment in self.completion)

    def to_chat(self) -> dict[str, Any]:
        """The example in the `messages` form that TRL, LLaMA-Factory and ms-swift read."""
        return {
            "messages": [*map(dict, self.messages), {"role": "assistant", "content": self.text}],
            "id": self.id,
            "question_id": self.question_id,
            "source": self.source,
        }
