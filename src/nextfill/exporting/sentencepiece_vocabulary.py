"""A tokenizer of SentencePiece's BPE as a GGUF file holds it: pieces, kinds and scores.

llama.cpp has no merges for it: of all neighbours that spell a piece it joins those of the highest
score first. That is the same only where the merges join every two pieces that spell a third, and
where all that spell one piece stand together, which is how SentencePiece's models are converted.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

SPACE = "\u2581"
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def space_prefix(parts: Mapping[str, Any]) -> bool | None:
    """Return whether a text is given a space before it; None for another kind of tokenizer.

    Args:
        parts: A ``tokenizer.json``.
    """
    model = parts.get("model") or {}
    has_bytes = model.get("type") == "BPE" and model.get("byte_fallback")
    if not has_bytes or model.get("ignore_merges") or not model["vocab"].keys() >= {*BYTES}:
        return None
    normalizer, splitter = parts.get("normalizer"), parts.get("pre_tokenizer")
    if splitter is None:
        steps = (normalizer or {}).get("normalizers") or [normalizer]
        replaces = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
        prepends = {"type": "Prepend", "prepend": SPACE}
        return len(steps) == 2 if steps in ([replaces], [prepends, replaces]) else None
    # A split keeps pieces of two words apart, which llama.cpp would join.
    splits = splitter.get("split", True) and any(SPACE in piece[1:] for piece in model["vocab"])
    is_plain = splitter.get("type") == "Metaspace" and splitter.get("replacement") == SPACE
    if normalizer is not None or not is_plain or splits:
        return None
    return bool(splitter.get("prepend_scheme", "always") != "never")


def leaves_space_alone(parts: Mapping[str, Any]) -> bool:
    """Return whether a text that begins with a space gets no other, as llama.cpp gives it."""
    return parts.get("pre_tokenizer") is not None and bool(space_prefix(parts))


def piece_scores(model: Mapping[str, Any], added: Collection[str]) -> list[float] | None:
    """Return the score of each id by which llama.cpp joins what the merges join; None if none does.

    Args:
        model: That of a ``tokenizer.json``, with ``vocab`` and ``merges``.
        added: Tokens that are cut out of a text before.
    """
    vocab: Mapping[str, int] = model["vocab"]
    merges = [tuple(one.split(" ", 1) if isinstance(one, str) else one) for one in model["merges"]]
    order = dict.fromkeys(first + second for first, second in merges)
    if [*order] != _without_repeats([first + second for first, second in merges]):
        return None
    own = {*merges}
    for piece in vocab.keys() - {*BYTES, *added}:
        if not own.issuperset(pairs_of(piece, vocab)):
            return None
    scores = [-float(len(order) + 1)] * (max(vocab.values()) + 1)
    for rank, piece in enumerate(order):
        if piece not in vocab:
            return None
        scores[vocab[piece]] = -float(rank)
    return scores


def pairs_of(piece: str, vocab: Mapping[str, int]) -> list[tuple[str, str]]:
    """Return every two pieces that spell a third."""
    cuts = [(piece[:at], piece[at:]) for at in range(1, len(piece))]
    return [(a, b) for a, b in cuts if a in vocab and b in vocab]


def merges_of(pieces: Sequence[str], scores: Sequence[float]) -> list[tuple[str, str]]:
    """Return the merges that scores stand for, the earliest first."""
    vocab = {piece: at for at, piece in enumerate(pieces)}
    ranked = sorted(range(len(pieces)), key=lambda at: -scores[at])
    return [pair for at in ranked for pair in pairs_of(pieces[at], vocab)]


def _without_repeats(pieces: list[str]) -> list[str]:
    """Return pieces, those that follow themselves once."""
    return [one for at, one in enumerate(pieces) if not at or pieces[at - 1] != one]
