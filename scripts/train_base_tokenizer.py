"""Train a bundled base model's tokenizer: byte-level BPE on the training part of its corpora.

Usage: python scripts/train_base_tokenizer.py causal|masked OUT_FOLDER
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from tokenizers import AddedToken

from nextfill.data.corpora import builtin
from nextfill.tokenizers.train import KINDS, MASK, START, to_transformers
from nextfill.tokenizers.trainers import learn_bpe

CORPORA = ("stdlib-docs", "package-docs")
VOCABULARY = 6144
END, PAD = "<|endoftext|>", "<|pad|>"
POSITIONS = 512


def texts() -> Iterator[str]:
    """Yield the texts of the training part; the held-out part is never touched."""
    for record in builtin.records(CORPORA, "train"):
        yield from record.value["answers"]["text"]  # type: ignore[index]


def main(objective: str, folder: str | Path) -> None:
    """Train and save the tokenizer."""
    {"causal": train_causal, "masked": train_masked}[objective](folder)


def train_masked(folder: str | Path) -> None:
    """Train the tokenizer of the masked model, which begins and ends every text."""
    kind = KINDS["bpe"]
    # The mask takes the place of a word with the space before it, as RoBERTa's does.
    special = [
        AddedToken(token, lstrip=token == MASK, normalized=False, special=True)
        for token in kind.special_tokens
    ]
    core = learn_bpe(texts(), vocab_size=VOCABULARY, min_frequency=0, special_tokens=special)
    to_transformers(
        core,
        kind.roles,
        single=f"{START} $A {END}",
        pair=f"{START} $A {END} $B {END}",
        model_max_length=POSITIONS,
    ).save_pretrained(folder)


def train_causal(folder: str | Path) -> None:
    """Train the tokenizer of the causal model, which one token begins and ends."""
    core = learn_bpe(texts(), vocab_size=VOCABULARY, min_frequency=0, special_tokens=[END, PAD])
    # Its own call begins a text with that token, as training does.
    to_transformers(
        core,
        {"bos_token": END, "eos_token": END, "pad_token": PAD},
        single=f"{END} $A",
        pair=f"{END} $A {END} $B",
        model_max_length=POSITIONS,
    ).save_pretrained(folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
