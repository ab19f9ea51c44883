"""The kinds of tokenizers that can be trained: their special tokens, and how each is learnt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nextfill.config import TokenizerKind, VocabularyConfig
from nextfill.core.errors import ConfigError
from nextfill.tokenizers.bpe import NUM_BYTES, learn_bpe
from nextfill.tokenizers.texts import Progress, Texts
from nextfill.tokenizers.wordpiece import learn_wordpiece

if TYPE_CHECKING:
    from tokenizers import Tokenizer

START, END, PAD, MASK = "<|startoftext|>", "<|endoftext|>", "<|pad|>", "<|mask|>"
"""Rare in text, unlike RoBERTa's ``<s>``, which strikes text through in HTML."""


@dataclass(frozen=True)
class Kind:
    """One kind of tokenizer.

    Args:
        roles: Its special tokens by their names in transformers, in the order of their ids.
        single: What its own call makes of a text ``$A``.
        pair: What it makes of two.
        learn: Learns the vocabulary.
    """

    roles: Mapping[str, str]
    single: str
    pair: str
    learn: Callable[[Texts, VocabularyConfig, Progress], Tokenizer]

    @property
    def special_tokens(self) -> list[str]:
        """The special tokens, each once, in the order of their ids."""
        return list(dict.fromkeys(self.roles.values()))


def _bpe(texts: Texts, vocabulary: VocabularyConfig, on_progress: Progress) -> Tokenizer:
    from tokenizers import AddedToken

    # The mask takes the place of a word with the space before it, as RoBERTa's does.
    special = [
        AddedToken(token, lstrip=token == MASK, normalized=False, special=True)
        for token in KINDS["bpe"].special_tokens
    ]
    return learn_bpe(
        texts,
        vocab_size=vocabulary.vocab_size,
        min_frequency=vocabulary.min_frequency,
        special_tokens=special,
        on_progress=_told(texts, on_progress),
    )


def _wordpiece(texts: Texts, vocabulary: VocabularyConfig, on_progress: Progress) -> Tokenizer:
    label, total = f"counting characters of {texts.source.name}", texts.num_characters
    return learn_wordpiece(
        texts,
        vocab_size=vocabulary.vocab_size,
        min_frequency=vocabulary.min_frequency,
        special_tokens=KINDS["wordpiece"].special_tokens,
        lowercase=vocabulary.lowercase,
        on_progress=_told(texts, on_progress),
        on_characters=lambda done: on_progress(label, done, total),
    )


def _told(texts: Texts, on_progress: Progress) -> Callable[[int, bool], None]:
    """Tell of the words counted, and then of the pieces chosen, of which nobody knows how many."""
    name, total = texts.source.name, texts.num_characters

    def tell(done: int, ended: bool) -> None:
        if ended:
            on_progress(f"choosing pieces of {name}", total, 0)
        else:
            on_progress(f"counting words of {name}", done, total)

    return tell


KINDS: Mapping[TokenizerKind, Kind] = {
    # A causal model continues what its own call gives, so that puts no end token there.
    "bpe": Kind(
        roles={
            "bos_token": START,
            "eos_token": END,
            "pad_token": PAD,
            "mask_token": MASK,
            "cls_token": START,
            "sep_token": END,
        },
        single=f"{START} $A",
        pair=f"{START} $A {START} $B",
        learn=_bpe,
    ),
    "wordpiece": Kind(
        roles={
            "pad_token": "[PAD]",
            "unk_token": "[UNK]",
            "cls_token": "[CLS]",
            "sep_token": "[SEP]",
            "mask_token": "[MASK]",
            "bos_token": "[CLS]",
            "eos_token": "[SEP]",
        },
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        learn=_wordpiece,
    ),
}


def check_vocabulary(vocabulary: VocabularyConfig) -> None:
    """Refuse settings of which each by itself is right."""
    found = []
    kind, size = vocabulary.kind, vocabulary.vocab_size
    num_special = len(KINDS[kind].special_tokens)
    if kind == "bpe" and vocabulary.lowercase:
        found.append(
            "--lowercase is for --kind wordpiece: byte-level BPE gives every text back as it was."
        )
    least = num_special + (NUM_BYTES if kind == "bpe" else 2)
    if size < least:
        of = f"{NUM_BYTES} bytes and " if kind == "bpe" else ""
        found.append(
            f"--vocab-size {size} is too small for {of}{num_special} special tokens: give {least} "
            f"or more, such as {VocabularyConfig().vocab_size}."
        )
    if found:
        raise ConfigError(found)


def finish(
    core: Tokenizer, roles: Mapping[str, str], single: str, pair: str, **settings: Any
) -> Any:
    """Make a tokenizer of transformers from what was learnt."""
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    words = {word.partition(":")[0] for word in f"{single} {pair}".split()} - {"$A", "$B"}
    tokens = sorted((word, core.token_to_id(word)) for word in words)
    core.post_processor = processors.TemplateProcessing(
        single=single, pair=pair, special_tokens=tokens
    )
    return PreTrainedTokenizerFast(tokenizer_object=core, **roles, **settings)
