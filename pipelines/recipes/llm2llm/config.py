"""The settings of LLM2LLM: the `recipe` section of a run."""

from __future__ import annotations

from string import Formatter
from typing import Literal

from pydantic import Field, field_validator, model_validator

from raydistill.pipelines.config.base import Strict

PLACES = ("question", "answer", "attempt", "right", "examples")
WORDING = """A student answers this question wrongly.

Question: {question}
Right answer: {answer}
What the student wrote:
{attempt}
{right}
Write one new question that needs the same kind of reasoning, so that the student can practise it: another story
and other numbers, complete in itself, with one right answer. Do not answer it. Answer with JSON: input."""


class Writer(Strict):
    """A model that writes the new questions in the teacher's place, hosted as the teacher is."""

    model: str = Field(description="directory or hub id")
    revision: str | None = Field(None, description="on the hub")


class LLM2LLM(Strict):
    """Rounds in which the teacher writes new questions like those that the student fails (arXiv 2403.15042).

    A new question's answer is what most of the teacher's programs for it return. With `contrast` the teacher also sees
    questions like the failed one that the student gets right (LLMs-as-Instructors, arXiv 2407.00497).
    """

    recipe: Literal["llm2llm"] = "llm2llm"
    prompt: str = Field("instruct", description="of the teacher's programs: instruct (chat models), or few_shot")
    max_programs: int = Field(1, ge=1, description="distinct verified programs kept per question")
    rounds: int = Field(10, ge=0, description="of attempts, new questions and training from the base anew")
    about: Literal["failed", "drawn"] = Field(
        "failed", description="the seeds that are written about; drawn: as many at random, to see what failures add"
    )
    similar: int = Field(1, ge=1, description="new questions that are asked for per seed written about and round")
    temperature: float = Field(1.0, ge=0, description="at which they are written")
    contrast: int = Field(0, ge=0, description="nearest seeds that the student gets right, shown beside the failed one")
    writer: Writer | None = Field(None, description="who writes them; default: the teacher")
    wording: str = Field(
        WORDING,
        description="of what is asked, with {question}, {answer}, {attempt} of the failed seed, {right} questions, or "
        "{examples}: all of these questions as JSON, the failed one last. Wanted is JSON with the `keys`",
    )
    keys: tuple[Literal["input", "reasoning", "output"], ...] = Field(
        ("input",),
        description="of the JSON that is wanted; of what is stated beside input nothing is used, but a writer that has "
        "learned to state it ends its questions badly where it may not",
    )
    rouge: float = Field(0.95, gt=0, le=1, description="a new question with a ROUGE-L above it to any other is dropped")
    votes: int = Field(5, ge=2, description="programs that the teacher writes for a new question")
    agree: int = Field(3, ge=2, description="of them that must return the same, else the question is dropped")
    vote_temperature: float = Field(0.7, gt=0, description="of these programs")
    seed: int = Field(0, description="of what is written in a round")

    @field_validator("wording")
    @classmethod
    def _places(cls, wording: str) -> str:
        try:
            named = {name for _, name, _, _ in Formatter().parse(wording) if name is not None}
        except ValueError as error:
            raise ValueError(f"{error}: write {{{{ and }}}} for braces") from None
        if unknown := sorted(named - {*PLACES}):
            raise ValueError(f"{{{unknown[0]}}} is nothing that is known: expected {', '.join(PLACES)}")
        if not named & {"question", "examples"}:
            raise ValueError("the failed question is not in it: write {question} or {examples}")
        return wording

    @field_validator("keys")
    @classmethod
    def _asked(cls, keys: tuple[str, ...]) -> tuple[str, ...]:
        if "input" not in keys or len({*keys}) < len(keys):
            raise ValueError(f"expected input and, at most once each, reasoning and output, not {', '.join(keys)}")
        return keys

    @model_validator(mode="after")
    def _majority(self) -> LLM2LLM:
        if not self.votes / 2 < self.agree <= self.votes:
            raise ValueError(
                f"agree is {self.agree} of {self.votes} votes: expected more than half, and not more than all"
            )
        if self.contrast and not {"right", "examples"} & {name for _, name, _, _ in Formatter().parse(self.wording)}:
            raise ValueError("contrast shows questions that the wording has no place for: write {right} or {examples}")
        return self
