"""The settings of on-policy distillation: the `recipe` section of a run."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from raydistill.actors.engine.scoring import MOST_TOP_K
from raydistill.pipelines.config.base import Strict


class ColdStart(Strict):
    """The first half: fine-tuning on what the teacher writes and the task verifies."""

    max_answers: int = Field(4, ge=1, description="distinct verified answers kept per question")
    epochs: int | None = Field(None, ge=1, description="default: those of train")


class RoutedTeacher(Strict):
    """Another teacher, of the same tokenizer and hosted as the run's, for questions that note what `where` says."""

    model: str = Field(description="directory or hub id")
    revision: str | None = Field(None, description="on the hub")
    where: dict[str, str] = Field(min_length=1, description="{template: ages}: of the questions whose notes say so")


class OPD(Strict):
    """On-policy distillation: a teacher scores each token of what the student writes itself.

    A token's advantage is ``distillation * clip(log p_teacher - log p_student, +-most)``, plus `reward` times its
    answer's verdict within the question's group, less `error_weight` from a program's fault on; with `top_k` the first
    summand is a divergence over the teacher's likeliest tokens in place of the sampled one. With `until` nothing is
    learned behind a sample's first fault, where a teacher says how to go on, not what is right.
    """

    recipe: Literal["opd"] = "opd"
    target: Literal["program", "rationale"] = Field("program", description="what the student writes")
    prompt: str = Field("instruct", description="of the teacher's text: instruct (chat models), or few_shot")
    cold_start: ColdStart | None = Field(ColdStart(), description="null: from train.student as it is")
    rounds: int = Field(3, ge=0, description="of samples, scores and training")
    questions_per_round: int | None = Field(None, ge=1, description="others in each round; default: all in each")
    samples: int = Field(4, ge=1, description="of each question in a round, at temperature 1")
    distillation: float = Field(1.0, ge=0, description="weight of the teacher's log-probabilities; 0: verdicts alone")
    most: float = Field(5.0, gt=0, description="nats; what a token's advantage from the teacher is clipped to")
    clip: tuple[float, float] = Field((0.2, 0.2), description="the ratio counts from 1 - clip[0] to 1 + clip[1]")
    top_k: int = Field(0, ge=0, le=MOST_TOP_K, description="0: of the sampled tokens; k: of the teacher's likeliest")
    beta: float = Field(1.0, ge=0, le=1, description="with top_k; 1: reverse KL, 0: forward, between: Jensen-Shannon")
    until: float | None = Field(
        None,
        gt=0,
        description="nats; a sample is learned up to the first token that the teacher finds less likely, it included",
    )
    reward: float = Field(0.0, ge=0, description="weight of the verdict, normalised within a question's samples")
    error_weight: float = Field(
        0.0, ge=0, description="taken from the tokens from the line on at which a program fails"
    )
    teacher_share: float = Field(0.0, ge=0, lt=1, description="of a round's examples that the teacher wrote (GKD)")
    privileged: Literal["solution", "message"] | None = Field(
        None, description="the teacher is the student itself, shown the gold solution or the interpreter's message"
    )
    teachers: tuple[RoutedTeacher, ...] = Field((), description="others for some questions; the first that fits scores")
    learning_rate: float | None = Field(None, gt=0, description="of the rounds; default: that of train")
    epochs: int = Field(1, ge=1, description="over a round's samples")
    overlap: bool = Field(
        False, description="sample a round while the one before trains, by the student from before that"
    )
    seed: int = Field(0, description="of which questions and which of the teacher's texts a round takes")

    @model_validator(mode="after")
    def _goes_together(self) -> OPD:
        if self.teacher_share and self.cold_start is None:
            raise ValueError("teacher_share needs cold_start, whose text it takes")
        if self.cold_start is None and not self.rounds:
            raise ValueError("without cold_start and with rounds 0 there is nothing to do")
        if self.reward and self.samples == 1:
            raise ValueError("reward compares the samples of a question: set samples to 2 or more")
        if not (self.distillation or self.reward or self.error_weight):
            raise ValueError("distillation, reward and error_weight are all 0: there is nothing to learn from")
        if self.teachers and (self.privileged or not self.distillation):
            raise ValueError("teachers score samples, which they do not with privileged or distillation 0")
        if self.top_k and not self.distillation:
            raise ValueError("top_k says how distillation compares, which is 0")
        if self.until is not None and not self.distillation:
            raise ValueError("until reads the teacher's scores, which distillation 0 does not ask for")
        if self.error_weight and self.target != "program":
            raise ValueError("error_weight is about lines of programs: set target to program")
        if min(self.clip) < 0 or self.clip[0] >= 1:
            raise ValueError("clip has two parts of 0 or more, the first below 1: [0.2, 0.2]")
        return self
