"""Train the bundled base model's tokenizer: byte-level BPE on the training part of its corpora.

Usage: python scripts/train_base_tokenizer.py OUT_FOLDER
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from nextfill.data.corpora import builtin
from nextfill.tokenizing.bpe import learn_bpe
from nextfill.tokenizing.kinds import finish

CORPORA = ("stdlib-docs", "package-docs")
VOCABULARY = 6144
END, PAD = "<|endoftext|>", "<|pad|>"
POSITIONS = 512


def texts() -> Iterator[str]:
    """Yield the texts of the training part; the held-out part is never touched."""
    for record in builtin.records(CORPORA, "train"):
        yield from record.value["answers"]["text"]  # type: ignore[index]


def main(folder: str | Path) -> None:
    """Train and save the tokenizer."""
    core = learn_bpe(texts(), vocab_size=VOCABULARY, min_frequency=0, special_tokens=[END, PAD])
    # One token begins and ends a text. Its own call begins a text with it, as training does.
    finish(
        core,
        {"bos_token": END, "eos_token": END, "pad_token": PAD},
        single=f"{END} $A",
        pair=f"{END} $A {END} $B",
        model_max_length=POSITIONS,
    ).save_pretrained(folder)


if __name__ == "__main__":
    main(sys.argv[1])
