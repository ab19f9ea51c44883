"""Byte-level BPE: any text can be written in it, and comes back as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from nextfill.tokenizers.background import train_watched

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer

NUM_BYTES = 256


def learn_bpe(
    texts: Iterable[str],
    *,
    vocab_size: int,
    min_frequency: int,
    special_tokens: Sequence[str | AddedToken],
    on_progress: Callable[[int, bool], None] = lambda num_characters, ended: None,
) -> Tokenizer:
    """Learn a byte-level BPE vocabulary, with GPT-2's rule for where words begin and end.

    Source:
        Sennrich et al. 2016, "Neural machine translation of rare words with subword units"; on
        bytes as in Radford et al. 2019, "Language models are unsupervised multitask learners".

    Example:
        >>> tokenizer = learn_bpe(["low lower lowest"] * 2, vocab_size=260, min_frequency=2,
        ...                       special_tokens=["<|endoftext|>"])
        >>> tokenizer.encode("lowlow").tokens
        ['low', 'low']
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=list(special_tokens),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    train_watched(lambda feed: tokenizer.train_from_iterator(feed, trainer), texts, on_progress)
    return tokenizer
