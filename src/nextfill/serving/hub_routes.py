"""Hugging Face's inference API, fill-mask and text-generation; and the score of a text."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nextfill.config import GenerationConfig
from nextfill.core.amounts import amount
from nextfill.serving.completion import ChosenToken, Part, WantedText
from nextfill.serving.decoding_loop import BusyError, ClosedError
from nextfill.serving.http_errors import RequestError
from nextfill.serving.openai_answers import log_probability
from nextfill.serving.openai_routes import event_stream
from nextfill.serving.request_body import read_body
from nextfill.serving.request_completions import GoneError, RequestCompletions, refusal, until_gone
from nextfill.serving.request_fields import MOST_TEXTS, HubBody, HubParameters, ScoreBody
from nextfill.serving.served_model import Scores, ServedModel
from nextfill.serving.service import Service
from nextfill.tokenizers.token_text import token_text

T = TypeVar("T")

_DEFAULT_TOKENS = 100
_FILLED_AT_ONCE = 8
"""Texts that are filled in a row before others have their turn."""

_FILLING = frozenset({"targets"})


async def infer(request: Request) -> Response:
    """Answer ``POST /models/NAME``, and ``POST /`` where one model is served."""
    service: Service = request.app.state.service
    body = await read_body(request, HubBody, service.limits.max_body_bytes)
    name = request.path_params.get("name", body.model)
    if name is None and len(service.names) > 1:
        places = ", ".join(f"/models/{one}" for one in service.names)
        raise RequestError(f"Several models are served here: ask one of them at {places}.")
    model = service.model_named(name)
    parameters = body.parameters or HubParameters.model_validate({})
    given = parameters.model_fields_set - {"top_k"}
    if model.kind == "masked":
        odd = {one for one in given - _FILLING if getattr(parameters, one) not in (None, False)}
        if odd or body.stream:
            named = ", ".join(sorted(odd)) or "stream"
            raise RequestError(
                f"{model.name} fills blanks, to which {named} means nothing: leave it out."
            )
        return await _fill(request, service, model, body, parameters)
    if parameters.targets is not None:
        raise RequestError(f"{model.name} continues texts, to which targets mean nothing.")
    return await _generate(request, service, model, body, parameters)


async def _fill(
    request: Request, service: Service, model: ServedModel, body: HubBody, asked: HubParameters
) -> Response:
    texts = [body.inputs] if isinstance(body.inputs, str) else body.inputs
    _check_number(texts)
    targets = asked.targets or []
    top_k = asked.top_k or 5

    deadline_s = time.monotonic() + service.limits.max_seconds
    filled: list[list[Any]] = []
    for at in range(0, len(texts), _FILLED_AT_ONCE):
        some = texts[at : at + _FILLED_AT_ONCE]
        filled += await _done(request, model, partial(model.fill, some, top_k, targets), deadline_s)
    return JSONResponse(filled[0] if isinstance(body.inputs, str) else filled)


async def _generate(
    request: Request, service: Service, model: ServedModel, body: HubBody, asked: HubParameters
) -> Response:
    if not isinstance(body.inputs, str):
        raise RequestError("inputs: found a list. Expected one text to continue.")
    ids = await asyncio.to_thread(model.encode, body.inputs)
    limits = [service.limits.max_answer_tokens]
    if model.room is not None:
        limits.append(max(1, model.room - len(ids)))
    most = asked.max_new_tokens or min(_DEFAULT_TOKENS, *limits)
    service.check_room(model, [ids], most)
    wanted = _wanted(ids, most, model, asked, streams=bool(body.stream))
    completions = RequestCompletions(request, model, [wanted], service.limits.max_seconds)
    completions.begin()
    head = body.inputs if asked.return_full_text else ""
    if body.stream:
        return await event_stream(_chunks(completions, model, head), done=None)
    (part,) = [one async for one in completions.parts()]
    result: dict[str, Any] = {"generated_text": head + part.text}
    if asked.details:
        result["details"] = {
            **_details(part, completions, wanted),
            "prefill": [],
            "tokens": [_token(model, one, wanted.ends) for one in part.tokens],
        }
    return JSONResponse([result])


def _wanted(
    ids: tuple[int, ...], most: int, model: ServedModel, asked: HubParameters, *, streams: bool
) -> WantedText:
    """Return what is asked of a text; tokens are drawn only where that, or how, is asked for."""
    names = ("temperature", "top_k", "top_p", "typical_p")
    sampling = {n: getattr(asked, n) for n in names if getattr(asked, n) is not None}
    samples = bool(sampling) if asked.do_sample is None else asked.do_sample
    if samples:
        sampling = {"top_k": 0, "top_p": 1.0, **sampling}
    penalty = asked.repetition_penalty
    generation = GenerationConfig(
        max_new_tokens=most,
        stop=asked.stop or asked.stop_sequences or [],
        greedy=not samples,
        repetition_penalty=1.0 if penalty is None else penalty,
        **(sampling if samples else {}),
    )
    return WantedText(
        index=0,
        ids=ids,
        sample=0,
        seed=secrets.randbits(62) if asked.seed is None else asked.seed,
        generation=generation,
        ends=model.ends,
        frequency_penalty=asked.frequency_penalty or 0.0,
        num_likeliest=asked.top_n_tokens or 0 if asked.details or streams else None,
        streams=streams,
    )


async def _chunks(
    completions: RequestCompletions, model: ServedModel, head: str
) -> AsyncIterator[dict[str, Any]]:
    """Yield a text token by token, in the shape of text-generation-inference."""
    text, number = head, 0
    (growing,) = completions.texts
    async for part in completions.parts():
        text += part.text
        for place, one in enumerate(part.tokens):
            number += 1
            is_last = part.end is not None and place == len(part.tokens) - 1
            told = {**_token(model, one, growing.wanted.ends)}
            if not told["special"]:
                told["text"] = part.text if place == len(part.tokens) - 1 else ""
            yield {
                "index": number,
                "token": told,
                "generated_text": text if is_last else None,
                "details": _details(part, completions, growing.wanted) if is_last else None,
            }


def _details(part: Part, completions: RequestCompletions, wanted: WantedText) -> dict[str, Any]:
    reason = "length"
    if part.end is not None and part.end.reason == "stop":
        reason = "eos_token" if part.end.stop is None else "stop_sequence"
    return {
        "finish_reason": reason,
        "generated_tokens": len(completions.texts[0].new),
        "seed": None if wanted.generation.greedy else wanted.seed,
        "input_length": len(wanted.ids),
    }


def _token(model: ServedModel, one: ChosenToken, ends: frozenset[int]) -> dict[str, Any]:
    return {
        "id": one.token,
        "text": token_text(model.tokenizer, one.token),
        "logprob": log_probability(one.nats),
        "special": one.token in ends,
    }


async def score(request: Request) -> Response:
    """Answer ``POST /score``: what each token of a text costs a model, in nats."""
    service: Service = request.app.state.service
    body = await read_body(request, ScoreBody, service.limits.max_body_bytes)
    model = service.model_named(body.model)
    texts = [body.text] if isinstance(body.text, str) else body.text
    _check_number(texts)
    deadline_s = time.monotonic() + service.limits.max_seconds
    scored = []
    # Encoded all before the first is scored, and not by the thread that decodes for others.
    for encoded in [await asyncio.to_thread(model.encode_scored, text) for text in texts]:
        tokens: Scores = []
        for work in model.score_parts(encoded, body.alternatives):
            tokens += await _done(request, model, work, deadline_s)
        costs = [-one.nats for _, one in tokens if one.nats is not None]
        scored.append(
            {
                "tokens": [_scored(model, piece, one) for piece, one in tokens],
                "nats": sum(costs),
                "targets": len(costs),
            }
        )
    return JSONResponse(
        {"model": model.name, "objective": model.kind, "texts": scored}
        if not isinstance(body.text, str)
        else {"model": model.name, "objective": model.kind, **scored[0]}
    )


def _scored(model: ServedModel, piece: str, one: ChosenToken) -> dict[str, Any]:
    nats = log_probability(one.nats)
    return {
        "text": piece,
        "id": one.token,
        "nats": None if nats is None else -nats,
        "alternatives": [
            {
                "text": token_text(model.tokenizer, token),
                "id": token,
                "nats": -(log_probability(n) or 0.0),
            }
            for token, n in one.likeliest
        ],
    }


def _check_number(texts: list[str]) -> None:
    if not 0 < len(texts) <= MOST_TEXTS:
        raise RequestError(f"Found {amount(len(texts), 'text')}. Expected 1 to {MOST_TEXTS}.")


async def _done(
    request: Request, model: ServedModel, work: Callable[[], T], deadline_s: float
) -> T:
    """Have work done by the model's loop; it is left out where the client goes before its turn."""
    try:
        future: Future[T] = model.loop.run(work)
    except (BusyError, ClosedError) as error:
        raise refusal(error) from error
    gone = asyncio.create_task(until_gone(request))
    result = asyncio.wrap_future(future)
    both: set[asyncio.Future[Any]] = {gone, result}
    try:
        most_s = max(0.0, deadline_s - time.monotonic())
        await asyncio.wait(both, timeout=most_s, return_when=asyncio.FIRST_COMPLETED)
        if not result.done():
            future.cancel()
            raise GoneError if gone.done() else refusal(TimeoutError())
        failure = result.exception()
        if failure is not None:
            raise refusal(failure) from failure
        return result.result()
    finally:
        gone.cancel()
