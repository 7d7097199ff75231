"""Teachers behind a URL: their settings with the key, what their samples are known by, and that they answer at all."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

from raydistill.actors.engine.remote.dialect import refusal
from raydistill.actors.engine.remote.settings import NO_KEY, EndpointSettings, make_client
from raydistill.actors.errors import UsageError
from raydistill.pipelines.config.endpoint import CHANGES_TEXTS, SAMPLED_BY, Endpoint
from raydistill.pipelines.data.records import content_hash

if TYPE_CHECKING:
    from raydistill.pipelines.config.sections import EngineConfig

CHECK_S = 8.0  # for a server to say anything
PROBE_S = 120.0  # for a model to write a token, which may be its first
WANTS_A_KEY = (401, 403)
NAMED = 8  # models in a message
WORD = [{"role": "user", "content": "1"}]


def endpoint_settings(config: EngineConfig, ledger: str | None = None, *, reached: bool = True) -> EndpointSettings:
    """What a `RemoteEngine` is made with. Raises UsageError where the key's variable is not set.

    An endpoint that is not `reached`, since its requests go into a file, needs no key.
    """
    endpoint = _endpoint(config)
    beyond = {name: value for name in SAMPLED_BY if (value := getattr(endpoint, name)) is not None}
    return EndpointSettings(
        model=config.model,
        base_url=endpoint.base_url,
        api_key=_key(endpoint) if reached else NO_KEY,
        api=endpoint.api,
        headers=endpoint.headers,
        extra_body=endpoint.extra_body,
        sampling=beyond,
        most_choices=endpoint.most_choices,
        most_requests=config.max_num_seqs,
        timeout_s=endpoint.timeout_s,
        attempts=endpoint.attempts,
        patience_s=endpoint.patience_s,
        tokenizer=endpoint.tokenizer,
        ledger=ledger,
    )


def endpoint_identity(config: EngineConfig) -> str:
    """A hash of what the completions of a model behind a URL depend on beside how they are drawn.

    It is the name of the model, not the address of its server, which moves: another port, a gateway, a new host. Where
    two servers have different models under one name, `endpoint.name` tells them apart.
    """
    told = _endpoint(config).model_dump(include=CHANGES_TEXTS, exclude_defaults=True)
    return content_hash("openai", config.model, told)


def check_endpoint(config: EngineConfig, *, prefixes: bool = False) -> None:
    """Raise UsageError unless the server answers within ten seconds, takes the key and has the model.

    With `prefixes` it must also go on with an assistant's turn.
    """
    settings = endpoint_settings(config)
    asyncio.run(_check(settings, _endpoint(config), prefixes and settings.api == "chat"))


def _endpoint(config: EngineConfig) -> Endpoint:
    assert config.endpoint is not None  # of an engine `openai`, as its validation has seen to
    return config.endpoint


def _key(endpoint: Endpoint) -> str:
    if endpoint.api_key_env is None:
        return NO_KEY
    if not (key := os.environ.get(endpoint.api_key_env, "").strip()):
        raise UsageError(
            f"teacher.endpoint.api_key_env: the environment variable {endpoint.api_key_env} is not set: export it with "
            "the key, or write api_key_env=null for a server without keys (docs/endpoints.md)"
        )
    return key


async def _check(settings: EndpointSettings, endpoint: Endpoint, prefixes: bool) -> None:
    from openai import APIConnectionError, APIStatusError

    where = f"teacher.endpoint.base_url: {settings.base_url}"
    async with make_client(settings) as client:
        try:
            async with asyncio.timeout(CHECK_S):
                known = await _models(client)
            if not any(name == settings.model or name.endswith(f"/{settings.model}") for name in known):
                await _has_model(client, settings, known)
        except TimeoutError:
            raise UsageError(f"{where}: no answer within {CHECK_S:g} s; start the server, or name another") from None
        except APIConnectionError as error:
            reason = error.__cause__ or error
            raise UsageError(f"{where}: nothing answers there ({reason}); start the server, or name another") from None
        except APIStatusError as error:
            said, variable = refusal(error.response.text)[0], endpoint.api_key_env
            key = f"the key in {variable}" if variable else "requests without a key: name its variable"
            raise UsageError(
                f"teacher.endpoint.api_key_env: {settings.base_url} refuses {key}: {said} (docs/endpoints.md)"
            ) from None
        if prefixes and not await _continues(client, settings):
            raise UsageError(
                f"teacher: this recipe begins the teacher's answers, and {settings.base_url} does not go on with an "
                "assistant's turn (continue_final_message); expected a vLLM server, endpoint.api=completions, or "
                "another recipe"
            )


async def _models(client: Any) -> list[str]:
    """The names of the models that a server lists; none where it has no list. APIStatusError where it wants a key."""
    import json

    from openai import APIStatusError

    try:
        told = json.loads((await client.models.with_raw_response.list()).content)
        return [str(model["id"]) for model in (told if isinstance(told, list) else told["data"])]
    except APIStatusError as error:
        if error.status_code in WANTS_A_KEY:
            raise
    except (ValueError, KeyError, TypeError):
        pass
    return []


async def _has_model(client: Any, settings: EndpointSettings, known: list[str]) -> None:
    """Ask a model that is not listed for a token: some lists are not complete, and some servers have none."""
    from openai import APIError, APIStatusError

    said = "no JSON"
    try:
        async with asyncio.timeout(CHECK_S):
            await _one_token(client, settings)
            return
    except APIStatusError as error:
        if error.status_code in WANTS_A_KEY:
            raise
        if error.status_code not in (400, 404, 405, 422) or "max_tokens" in error.response.text:
            return
        said = f"{error.status_code}: {refusal(error.response.text)[0]}"
    except (APIError, TimeoutError):  # slow, or broken for the moment
        return
    except ValueError:
        pass
    more = ", ..." if len(known) > NAMED else ""
    has = f"it has {', '.join(known[:NAMED])}{more}" if known else f"it says {said}; a base_url usually ends with /v1"
    raise UsageError(f"teacher.model: {settings.base_url} has no model {settings.model!r}; {has}")


async def _one_token(client: Any, settings: EndpointSettings, **extra: Any) -> int:
    """The tokens of the prompt, as the server counts them, of a request for one token.

    Raises ValueError where the answer is not of OpenAI's form.
    """
    import json

    if settings.api == "completions":
        came = await client.completions.with_raw_response.create(model=settings.model, prompt="1", max_tokens=1)
    else:
        turns = extra.pop("messages", WORD)
        came = await client.chat.completions.with_raw_response.create(
            model=settings.model, messages=turns, max_tokens=1, extra_body=extra
        )
    told = json.loads(came.content)
    if not isinstance(told, dict):
        raise ValueError("JSON of another form")
    return int((told.get("usage") or {}).get("prompt_tokens") or 0)


async def _continues(client: Any, settings: EndpointSettings) -> bool:
    """Whether a server goes on with an assistant's turn: then its prompt is shorter than one with a turn to begin."""
    from openai import APIError

    begun = [*WORD, {"role": "assistant", "content": "2"}]
    try:
        async with asyncio.timeout(PROBE_S):
            continued = await _one_token(
                client, settings, messages=begun, continue_final_message=True, add_generation_prompt=False
            )
            another = await _one_token(client, settings, messages=begun)
    except TimeoutError:
        raise UsageError(
            f"teacher.endpoint.base_url: {settings.base_url} wrote no token within {PROBE_S:g} s; is it overloaded?"
        ) from None
    except (APIError, ValueError):
        return False
    return 0 < continued < another
