"""Engines: they start, see the tokens of training, have the weights on disk, and their students stop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from raydistill.actors.engine.rendering import chat_text
from raydistill.actors.engine.requests import Completion, Request, Sampling
from raydistill.actors.storage import local_path
from raydistill.pipelines.config.sections import EngineConfig
from raydistill.pipelines.doctor.checkup import Checkup
from raydistill.pipelines.doctor.findings import Finding, Findings, about, in_bytes, skipped
from raydistill.pipelines.doctor.memory import PROCESS, free_bytes, parameters
from raydistill.pipelines.doctor.remote import Said, echo
from raydistill.pipelines.training.tokens import Tokens, load_tokenizer, tokenise

if TYPE_CHECKING:
    import torch

ROWS = 3
CONTEXT = 512  # tokens of a row, where an engine names no length
ALIKE = {"float32": 0.02}  # mean difference of log-probabilities per token; other weights differ by several
ALIKE_IN_HALF = 0.2
PADDING = 1e-4  # chance per token of a row that is no token


def teacher(checkup: Checkup) -> Findings:
    """The teacher's engine: a token, its weights, and that it does not say the prompt again."""
    model = checkup.config.teacher
    if model.engine == "vllm":
        yield from started(checkup, "teacher's engine", model)
        yield from same_weights(checkup, "teacher's engine", model)
    prompter = checkup.recipe.asks_teacher()
    if prompter and model.engine != "recorded":
        sampling = Sampling(0.0, max_tokens=min(model.max_tokens, 2 * CONTEXT), stop=model.stop)
        asked = {f"echo-{question.id}": question for question in checkup.some[:ROWS]}
        requests = [Request(name, prompter.prompts(one)[0].messages, sampling) for name, one in asked.items()]
        answers = [one for one in checkup.ask(model, requests) if not one.error]
        yield echo([Said.of(prompter, asked[one.request_id], one.text) for one in answers])


def student(checkup: Checkup) -> Findings:
    """The student's engine: a token, the tokens of training, its weights; once it is trained, that it stops."""
    if not checkup.student:
        yield skipped("student's engine", "nothing is trained")
        return
    yield from started(checkup, "student's engine", checkup.student)
    yield from same_weights(checkup, "student's engine", checkup.student)
    yield from stops(checkup, checkup.student)


def started(checkup: Checkup, name: str, model: EngineConfig) -> Findings:
    """One token out of an engine of `model`."""
    ok, _, fail = about(name)
    (said,) = checkup.ask(model, [Request("one", "1", Sampling(0.0, max_tokens=1))])
    if said.error:
        yield fail(said.error, "the log of the engine is in Ray's session folder: ray list actors")
    else:
        yield ok(f"{model.model} starts and writes a token")


def same_weights(checkup: Checkup, name: str, model: EngineConfig) -> Findings:
    """An engine sees the tokens of `ROWS` examples as training does, and finds them as likely as the model on disk."""
    ok, warn, fail = about(f"{name}, log-probabilities")
    tokenizer = load_tokenizer(local_path(model.model), model.revision)
    rows = [
        row for row in tokenise(tokenizer, checkup.examples.examples) if len(row.ids) < (model.max_model_len or CONTEXT)
    ]
    rows = rows[:ROWS]
    if not rows:
        yield skipped(f"{name}, log-probabilities", "no example is short enough for its context")
        return
    messages = {example.id: example.messages for example in checkup.examples.examples}
    borders = [
        len(tokenizer(chat_text(tokenizer, messages[row.id]), add_special_tokens=False).input_ids) for row in rows
    ]
    sampling = Sampling(0.0, max_tokens=1, prompt_logprobs=0)
    answers = checkup.ask(
        model,
        [
            Request(row.id, messages[row.id], sampling, prefix_ids=tuple(row.ids[border:]))
            for row, border in zip(rows, borders, strict=True)
        ],
    )
    if wrong := next((one.error for one in answers if one.error), None):
        yield fail(wrong, "a prompt of the training set is refused: look at max_model_len")
        return
    if any(seen(one)[1:] != row.ids[1:] for one, row in zip(answers, rows, strict=True)):
        yield fail(
            "the engine is given other tokens than training has for the same messages",
            "give engine and training one tokenizer and chat template",
        )
        return
    if reason := no_room_for_forward(model):
        yield skipped(f"{name}, log-probabilities", f"{reason}; tokens are alike")
        return
    yield from _compared(name, model, rows, answers, len(tokenizer))


def no_room_for_forward(model: EngineConfig) -> str:
    """Why a second copy of the model cannot be loaded beside its engine; "" where it can."""
    size = parameters(model.model)
    if size is not None and 4 * size + PROCESS <= free_bytes():
        return ""
    wanted = in_bytes(4 * size + PROCESS) if size else f"{model.model} on this machine"
    return f"a forward pass beside the engine needs {wanted}"


def seen(answer: Completion) -> list[int]:
    """The tokens of a prompt as its engine saw them; the first has no probability and is -1."""
    return [next(iter(step)) if step else -1 for step in answer.prompt_logprobs or ()]


def _compared(
    name: str, model: EngineConfig, rows: Sequence[Tokens], answers: Sequence[Completion], tokens: int
) -> Findings:
    ok, warn, fail = about(f"{name}, log-probabilities")
    differences, padding = list[float](), 0.0
    for row, answer, logprobs in zip(rows, answers, forward(model, [row.ids for row in rows]), strict=True):
        theirs = [
            step[token] for step, token in zip((answer.prompt_logprobs or ())[1:], row.ids[1:], strict=True) if step
        ]
        own = logprobs[:-1].gather(1, logprobs.new_tensor(row.ids[1:]).long()[:, None])[:, 0].tolist()
        differences += [abs(one - other) for one, other in zip(theirs, own, strict=True)]
        padding = (
            max(padding, float(logprobs[:, tokens:].exp().sum(1).max())) if logprobs.shape[1] > tokens else padding
        )
    mean, alike = sum(differences) / len(differences), ALIKE.get(model.dtype, ALIKE_IN_HALF)
    said = (
        f"{len(differences)} tokens of {len(rows)} examples differ by {mean:.4f} on average from a plain forward pass"
    )
    if mean > alike:
        yield fail(
            f"{said}; up to {alike} is rounding", "the engine has other weights than the model on disk: start it anew"
        )
    else:
        yield ok(f"{said}, and are the tokens of training")
    if padding > PADDING:
        yield Finding(
            "warn",
            f"{name}, padding",
            f"rows that are no tokens have up to {padding:.1%} of the probability: they are drawn and say nothing",
            "sample with top_p below 1, or cut the rows off (resize_token_embeddings)",
        )


def forward(model: EngineConfig, rows: Sequence[Sequence[int]]) -> list[torch.Tensor]:
    """Log-probabilities [its tokens, vocabulary] of each row by transformers, in float32 on the CPU."""
    import torch
    from transformers import AutoModelForCausalLM

    loaded: Any = AutoModelForCausalLM.from_pretrained(
        local_path(model.model), revision=model.revision, dtype=torch.float32
    )
    if model.adapter:
        from peft import PeftModel

        loaded = PeftModel.from_pretrained(loaded, local_path(model.adapter))
    with torch.inference_mode():
        return [loaded.eval()(torch.tensor([list(row)])).logits[0].log_softmax(-1) for row in rows]


def stops(checkup: Checkup, model: EngineConfig) -> Findings:
    """A trained student ends its answers by itself."""
    ok, warn, fail = about("student's end of turn")
    if not checkup.student_folder:
        yield skipped("student's end of turn", "this run has no student yet")
        return
    limit = checkup.config.evaluation.max_tokens if checkup.config.evaluation else 512
    questions = (checkup.held_out or checkup.questions).questions[:ROWS]
    prompts = [checkup.recipe.student.prompts(question)[0].messages for question in questions]
    sampling = Sampling(0.0, max_tokens=limit)
    said = checkup.ask(model, [Request(f"stop-{n}", prompt, sampling) for n, prompt in enumerate(prompts)])
    ended = [one.finish_reason for one in said].count("stop")
    if not ended:
        yield fail(
            f"none of {len(said)} answers ends within {limit} tokens",
            "see that the stop token is in the loss, and evaluation.max_tokens is enough",
        )
    else:
        yield ok(f"{ended} of {len(said)} answers end by themselves within {limit} tokens")
