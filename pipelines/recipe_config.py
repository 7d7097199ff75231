"""The settings of each recipe: the `recipe` section of a run's configuration.

Every field has the default of its paper where the paper has one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator, model_validator


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
    improvement: Literal["script", "teacher"] = "script"
    improvement_temperature: float = Field(0.7, ge=0, description="of the teacher's improvements")
    worked_out: bool = Field(True, description="scripted feedback says what each step should be before it judges it")
    agree_in: Literal["step", "reason"] = Field(
        "step",
        exclude_if=lambda value: value == "step",  # younger than folders whose names come from the other settings
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
        exclude_if=lambda value: value is None,  # younger, too
        description="of the loss on the step that an update corrects; default: feedback_weight",
    )
    attempt_weight: float = Field(1.0, ge=0, description="of the loss on a wrong attempt; 0 masks it")
    question_weight: float = Field(0.0, ge=0, description="of the loss on the question; the paper's code has 1")
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


class TargetTask(Strict):
    """The task that an expert is to be trained for; ``{instruction: ..., examples: [{input: ..., output: ...}]}``."""

    instruction: str = Field(min_length=1, description="what the task asks for")
    examples: tuple[dict[str, str], ...] = Field(min_length=1, description="each with input, output, maybe reasoning")
    banned: tuple[str, ...] = Field((), description="sources whose rows must not be used: the task's own data sets")


EXAMPLE_KEYS = ({"input", "output"}, {"input", "reasoning", "output"})


class ReBase(Strict):
    """ReBase (arXiv 2407.05463): rows of other datasets, retrieved for a task and rewritten as examples of it.

    `teacher.n` candidates are written per row; the row's example is the first whose answer is right. Controls:
    `retrieval: dataset`, `random`, and `none` (questions from nothing but the target); `rewrite: false` learns rows as
    they are; `reasoning: false` learns bare answers.
    """

    recipe: Literal["rebase"] = "rebase"
    target: TargetTask = Field(description="instruction and examples; or the YAML file that has them")
    kind: Literal["auto", "numeric", "text", "choice"] = Field("auto", description="of the task's answers")
    datastore: str | None = Field(None, description="folder or URI of an index, or the YAML file to build it from")
    retrieval: Literal["row", "dataset", "random", "none"] = "row"
    rows: int = Field(3000, ge=1, description="retrieved; without retrieval: questions asked for")
    approximate: bool = Field(False, description="candidates from a sketch of the vectors, then exact scores")
    rewrite: bool = Field(True, description="false: the values nearest to inputs and outputs are the example")
    value_characters: int = Field(250, ge=16, description="of each value that the teacher is shown")
    row_characters: int = Field(4000, ge=64, description="a longer row is cut to the values nearest to the examples")
    reasoning: bool = Field(True, description="false: the student learns answers without the reasoning")
    check: str = Field(
        "answers",
        description="how an answer is checked: answers (most of the teacher's fresh ones agree), programs (the same of "
        "programs that are run), none, or module:function, which gives the answer to a question, None if it has none",
    )
    votes: int = Field(5, ge=1, description="fresh answers per candidate (m)")
    vote_temperature: float = Field(0.7, ge=0)
    labels: tuple[str, ...] = Field((), description="answers of a choice task, to have as many examples of each")
    max_examples: int | None = Field(None, ge=1, description="the first so many, in the order of the rows")
    banned: tuple[str, ...] = Field((), description="sources whose rows are not used, beside the target's own")
    ngram: int = Field(13, ge=1, description="words in a row that may not be shared with an evaluation question")
    shots: int | None = Field(None, ge=0, description="examples that the student is shown; default: the target's all")
    loss: Literal["completion", "all"] = Field("completion", description="all: of the prompt too, as in the paper")
    seed: int = Field(0, description="of the random rows, and of the balance")

    @field_validator("target", mode="before")
    @classmethod
    def _from_file(cls, target: Any) -> Any:
        if not isinstance(target, str):
            return target
        try:
            return yaml.safe_load(Path(target).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ValueError(f"{target} cannot be read: {' '.join(str(error).split())}") from None

    @model_validator(mode="after")
    def _source(self) -> ReBase:
        if self.retrieval == "none" and not self.rewrite:
            raise ValueError("without rows there is nothing to learn as it is: set retrieval, or rewrite to true")
        if self.retrieval != "none" and not self.datastore:
            raise ValueError("datastore is missing: the folder of an index, or the YAML file to build it from")
        return self

    @model_validator(mode="after")
    def _examples(self) -> ReBase:
        keys = [set(example) for example in self.target.examples]
        if keys[0] not in EXAMPLE_KEYS or any(found != keys[0] for found in keys):
            raise ValueError("each of the target's examples needs input and output, and either all or none reasoning")
        return self

    @model_validator(mode="after")
    def _check(self) -> ReBase:
        if self.check not in ("answers", "programs", "none") and self.check.count(":") != 1:
            raise ValueError(f"check is {self.check!r}; expected answers, programs, none or module:function")
        if self.vote_temperature == 0 and self.votes > 1:
            raise ValueError("votes above 1 need a vote_temperature above 0: greedy answers are all the same")
        return self


def _recipe_of(settings: Any) -> Any:
    """The name of the recipe that `settings` are for; PaD's where they name none."""
    return settings.get("recipe", "pad") if isinstance(settings, dict) else getattr(settings, "recipe", None)


AnyRecipe = Annotated[
    Annotated[PaD, Tag("pad")]
    | Annotated[MccKD, Tag("mcc_kd")]
    | Annotated[ReBase, Tag("rebase")]
    | Annotated[TriPosT, Tag("tripost")],
    Discriminator(_recipe_of),
]
