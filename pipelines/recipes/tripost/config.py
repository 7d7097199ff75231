"""The settings of TriPosT: the `recipe` section of a run."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from raydistill.pipelines.config.base import Strict


class TriPosT(Strict):
    """TriPosT (arXiv 2310.13522): a student learns to find and correct the errors of its own attempts.

    Gold rationales first (`train`); then in each iteration the student attempts the questions, its attempts are edited
    with feedback and improvements until they end right, and it learns these conversations from its last checkpoint (or
    adapter) on. Controls: `attempts: teacher` (SI-demo, another model's mistakes), `learn: right_attempts` (LMSI),
    `balance: null`, `feedback_weight: 1`.
    """

    recipe: Literal["tripost"] = "tripost"
    iterations: int = Field(3, ge=0, description="of trajectories and replay; 0 is the baseline, gold rationales alone")
    attempts: Literal["student", "teacher"] = Field("student", description="teacher: the control, another's mistakes")
    questions_per_iteration: int | None = Field(None, ge=1, description="others in each; default: all in each")
    samples: int = Field(1, ge=1, description="trajectories per question and iteration")
    temperature: float = Field(1.0, ge=0, description="of the attempts")
    feedback: Literal["script", "teacher", "both"] = Field("script", description="both: script's, agreement counted")
    improvement: Literal["script", "teacher"] = Field("script", description="who goes on from the first wrong step")
    improvement_temperature: float = Field(0.7, ge=0, description="of the teacher's improvements")
    worked_out: bool = Field(True, description="scripted feedback says what each step should be before it judges it")
    agree_in: Literal["step", "reason"] = Field(
        "step",
        exclude_if=lambda value: (
            value == "step"
        ),  # added later: left out of the cache key at its default, so that old runs stay valid
        description="what own feedback, to be kept, has in common with the module's; step: as the paper's code",
    )
    max_updates: int = Field(5, ge=1, description="of one trajectory; without a right end by then it is rejected")
    learn: Literal["conversations", "right_attempts"] = Field(
        "conversations", description="right_attempts: the right attempts as they are, nothing else (LMSI)"
    )
    balance: tuple[float, float, float] | None = Field(
        (1.5, 1.0, 1.0), description="improvement : self-correct : gold; null keeps every turn and adds no gold"
    )
    max_examples: int | None = Field(None, ge=1, description="per iteration")
    feedback_weight: float = Field(1.5, gt=0, description="of the loss from the feedback on")
    correction_weight: float | None = Field(
        None,
        gt=0,
        exclude_if=lambda value: value is None,  # added later, too
        description="of the loss on the step that an update corrects; default: feedback_weight",
    )
    attempt_weight: float = Field(1.0, ge=0, description="of the loss on a wrong attempt; 0 masks it")
    question_weight: float = Field(0.0, ge=0, description="of the loss on the question; the paper's code has 1")
    learning_rate: float | None = Field(None, gt=0, description="of the replay; default: that of train")
    epochs: int | None = Field(None, ge=1, description="of the replay; default: that of train")
    updates: int = Field(2, ge=0, description="at most, of an own answer, in evaluation and service")
    seed: int = Field(0, description="of attempts, and of what is kept")

    @model_validator(mode="after")
    def _balance(self) -> TriPosT:
        if self.balance and (min(self.balance) < 0 or not any(self.balance)):
            raise ValueError("balance has parts of 0 or more, of which one is above 0: [1.5, 1, 1]")
        if self.balance and not any(self.balance[:2]) and self.max_examples is None:
            raise ValueError("balance of gold alone needs max_examples: there is nothing else to be in proportion to")
        if self.temperature == 0 and self.samples > 1:
            raise ValueError("samples above 1 need a temperature above 0: greedy samples are all the same")
        return self
