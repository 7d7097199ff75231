"""What completions depend on: the key of the folder that they are stored in, and what is told about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raydistill.actors.errors import UsageError
from raydistill.pipelines.config.sections import EngineConfig, SamplingConfig
from raydistill.pipelines.data.records import content_hash
from raydistill.pipelines.runtime.engines import identity_of, model_identity
from raydistill.pipelines.sampling.prompter import Prompter

CHANGES_TEXTS = {
    "max_model_len",
    "reasoning_parser",
    "options",
    "question_column",
    "completion_column",
    "finish_reason_column",
}
"""Settings of an engine that its completions depend on, beside model, adapter and dtype."""

RECORDED_VERSION = 2
"""Of how recordings are read, raised where other completions come of the same file."""


def completions_key(
    model: EngineConfig,
    sampling: SamplingConfig,
    prompter: Prompter,
    json_schema: Mapping[str, Any] | None = None,
    extra_key: object = None,
    *,
    logprobs: bool = False,
) -> tuple[str, dict[str, Any]]:
    """The key, and its parts by their names.

    `extra_key` is what else the completions depend on; with `logprobs` they have ids and log-probabilities. Raises
    UsageError where these would not be of what is sampled.
    """
    if logprobs:
        _check_logprobs(model, sampling)
    drawn = sampling.model_dump(include={"temperature", "top_p", "max_tokens", "stop", "seed"})
    identity = identity_of(model), model.adapter and model_identity(model.adapter)
    changed = model.model_dump(include=CHANGES_TEXTS, exclude_defaults=True)
    recorded = f"recorded/{RECORDED_VERSION}" if model.engine == "recorded" else None
    if model.endpoint:  # samples of its model, whichever way they came
        changed, recorded = {}, None
    others = [part for part in (changed, json_schema, extra_key, recorded, logprobs and "logprobs/1") if part]
    told = {
        "model": model.model,
        "weights": identity[0],
        "adapter": model.adapter,
        "dtype": model.dtype,
        "prompts": prompter.version,
        **drawn,
        **changed,
        "reply_schema": json_schema,
        "more": extra_key,
        "endpoint": model.engine == "openai",
    }
    return content_hash(identity, model.dtype, prompter.version, drawn, *others), told


def _check_logprobs(model: EngineConfig, sampling: SamplingConfig) -> None:
    """Raise UsageError unless log-probabilities are of what is sampled; vLLM's are those before temperature, top-p."""
    processed = model.options.get("logprobs_mode") == "processed_logprobs"
    if (sampling.temperature, sampling.top_p) != (1, 1) and not (processed and sampling.temperature):
        raise UsageError(
            f"log-probabilities of samples at temperature {sampling.temperature:g} and top_p {sampling.top_p:g}: "
            "expected 1 and 1, or options.logprobs_mode processed_logprobs of the engine and a temperature above 0"
        )
