"""The settings of MCC-KD: the `recipe` section of a run."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from raydistill.pipelines.config.base import Strict


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
