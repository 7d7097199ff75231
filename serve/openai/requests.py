"""What a request to OpenAI's routes may set, and what the engine is asked for it.

Fields are those of OpenAI's API that a student can honour, and of vLLM's extensions those that people use. Some that
change no answer of a student are taken and not looked at (`IGNORED`); every other field is refused by its name. null is
as good as leaving a field out.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from raydistill.serve.openai.grammar import sized
from raydistill.serve.schema import MOST_TOKENS

INT64 = 2**63
MOST_SAMPLES = 1024  # of a request: n times its prompts
MOST_LOGPROBS = 20  # what engines give

TokenId = Annotated[int, Field(ge=0, le=MOST_TOKENS)]
TokenName = Annotated[str, StringConstraints(pattern="^[0-9]{1,9}$")]
Text = Annotated[str, StringConstraints(min_length=1)]
JsonSchema = Annotated[
    dict[str, Any], AfterValidator(sized), Field(description="a JSON schema of moderate size; answers are kept to it")
]
Unsupported = Annotated[None, Field(description="not supported by this service")]
Ignored = Annotated[Any, Field(description="taken, and not looked at")]


class Strictly(BaseModel):
    """JSON's types as they are: "5" is no number; fields that are not named are refused."""

    model_config = ConfigDict(extra="forbid", strict=True)


class TextPart(Strictly):
    type: Literal["text"]
    text: str


class Message(Strictly):
    """One turn; of a reply that is sent back, what holds no text must be empty."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | Annotated[list[TextPart], Field(min_length=1)]
    name: Ignored = None
    reasoning: Ignored = None
    annotations: Ignored = None
    refusal: Unsupported = None
    audio: Unsupported = None
    function_call: Unsupported = None
    tool_calls: Annotated[list[Any], Field(max_length=0)] | None = None

    def turn(self) -> dict[str, Any]:
        """As chat templates know it."""
        parts = self.content if isinstance(self.content, list) else [TextPart(type="text", text=self.content)]
        text = "\n".join(part.text for part in parts)
        return {"role": "system" if self.role == "developer" else self.role, "content": text}


class TemplateSettings(Strictly):
    """What templates of thinking students know; others take no notice."""

    enable_thinking: bool | None = None
    thinking: bool | None = None


class StreamOptions(Strictly):
    include_usage: bool | None = Field(None, description="a last event with the tokens of the whole answer")
    continuous_usage_stats: bool | None = Field(None, description="the tokens so far in every event")
    include_obfuscation: Ignored = None


class NamedSchema(Strictly):
    name: str
    description: str | None = None
    strict: bool | None = None
    schema_: JsonSchema = Field(alias="schema")


class PlainFormat(Strictly):
    type: Literal["text", "json_object"]


class SchemaFormat(Strictly):
    type: Literal["json_schema"]
    json_schema: NamedSchema


class StructuredOutputs(Strictly):
    """One of them; answers are kept to it."""

    json_: JsonSchema | None = Field(None, alias="json")
    choice: list[Text] | None = Field(None, min_length=1, max_length=100)

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.json_ is None) == (self.choice is None):
            raise ValueError("expected json or choice")
        return self


class EngineRequest(Strictly):
    """What chat and plain completions have in common."""

    model: str | None = Field(None, description="the student's name, as /v1/models has it; default: the first")
    n: int | None = Field(None, ge=1, le=64, description="answers per prompt; default: 1")
    stream: bool | None = Field(None, description="answer in server-sent events, which end with [DONE]")
    stream_options: StreamOptions | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    seed: int | None = Field(None, ge=-INT64, le=INT64 - 1)
    stop: Text | Annotated[list[Text], Field(max_length=16)] | None = None
    logit_bias: Annotated[dict[TokenName, Annotated[float, Field(ge=-100, le=100)]], Field(max_length=1024)] | None = (
        None
    )
    response_format: PlainFormat | SchemaFormat | None = Field(None, discriminator="type")
    user: Ignored = None
    metadata: Ignored = None
    store: Ignored = None
    service_tier: Ignored = None
    safety_identifier: Ignored = None
    prompt_cache_key: Ignored = None
    prompt_cache_retention: Ignored = None
    top_k: int | None = Field(None, ge=-1, le=MOST_TOKENS, description="0 or -1 for all")
    min_p: float | None = Field(None, ge=0, le=1)
    repetition_penalty: float | None = Field(None, ge=0.1, le=10)
    min_tokens: int | None = Field(None, ge=0, le=MOST_TOKENS)
    stop_token_ids: Annotated[list[TokenId], Field(max_length=64)] | None = None
    ignore_eos: bool | None = None
    include_stop_str_in_output: bool | None = None
    skip_special_tokens: bool | None = None
    add_special_tokens: bool | None = None
    structured_outputs: StructuredOutputs | None = None
    prompt_logprobs: int | None = Field(None, ge=0, le=MOST_LOGPROBS)
    return_token_ids: bool | None = None
    return_tokens_as_token_ids: bool | None = None

    @model_validator(mode="after")
    def _fields_go_together(self) -> Self:
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options needs stream: true")
        if self.stream and self.prompt_logprobs is not None:
            raise ValueError("prompt_logprobs does not go with stream: true")
        if self.temperature == 0 and (self.n or 1) > 1:
            raise ValueError("n > 1 needs a temperature above 0: greedy samples are all the same")
        if self.structured_outputs and self.response_format and self.response_format.type != "text":
            raise ValueError("response_format does not go with structured_outputs")
        return self

    def asked(self) -> dict[str, Any]:
        """What the engine is asked for: the fields that are set, in its words."""
        given = self.model_dump(exclude_none=True, by_alias=True, exclude=IGNORED)
        if self.stream_options:
            given["stream_options"].pop("include_obfuscation", None)
        wanted = self.response_format
        if isinstance(wanted, SchemaFormat):
            given["structured_outputs"] = {"json": json.dumps(wanted.json_schema.schema_)}
        elif wanted and wanted.type == "json_object":
            given["structured_outputs"] = {"json_object": True}
        elif self.structured_outputs and self.structured_outputs.json_ is not None:
            given["structured_outputs"] = {"json": json.dumps(self.structured_outputs.json_)}
        return given


class ChatRequest(EngineRequest):
    """A conversation to go on with."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"messages": [{"role": "user", "content": "What is 3 plus 4?"}]}}
    )

    messages: list[Message] = Field(min_length=1, max_length=1024)
    max_completion_tokens: int | None = Field(None, ge=1, le=MOST_TOKENS, description="default: what the context holds")
    max_tokens: int | None = Field(None, ge=1, le=MOST_TOKENS, description="the older name of max_completion_tokens")
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=MOST_LOGPROBS, description="needs logprobs: true")
    chat_template_kwargs: TemplateSettings | None = None
    add_generation_prompt: bool | None = Field(None, description="false needs a last turn of the assistant")
    continue_final_message: bool | None = Field(None, description="needs add_generation_prompt: false")
    reasoning_effort: Ignored = None
    verbosity: Ignored = None
    parallel_tool_calls: Ignored = None
    prediction: Ignored = None
    modalities: list[Literal["text"]] | None = None
    tool_choice: Literal["none", "auto"] | None = Field(None, description="there are no tools to choose from")
    tools: Unsupported = None
    functions: Unsupported = None
    function_call: Unsupported = None
    audio: Unsupported = None
    web_search_options: Unsupported = None

    @model_validator(mode="after")
    def _chat_fields_go_together(self) -> Self:
        if self.top_logprobs and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs: true")
        if self.continue_final_message and self.add_generation_prompt is not False:
            raise ValueError("continue_final_message needs add_generation_prompt: false")
        if self.add_generation_prompt is False and self.messages[-1].role != "assistant":
            raise ValueError("add_generation_prompt: false needs a last turn of the assistant")
        return self

    def asked(self) -> dict[str, Any]:
        return super().asked() | {"messages": [message.turn() for message in self.messages]}


class CompletionRequest(EngineRequest):
    """A text to go on with."""

    model_config = ConfigDict(json_schema_extra={"example": {"prompt": "def solution():", "max_tokens": 64}})

    prompt: (
        Text
        | Annotated[list[Text], Field(min_length=1, max_length=256)]
        | Annotated[list[TokenId], Field(min_length=1)]
        | Annotated[list[Annotated[list[TokenId], Field(min_length=1)]], Field(min_length=1, max_length=256)]
    )
    max_tokens: int | None = Field(None, ge=0, le=MOST_TOKENS, description="default: 16; 0 with echo")
    logprobs: int | None = Field(None, ge=0, le=MOST_LOGPROBS)
    echo: bool | None = None
    best_of: Unsupported = None
    suffix: Unsupported = None

    @model_validator(mode="after")
    def _completion_fields_go_together(self) -> Self:
        if self.max_tokens == 0 and not self.echo:
            raise ValueError("max_tokens: 0 needs echo: true")
        if self.echo and self.stream and self.logprobs is not None:
            raise ValueError("logprobs with echo does not go with stream: true")
        prompts = 1 if isinstance(self.prompt, str) or isinstance(self.prompt[0], int) else len(self.prompt)
        if prompts * (self.n or 1) > MOST_SAMPLES:
            raise ValueError(f"expected at most {MOST_SAMPLES} answers: n times the prompts")
        return self


IGNORED = {
    name
    for request in (ChatRequest, CompletionRequest)
    for name, field in request.model_fields.items()
    if field.annotation is Any
} | {"modalities", "tool_choice", "response_format"}
"""Fields that the engine is not told of; of `response_format` it is told in words of its own."""
