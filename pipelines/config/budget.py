"""The section of a run's budget, and what a model's tokens cost."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from raydistill.pipelines.config.base import Strict


class Prices(Strict):
    """Money for a million tokens, in whatever currency the budget is in."""

    prompt: float = Field(0.0, ge=0, description="of what is read")
    generated: float = Field(0.0, ge=0, description="of what is written")

    def of(self, prompt: float, generated: float) -> float:
        """What so many tokens cost."""
        return (prompt * self.prompt + generated * self.generated) / 1e6


class Budget(Strict):
    """Caps on what makes a run's examples, all lives of the run together; none of them unless it is set.

    Counted is whoever is asked in synthesis, and the teacher when it is evaluated; students are evaluated for nothing.
    """

    prompt_tokens: int | None = Field(None, ge=1, description="that teachers read")
    generated_tokens: int | None = Field(None, ge=1, description="that teachers write")
    money: float | None = Field(None, gt=0, description="needs teacher.prices")
    wall_s: float | None = Field(None, gt=0, description="seconds of asking and verifying, starts of engines included")
    samples_per_question: int | None = Field(None, ge=1, description="over all rounds and contexts")
    on_budget: Literal["stop", "train"] = Field(
        "stop", description="where a cap leaves samples unasked: end with what is stored, or train on it"
    )


CAPS = ("prompt_tokens", "generated_tokens", "money", "wall_s")
"""Settings of `Budget` at which a run asks for nothing more."""
