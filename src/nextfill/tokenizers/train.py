"""Training of a tokenizer: its kind, texts, vocabulary and folder, and the result."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nextfill.config import TokenizerKind, TrainTokenizerConfig, VocabularyConfig
from nextfill.core.amounts import amount
from nextfill.core.atomic_write import write_folder
from nextfill.core.errors import ConfigError, RunError
from nextfill.core.paths import check_utf8_name, user_path
from nextfill.core.progress import Progress
from nextfill.data.store.encoded_batch import batches
from nextfill.data.store.encoder import Encoder
from nextfill.rendering.result_cards import card, card_table, text_table
from nextfill.tokenizers.texts import Texts, divide
from nextfill.tokenizers.trainers import NUM_BYTES, learn_bpe, learn_wordpiece

if TYPE_CHECKING:
    from tokenizers import Tokenizer

START, END, PAD, MASK = "<|startoftext|>", "<|endoftext|>", "<|pad|>", "<|mask|>"
"""Special tokens that are rare in text, unlike RoBERTa's ``<s>``, strike-through in HTML."""

INPUTS = ["input_ids", "attention_mask"]
"""The model inputs of a call: no token types, which most models refuse and BERT takes for zeros."""


@dataclass(frozen=True)
class TokenizerResult:
    """The result of training a tokenizer.

    Args:
        tokenizer: Its folder, a plain one of transformers; takes the place of any ``tokenizer``.
        kind: ``bpe`` or ``wordpiece``.
        vocab_size: Entries, special tokens included.
        asked_size: Requested entries; a small text has fewer pieces that occur often enough.
        special_tokens: Ids by token.
        source: The name of the data.
        documents: Documents learnt from, empty ones included.
        characters: Their characters.
        left_out: Documents of the source not learnt from, or not from their ends, because
            `nextfill train` with the same data settings and seed does not train on them.
        held_out: Documents that it would score.
        bytes_per_token: UTF-8 bytes of these / their tokens; NaN where they have none.
    """

    tokenizer: str
    kind: str
    vocab_size: int
    asked_size: int
    special_tokens: Mapping[str, int]
    source: str
    documents: int
    characters: int
    left_out: int
    held_out: int
    bytes_per_token: float

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain data."""
        return asdict(self)

    def rows(self) -> list[tuple[str, str]]:
        """Return the rows of the result as text: name and value."""
        fewer = f" (of {self.asked_size:,})" if self.vocab_size < self.asked_size else ""
        return [
            ("vocabulary", f"{self.vocab_size:,} entries{fewer}"),
            ("special tokens", " ".join(self.special_tokens)),
            (
                "learnt from",
                f"{_documents(self.documents)}, {amount(self.characters, 'character')}",
            ),
            ("left out", f"{_documents(self.left_out)}, as nextfill train does"),
            (
                "bytes per token",
                f"{self.bytes_per_token:.3f} on {_documents(self.held_out, 'held-out ')}",
            ),
            ("folder", self.tokenizer),
        ]

    def __repr__(self) -> str:
        return text_table(f"Tokenizer ({self.kind})", (), self.rows())

    def _repr_html_(self) -> str:
        return card(f"Tokenizer ({self.kind})", card_table((), self.rows()))


def _documents(number: int, kind: str = "") -> str:
    return f"{number:,} {kind}document{'' if number == 1 else 's'}"


def train_tokenizer_of(config: TrainTokenizerConfig, on_progress: Progress) -> TokenizerResult:
    """Train a tokenizer on the texts that `nextfill train` would not hold out, and save it."""
    vocabulary = config.vocabulary
    check_vocabulary(vocabulary)
    out = new_folder(config.out)
    kind = KINDS[vocabulary.kind]
    with ExitStack() as stack:
        with _writing(out):  # before the work, so that an unwritable place is known at once
            beside = stack.enter_context(write_folder(out, owned=False))
        division = divide(config.data, config.seed, on_progress)
        core = kind.learn(division.learnt, vocabulary, on_progress)
        tokenizer = to_transformers(
            core, kind.roles, kind.single, kind.pair, model_input_names=INPUTS
        )
        bytes_per_token = _bytes_per_token(tokenizer, division.held_out, on_progress)
        with _writing(out):
            tokenizer.save_pretrained(beside)
            stack.close()
    return TokenizerResult(
        tokenizer=str(out),
        kind=vocabulary.kind,
        vocab_size=len(tokenizer),
        asked_size=vocabulary.vocab_size,
        special_tokens={
            token: tokenizer.convert_tokens_to_ids(token) for token in kind.special_tokens
        },
        source=division.learnt.source.name,
        documents=division.learnt.num_documents,
        characters=division.learnt.num_characters,
        left_out=division.left_out,
        held_out=division.held_out.num_documents,
        bytes_per_token=bytes_per_token,
    )


def _bytes_per_token(tokenizer: Any, texts: Texts, on_progress: Progress) -> float:
    encoder = Encoder(tokenizer, "tokenizers")
    num_bytes = num_tokens = done = 0
    for batch in batches(texts.documents()):
        on_progress(f"encoding held-out {texts.source.name}", done, texts.num_characters)
        num_tokens += len(encoder.encode([document.text for document in batch])[0])
        num_bytes += sum(len(document.text.encode()) for document in batch)
        done += sum(len(document.text) for document in batch)
    return num_bytes / num_tokens if num_tokens else math.nan


def new_folder(out: str | None) -> Path:
    """Return the path of a folder to make, refusing a file or a folder with files."""
    if out is None:
        raise ConfigError(["--out names the tokenizer's folder: give one, such as --out my-words."])
    path = check_utf8_name(user_path(out, "--out"), "--out")
    if path.exists() and not path.is_dir():
        raise RunError(f"--out {out} is a file: give a folder.")
    if path.is_dir() and any(path.iterdir()):
        raise RunError(f"--out {out} is not empty: give a new or empty folder.")
    return path


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    """Turn an error of the disk into a `RunError`."""
    try:
        yield
    except OSError as error:
        raise RunError(f"--out {out} cannot be written: {error.strerror or error}.") from error


@dataclass(frozen=True)
class Kind:
    """One kind of tokenizer.

    Args:
        roles: Its special tokens by their names in transformers, in the order of their ids.
        single: The template of a text ``$A``.
        pair: The template of two texts.
        learn: The training of the vocabulary.
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

    # The mask replaces a word with the space before it, as RoBERTa's does.
    special = [
        AddedToken(token, lstrip=token == MASK, normalized=False, special=True)
        for token in KINDS["bpe"].special_tokens
    ]
    return learn_bpe(
        texts,
        vocab_size=vocabulary.vocab_size,
        min_frequency=vocabulary.min_frequency,
        special_tokens=special,
        on_progress=_trainer_progress(texts, on_progress),
    )


def _wordpiece(texts: Texts, vocabulary: VocabularyConfig, on_progress: Progress) -> Tokenizer:
    label, total = f"counting characters of {texts.source.name}", texts.num_characters
    return learn_wordpiece(
        texts,
        vocab_size=vocabulary.vocab_size,
        min_frequency=vocabulary.min_frequency,
        special_tokens=KINDS["wordpiece"].special_tokens,
        lowercase=vocabulary.lowercase,
        on_progress=_trainer_progress(texts, on_progress),
        on_characters=lambda done: on_progress(label, done, total),
    )


def _trainer_progress(texts: Texts, on_progress: Progress) -> Callable[[int, bool], None]:
    """Return a callback for the counting of words, and then for the choice of pieces."""
    name, total = texts.source.name, texts.num_characters

    def report(done: int, ended: bool) -> None:
        if ended:
            on_progress(f"choosing pieces of {name}", total, 0)
        else:
            on_progress(f"counting words of {name}", done, total)

    return report


KINDS: Mapping[TokenizerKind, Kind] = {
    # A causal model continues the tokens of a call, so that no end token follows the text.
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
    """Refuse settings that do not fit each other."""
    problems = []
    kind, size = vocabulary.kind, vocabulary.vocab_size
    num_special = len(KINDS[kind].special_tokens)
    if kind == "bpe" and vocabulary.lowercase:
        problems.append(
            "--lowercase is for --kind wordpiece: byte-level BPE gives every text back as it was."
        )
    least = num_special + (NUM_BYTES if kind == "bpe" else 2)
    if size < least:
        of = f"{NUM_BYTES} bytes and " if kind == "bpe" else ""
        problems.append(
            f"--vocab-size {size} is too small for {of}{num_special} special tokens: give {least} "
            f"or more, such as {VocabularyConfig().vocab_size}."
        )
    if problems:
        raise ConfigError(problems)


def to_transformers(
    core: Tokenizer, roles: Mapping[str, str], single: str, pair: str, **settings: Any
) -> Any:
    """Make a tokenizer of transformers from a trained one, with roles and templates."""
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    words = {word.partition(":")[0] for word in f"{single} {pair}".split()} - {"$A", "$B"}
    tokens = sorted((word, core.token_to_id(word)) for word in words)
    core.post_processor = processors.TemplateProcessing(
        single=single, pair=pair, special_tokens=tokens
    )
    return PreTrainedTokenizerFast(tokenizer_object=core, **roles, **settings)
