"""From settings to tokens: open the sources, fill the stores, divide, frame and account.

The only place where sources, stores and the split meet, so that ``prepare``, ``train`` and
``evaluate`` cannot differ in what they call the held-out part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextfill.config import DEFAULT_BLOCK_SIZE, BlocksConfig, DataConfig
from nextfill.data.document import Document, ReadCounts, Source
from nextfill.data.packing.plan import BlockPlan, Frame, plan_blocks
from nextfill.data.reading.fields import documents
from nextfill.data.reading.sources import open_source
from nextfill.data.split import held_out
from nextfill.data.tokens.cache import open_or_write
from nextfill.data.tokens.store import TokenStore
from nextfill.errors import ConfigError, DataError

DEFAULT_TEST_SIZE = 0.1
ALSO_HELD_OUT = "also held out"
"""Why a training document is dropped whose text stands in the evaluation data, too."""

FIELDS_VERSION = 1
"""Part of every store's key: raise it when the same records give other documents than before."""

Progress = Callable[[str, int, int], None]
"""Told of a stage's label, of what is done, and of what there is to do (0 where unknown)."""


@dataclass(frozen=True)
class Part:
    """Some documents of a store.

    Args:
        store: The tokens.
        documents: Numbers of the documents, ascending, ``[D] int64``.
    """

    store: TokenStore
    documents: NDArray[np.int64]

    @property
    def num_tokens(self) -> int:
        """Tokens of the documents, without special tokens."""
        return int(self.store.documents["tokens"][self.documents].sum())

    @property
    def num_texts(self) -> int:
        """Documents that have tokens."""
        return int(np.count_nonzero(self.store.documents["tokens"][self.documents]))


@dataclass(frozen=True)
class Prepared:
    """The training and the held-out part of a job's data.

    Args:
        train: What is trained on.
        held_out: What is evaluated on.
        reused: Whether every store was already in the cache.
        dropped: Tokens of the training store that are not trained on, by reason.
    """

    train: Part
    held_out: Part
    reused: bool
    dropped: Mapping[str, int] = field(default_factory=dict)

    @property
    def stores(self) -> list[TokenStore]:
        """The stores behind the parts, each once."""
        found = [self.train.store]
        if self.held_out.store.path != self.train.store.path:
            found.append(self.held_out.store)
        return found


def prepare_data(
    data: DataConfig,
    tokenizer: Any,
    *,
    seed: int,
    cache: Path,
    on_progress: Progress = lambda label, done, total: None,
) -> Prepared:
    """Bring the data of a job into token stores and divide it.

    Args:
        data: The data section.
        tokenizer: A transformers tokenizer.
        seed: Seeds the split.
        cache: The cache folder.
        on_progress: Told of bytes prepared.

    Returns:
        Both parts, no text on both sides. The held-out part is the evaluation data or split where
        one is named, else what ``test_size`` splits off by record, else the source's own held-out
        split, else a tenth of the records.

    Raises:
        DataError: If the data cannot be read or a part has no text.
        ConfigError: If settings contradict one another.
    """
    if data.eval_source is not None and data.test_size is not None:
        raise ConfigError(
            ["Give --eval-data or --test-size, not both: each makes the held-out part."]
        )
    if data.eval_split is not None and data.test_size is not None:
        raise ConfigError(["Give --eval-split or --test-size, not both."])

    def fill(source: Source, label: str) -> tuple[TokenStore, bool]:
        return _fill(source, data, tokenizer, cache=cache, label=label, on_progress=on_progress)

    source = _open(data, data.source, data.split)
    store, reused = fill(source, "reading")
    everything = np.arange(store.num_documents, dtype=np.int64)
    if data.eval_source is None and data.eval_split is None and not _own_part(source, data):
        apart = held_out(store.documents, data.test_size or DEFAULT_TEST_SIZE, seed)
        return Prepared(Part(store, everything[~apart]), Part(store, everything[apart]), reused)
    eval_split = data.eval_split or ("test" if data.eval_source is None else None)
    other, other_reused = fill(
        _open(data, data.eval_source or data.source, eval_split), "reading held-out"
    )
    rest = Part(other, np.arange(other.num_documents, dtype=np.int64))
    both = _identical(store, other)
    if store.documents["tokens"][~both].sum() == 0:
        raise DataError(
            "Every training document also stands in the evaluation data, and nothing is left to "
            "train on: give other text with --eval-data, another --eval-split, or --test-size."
        )
    train = Part(store, everything[~both])
    also = int(store.documents["tokens"][both].sum())
    return Prepared(train, rest, reused and other_reused, {ALSO_HELD_OUT: also} if also else {})


def _own_part(source: Source, data: DataConfig) -> bool:
    """Say whether the source's own held-out split applies."""
    pieces = (data.split or "train").split("+")
    only_train = all(piece.strip().partition("[")[0] == "train" for piece in pieces)
    return source.has_test_split and only_train and data.test_size is None


def _identical(store: TokenStore, other: TokenStore) -> NDArray[np.bool_]:
    """Mark the documents of a store whose text also stands in another, ``[documents] bool``."""
    mine, theirs = store.documents, other.documents
    has_words = mine["words"] > 0
    likely = has_words & np.isin(mine["hash"][:, 0], theirs["hash"][:, 0])
    known = {tuple(pair) for pair in theirs["hash"].tolist()}
    for number in np.flatnonzero(likely):  # half of the hash agrees, so nearly always all of it
        likely[number] = tuple(mine["hash"][number].tolist()) in known
    return likely


def prepare_part(
    data: DataConfig,
    tokenizer: Any,
    *,
    cache: Path,
    on_progress: Progress = lambda label, done, total: None,
) -> Part:
    """Bring one source into a token store, whole, for evaluating on all of it.

    A source that holds out a part of its own gives that part, unless a split is named.
    """
    source = _open(data, data.source, data.split)
    if source.has_test_split and data.split is None:
        source = _open(data, data.source, "test")
    store, _ = _fill(source, data, tokenizer, cache=cache, label="reading", on_progress=on_progress)
    return Part(store, np.arange(store.num_documents, dtype=np.int64))


def _open(data: DataConfig, name: str, split: str | None) -> Source:
    return open_source(name, split=split, txt=data.txt, text_field=data.text_field)


def _fill(
    source: Source,
    data: DataConfig,
    tokenizer: Any,
    *,
    cache: Path,
    label: str,
    on_progress: Progress,
) -> tuple[TokenStore, bool]:
    join = source.default_join if data.join is None else data.join
    parts = {
        "source": source.fingerprint,
        "text_field": data.text_field,
        "join": join,
        "explode": data.explode,
        "fields_version": FIELDS_VERSION,
    }

    def read() -> tuple[Iterable[Document], ReadCounts]:
        counts = ReadCounts()
        options: dict[str, Any] = {"text_field": data.text_field, "join": join, "keep": ()}
        return documents(source, explode=data.explode, counts=counts, **options), counts

    store, reused = open_or_write(
        cache,
        parts,
        read,
        tokenizer,
        on_progress=lambda _, size: on_progress(f"{label} {source.name}", size, 0),
    )
    if store.num_tokens == 0:
        counts = store.meta["counts"]
        reasons = [f"{number} {reason}" for reason, number in counts["skipped"].items()]
        reasons += [f"{counts['empty']} empty"] if counts["empty"] else []
        raise DataError(
            f"{source.name} holds no text: of {counts['records']} records, "
            f"{' and '.join(reasons) or 'none'} at {data.text_field or 'the text field'}. "
            "Name another field with --text-field."
        )
    return store, reused


def training_frame(tokenizer: Any, *, end_of_document: bool) -> Frame:
    """Return the special tokens around each training document.

    Args:
        tokenizer: A transformers tokenizer.
        end_of_document: Put a start token before and an end token after each document; otherwise
            only what the tokenizer's own call adds, as the public guide has it.

    Returns:
        The frame. The start token lets the first real token be predicted, too; where the
        tokenizer has none, its end token begins the document, as GPT-2's does in its own training.
    """
    if end_of_document:
        return Frame(_start(tokenizer), _first_id(tokenizer, "eos_token_id", "sep_token_id"))
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
    at = next((i for i in range(len(whole)) if whole[i : i + len(bare)] == bare), 0)
    return Frame(tuple(whole[:at]), tuple(whole[at + len(bare) :]))


def evaluation_frame(tokenizer: Any) -> Frame:
    """Return the frame for scoring: a start token as context, and no end, which is not text."""
    return Frame(_start(tokenizer), ())


def _start(tokenizer: Any) -> tuple[int, ...]:
    return _first_id(tokenizer, "bos_token_id", "cls_token_id", "eos_token_id", "sep_token_id")


def _first_id(tokenizer: Any, *names: str) -> tuple[int, ...]:
    ids = (getattr(tokenizer, name, None) for name in names)
    return next(((i,) for i in ids if i is not None), ())


def plan_training(part: Part, blocks: BlocksConfig, frame: Frame) -> BlockPlan:
    """Plan the training blocks of a part as the settings say."""
    plan = plan_blocks(
        part.store,
        part.documents,
        policy=blocks.packing,
        block_size=blocks.block_size or DEFAULT_BLOCK_SIZE,
        frame=frame,
        window_rows=blocks.window_rows,
    )
    if plan.num_blocks == 0:
        raise DataError("The training part has no text: give more data or a smaller --test-size.")
    return plan
