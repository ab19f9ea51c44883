"""Training of a tokenizer: its texts, its vocabulary, its folder, and the result."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nextfill.config import TrainTokenizerConfig
from nextfill.core.atomic_write import write_folder
from nextfill.core.errors import ConfigError, RunError
from nextfill.core.paths import check_utf8_name, user_path
from nextfill.data.store.encoder import Encoder
from nextfill.data.store.writer import batches
from nextfill.rendering.result_cards import card, card_table, text_table
from nextfill.tokenizers.kinds import KINDS, check_vocabulary, finish
from nextfill.tokenizers.texts import Progress, Texts, divide


@dataclass(frozen=True)
class TokenizerResult:
    """A tokenizer that was trained.

    Args:
        tokenizer: Its folder, a plain one of transformers; takes the place of any ``tokenizer``.
        kind: ``bpe`` or ``wordpiece``.
        vocab_size: Entries, special tokens included.
        asked_size: Entries that were asked for; a small text has fewer pieces that occur often
            enough.
        special_tokens: Ids by token.
        source: The data, as they were named.
        documents: Documents learnt from, empty ones included.
        characters: Their characters.
        left_out: Documents of the source not learnt from, because `nextfill train` with the same
            data settings and seed does not train on them.
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
        """Return what there is to tell, as text: name and value."""
        fewer = f" (of {self.asked_size:,})" if self.vocab_size < self.asked_size else ""
        return [
            ("vocabulary", f"{self.vocab_size:,} entries{fewer}"),
            ("special tokens", " ".join(self.special_tokens)),
            ("learnt from", f"{_documents(self.documents)}, {self.characters:,} characters"),
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


INPUTS = ["input_ids", "attention_mask"]
"""What a call gives: no token types, which most models refuse and BERT takes for zeros."""


def train_tokenizer_of(config: TrainTokenizerConfig, on_progress: Progress) -> TokenizerResult:
    """Learn a tokenizer from what `nextfill train` would not hold out, and save it."""
    vocabulary = config.vocabulary
    check_vocabulary(vocabulary)
    out = new_folder(config.out)
    kind = KINDS[vocabulary.kind]
    with ExitStack() as stack:
        with _writing(out):  # before the work, so that a place that cannot be written is known
            beside = stack.enter_context(write_folder(out, owned=False))
        division = divide(config.data, config.seed, on_progress)
        core = kind.learn(division.learnt, vocabulary, on_progress)
        made = finish(core, kind.roles, kind.single, kind.pair, model_input_names=INPUTS)
        bytes_per_token = _bytes_per_token(made, division.held_out, on_progress)
        with _writing(out):
            made.save_pretrained(beside)
            stack.close()
    return TokenizerResult(
        tokenizer=str(out),
        kind=vocabulary.kind,
        vocab_size=len(made),
        asked_size=vocabulary.vocab_size,
        special_tokens={token: made.convert_tokens_to_ids(token) for token in kind.special_tokens},
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
    """Return the path of a folder to be made."""
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
    """Turn what the disk refuses into a `RunError`."""
    try:
        yield
    except OSError as error:
        raise RunError(f"--out {out} cannot be written: {error.strerror or error}.") from error
