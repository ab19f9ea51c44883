"""Samples of a model at each evaluation of its run: a text continued, or blanks filled in.

The texts come from the held-out documents unless the user gives one, and are always the same.
"""

from __future__ import annotations

import re

import numpy as np

from nextfill.config import GenerationConfig, TrainConfig
from nextfill.data.packing.order import philox
from nextfill.data.parts import Part
from nextfill.filling.blanks import BLANK, check_blanks
from nextfill.filling.fill import fill_blanks
from nextfill.generation.generate import generate_text
from nextfill.generation.prompts import prompt_ids
from nextfill.models.loaded_model import LoadedModel

SAMPLE_PROMPT_TOKENS = 12
SAMPLE_NEW_TOKENS = 60

SENTENCES = 5
"""Sentences with a blank in a sample of a masked model."""

_MOST_CONTEXT = 512
"""Tokens of a context that a sample goes on from, at most."""

_MOST_DOCUMENTS = 500
"""Documents searched for sentences."""

_SPECIAL_TOKENS = 4
"""Positions that special tokens and a blank may take beside a text."""

_READ_TOKENS = 200
"""Tokens of a document that are searched for a sentence."""

_SENTENCE = re.compile(r"(?:(?<=[.!?]\s)|^)[^\W\d_][^.!?\n]{20,160}[.!?](?=\s|$)", re.MULTILINE)
_WORD = re.compile(r"(?<= )[A-Za-z]{3,}(?=[ ,.;:!?])")


Sample = tuple[str, str]
"""A prompt and its continuation, or sentences with blanks and the same filled in."""


def check_sample(loaded: LoadedModel, prompt: str | None) -> None:
    """Refuse a prompt too long for the model or without a blank to fill; None is no prompt."""
    if prompt is None:
        return
    if loaded.objective == "masked":
        check_blanks(loaded, prompt)
    else:
        prompt_ids(loaded, prompt, max_new_tokens=1)


def make_sample(loaded: LoadedModel, config: TrainConfig, held_out: Part) -> Sample:
    """Return a prompt and its continuation, or sentences with blanks and the same filled in."""
    prompt = config.training.sample_prompt
    if loaded.objective == "masked":
        texts = _sentences(loaded, held_out) if prompt is None else [prompt]
        return "\n".join(texts), "\n".join(fill_blanks(loaded, texts))
    prompt = _first_words(loaded, held_out) if prompt is None else prompt
    length = len(prompt_ids(loaded, prompt, max_new_tokens=1))
    limit = loaded.max_positions  # a short model ends its sample early rather than the run
    room = SAMPLE_NEW_TOKENS if limit is None else limit - length
    generation = GenerationConfig(max_new_tokens=min(SAMPLE_NEW_TOKENS, room))
    results = generate_text(loaded, [prompt], generation, seed=config.seed, precision="fp32")
    return prompt, results[0][0]["generated_text"]


def _first_words(loaded: LoadedModel, part: Part) -> str:
    """Return the first words of the first held-out document that is long enough.

    Of documents with contexts it is the first context that leaves room for a continuation.
    """
    if part.store.contexts is not None:
        room = (loaded.max_positions or _MOST_CONTEXT + SAMPLE_NEW_TOKENS) - SAMPLE_NEW_TOKENS
        tokens = part.store.contexts["tokens"][part.documents]
        fitting = np.flatnonzero((tokens > 0) & (tokens < min(room, _MOST_CONTEXT)))
        if len(fitting):
            at = int(fitting[0])
            return _text(loaded, part, int(part.documents[at]), int(tokens[at]))
    lengths = part.store.documents["tokens"][part.documents]
    long_enough = np.flatnonzero(lengths >= 4 * SAMPLE_PROMPT_TOKENS)
    at = int(long_enough[0] if len(long_enough) else np.argmax(lengths))
    count = min(SAMPLE_PROMPT_TOKENS, int(lengths[at]))
    text = _text(loaded, part, int(part.documents[at]), count)
    words = text.rstrip().rpartition(" ")[0].rstrip()  # the last may be cut in the middle
    return words if count < lengths[at] and words else text


def _text(loaded: LoadedModel, part: Part, document: int, count: int) -> str:
    ids = part.store.tokens(document, 0, count)
    return str(loaded.tokenizer.decode(ids.tolist(), skip_special_tokens=True))


def _sentences(loaded: LoadedModel, part: Part) -> list[str]:
    """Return sentences of held-out documents, one word of each left blank.

    Only words of one token are blanked, so that the model can find them; random numbers of their
    own choose among these. Without any sentence, the beginning of a document serves.
    """
    sentences: list[str] = []
    documents = part.documents[:_MOST_DOCUMENTS]
    draws = philox("sample", 0).random_raw(len(documents))
    for document, draw in zip(documents.tolist(), draws.tolist(), strict=True):
        for match in _SENTENCE.finditer(_text(loaded, part, document, _READ_TOKENS)):
            words = [
                word
                for word in _WORD.finditer(match[0])
                if _count_tokens(loaded, f" {word[0]}") == 1
            ]
            if words and _fits(loaded, match[0]):
                word = words[draw % len(words)]
                sentences.append(match[0][: word.start()] + BLANK + match[0][word.end() :])
                break
        if len(sentences) == SENTENCES:
            break
    if sentences:
        return sentences
    room = SAMPLE_PROMPT_TOKENS
    if loaded.max_positions is not None:
        room = max(1, min(room, loaded.max_positions - _SPECIAL_TOKENS))
    text = " ".join(_text(loaded, part, int(part.documents[0]), room).split())
    return [f"{text} {BLANK}".strip()]


def _fits(loaded: LoadedModel, text: str) -> bool:
    limit = loaded.max_positions
    return limit is None or _count_tokens(loaded, text) + _SPECIAL_TOKENS <= limit


def _count_tokens(loaded: LoadedModel, text: str) -> int:
    ids = loaded.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    return len(ids)
