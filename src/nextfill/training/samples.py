"""What a run shows of the model at each evaluation: a text continued, or blanks filled in.

The texts are of the held-out documents unless the user gives one, and always the same.
"""

from __future__ import annotations

import re

import numpy as np

from nextfill.config import GenerationConfig, TrainConfig
from nextfill.data.packing.order import philox
from nextfill.data.train_test_split import Part
from nextfill.filling.blanks import BLANK, check_blanks
from nextfill.filling.fill import fill_blanks
from nextfill.generation.generate import generate_text
from nextfill.generation.prompts import prompt_ids
from nextfill.models.loaded_model import LoadedModel

SAMPLE_PROMPT_TOKENS = 12
SAMPLE_NEW_TOKENS = 60

SENTENCES = 5
"""Sentences with a blank in a sample of a masked model."""

_MOST_DOCUMENTS = 500
"""Documents that are looked at for sentences."""

_AROUND = 4
"""Positions that special tokens and a blank may take beside a text."""

_READ_TOKENS = 200
"""Tokens of a document among which a sentence is looked for."""

_SENTENCE = re.compile(r"(?:(?<=[.!?]\s)|^)[^\W\d_][^.!?\n]{20,160}[.!?](?=\s|$)", re.MULTILINE)
_WORD = re.compile(r"(?<= )[A-Za-z]{3,}(?=[ ,.;:!?])")


def check_sample(loaded: LoadedModel, prompt: str | None) -> None:
    """Refuse a sample's text that the model cannot take; None is for texts of our choice."""
    if prompt is None:
        return
    if loaded.objective == "masked":
        check_blanks(loaded, prompt)
    else:
        prompt_ids(loaded, prompt, max_new_tokens=1)


def make_sample(loaded: LoadedModel, config: TrainConfig, held_out: Part) -> tuple[str, str]:
    """Return the text that the model was given, and what it made of that."""
    given = config.training.sample_prompt
    if loaded.objective == "masked":
        texts = _sentences(loaded, held_out) if given is None else [given]
        return "\n".join(texts), "\n".join(fill_blanks(loaded, texts))
    prompt = _first_words(loaded, held_out) if given is None else given
    length = len(prompt_ids(loaded, prompt, max_new_tokens=1))
    limit = loaded.max_positions  # a short model ends its sample early rather than the run
    room = SAMPLE_NEW_TOKENS if limit is None else limit - length
    generation = GenerationConfig(max_new_tokens=min(SAMPLE_NEW_TOKENS, room))
    results = generate_text(loaded, [prompt], generation, seed=config.seed, precision="fp32")
    return prompt, results[0][0]["generated_text"]


def _first_words(loaded: LoadedModel, part: Part) -> str:
    """Return the beginning of the first held-out document that is long enough to begin."""
    lengths = part.store.documents["tokens"][part.documents]
    long_enough = np.flatnonzero(lengths >= 4 * SAMPLE_PROMPT_TOKENS)
    at = int(long_enough[0]) if len(long_enough) else int(np.argmax(lengths))
    count = min(SAMPLE_PROMPT_TOKENS, int(lengths[at]))
    text = _text(loaded, part, int(part.documents[at]), count)
    words = text.rstrip().rpartition(" ")[0].rstrip()  # the last may be cut in the middle
    return words if count < lengths[at] and words else text


def _text(loaded: LoadedModel, part: Part, document: int, count: int) -> str:
    ids = part.store.tokens(document, 0, count)
    return str(loaded.tokenizer.decode(ids.tolist(), skip_special_tokens=True))


def _sentences(loaded: LoadedModel, part: Part) -> list[str]:
    """Return sentences of held-out documents, one word of each left blank.

    The words are those that are one token, so that the model can find them, and are picked with
    random numbers of their own. Where no document has a sentence, its beginning will have to do.
    """
    found: list[str] = []
    looked_at = part.documents[:_MOST_DOCUMENTS]
    draws = philox("sample", 0).random_raw(len(looked_at))
    for document, draw in zip(looked_at.tolist(), draws.tolist(), strict=True):
        for match in _SENTENCE.finditer(_text(loaded, part, document, _READ_TOKENS)):
            words = [word for word in _WORD.finditer(match[0]) if _is_one_token(loaded, word[0])]
            if words and _fits(loaded, match[0]):
                word = words[draw % len(words)]
                found.append(match[0][: word.start()] + BLANK + match[0][word.end() :])
                break
        if len(found) == SENTENCES:
            return found
    if found:
        return found
    room = SAMPLE_PROMPT_TOKENS
    if loaded.max_positions is not None:
        room = max(1, min(room, loaded.max_positions - _AROUND))
    text = " ".join(_text(loaded, part, int(part.documents[0]), room).split())
    return [f"{text} {BLANK}".strip()]


def _fits(loaded: LoadedModel, text: str) -> bool:
    limit = loaded.max_positions
    ids = loaded.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    return limit is None or len(ids) + _AROUND <= limit


def _is_one_token(loaded: LoadedModel, word: str) -> bool:
    ids = loaded.tokenizer(f" {word}", add_special_tokens=False, verbose=False)["input_ids"]
    return len(ids) == 1
