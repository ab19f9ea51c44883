"""OpenAI's API: its models, completions and chats."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

from jinja2.exceptions import TemplateError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from nextfill.config import GenerationConfig
from nextfill.core.amounts import amount
from nextfill.models.libraries import REFUSALS
from nextfill.serving.completion import ChosenToken, Part, WantedText
from nextfill.serving.http_errors import RequestError
from nextfill.serving.openai_answers import OpenAIAnswer, usage_of
from nextfill.serving.request_body import read_body
from nextfill.serving.request_completions import GoneError, RequestCompletions
from nextfill.serving.request_fields import MOST_TEXTS, ChatBody, CompletionBody, SamplingFields
from nextfill.serving.served_model import ServedModel
from nextfill.serving.service import Service

STREAM_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


async def list_models(request: Request) -> Response:
    """Answer ``GET /v1/models``."""
    service: Service = request.app.state.service
    listed = [service.described(model) for model in service.loaded_models()]
    return JSONResponse({"object": "list", "data": listed})


async def describe_model(request: Request) -> Response:
    """Answer ``GET /v1/models/NAME``."""
    service: Service = request.app.state.service
    model = service.model_named(request.path_params["name"])
    return JSONResponse(service.described(model))


async def complete(request: Request) -> Response:
    """Answer ``POST /v1/completions``."""
    service: Service = request.app.state.service
    body = await read_body(request, CompletionBody, service.limits.max_body_bytes)
    model = service.model_named(body.model, "causal")
    count = body.n or 1
    if body.best_of not in (None, count):
        raise RequestError(
            f"best_of: found {body.best_of} with n {count}: all texts that are made are sent. "
            "Leave it out.",
            param="best_of",
        )
    prompts = body.prompts
    if not 0 < len(prompts) * count <= MOST_TEXTS:
        raise RequestError(
            f"prompt: found {amount(len(prompts), 'prompt')} and n {count}. Expected 1 to "
            f"{MOST_TEXTS} texts in all.",
            param="prompt",
        )
    ends = model.ends
    encoded: list[tuple[int, ...]] = []
    for prompt in prompts:
        if isinstance(prompt, list):
            encoded.append(model.checked(prompt))
        elif body.suffix:
            ids, own = await asyncio.to_thread(model.encode_infill, prompt, body.suffix)
            encoded.append(ids)
            ends |= own
        else:
            encoded.append(await asyncio.to_thread(model.encode, prompt))
    most = 16 if body.max_tokens is None else body.max_tokens
    template = _template(body, model, ends, most, body.logprobs)
    template = replace(template, tells_prompt=bool(body.echo) and body.logprobs is not None)
    wanted = _each(template, encoded, count, service, model)
    heads = [""] * len(wanted)
    if body.echo:
        heads = [
            p if isinstance(p, str) else model.tokenizer.decode(p)
            for p in prompts
            for _ in range(count)
        ]
    answer = OpenAIAnswer(model, is_chat=False)
    return await _answered(request, service, body, answer, wanted, heads=heads)


async def chat(request: Request) -> Response:
    """Answer ``POST /v1/chat/completions``."""
    service: Service = request.app.state.service
    body = await read_body(request, ChatBody, service.limits.max_body_bytes)
    model = service.model_named(body.model, "causal")
    if not getattr(model.tokenizer, "chat_template", None):
        raise RequestError(
            f"The tokenizer of {model.name} has no chat template, so it was made for no chats: "
            "send its text to /v1/completions.",
            param="messages",
        )
    messages = [{"role": one.role, "content": one.text} for one in body.messages]
    try:
        text = await asyncio.to_thread(model.chat_text, messages)
    except (TemplateError, *REFUSALS) as error:
        raise RequestError(
            f"messages: the model's chat template refuses them: {str(error)[:300]}",
            param="messages",
        ) from error
    ids = await asyncio.to_thread(model.encode_plain, text)
    most = body.max_tokens if body.max_completion_tokens is None else body.max_completion_tokens
    if most is None:
        room = service.limits.max_answer_tokens
        most = room if model.room is None else max(0, min(room, model.room - len(ids)))
    if body.top_logprobs is not None and not body.logprobs:
        raise RequestError("top_logprobs: send logprobs true with it.", param="top_logprobs")
    likeliest = (body.top_logprobs or 0) if body.logprobs else None
    template = _template(body, model, model.ends, most, likeliest)
    wanted = _each(template, [ids], body.n or 1, service, model)
    answer = OpenAIAnswer(model, is_chat=True)
    return await _answered(request, service, body, answer, wanted, heads=[""] * len(wanted))


def _template(
    body: SamplingFields, model: ServedModel, ends: frozenset[int], most: int, likeliest: int | None
) -> WantedText:
    """Return what is asked of each text, without its prompt."""
    size = model.loaded.model.get_input_embeddings().num_embeddings  # type: ignore[operator]
    if any(token >= size for token in body.bias):
        raise RequestError(
            f"logit_bias: found a token outside 0 to {size - 1}, the vocabulary.",
            param="logit_bias",
        )
    temperature = 1.0 if body.temperature is None else body.temperature
    greedy = temperature == 0
    sampling: dict[str, Any] = {}
    if not greedy:
        sampling = {
            "temperature": temperature,
            "top_k": max(0, body.top_k or 0),
            "top_p": 1.0 if body.top_p is None else body.top_p,
            "min_p": body.min_p or 0.0,
        }
    penalty = body.repetition_penalty
    generation = GenerationConfig(
        max_new_tokens=most,
        stop=body.stops,
        greedy=greedy,
        repetition_penalty=1.0 if penalty is None else penalty,
        **sampling,
    )
    return WantedText(
        index=0,
        ids=(),
        sample=0,
        seed=secrets.randbits(62) if body.seed is None else body.seed % 2**63,
        generation=generation,
        ends=ends,
        frequency_penalty=body.frequency_penalty or 0.0,
        presence_penalty=body.presence_penalty or 0.0,
        bias=body.bias,
        num_likeliest=likeliest,
        streams=bool(body.stream),
    )


def _each(
    template: WantedText,
    encoded: Sequence[tuple[int, ...]],
    count: int,
    service: Service,
    model: ServedModel,
) -> list[WantedText]:
    """Return what is asked of each text, refusing more tokens than there is room for."""
    service.check_room(model, encoded, template.generation.max_new_tokens)
    return [
        replace(template, index=number * count + sample, ids=ids, sample=sample)
        for number, ids in enumerate(encoded)
        for sample in range(count)
    ]


async def _answered(
    request: Request,
    service: Service,
    body: SamplingFields,
    answer: OpenAIAnswer,
    wanted: Sequence[WantedText],
    *,
    heads: Sequence[str],
) -> Response:
    """Answer a request whole, or part by part."""
    if body.stream_options is not None and not body.stream:
        raise RequestError("stream_options: send stream true with it.", param="stream_options")
    completions = RequestCompletions(request, answer.model, wanted, service.limits.max_seconds)
    completions.begin()

    def choice(part: Part, *, chunk: bool, head: str) -> dict[str, Any]:
        tokens: list[ChosenToken] | None = None
        text = completions.texts[part.index]
        if text.wanted.num_likeliest is not None:
            tokens = [one for one in part.tokens if one.token not in text.wanted.ends]
            if text.wanted.tells_prompt and part.index not in begun:
                tokens = [ChosenToken(text.wanted.ids[0]), *text.prompt_tokens, *tokens]
        begun.add(part.index)
        return answer.choice(part.index, head + part.text, tokens, part.end, chunk=chunk)

    def usage() -> dict[str, int]:
        return usage_of(prompt_tokens, sum(len(text.new) for text in completions.texts))

    begun: set[int] = set()
    # Prompts count once, however many texts are made of each.
    prompt_tokens = sum(len(one.ids) for one in wanted if one.sample == 0)
    if not body.stream:
        choices = [
            choice(part, chunk=False, head=heads[part.index]) async for part in completions.parts()
        ]
        choices.sort(key=lambda one: int(one["index"]))
        return JSONResponse(answer.frame(choices, usage(), chunk=False))
    has_usage = body.stream_options is not None and bool(body.stream_options.include_usage)

    async def chunks() -> AsyncIterator[dict[str, Any]]:
        async for part in completions.parts():
            head = "" if part.index in begun else heads[part.index]
            one = choice(part, chunk=True, head=head)
            yield answer.frame([one], None, chunk=True)
        if has_usage:
            yield answer.frame([], usage(), chunk=True)

    return await event_stream(chunks(), done="[DONE]")


async def event_stream(chunks: AsyncIterator[dict[str, Any]], done: str | None) -> Response:
    """Return chunks as server-sent events; an error before the first is an answer of its own.

    Source:
        https://html.spec.whatwg.org/multipage/server-sent-events.html
    """
    first = await anext(chunks)

    async def events() -> AsyncIterator[str]:
        yield _event(first)
        try:
            async for chunk in chunks:
                yield _event(chunk)
        except RequestError as error:
            yield _event(error.to_json())
            return
        except GoneError:
            return
        if done is not None:
            yield f"data: {done}\n\n"

    return StreamingResponse(events(), media_type="text/event-stream", headers=STREAM_HEADERS)


def _event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n"
