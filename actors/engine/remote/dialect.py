"""What of a request an endpoint takes. Servers differ; each is asked for all, and what it refuses is left out then.

A refusal counts as one only where the server says that it does not know or support a setting, not where it finds a
value too large. What would change what an answer is (messages, the schema it is held to) is never left out.
"""

from __future__ import annotations

import json
import re
from typing import Any

from raydistill.actors.engine.remote.settings import EndpointSettings
from raydistill.actors.engine.rendering import prompt_ids
from raydistill.actors.engine.requests import Request
from raydistill.actors.errors import UsageError

LIMITS = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}  # each other's alternative
UNKNOWN = re.compile(
    r"unsupported|not support|does ?n[o']t support|only the default|unrecogni[sz]ed|unknown|unexpected|not permitted"
    r"|not allowed|not available|extra_forbidden|deprecated|no longer",
    re.IGNORECASE,
)
BEST_EFFORT = frozenset({"seed", "logprobs", "top_logprobs", "return_tokens_as_token_ids"})
"""Left out whatever it is that the server has against them."""
DEPENDENT = {"logprobs": ("top_logprobs", "return_tokens_as_token_ids")}
INSTEAD = {
    "n": "each sample is a request of its own",
    "seed": "samples cannot be drawn again",
    "stop": "texts are cut off here",
}

OPENAI_ITSELF = re.compile(r"https?://([^/]+\.)?(api\.openai\.com|openai\.azure\.com)([:/]|$)")
"""Where the settings of other servers are known to be refused; a file of requests cannot find that out."""


class Dialect:
    """The requests of one endpoint. `notes` are what it was found not to take, each once."""

    def __init__(self, settings: EndpointSettings, tokenizer: Any = None) -> None:
        self._settings, self._tokenizer = settings, tokenizer
        self._limit = "max_tokens"  # a server that knows the other name alone says so; one that ignores it has no limit
        self.left_out: set[str] = set()
        self.notes: list[str] = []
        if OPENAI_ITSELF.match(settings.base_url):
            for name in settings.sampling:
                self.leave_out(name, "no setting of OpenAI's")
            if settings.api == "chat":
                self._limit = "max_completion_tokens"

    @property
    def takes_n(self) -> bool:
        """Whether one request may ask for several samples."""
        return self._settings.most_choices > 1 and "n" not in self.left_out

    def body(self, request: Request, first: int, count: int) -> dict[str, Any]:
        """The request for samples `first` .. `first + count - 1`, without the model. Raises UsageError."""
        sampling, settings = request.sampling, self._settings
        if sampling.temperature == 0 and count > 1:
            raise UsageError("n > 1 needs a temperature above 0: greedy samples are all the same")
        if sampling.prompt_logprobs is not None or request.adapter:
            raise UsageError("a model behind a URL takes no adapters, and gives no log-probabilities of prompts")
        schema = sampling.json_schema
        wanted = {
            "n": count if count > 1 else None,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            **settings.sampling,
            self._limit: sampling.max_tokens,
            "stop": list(sampling.stop) or None,
            "seed": request.seed + first,
            **self._logprobs(sampling.logprobs),
            "response_format": None if schema is None else _held_to(schema),
            **self._continued(request),
        }
        kept = {name: value for name, value in wanted.items() if value is not None and name not in self.left_out}
        return {**self._prompt(request), **kept, **settings.extra_body}

    def _prompt(self, request: Request) -> dict[str, Any]:
        if self._settings.api == "completions":
            return {"prompt": prompt_ids(self._tokenizer, request)}
        if request.prefix_ids:
            raise UsageError("a chat takes no token ids: set endpoint.api=completions and endpoint.tokenizer")
        prompt = request.prompt
        turns = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else [dict(turn) for turn in prompt]
        begun = [{"role": "assistant", "content": request.prefix}] if request.prefix else []
        return {"messages": [*turns, *begun]}

    def _continued(self, request: Request) -> dict[str, Any]:
        """What has vLLM and its like go on with the last turn, where that is the assistant's."""
        begun = self._settings.api == "chat" and request.prefix
        return {"continue_final_message": True, "add_generation_prompt": False} if begun else {}

    def _logprobs(self, count: int | None) -> dict[str, Any]:
        if count is None:
            return {}
        named = {"return_tokens_as_token_ids": True}
        return named | ({"logprobs": count} if self._settings.api == "completions" else _chat_logprobs(count))

    def learn(self, said: str, parameter: str, sent: dict[str, Any]) -> bool:
        """Take a refusal of `sent` into account. Whether the same request is another one now."""
        named = [parameter] if parameter in sent else [name for name in sent if re.search(rf"\b{name}\b", said)]
        unknown = bool(UNKNOWN.search(f"{said}"))
        for name in named:
            if name in LIMITS and unknown:
                self._rename_limit(name)
            elif (
                name in BEST_EFFORT
                or unknown
                and name in {"n", "temperature", "top_p", "stop", *self._settings.sampling}
            ):
                self.leave_out(name, said)
        ours = {*sent} - {*self._settings.extra_body}
        return bool(ours & self.left_out) or not ours.isdisjoint({*LIMITS} - {self._limit})

    def _rename_limit(self, name: str) -> None:
        """Call the limit by its other name, unless that was refused before."""
        other = LIMITS[name]
        if name == self._limit and other not in self.left_out:
            self._limit = other
            self.left_out.add(name)
            self.notes.append(f"{name} is refused: the limit goes as {other}")

    def leave_out(self, name: str, said: str) -> None:
        """Send a setting no more."""
        if name not in self.left_out:
            self.left_out |= {name, *DEPENDENT.get(name, ())}
            self.notes.append(f"{name} is not taken ({said[:160]}): {INSTEAD.get(name, 'left to the server')}")


def _held_to(schema: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "reply", "strict": True, "schema": dict(schema)}}


def _chat_logprobs(count: int) -> dict[str, Any]:
    return {"logprobs": True, "top_logprobs": count}


def refusal(body: str) -> tuple[str, str]:
    """(what a server says, the parameter that it names) of the body of a response with an error, as servers write it.

    What FastAPI repeats of the request is no part of it.
    """
    try:
        told = json.loads(body)
    except ValueError:
        return " ".join(body.split())[:400], ""
    told = told[0] if isinstance(told, list) and told else told
    error = told.get("error", told) if isinstance(told, dict) else told
    if isinstance(error, dict) and isinstance(error.get("detail"), list):
        details = [one for one in error["detail"] if isinstance(one, dict)]
        places = [str((one.get("loc") or [""])[-1]) for one in details]
        said = [
            f"{place}: {one.get('msg', '')} ({one.get('type', '')})" for place, one in zip(places, details, strict=True)
        ]
        return "; ".join(said)[:400], places[0] if len(places) == 1 else ""
    if not isinstance(error, dict):
        return " ".join(str(error).split())[:400], ""
    said_ = error.get("message") or error.get("detail") or json.dumps(error)
    return " ".join(str(said_).split())[:400], str(error.get("param") or "")
