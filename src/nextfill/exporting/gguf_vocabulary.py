"""A tokenizer as a GGUF file holds it: pieces, kinds, merges or scores, and the way to split.

llama.cpp knows the expressions that split a text by names, of which a file gives one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from nextfill.core.errors import ConfigError
from nextfill.exporting.sentencepiece_vocabulary import (
    BYTES,
    leaves_space_alone,
    piece_scores,
    space_prefix,
)
from nextfill.models.architecture import embedding_rows
from nextfill.models.loaded_model import LoadedModel

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
"""The kinds of tokens in a GGUF file."""

_LETTERS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
    r"%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_SPLITS = {
    _LETTERS % r"\p{N}{1,3}": "llama-bpe",
    _LETTERS % r"\p{N}": "qwen2",
}
"""llama.cpp's names of the expressions of Llama 3 and of Qwen 2 and 3."""


@dataclass(frozen=True)
class GgufVocabulary:
    """A tokenizer's tables.

    Args:
        split: llama.cpp's name of the way to split a text before the merges.
        pieces: The text of each id in the byte-level alphabet; of a row without one, a made-up one.
        kinds: `NORMAL`, `CONTROL` (a special token), `USER_DEFINED` (an added one), `UNUSED`, or of
            SentencePiece `UNKNOWN` or `BYTE`.
        merges: ``"first second"``, the earliest first; none of SentencePiece.
        scores: Of the pieces of SentencePiece.
        space_prefix: Whether a text of SentencePiece gets a space before it.
        note: What llama.cpp does otherwise, for a person; empty where that is nothing.
        special: Ids by the names of GGUF's keys.
        begins: Whether a text begins with the start token.
    """

    split: str
    pieces: tuple[str, ...]
    kinds: tuple[int, ...]
    merges: tuple[str, ...]
    special: Mapping[str, int]
    begins: bool
    scores: tuple[float, ...] = ()
    space_prefix: bool = False
    note: str = ""


def read_vocabulary(loaded: LoadedModel, flag: str) -> GgufVocabulary:
    """Return the tables of a model's tokenizer.

    Raises:
        ConfigError: If llama.cpp would make other tokens of a text, as far as settings tell.
    """
    tokenizer = loaded.tokenizer
    backend = getattr(tokenizer, "backend_tokenizer", None)
    parts = {} if backend is None else json.loads(backend.to_str())
    prefix = space_prefix(parts)
    added = {one["id"]: one for one in parts.get("added_tokens") or ()}
    scores = None
    if prefix is not None:
        scores = piece_scores(parts["model"], [one["content"] for one in added.values()])
    split = "default" if scores is not None else _split(parts)
    if split is None:
        raise ConfigError(
            [
                f"{flag}: the tokenizer of {loaded.name} is {_description(parts)}. Expected "
                "byte-level BPE that splits texts as GPT-2's, Llama 3's or Qwen's does, or "
                "SentencePiece's BPE with all of its merges: give --to onnx."
            ]
        )
    model = parts["model"]
    by_id = {at: piece for piece, at in model["vocab"].items()}
    pieces, kinds = [], []
    for at in range(embedding_rows(loaded.model)):
        token = added.get(at)
        if token is not None:
            pieces.append(token["content"])
            is_unknown = scores is not None and token["content"] == model.get("unk_token")
            kinds.append(UNKNOWN if is_unknown else CONTROL if token["special"] else USER_DEFINED)
        else:
            pieces.append(by_id.get(at, f"[PAD{at}]"))
            is_byte = scores is not None and pieces[at] in BYTES
            kinds.append(BYTE if is_byte else NORMAL if at in by_id else UNUSED)
    ids = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "padding_token_id": tokenizer.pad_token_id,
        "unknown_token_id": tokenizer.unk_token_id,
    }
    special = {key: value for key, value in ids.items() if value is not None}
    framed = tokenizer("a")["input_ids"]
    begins = tokenizer.bos_token_id is not None and framed[:1] == [tokenizer.bos_token_id]
    table = GgufVocabulary(split, tuple(pieces), tuple(kinds), (), special, begins)
    if scores is None:
        merges = (one if isinstance(one, str) else " ".join(one) for one in model["merges"])
        return replace(table, merges=tuple(merges))
    scores += [scores[0]] * (len(pieces) - len(scores))
    note = _SPACE_NOTE if leaves_space_alone(parts) else ""
    return replace(table, scores=tuple(scores[: len(pieces)]), space_prefix=bool(prefix), note=note)


_SPACE_NOTE = (
    "llama.cpp gives a text that begins with a space one more, as it does with all tokenizers of "
    "SentencePiece: leave spaces at the beginning of a text out there"
)


def _split(parts: Mapping[str, Any]) -> str | None:
    """Return llama.cpp's name of the way a tokenizer splits, None where it knows none for it."""
    model, splitter = parts.get("model") or {}, parts.get("pre_tokenizer") or {}
    if model.get("type") != "BPE" or model.get("byte_fallback"):
        return None
    if model.get("continuing_subword_prefix") or model.get("end_of_word_suffix"):
        return None
    steps = splitter.get("pretokenizers") or [splitter]
    *before, last = steps
    if last.get("type") != "ByteLevel" or last.get("add_prefix_space"):
        return None
    normalizer = (parts.get("normalizer") or {}).get("type")
    name = _split_before(before, uses_own=bool(last.get("use_regex", True)))
    allowed = (None, "NFC") if name == "qwen2" else (None,)
    if normalizer not in allowed or bool(model.get("ignore_merges")) != (name == "llama-bpe"):
        return None
    return name


def _split_before(before: list[Mapping[str, Any]], *, uses_own: bool) -> str | None:
    if not before:
        return "gpt-2" if uses_own else None
    first = before[0]
    if len(before) > 1 or uses_own:
        digits = len(before) == 1 and first.get("type") == "Digits" and uses_own
        return "smollm" if digits and first.get("individual_digits") else None
    if first.get("type") != "Split" or first.get("behavior") != "Isolated" or first.get("invert"):
        return None
    return _SPLITS.get(first.get("pattern", {}).get("Regex", ""))


def _description(parts: Mapping[str, Any]) -> str:
    if not parts:
        return "one in Python, without a tokenizer.json"
    steps = parts.get("pre_tokenizer") or {}
    names = [one.get("type") for one in steps.get("pretokenizers") or [steps] if one]
    kind = (parts.get("model") or {}).get("type")
    return f"{kind} after {' and '.join(map(str, names))}" if names else f"{kind} without a split"
