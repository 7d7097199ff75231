"""The settings of ReBase: the `recipe` section of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, field_validator, model_validator

from raydistill.pipelines.config.base import Strict
from raydistill.pipelines.config.shipped import shipped
from raydistill.pipelines.datastore.settings import RetrieverConfig, TargetTask

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
    retrieval: Literal["row", "dataset", "random", "none"] = Field("row", description="what rows are found by")
    rows: int = Field(3000, ge=1, description="retrieved; without retrieval: questions asked for")
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
    vote_temperature: float = Field(0.7, ge=0, description="of the fresh answers")
    labels: tuple[str, ...] = Field((), description="answers of a choice task, to have as many examples of each")
    max_examples: int | None = Field(None, ge=1, description="the first so many, in the order of the rows")
    banned: tuple[str, ...] = Field((), description="sources whose rows are not used, beside the target's own")
    ngram: int = Field(13, ge=1, description="words in a row that may not be shared with an evaluation question")
    shots: int | None = Field(None, ge=0, description="examples that the student is shown; default: the target's all")
    loss: Literal["completion", "all"] = Field("completion", description="all: of the prompt too, as in the paper")
    seed: int = Field(0, description="of the random rows, and of the balance")
    retriever: RetrieverConfig = Field(
        RetrieverConfig(),
        exclude_if=lambda value: value == RetrieverConfig(),
        description="the pool that finds the rows",
    )

    @model_validator(mode="before")
    @classmethod
    def _of_an_older_run(cls, settings: Any) -> Any:
        """Without a setting that is no more, which runs and students of before have noted as false."""
        if isinstance(settings, dict) and settings.get("approximate") is False:
            return {name: value for name, value in settings.items() if name != "approximate"}
        return settings

    @field_validator("target", mode="before")
    @classmethod
    def _from_file(cls, target: Any) -> Any:
        if not isinstance(target, str):
            return target
        try:
            return yaml.safe_load(Path(shipped(target)).read_text(encoding="utf-8"))
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
