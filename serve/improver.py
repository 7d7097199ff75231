"""A served student that judges and updates its own answers, as it was trained to (TriPosT, 2310.13522).

    completion --settle--> turns --feedback, update--> turns --> ... --> why it ends

The rules are those of training and evaluation (`recipes.tripost.conversation`); here each
conversation goes on by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from raydistill.actors.engine.requests import Completion
from raydistill.actors.errors import UsageError
from raydistill.pipelines.recipes.tripost.config import TriPosT
from raydistill.pipelines.recipes.tripost.conversation import (
    FEEDBACK,
    Ending,
    Turn,
    asks_for_feedback,
    go_on,
    read_turns,
    settle,
)
from raydistill.pipelines.sampling.prompter import Prompt
from raydistill.serve.asking import Generate, to_request
from raydistill.serve.schema import SolveRequest


@dataclass(frozen=True, slots=True)
class Conversation:
    """What became of one completion; the answer is that of the last turn."""

    text: str  # all that the student wrote
    turns: tuple[Turn, ...]
    ending: Ending


class Improver:
    """Lets the student go on from its completions. Raises UsageError for a student of another recipe."""

    def __init__(self, recipe: Any, generate: Generate) -> None:
        if not isinstance(recipe, TriPosT):
            raise UsageError(
                f"improve: this student was trained by recipe {recipe.recipe}; expected one of recipe tripost, "
                "which learns to judge its own answers: ask without improve"
            )
        self._limit, self._generate = recipe.updates, generate

    async def improve(
        self, prompt: Prompt, drawn: Sequence[Completion], request: SolveRequest
    ) -> tuple[list[Conversation], list[Completion]]:
        """The conversation that begins with each completion of `prompt`, and all completions that this took."""
        done = await asyncio.gather(*(self._converse(prompt, begun, request) for begun in drawn))
        return [conversation for conversation, _ in done], [said for _, all_said in done for said in all_said]

    async def _converse(
        self, prompt: Prompt, begun: Completion, request: SolveRequest
    ) -> tuple[Conversation, list[Completion]]:
        text, asked = begun.text, list[Completion]()
        turns, ending = settle(read_turns(text, cut_off=begun.finish_reason == "length"), self._limit)
        while ending is None:
            goes_on = replace(prompt, prefix=asks_for_feedback(turns[-1].attempt))
            turn = to_request(f"{begun.sample_id}/turn-{len(asked)}", goes_on, request, [begun.index])
            [said] = await self._generate([turn])
            asked.append(said)
            text += f"\n{FEEDBACK}{said.text}"
            turns, ending = go_on(turns, said.text, self._limit, cut_off=said.finish_reason == "length")
        return Conversation(text, tuple(turns), ending), asked
