"""What goes over the wire beside OpenAI's own formats; the descriptions make the page at /docs."""

from __future__ import annotations

from string import ascii_uppercase
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, create_model, model_validator

from raydistill.pipelines.config.sections import Beam

VOTING_TEMPERATURE = 0.7  # samples that vote must differ
MOST_TOKENS = 2**31 - 1
MOST_SEED = 2**53 - 1  # what every reader of JSON tells apart

Label = Annotated[str, StringConstraints(pattern="^[A-Z]$")]
SOME = Field(min_length=1, max_length=len(ascii_uppercase))
Option = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, pattern=r"^[^\n\r]*$")]


class AskedBeam(Beam):
    """A beam search of a size that others can wait for, with the encoder that is there."""

    model_config = ConfigDict(strict=True)

    width: int = Field(4, ge=1, le=16, description="hypotheses kept after each line")
    candidates: int = Field(4, ge=1, le=16, description="next lines per hypothesis: the greedy one and samples")
    temperature: float = Field(1.0, gt=0, le=2, description="of the samples")
    max_lines: int = Field(32, ge=1, le=128)
    encoder: Literal["all-MiniLM-L6-v2"] = "all-MiniLM-L6-v2"


class SolveRequest(BaseModel):
    """A question to solve."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"example": {"question": "A loaf costs $9 and a bun $3. What do 5 loaves cost?", "n": 5}},
    )

    question: str = Field(min_length=1, description="in plain words; the student's own prompt is put around it")
    model: str | None = Field(None, description="the student's name, as /v1/models has it; default: the first")
    choices: Annotated[list[Option], SOME] | Annotated[dict[Label, Option], SOME] | None = Field(
        None,
        description="the options of a multiple-choice question: their texts, or capital letter -> text; written into "
        "the question as in training, unless it lists them already as lines (A) ...",
    )
    n: int = Field(1, ge=1, le=64, description="samples; the answer that most of them give wins, ties go to the first")
    temperature: float | None = Field(
        None, ge=0, le=2, description=f"0 is greedy; default: 0 for one sample, {VOTING_TEMPERATURE} for several"
    )
    max_tokens: int = Field(
        512, ge=1, le=MOST_TOKENS, description="tokens per sample; fewer where the student's context has less room"
    )
    seed: int = Field(
        0, ge=0, le=MOST_SEED, description="of the first sample; the same request has the same answer on a CPU"
    )
    stream: bool | None = Field(
        None,
        description="answer in server-sent events: completion, verdict, repair, vote as they happen, then answer",
    )
    beam: AskedBeam | None = Field(
        None, description="answer with the best hypothesis of a beam search over program lines"
    )

    @model_validator(mode="after")
    def _samples_differ(self) -> SolveRequest:
        if self.beam and self.n > 1:
            raise ValueError("n > 1 does not go with beam: a beam search has one best hypothesis")
        if self.n > 1 and self.temperature == 0:
            raise ValueError("n > 1 needs a temperature above 0: greedy samples are all the same")
        return self

    @property
    def labelled_choices(self) -> dict[str, str]:
        """The options by letter; {} without any."""
        if isinstance(self.choices, list):
            return dict(zip(ascii_uppercase, self.choices, strict=False))
        return self.choices or {}

    @property
    def effective_temperature(self) -> float:
        if self.temperature is not None:
            return self.temperature
        return VOTING_TEMPERATURE if self.n > 1 else 0.0


def request_model(options: type[BaseModel], max_tokens: int = 512) -> type[SolveRequest]:
    """A request to a student that takes `options`, its recipe's, too; `max_tokens` where it says nothing else."""
    fields: dict[str, Any] = {name: (field.annotation, field) for name, field in options.model_fields.items()}
    limit = SolveRequest.model_fields["max_tokens"]
    fields["max_tokens"] = (int, limit.merge_field_infos(limit, default=max_tokens))
    return create_model("SolveRequest", __base__=SolveRequest, __doc__=SolveRequest.__doc__, **fields)


class TurnShown(BaseModel):
    """One turn of a student that judges its own answers."""

    attempt: str
    feedback: str = Field(description="what the student says about it; empty where it was not asked any more")


class Ready(BaseModel):
    """Whether requests are taken."""

    status: Literal["ok", "stopping", "full"]


class Version(BaseModel):
    """What answers."""

    version: str = Field(description="of raydistill")


class SolveAnswer(BaseModel):
    """An executed answer, or an honest failure. Program, output and completion are those of the winning sample."""

    question: str
    model: str = Field(description="the student that was asked")
    status: Literal["passed", "failed"] = Field(
        description="passed: there is an answer; failed: no sample has one (a sandbox in trouble is HTTP 503 instead)"
    )
    reason: str = Field(description="ok, or why there is no answer: no_program, length, syntax, exception:<Type>, ...")
    answer: str | None = Field(
        description="what the program returned, or what the rationale states, as votes count it: 1080 for $1,080.00; "
        "null without one"
    )
    program: str | None = Field(description="the program that was run; null without one, and for rationales")
    output: str = Field(description="what the program printed (its last 2 KB)")
    message: str = Field(description="the interpreter's last line where the program failed")
    completion: str = Field(description="what the student wrote")
    n: int = Field(description="samples that were asked for")
    repairs: int = Field(0, description="how often the winning sample's program was repaired")
    votes: dict[str, int] = Field(
        description="how many samples gave which answer, of those that ended before the rest could not change it"
    )
    prompt_tokens: int
    completion_tokens: int = Field(description="of all completions that ended")
    trajectory: list[TurnShown] | None = Field(
        None, description="of a student that updates itself: its attempts in order"
    )
    ending: str | None = Field(
        None,
        description="of such a student: why no update follows: correct, no_progress, repetition, limit, ...",
    )


class Health(BaseModel):
    """Whether the service can answer: each engine has generated a token and the sandbox has reported."""

    status: Literal["ok", "unavailable"]
    model: str = Field(description="the students, by their names")
    sandbox: str | None = Field(
        description="grade of the confinement (A to D), of several the worst; null where answers are not executed"
    )
    reason: str = Field("", description="what is unavailable, and why")


class Problem(BaseModel):
    """What is wrong, in one line."""

    model_config = ConfigDict(extra="forbid")

    message: str
    type: Literal["invalid_request_error", "rate_limit_error", "server_error"]
    param: str | None = Field(description="the field that it is about, as a path: messages.0.content")
    code: str = Field(description="invalid_value, model_not_found, body_too_large, model_unavailable, ...")


class ProblemReport(BaseModel):
    """The body of every answer that is no success, in the shape that OpenAI clients expect."""

    error: Problem
