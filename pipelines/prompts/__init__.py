"""What a teacher and a student are asked: instructions for chat models, few-shot contexts for large teachers.

A prompt is a list of chat messages. Few-shot demonstrations are earlier turns of the same chat, so that any
model's template renders them. They were written for this project; none comes from a benchmark.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

import yaml

from actors.errors import UsageError

INSTRUCTIONS = {
    "program": "Write a Python function solution() that returns the answer.",
    "rationale": "Think step by step and end with: Therefore, the answer is X.",
}


@cache
def few_shot(target: str) -> list[dict[str, str]]:
    """The demonstrations of `target` as user and assistant turns."""
    text = resources.files(__package__).joinpath(f"{target}.yaml").read_text(encoding="utf-8")
    turns = []
    for demonstration in yaml.safe_load(text):
        answer = demonstration["answer"]
        content = fence(answer) if target == "program" else answer.strip()
        turns.append({"role": "user", "content": ask(target, demonstration["question"].strip())})
        turns.append({"role": "assistant", "content": content})
    return turns


def ask(target: str, question: str) -> str:
    """The user's turn: instruction and question."""
    return f"{INSTRUCTIONS[target]}\n\nQuestion: {question}"


def fence(program: str) -> str:
    """A program as an assistant writes it."""
    return f"```python\n{program.strip()}\n```"


def render(prompt: str, target: str, question: str) -> list[dict[str, Any]]:
    """The chat that asks for a `target` ("program" or "rationale") of `question`.

    Raises UsageError for an unknown `prompt`.
    """
    if prompt not in ("instruct", "few_shot"):
        raise UsageError(f"recipe.prompt: unknown prompt {prompt!r}; known are instruct and few_shot")
    turns = few_shot(target) if prompt == "few_shot" else []
    return [*turns, {"role": "user", "content": ask(target, question)}]
