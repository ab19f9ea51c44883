"""Answers in the shape of OpenAI's API: completions and chats, whole and in pieces."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nextfill.serving.completion import ChosenToken, End
from nextfill.serving.served_model import ServedModel
from nextfill.tokenizers.token_text import token_bytes, token_text

_LEAST = -9999.0
"""In the place of the logarithm of 0, which JSON has no number for."""


def log_probability(nats: float | None) -> float | None:
    """Return a log-probability as JSON has it.

    Example:
        >>> log_probability(float("-inf"))
        -9999.0
    """
    return None if nats is None or math.isnan(nats) else max(nats, _LEAST)


@dataclass
class OpenAIAnswer:
    """The frame of the answers to one request, and how the log-probabilities of each text go on.

    Args:
        is_chat: Whether it is of a chat.
    """

    model: ServedModel
    is_chat: bool
    id: str = ""
    created: int = field(default_factory=lambda: int(time.time()))
    _offsets: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.id = f"{'chatcmpl' if self.is_chat else 'cmpl'}-{secrets.token_hex(12)}"

    def frame(
        self, choices: Sequence[Mapping[str, Any]], usage: Mapping[str, int] | None, *, chunk: bool
    ) -> dict[str, Any]:
        """Return an answer, or a chunk of a stream."""
        kind = "text_completion"
        if self.is_chat:
            kind = "chat.completion.chunk" if chunk else "chat.completion"
        body = {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model.name,
            "choices": list(choices),
        }
        return body if usage is None and chunk else {**body, "usage": usage}

    def choice(
        self,
        index: int,
        text: str,
        tokens: Sequence[ChosenToken] | None,
        end: End | None,
        *,
        chunk: bool,
    ) -> dict[str, Any]:
        """Return a text, or a part of one, as a choice; tokens are None where none are told."""
        reason = None if end is None else "stop" if end.reason == "stop" else "length"
        by = None if end is None else "time_limit" if end.reason == "time" else end.stop
        ending = {"finish_reason": reason, "stop_reason": by}
        if self.is_chat:
            told = None if tokens is None else {"content": self._of_chat(tokens), "refusal": None}
            message: dict[str, Any] = {"role": "assistant", "content": text}
            if chunk:
                delta = message if self._offsets.setdefault(index, 0) == 0 else {"content": text}
                self._offsets[index] += 1
                return {"index": index, "delta": delta, "logprobs": told, **ending}
            message["refusal"] = None
            return {"index": index, "message": message, "logprobs": told, **ending}
        told = None if tokens is None else self._of_completion(index, tokens)
        return {"index": index, "text": text, "logprobs": told, **ending}

    def _text(self, token: int) -> str:
        return token_text(self.model.tokenizer, token)

    def _bytes(self, token: int) -> bytes:
        """Return what a token adds to a text; special ones are no part of it."""
        special = token in self.model.special_ids
        return b"" if special else token_bytes(self.model.tokenizer, token)

    def _of_completion(self, index: int, tokens: Sequence[ChosenToken]) -> dict[str, Any]:
        texts = [self._text(one.token) for one in tokens]
        offsets, at = [], self._offsets.get(index, 0)
        for one in tokens:
            spelled = self._bytes(one.token)
            offsets.append(at - (spelled[:1] != b"" and _goes_on(spelled[0])))
            at += sum(not _goes_on(byte) for byte in spelled)  # where characters begin
        self._offsets[index] = at
        top = [
            None
            if one.nats is None
            else {
                **{self._text(t): log_probability(nats) for t, nats in one.likeliest},
                text: log_probability(one.nats),
            }
            for text, one in zip(texts, tokens, strict=True)
        ]
        return {
            "tokens": texts,
            "token_logprobs": [log_probability(one.nats) for one in tokens],
            "top_logprobs": top,
            "text_offset": offsets,
        }

    def _of_chat(self, tokens: Sequence[ChosenToken]) -> list[dict[str, Any]]:
        def told(token: int, nats: float | None) -> dict[str, Any]:
            spelled = list(self._bytes(token))
            told = {"token": self._text(token), "logprob": log_probability(nats)}
            return {**told, "bytes": spelled}

        return [
            {
                **told(one.token, one.nats),
                "top_logprobs": [told(token, nats) for token, nats in one.likeliest],
            }
            for one in tokens
        ]


def _goes_on(byte: int) -> bool:
    """Return whether a byte of UTF-8 goes on with a character that began before."""
    return byte & 0b1100_0000 == 0b1000_0000


def usage_of(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    """Return the counts of tokens of an answer."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }
