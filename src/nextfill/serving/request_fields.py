"""The fields of requests: those of OpenAI's API that mean something here, and a few of our own.

A field that is not served is refused, unless it has the value that changes nothing.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, field_validator

from nextfill.core.amounts import amount

MOST_TEXTS = 128
"""Texts of one request: prompts times `n`."""

_MOST_BIASED = 1024

Token = Annotated[int, Field(strict=True, ge=0, lt=2**31)]
Count = Annotated[int, Field(strict=True, ge=0, lt=2**31)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Penalty = Annotated[float, Field(strict=True, ge=-2, le=2, allow_inf_nan=False)]
Text = Annotated[str, Field(strict=True)]
Word = Annotated[str, Field(strict=True, min_length=1, max_length=1000)]
Texts = Annotated[list[Text], Field(fail_fast=True)]
Tokens = Annotated[list[Token], Field(fail_fast=True)]
"""Lists end at their first error: a body could be made of a million."""
Stops = Annotated[list[Word], Field(max_length=16)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    model: Text | None = None
    user: Text | None = None  # said of who asks, which changes nothing
    metadata: dict[str, Any] | None = None
    store: Literal[False] | None = None
    service_tier: Literal["auto", "default"] | None = None
    safety_identifier: Text | None = None
    prompt_cache_key: Text | None = None


class StreamOptions(BaseModel):
    """Options of a stream."""

    model_config = ConfigDict(extra="forbid")

    include_usage: StrictBool | None = None
    include_obfuscation: StrictBool | None = None


class SamplingFields(_Body):
    """How tokens are chosen, and how many."""

    n: Annotated[int, Field(strict=True, ge=1, le=MOST_TEXTS)] | None = 1
    seed: Annotated[int, Field(strict=True, ge=-(2**63), lt=2**63)] | None = None
    stop: Text | Texts | None = None
    stream: StrictBool | None = False
    stream_options: StreamOptions | None = None
    temperature: Number | None = Field(1.0, ge=0, le=100)
    top_p: Number | None = Field(1.0, gt=0, le=1)
    top_k: Annotated[int, Field(strict=True, ge=-1, lt=2**31)] | None = None
    min_p: Number | None = Field(0.0, ge=0, le=1)
    repetition_penalty: Number | None = Field(1.0, ge=0.1, le=10)
    frequency_penalty: Penalty | None = 0.0
    presence_penalty: Penalty | None = 0.0
    logit_bias: dict[str, Annotated[float, Field(strict=True, ge=-100, le=100)]] | None = None

    @field_validator("temperature")
    @classmethod
    def _no_tiny_temperature(cls, value: float | None) -> float | None:
        if value is not None and 0 < value < 0.001:
            raise ValueError(f"found {value:g}: give 0 for the likeliest token, or 0.001 or more")
        return value

    @field_validator("stop")
    @classmethod
    def _some_stops(cls, value: Any) -> Any:
        stops = [value] if isinstance(value, str) else value or []
        if any(not one for one in stops) or len(stops) > 16:
            raise ValueError("give 16 strings at most, and none that is empty")
        if any(len(one) > 1000 for one in stops):
            raise ValueError("give strings of 1000 characters at most")
        return value

    @field_validator("logit_bias", mode="before")
    @classmethod
    def _few_tokens(cls, value: Any) -> Any:
        if isinstance(value, dict) and len(value) > _MOST_BIASED:
            raise ValueError(f"found {amount(len(value), 'token')}: give {_MOST_BIASED:,} at most")
        return value

    @field_validator("logit_bias")
    @classmethod
    def _tokens_by_number(cls, value: dict[str, float] | None) -> Any:
        for key in value or {}:
            if not (key.isascii() and key.isdecimal() and len(key) < 10):
                raise ValueError(f"found the key {key[:50]!r}: give the number of a token")
        return value

    @property
    def stops(self) -> list[str]:
        """The strings that end a text."""
        return [self.stop] if isinstance(self.stop, str) else list(self.stop or [])

    @property
    def bias(self) -> dict[int, float]:
        """What is added to the scores of tokens."""
        return {int(key): value for key, value in (self.logit_bias or {}).items()}


class CompletionBody(SamplingFields):
    """The body of ``POST /v1/completions``."""

    prompt: Text | Texts | Tokens | Annotated[list[Tokens], Field(fail_fast=True)] = ""
    suffix: Text | None = None
    max_tokens: Count | None = 16
    echo: StrictBool | None = False
    logprobs: Annotated[int, Field(strict=True, ge=0, le=20)] | None = None
    best_of: Annotated[int, Field(strict=True, ge=1, le=MOST_TEXTS)] | None = None

    @property
    def prompts(self) -> list[str | list[int]]:
        """The prompts, each a text or its tokens."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        if self.prompt and isinstance(self.prompt[0], int):
            return [list(self.prompt)]
        return list(self.prompt)  # type: ignore[arg-type]


class TextPart(BaseModel):
    """A piece of a message."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["text"]
    text: Text


class ChatMessage(BaseModel):
    """A message of a chat."""

    model_config = ConfigDict(extra="forbid")

    role: Annotated[str, Field(strict=True, min_length=1, max_length=64)]
    content: Text | Annotated[list[TextPart], Field(fail_fast=True)]
    name: Text | None = None

    @property
    def text(self) -> str:
        """Its text."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content)


class ChatBody(SamplingFields):
    """The body of ``POST /v1/chat/completions``."""

    messages: Annotated[list[ChatMessage], Field(min_length=1, fail_fast=True)]
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    logprobs: StrictBool | None = False
    top_logprobs: Annotated[int, Field(strict=True, ge=0, le=20)] | None = None
    response_format: dict[str, Any] | None = None
    tools: Annotated[list[Any], Field(max_length=0)] | None = None

    @field_validator("response_format")
    @classmethod
    def _plain_text(cls, value: dict[str, Any] | None) -> Any:
        if value not in (None, {"type": "text"}):
            raise ValueError("text alone is served: leave it out")
        return value


class HubParameters(BaseModel):
    """Parameters of a request of Hugging Face's inference API."""

    model_config = ConfigDict(extra="forbid")

    # fill-mask
    targets: Annotated[list[Word], Field(fail_fast=True)] | None = None
    # text-generation
    max_new_tokens: Annotated[int, Field(strict=True, ge=1, lt=2**31)] | None = None
    do_sample: StrictBool | None = None
    seed: Annotated[int, Field(strict=True, ge=0, lt=2**63)] | None = None
    temperature: Number | None = Field(None, ge=0.001, le=100)
    top_k: Annotated[int, Field(strict=True, ge=1, lt=2**31)] | None = None
    top_p: Number | None = Field(None, gt=0, le=1)
    typical_p: Number | None = Field(None, gt=0, le=1)
    repetition_penalty: Number | None = Field(None, ge=0.1, le=10)
    frequency_penalty: Penalty | None = None
    stop: Stops | None = None
    stop_sequences: Stops | None = None
    return_full_text: StrictBool | None = None
    details: StrictBool | None = None
    decoder_input_details: Literal[False] | None = None
    watermark: Literal[False] | None = None
    best_of: Annotated[int, Field(strict=True, ge=1, le=1)] | None = None
    top_n_tokens: Annotated[int, Field(strict=True, ge=0, le=20)] | None = None
    truncate: None = None
    adapter_id: None = None
    grammar: None = None


class HubBody(_Body):
    """The body of ``POST /models/NAME``, in the shape of Hugging Face's inference API."""

    inputs: Text | Texts
    parameters: HubParameters | None = None
    stream: StrictBool | None = False
    options: dict[str, Any] | None = None


class ScoreBody(_Body):
    """The body of ``POST /score``."""

    text: Text | Texts
    alternatives: Annotated[int, Field(strict=True, ge=0, le=20)] = 0
