"""The settings of Mixed Distillation: the `recipe` section of a run."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from raydistill.pipelines.config.base import Strict

MixedFormat = Literal["program", "rationale"]


class Mixed(Strict):
    """Mixed Distillation (arXiv 2312.10730): one student learns programs and rationales as two tasks.

    `formats` with one of them alone is the control. `teacher.n` samples are drawn in each format.
    """

    recipe: Literal["mixed"] = "mixed"
    formats: tuple[MixedFormat, ...] = Field(("program", "rationale"), min_length=1, description="that are learned")
    prompt: str = Field("instruct", description="instruct (chat models), or few_shot (for large teachers)")
    most: int = Field(2, ge=1, description="distinct verified answers kept per question and format")
    program_weight: float = Field(1.0, gt=0, description="of the loss on programs; the paper's lambda / (1 - lambda)")
    rationale_weight: float = Field(1.0, gt=0, description="of the loss on rationales")

    @field_validator("formats")
    @classmethod
    def _each_once(cls, formats: tuple[MixedFormat, ...]) -> tuple[MixedFormat, ...]:
        if len(set(formats)) != len(formats):
            raise ValueError(f"formats has one twice: {', '.join(formats)}")
        return formats
