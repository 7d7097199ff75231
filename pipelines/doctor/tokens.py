"""What the student is trained on, token by token: template, end of turn, vocabulary, lengths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from raydistill.actors.engine.rendering import chat_text, stop_token_id, template_stop
from raydistill.actors.errors import TrainingError
from raydistill.pipelines.doctor.checkup import Checkup
from raydistill.pipelines.doctor.findings import Findings, about, skipped
from raydistill.pipelines.training.losses.table import trained_tokens
from raydistill.pipelines.training.student import vocabulary_size
from raydistill.pipelines.training.tokens import load_tokenizer

ROWS = 3  # examples that are compared token by token
LOW_SHARE = 0.01  # of trained tokens
FEW, MOST = 0.05, 0.5  # of examples that are dropped for their length
SHOWN = 60  # characters


def stop_token(checkup: Checkup) -> Findings:
    """The template ends an assistant's turn with a special token, and training has it in the loss."""
    ok, warn, fail = about("stop token")
    if not checkup.train:
        yield skipped("stop token", "nothing is trained")
        return
    tokenizer, rows = checkup.tokenizer, checkup.rows[:ROWS]
    stop = stop_token_id(tokenizer)
    name = tokenizer.convert_ids_to_tokens(stop)
    if [row.id for row in rows if row.ids[-1] != stop or not row.columns["weights"][-1]]:
        yield fail(f"{name} is not in the loss: its weight is 0", "give the end of a completion a weight above 0")
    elif template_stop(tokenizer) is None:
        yield warn(
            f"the chat template ends no assistant's turn with a special token; training adds {name} itself, and what "
            "others make of examples.jsonl, or of several turns, has none",
            "put eos_token behind what the assistant says in chat_template",
        )
    else:
        yield ok(f"{name} ends the assistant's turns and is in the loss")


def trained_share(checkup: Checkup) -> Findings:
    """How many of the tokens are trained."""
    ok, warn, fail = about("trained tokens")
    if not checkup.train or not checkup.rows:
        yield skipped("trained tokens", "nothing is trained")
        return
    counts = [_trained(row.columns) for row in checkup.rows]
    share = sum(counts) / sum(len(row.ids) for row in checkup.rows)
    said = f"{share:.0%} of the tokens of {checkup.examples.source}"
    if masked := counts.count(0):
        yield fail(f"{said}; {masked} of {len(counts)} examples have none", "give completions a weight above 0")
    elif share < LOW_SHARE:
        yield warn(
            f"{said}: nearly all are prompt", "show fewer demonstrations to the student, or ask for more reasoning"
        )
    else:
        yield ok(said)


def _trained(columns: Mapping[str, object]) -> int:
    try:
        return trained_tokens(columns)
    except TrainingError:  # its stop token alone is not
        return 1


def vocabulary(checkup: Checkup) -> Findings:
    """Each token has a row in the model; rows that are no tokens are told (`engines` looks at what they weigh)."""
    ok, warn, fail = about("vocabulary")
    if not checkup.train:
        yield skipped("vocabulary", "nothing is trained")
        return
    rows, tokens = vocabulary_size(checkup.train.student, checkup.train.revision), len(checkup.tokenizer)
    highest = max((token for row in checkup.rows for token in row.ids), default=0)
    remedy = "take tokenizer and model of one release, or resize the model's embeddings"
    if highest >= rows:
        yield fail(f"the examples have token {highest}, the model {rows:,} rows", remedy)
    elif tokens > rows:
        yield warn(
            f"the tokenizer has {tokens:,} tokens, the model {rows:,} rows; these examples need none of them", remedy
        )
    else:
        yield ok(f"{tokens:,} tokens, {rows:,} rows" + (f", {rows - tokens} of them padding" if rows > tokens else ""))


def lengths(checkup: Checkup) -> Findings:
    """How many examples training will drop, and whether prompts leave the engines room to answer."""
    ok, warn, fail = about("lengths")
    if not checkup.train or not checkup.rows:
        yield skipped("lengths", "nothing is trained")
        return
    sizes, most = [len(row.ids) for row in checkup.rows], checkup.train.max_length
    share = sum(size > most for size in sizes) / len(sizes)
    said = f"{share:.0%} of examples are longer than train.max_length {most} (median {median(sizes):.0f} tokens)"
    remedy = f"raise train.max_length (the longest has {max(sizes)})"
    if share > MOST:
        yield fail(f"{said} and will be dropped", remedy)
    elif share > FEW:
        yield warn(f"{said} and will be dropped", remedy)
    else:
        yield ok(said)


def prompts_alike(checkup: Checkup) -> Findings:
    """Training, evaluation and service put the same text around a question, a system prompt of the template, too."""
    ok, _, fail = about("prompts")
    if not checkup.train:
        yield skipped("prompts", "nothing is trained")
        return
    chats = [prompt.messages for question in checkup.some[:ROWS] for prompt in checkup.recipe.student.prompts(question)]
    if checkup.student is None or not chats:
        return
    trained = [chat_text(checkup.tokenizer, chat) for chat in chats]
    for where, folder in _other_tokenizers(checkup).items():
        other = load_tokenizer(folder, None)
        for text, chat in zip(trained, chats, strict=True):
            if (theirs := chat_text(other, chat)) != text:
                yield fail(
                    f"{where} says {_difference(theirs, text)!r} where training says {_difference(text, theirs)!r}",
                    f"give {folder} the tokenizer and chat_template.jinja of its base again, or train it anew",
                )
                return
            one, another = (used(text, add_special_tokens=False).input_ids for used in (other, checkup.tokenizer))
            if one != another:
                yield fail(f"{where} cuts the same prompt into other tokens ({folder})", "give both one tokenizer")
                return
    opening = trained[0].partition(chats[0][0]["content"])[0]
    yield ok(f"begin with {opening!r} in training, evaluation and service alike")


def _other_tokenizers(checkup: Checkup) -> dict[str, str]:
    """Where evaluation and service read theirs: in the student's folder once there is one, an adapter's engine not."""
    folder = checkup.student_folder
    if not folder or not Path(folder, "tokenizer_config.json").is_file():
        return {}
    return {"service": folder} | ({} if checkup.train and checkup.train.lora else {"evaluation": folder})


def _difference(text: str, other: str) -> str:
    """What `text` has between the beginning and the end that it shares with `other`."""
    start = _common(text, other)
    end = _common(text[start:][::-1], other[start:][::-1])
    found = text[start : len(text) - end]
    return found if len(found) <= SHOWN else f"{found[:SHOWN]} ..."


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    return next(
        (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
