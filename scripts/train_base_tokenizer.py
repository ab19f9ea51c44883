"""Train the bundled base model's tokenizer: byte-level BPE on the training part of its corpora.

Usage: python scripts/train_base_tokenizer.py OUT_FOLDER
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from nextfill.data.corpora import builtin

CORPORA = ("stdlib-docs", "package-docs")
VOCABULARY = 6144
END, PAD = "<|endoftext|>", "<|pad|>"
POSITIONS = 512


def texts() -> Iterator[str]:
    """Yield the texts of the training part; the held-out part is never touched."""
    for record in builtin.records(CORPORA, "train"):
        yield from record.value["answers"]["text"]  # type: ignore[index]


def main(folder: str) -> None:
    """Train and save the tokenizer."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END, PAD],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts(), trainer)
    end = tokenizer.token_to_id(END)
    # Its own call begins a text with the start token, as every training document does.
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{END} $A", pair=f"{END} $A {END} $B", special_tokens=[(END, end)]
    )
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END,
        eos_token=END,
        pad_token=PAD,
        model_max_length=POSITIONS,
    )
    wrapped.save_pretrained(folder)


if __name__ == "__main__":
    main(sys.argv[1])
