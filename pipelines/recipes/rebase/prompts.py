"""What ReBase asks the teacher: to rewrite a retrieved row as a question of the task, or to write one from nothing.

After the paper's transformation step (arXiv 2407.05463): the instruction as directions, the examples as the format
in JSON, one row of another dataset, and the demand to answer with JSON that has the keys of the examples. Examples
with a ``reasoning`` ask for reasoning; examples without one don't. `direct_prompt` is the control without retrieval.
"""

import json
from collections.abc import Mapping, Sequence

from raydistill.actors.errors import UsageError
from raydistill.pipelines.data.rewritten import as_message
from raydistill.pipelines.datastore.flattening import cut
from raydistill.pipelines.recipes.rebase.config import ReBase
from raydistill.pipelines.tasks.answers import Kind, infer_kind

TASK = "Create a question for a test.\nDirections: {instruction}\nFormat:\n{examples}\n"
REWRITE = (
    TASK + "Row of another dataset:\n{row}\n"
    "Choose the useful part of the row and write one new question of the same format and type, inspired by it. "
    "Answer with JSON: {keys}."
)
DIRECT = TASK + "Write one new question of the same format and type. Answer with JSON: {keys}."


def rewrite_prompt(instruction: str, examples: Sequence[Mapping[str, str]], row_json: str) -> list[dict[str, str]]:
    """Chat messages that ask for a question of the task made of a row.

    Args:
        instruction: what the task's questions ask for.
        examples: the task's examples; all with the same keys (``input``, ``output``, maybe ``reasoning``).
        row_json: the row as one JSON object, nested fields flattened, long values truncated.

    Raises:
        UsageError: without examples, or where their keys differ.
    """
    return _message(REWRITE, instruction, examples, row=row_json)


def direct_prompt(instruction: str, examples: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """Chat messages that ask for a question of the task with nothing to start from; as `rewrite_prompt`."""
    return _message(DIRECT, instruction, examples)


def example_json(example: Mapping[str, str]) -> str:
    """An example as the prompts show it and as the answer is expected: one JSON object on one line."""
    return json.dumps(dict(example), ensure_ascii=False)


def _message(text: str, instruction: str, examples: Sequence[Mapping[str, str]], **parts: str) -> list[dict[str, str]]:
    shown = "\n".join(map(example_json, examples))
    content = text.format(instruction=instruction, examples=shown, keys=_keys(examples), **parts)
    return [{"role": "user", "content": content}]


def _keys(examples: Sequence[Mapping[str, str]]) -> str:
    keys = {tuple(example) for example in examples}
    if len(keys) != 1:
        raise UsageError(
            f"examples of a ReBase task have the keys {sorted(keys) or 'of no example at all'}, expected the same "
            "keys in each: give every example input, output and, for a task with reasoning, reasoning"
        )
    return ", ".join(keys.pop())


def answer_messages(
    config: ReBase, text: str, shots: int | None = None, *, reasoning: bool = True
) -> list[dict[str, str]]:
    """The chat that asks for an answer after the first `shots` of the target's examples (None: all) as earlier turns.

    They show reasoning, where they have it, and answer; without `reasoning` the answer alone.
    """
    turns = []
    for example in config.target.examples[:shots]:
        shown = example if reasoning else {"output": example["output"]}
        turns += [_user(config, example["input"]), {"role": "assistant", "content": as_message(shown)}]
    return [*turns, _user(config, text)]


def _user(config: ReBase, text: str) -> dict[str, str]:
    return {"role": "user", "content": f"{config.target.instruction}\n\nQuestion: {text}"}


def keys_of(config: ReBase) -> tuple[str, ...]:
    """What the teacher writes: input, output, and reasoning where the target's examples have it."""
    return tuple(config.target.examples[0])


def answer_kind(config: ReBase) -> Kind:
    """How answers are compared."""
    if config.kind != "auto":
        return config.kind
    return infer_kind(example["output"] for example in config.target.examples)


def row_text(values: Mapping[str, str], best: Sequence[str], config: ReBase) -> str:
    """A row as the teacher is shown it: a JSON object, each value cut; of a long row only the columns `best`."""
    shown = {column: cut(value, config.value_characters) for column, value in values.items()}
    text = json.dumps(shown, ensure_ascii=False)
    if len(text) > config.row_characters:
        text = json.dumps({column: shown[column] for column in values if column in best}, ensure_ascii=False)
    return text
