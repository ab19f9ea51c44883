"""Tokenizers of text that goes on from other text: none puts a space, or its mark, before it.

Tokenizers in the manner of SentencePiece put one before every text, for which its first word looks
like any other. Before what follows a context it would be a space that nobody wrote.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def continuing(backend: Tokenizer) -> Tokenizer | None:
    """Return the tokenizer of texts that go on from others, None if it is the same.

    Example:
        >>> from tokenizers import Tokenizer, models, pre_tokenizers
        >>> words = Tokenizer(models.WordLevel({"\u2581a": 0, "a": 1, "?": 2}, unk_token="?"))
        >>> words.pre_tokenizer = pre_tokenizers.Metaspace()
        >>> words.encode("a").ids, continuing(words).encode("a").ids
        ([0], [1])
    """
    from tokenizers import Tokenizer

    described = json.loads(backend.to_str())
    stages = {name: described.get(name) for name in ("normalizer", "pre_tokenizer")}
    changed = {name: _without_space(stage) for name, stage in stages.items()}
    if changed == stages:
        return None
    made = Tokenizer.from_str(json.dumps({**described, **changed}))
    made.encode_special_tokens = backend.encode_special_tokens
    return made


def _without_space(stage: Any) -> Any:
    """Return a stage of a tokenizer, or a sequence of them, that adds no space at the beginning."""
    if stage is None or stage["type"] == "Prepend":
        return None
    for members in ("normalizers", "pretokenizers"):
        if members in stage:
            kept = [_without_space(one) for one in stage[members]]
            stage = {**stage, members: [one for one in kept if one is not None]}
    if stage["type"] == "Metaspace":
        return {**stage, "prepend_scheme": "never"}
    return {**stage, "add_prefix_space": False} if stage.get("add_prefix_space") else stage
