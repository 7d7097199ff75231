"""A served student that judges and updates its own answers, as it was trained to (TriPosT, 2310.13522).

    completion --settle--> turns --feedback, update--> turns --> ... --> why it ends

The rules are those of training and evaluation (`recipes.tripost.conversation`); here each
conversation goes on by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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
from raydistill.serve.replies import Ask, Replies, Reply
from raydistill.serve.schema import SolveRequest


@dataclass(frozen=True, slots=True)
class Conversation:
    """What became of one completion; the answer is that of the last turn."""

    text: str  # all that the student wrote
    turns: tuple[Turn, ...]
    ending: Ending


class Improver:
    """Lets the student go on from its completions. Raises UsageError for a student of another recipe."""

    def __init__(self, recipe: Any, ask: Ask) -> None:
        if not isinstance(recipe, TriPosT):
            raise UsageError(
                f"improve: this student was trained by recipe {recipe.recipe}; expected one of recipe tripost, "
                "which learns to judge its own answers: ask without improve"
            )
        self._limit, self._ask = recipe.updates, ask

    async def improve(
        self, messages: Sequence[dict[str, Any]], replies: Sequence[Reply], request: SolveRequest
    ) -> tuple[list[Conversation], list[Replies]]:
        """The conversation that begins with each reply to `messages`, and all replies that this took."""
        one = request.model_copy(update={"n": 1, "temperature": request.effective_temperature})
        done = await asyncio.gather(*(self._converse(messages, reply, one) for reply in replies))
        return [conversation for conversation, _ in done], [asked for _, all_asked in done for asked in all_asked]

    async def _converse(
        self, messages: Sequence[dict[str, Any]], reply: Reply, request: SolveRequest
    ) -> tuple[Conversation, list[Replies]]:
        text, asked = reply.text, list[Replies]()
        turns, ending = settle(read_turns(text, cut_off=reply.finish_reason == "length"), self._limit)
        while ending is None:
            begun = {"role": "assistant", "content": asks_for_feedback(turns[-1].attempt)}
            drawn = await self._ask([*messages, begun], request)
            (said,) = drawn.replies
            asked.append(drawn)
            text += f"\n{FEEDBACK}{said.text}"
            turns, ending = go_on(turns, said.text, self._limit, cut_off=said.finish_reason == "length")
        return Conversation(text, tuple(turns), ending), asked
