"""What a teacher and a student are asked: an instruction, and contexts that show by demonstrations how to answer.

    instruction of the target + the context's own + question --> user turn
    demonstrations of the context --> earlier user and assistant turns, so that any model's template renders them

A context is a YAML file: those in `contexts/` are known by name, a user's own by its path. Sampling a question once per
context augments the data (arXiv 2305.13888). The shipped demonstrations were written for this project; none comes from
a benchmark. The texts are a contract: the demo models were trained on exactly these.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from raydistill.actors.errors import UsageError

INSTRUCTIONS = {
    "program": "Write a Python function solution() that returns the answer.",
    "rationale": "Think step by step and end with: Therefore, the answer is X.",
    "answer": "Give only the answer.",
    "repair": "Correct the Python function solution().",
}
FEW_SHOT = {"program": "straight", "rationale": "sentences"}
"""The contexts of `prompt: few_shot`, shown whole."""

MAX_SHOTS = 4
CONTEXTS = Path(__file__).parent / "contexts"

Messages = list[dict[str, str]]


class Demonstration(BaseModel):
    """A question with an answer in the context's style, and the number that the answer comes to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    question: str = Field(min_length=1)
    answer: str = Field(min_length=1, description="a program without its fence, or a rationale")
    value: int | float | str = Field(description="what the program returns or the rationale states")


class Context(BaseModel):
    """One style of answering, shown by demonstrations; `name` is the stem of its file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    target: Literal["program", "rationale"] = "program"
    style: str = Field(min_length=1)
    instruction: str = Field("", description="asks for the style; follows the target's instruction")
    demonstrations: tuple[Demonstration, ...] = Field(min_length=MAX_SHOTS, max_length=MAX_SHOTS)


def context_names(target: str | None = None) -> list[str]:
    """The shipped contexts in alphabetical order: all, or those of one target."""
    names = sorted(path.stem for path in CONTEXTS.glob("*.yaml"))
    return [name for name in names if target in (None, load_context(name).target)]


@cache
def load_context(name: str) -> Context:
    """A shipped context by its name (`helper`), or a user's own by the path of its YAML file (`my/helper.yaml`).

    Raises UsageError for an unknown name, a missing file, and a file that is no context.
    """
    own = "/" in name or name.endswith((".yaml", ".yml"))
    if not own and name not in (names := sorted(path.stem for path in CONTEXTS.glob("*.yaml"))):
        raise UsageError(f"unknown context {name!r}; known are {', '.join(names)}, or give the path of a YAML file")
    path = Path(name) if own else CONTEXTS / f"{name}.yaml"
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"context {name}: cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise UsageError(f"context {name}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise UsageError(f"context {name}: expected style, instruction and demonstrations, got {type(data).__name__}")
    try:
        return Context.model_validate({"name": path.stem, **data})
    except ValidationError as error:
        problems = (f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors())
        raise UsageError(f"context {name}: {'; '.join(problems)}") from None


def render_context(context: Context, target: str, question: str, shots: int = MAX_SHOTS) -> Messages:
    """The chat that asks for a `target` of `question` in a context's style, after its first `shots` demonstrations.

    Raises UsageError where the context shows another target, or has not so many demonstrations.
    """
    if context.target != target:
        raise UsageError(f"context {context.name} shows a {context.target}, but a {target} is asked for")
    if not 0 <= shots <= len(context.demonstrations):
        raise UsageError(
            f"context {context.name}: {shots} shots asked for, expected 0 to {len(context.demonstrations)}"
        )
    turns: Messages = []
    for demonstration in context.demonstrations[:shots]:
        answer = demonstration.answer
        turns.append(_user(ask(target, demonstration.question.strip(), context.instruction)))
        turns.append({"role": "assistant", "content": fence(answer) if target == "program" else answer.strip()})
    return [*turns, _user(ask(target, question, context.instruction))]


def ask(target: str, question: str, style: str = "") -> str:
    """The user's turn: the target's instruction, the style's where there is one, and the question."""
    return f"{INSTRUCTIONS[target]} {style}".strip() + f"\n\nQuestion: {question}"


def fence(program: str) -> str:
    """A program as an assistant writes it."""
    return f"```python\n{program.strip()}\n```"


def render(prompt: str, target: str, question: str) -> Messages:
    """The chat that asks for a `target` ("program" or "rationale") of `question`, without a choice of contexts.

    Raises UsageError for an unknown `prompt`.
    """
    if prompt not in ("instruct", "few_shot"):
        raise UsageError(f"recipe.prompt: unknown prompt {prompt!r}; known are instruct and few_shot")
    if prompt == "few_shot":
        return render_context(load_context(FEW_SHOT[target]), target, question)
    return [_user(ask(target, question))]


def demonstrated(prompt: str, target: str) -> list[str]:
    """The questions that `render` shows with an answer."""
    shown = load_context(FEW_SHOT[target]).demonstrations if prompt == "few_shot" else ()
    return [demonstration.question for demonstration in shown]


def _user(content: str) -> dict[str, str]:
    return {"role": "user", "content": content}
