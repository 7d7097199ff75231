"""The settings of PaD: the `recipe` section of a run."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field, model_validator

from raydistill.pipelines.config.base import Strict

FaultName = Literal["undefined_name", "use_before_assignment", "syntax", "wrong_type", "index_out_of_range"]


class Refine(Strict):
    """PaD 1.6: the student also learns to repair programs, those with injected faults and its own failing ones."""

    faults: tuple[FaultName, ...] = Field(get_args(FaultName), min_length=1, description="kinds that are injected")
    faults_per_program: int = Field(1, ge=0, description="kinds drawn per verified program; the paper has 3")
    own_samples: int = Field(0, ge=0, description="of a first student, per training question, to learn from failures")
    own_temperature: float = Field(1.0, ge=0, description="at which it samples them")
    max_own: int = Field(2, ge=1, description="own failing programs learned from, per question")
    repairs: int = Field(1, ge=0, description="at most, of a program that fails to run, in evaluation and service")
    seed: int = Field(0, description="of the faults' places")

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
    target: Literal["program", "rationale", "answer"] = Field("program", description="what the student learns to write")
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
