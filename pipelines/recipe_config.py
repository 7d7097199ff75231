"""The settings of each recipe: the `recipe` section of a run's configuration.

Every field has the default of its paper where the paper has one.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


FaultName = Literal["undefined_name", "use_before_assignment", "syntax", "wrong_type", "index_out_of_range"]


class Refine(Strict):
    """PaD 1.6: the student also learns to repair programs, those with injected faults and its own failing ones."""

    faults: tuple[FaultName, ...] = Field(get_args(FaultName), min_length=1, description="kinds that are injected")
    faults_per_program: int = Field(1, ge=0, description="kinds drawn per verified program; the paper has 3")
    own_samples: int = Field(0, ge=0, description="of a first student, per training question, to learn from failures")
    own_temperature: float = Field(1.0, ge=0)
    max_own: int = Field(2, ge=1, description="own failing programs learned from, per question")
    repairs: int = Field(1, ge=0, description="at most, of a program that fails to run, in evaluation and service")
    seed: int = 0

    @model_validator(mode="after")
    def _kinds(self) -> Refine:
        if self.faults_per_program > len(set(self.faults)):
            raise ValueError(f"faults_per_program is above the {len(set(self.faults))} kinds in faults")
        return self


class PaD(Strict):
    """Program-aided distillation (arXiv 2305.13888) and its baselines.

    `target: rationale` is chain of thought, from the teacher or (`source: gold`) from the data set's own worked
    solutions; `target: answer` with `source: gold` is fine-tuning on the bare labels.
    """

    recipe: Literal["pad"] = "pad"
    target: Literal["program", "rationale", "answer"] = "program"
    source: Literal["teacher", "gold"] = Field("teacher", description="gold: learn the data set's own solutions")
    prompt: str = Field("instruct", description="instruct (chat models), or few_shot (for large teachers)")
    contexts: tuple[str, ...] = Field((), description="each question is asked once per context (PaD 1.2), not `prompt`")
    shots: int = Field(4, ge=0, le=4, description="demonstrations of a context that are shown")
    max_programs: int = Field(4, ge=1, description="distinct verified programs kept per question (m)")
    filter: bool = Field(True, description="false keeps what the teacher wrote, verified or not (the ablation)")
    refine: Refine | None = Field(None, description="train on repairing programs as a second task")

    @model_validator(mode="after")
    def _source_has_target(self) -> PaD:
        if self.source == "teacher" and self.target == "answer":
            raise ValueError("target answer is learned from labels: set source to gold")
        if self.source == "gold" and self.target == "program":
            raise ValueError("data sets have no gold programs: give yours as a recorded teacher (teacher.engine)")
        return self

    @model_validator(mode="after")
    def _repairs_programs(self) -> PaD:
        if self.refine and not (self.filter and self.target == "program"):
            raise ValueError("refine needs verified programs: target program, filter true")
        return self


class MccKD(Strict):
    """MCC-KD (arXiv 2310.14747): several diverse right rationales per question, answers drawn together in pairs."""

    recipe: Literal["mcc_kd"] = "mcc_kd"
    prompt: str = Field("instruct", description="instruct (chat models), or few_shot (for large teachers)")
    rationales: int = Field(4, ge=1, description="distinct right rationales kept per question (K); 1 trains no pairs")
    select: Literal["diverse", "random", "similar"] = Field("diverse", description="random, similar: the controls")
    ngram: int = Field(2, ge=1, description="words of an n-gram; rationales are compared as sets of them (Jaccard)")
    near_duplicate: float = Field(0.8, gt=0, description="similarity from which a rationale counts as another again")
    alpha: float = Field(0.1, ge=0, description="weight of the KL between two rationales' answers; 0 pairs without it")
    temperature: float = Field(1.0, gt=0, description="of the answer distributions that are compared")
    filter: bool = Field(True, description="false keeps rationales with a wrong answer too (the ablation)")
    seed: int = Field(0, description="of `select: random`")


class TriPosT(Strict):
    """TriPosT (arXiv 2310.13522): a student learns to find and correct the errors of its own attempts.

    Gold rationales first (`train`); then in each iteration the student attempts the questions, its attempts are edited
    with feedback and improvements until they end right, and it learns these conversations from its last checkpoint on.
    """

    recipe: Literal["tripost"] = "tripost"
    iterations: int = Field(3, ge=0, description="of trajectories and replay; 0 is the baseline, gold rationales alone")
    attempts: Literal["student", "teacher"] = Field("student", description="teacher: the control, another's mistakes")
    samples: int = Field(1, ge=1, description="trajectories per question and iteration")
    temperature: float = Field(1.0, ge=0, description="of the attempts")
    feedback: Literal["script", "teacher", "both"] = Field("script", description="both: script's, agreement counted")
    improvement: Literal["script", "teacher"] = "script"
    improvement_temperature: float = Field(0.7, ge=0, description="of the teacher's improvements")
    worked_out: bool = Field(True, description="scripted feedback says what each step should be before it judges it")
    max_updates: int = Field(5, ge=1, description="of one trajectory; without a right end by then it is rejected")
    balance: tuple[float, float, float] | None = Field(
        (1.5, 1.0, 1.0), description="improvement : self-correct : gold; null keeps every turn and adds no gold"
    )
    max_examples: int | None = Field(None, ge=1, description="per iteration")
    feedback_weight: float = Field(1.5, gt=0, description="of the loss from the feedback on")
    attempt_weight: float = Field(1.0, ge=0, description="of the loss on the attempt that is judged; 0 masks it")
    learning_rate: float | None = Field(None, gt=0, description="of the replay; default: that of train")
    epochs: int | None = Field(None, ge=1, description="of the replay; default: that of train")
    updates: int = Field(2, ge=0, description="at most, of an own answer, in evaluation and service")
    seed: int = 0

    @model_validator(mode="after")
    def _balance(self) -> TriPosT:
        if self.balance and (min(self.balance) < 0 or not any(self.balance)):
            raise ValueError("balance has parts of 0 or more, of which one is above 0: [1.5, 1, 1]")
        if self.balance and not any(self.balance[:2]) and self.max_examples is None:
            raise ValueError("balance of gold alone needs max_examples: there is nothing else to be in proportion to")
        if self.temperature == 0 and self.samples > 1:
            raise ValueError("samples above 1 need a temperature above 0: greedy samples are all the same")
        return self


def _recipe_of(settings: Any) -> Any:
    """The name of the recipe that `settings` are for; PaD's where they name none."""
    return settings.get("recipe", "pad") if isinstance(settings, dict) else getattr(settings, "recipe", None)


AnyRecipe = Annotated[
    Annotated[PaD, Tag("pad")] | Annotated[MccKD, Tag("mcc_kd")] | Annotated[TriPosT, Tag("tripost")],
    Discriminator(_recipe_of),
]
