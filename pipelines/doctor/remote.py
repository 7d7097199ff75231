"""A teacher that is not on this machine: an endpoint and what it honours, or completions that were recorded."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from raydistill.actors.engine.recording import read_recording
from raydistill.actors.engine.remote.engine import RemoteEngine
from raydistill.actors.engine.remote.settings import EndpointSettings
from raydistill.actors.engine.requests import Completion, Request, Sampling
from raydistill.actors.errors import UsageError
from raydistill.pipelines.config.files import shortened
from raydistill.pipelines.data.records import Question
from raydistill.pipelines.doctor.checkup import Checkup
from raydistill.pipelines.doctor.findings import Finding, Findings, about, skipped
from raydistill.pipelines.runtime.endpoints import check_endpoint, endpoint_settings
from raydistill.pipelines.runtime.pools import recording
from raydistill.pipelines.sampling.plan import SamplingPlan
from raydistill.pipelines.sampling.prompter import Prompter
from raydistill.pipelines.sampling.recordings import check_recording

PATIENCE_S = 30.0
TOKENS = 24  # of an answer to a probe; enough for two to differ
PROBE = [{"role": "user", "content": "Write a sentence about a random animal."}]
OBJECT = {
    "type": "object",
    "properties": {"animal": {"type": "string"}},
    "required": ["animal"],
    "additionalProperties": False,
}


def endpoint(checkup: Checkup) -> Findings:
    """The server answers, and takes what runs send: n, seeds, log-probabilities, schemas, begun answers."""
    ok, warn, fail = about("endpoint")
    model = checkup.config.teacher
    if model.engine != "openai":
        return
    check_endpoint(model)
    settings = replace(endpoint_settings(model), attempts=2, patience_s=PATIENCE_S, timeout_s=2 * PATIENCE_S)
    honoured, notes, error = asyncio.run(_probe(settings))
    if error:
        yield fail(f"{settings.base_url} answers nothing that can be used: {error}", "try the same request with curl")
        return
    honoured["prefix"] = _continues(checkup)
    taken, refused = ([name for name, takes in honoured.items() if takes == which] for which in (True, False))
    said = f"{settings.base_url} answers; takes {', '.join(taken) or 'nothing of it'}" + (
        f"; does not take {', '.join(refused)}" if refused else ""
    )
    said += f" ({'; '.join(shortened(note) for note in notes)})" if notes else ""
    if "schema" in refused and checkup.recipe.asks_for_json:
        yield fail(
            f"{said}; this recipe holds answers to a schema", "take a server with structured outputs, such as vLLM"
        )
    elif "seed" in refused:
        yield warn(f"{said}; lost samples cannot be drawn again", "none at this server: what is stored stays as it is")
    else:
        yield ok(said)


async def _probe(settings: EndpointSettings) -> tuple[dict[str, bool], list[str], str]:
    """What the server honours, what it was found not to take, and why it answers nothing ("" where it does)."""
    engine = RemoteEngine(settings)
    drawn = Sampling(temperature=1.0, max_tokens=TOKENS, logprobs=0)
    held = Sampling(temperature=0.0, max_tokens=4 * TOKENS, json_schema=OBJECT)
    asked = [
        Request("first", PROBE, drawn, (0, 1), seed=11),
        Request("again", PROBE, drawn, (0,), seed=11),
        Request("held", PROBE, held),
    ]
    try:
        several = await engine.generate(asked[:1])
        again, object_ = await engine.generate(asked[1:])
    finally:
        await engine.stop()
    notes = (await engine.describe())["notes"] if not several[0].error else []
    known = " ".join(note.partition(" ")[0] for note in notes).split()
    honoured = {
        "n": "n" not in known and not several[1].error,
        "seed": "seed" not in known and again.text == several[0].text,
        "logprobs": several[0].logprobs is not None or "logprobs" not in known and settings.tokenizer is None,
        "schema": _is_object(object_),
    }
    return honoured, notes, several[0].error


def _is_object(completion: Completion) -> bool:
    try:
        return not completion.error and set(json.loads(completion.text)) == {"animal"}
    except (ValueError, TypeError):
        return False


def _continues(checkup: Checkup) -> bool:
    try:
        check_endpoint(checkup.config.teacher, prefixes=True)
    except UsageError:
        return False
    return True


def recorded(checkup: Checkup) -> Findings:
    """The file holds what is asked for, and its completions are answers and not the prompts again."""
    ok, warn, _ = about("recording")
    model, prompter = checkup.config.teacher, checkup.recipe.asks_teacher()
    if model.engine != "recorded":
        return
    if prompter is None:
        yield skipped("recording", "this recipe asks its teacher about more than questions")
        return
    plan = SamplingPlan(prompter, Sampling(), model.n, model.seed, prompts_per_round=model.contexts_per_round)
    if lacking := check_recording(plan, checkup.asked, model):
        yield warn(str(lacking), "complete the recording, or ask for fewer samples")
    else:
        yield ok(f"{model.model} has all samples of {len(checkup.asked):,} questions")
    paths, *columns = recording(model)
    recorded = read_recording(paths, *columns)
    first = [(one, recorded.find(f"{one.id}/{prompter.prompts(one)[0].context}", one.text, 0)) for one in checkup.some]
    yield echo([Said.of(prompter, question, found.text) for question, found in first if found])


@dataclass(frozen=True, slots=True)
class Said:
    """An answer of a teacher, with the question and the whole turn that it was asked in."""

    question: str
    turn: str
    answer: str

    @classmethod
    def of(cls, prompter: Prompter, question: Question, answer: str) -> Said:
        turn = prompter.prompts(question)[0].messages[-1]["content"]
        return cls(*(" ".join(text.split()) for text in (question.text, turn, answer)))

    @property
    def echoes(self) -> bool:
        """Whether it begins with what was asked; a program may well quote the question within."""
        return self.answer.startswith(self.question) or self.turn in self.answer


def echo(said: Sequence[Said]) -> Finding:
    """Whether most of some answers are the prompt again."""
    ok, _, fail = about("teacher's text")
    echoes = [one.answer for one in said if one.echoes]
    if not said:
        return skipped("teacher's text", "no answer of the teacher to look at")
    if 2 * len(echoes) <= len(said):
        return ok(f"{len(said)} answers looked at, {len(echoes)} of them begin with the prompt")
    return fail(
        f"{len(echoes)} of {len(said)} answers begin with the prompt: {shortened(echoes[0], 60)!r}",
        "have the prompt left out of the answer (echo: false, return_full_text: false), or cut it off",
    )
