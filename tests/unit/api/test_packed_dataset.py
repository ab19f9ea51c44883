"""A data set for transformers' Trainer, and what a copy of it takes along to another process."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import nextfill
from nextfill.api.packed_dataset import PackedDataset, packed_dataset
from nextfill.config import DataConfig
from nextfill.core.errors import ConfigError, DataError
from nextfill.data.store.store_cache import cache_dir


@pytest.fixture(scope="module")
def sources(tmp_path_factory, paragraphs) -> list[DataConfig]:
    """Two sources that are files, with lists and texts, and different numbers of documents."""
    folder = tmp_path_factory.mktemp("sources")
    (folder / "a.txt").write_text("\n\n".join(paragraphs(40)))
    (folder / "c.txt").write_text("\n\n".join(paragraphs(50, 5)))
    lists = [{"body": paragraphs(2, seed), "label": "x"} for seed in range(1, 20)]
    (folder / "b.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lists))
    return [
        DataConfig(source=str(folder / "a.txt")),
        DataConfig(source=str(folder / "b.jsonl"), text_field="body", explode=True),
    ]


def _data_sets(splits: dict[str, list[str]]) -> datasets.DatasetDict:
    return datasets.DatasetDict(
        {name: datasets.Dataset.from_dict({"text": texts}) for name, texts in splits.items()}
    )


KINDS: dict[str, dict[str, Any]] = {
    "one source": {"take": 1},
    "two sources": {},
    "a source twice": {"take": [0, 1, 0]},
    "what is trained on": {"part": "train", "test_size": 0.2, "seed": 3},
    "what is held out": {"part": "held-out", "test_size": 0.2, "seed": 3},
    "several windows": {"packing": "concat", "window_rows": 7},
    "one document a row": {"packing": "pad"},
    "documents that see one another": {"isolate": False, "end_of_document": False},
    "evaluation data": {"part": "train", "eval_data": True},
    "held-out evaluation data": {"part": "held-out", "eval_data": True},
}
COPIES: dict[str, Callable[[Any], Any]] = {
    **{f"pickle {n}": lambda one, n=n: pickle.loads(pickle.dumps(one, n)) for n in range(2, 6)},  # noqa: S301
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
    "a copy of a copy": lambda one: copy.deepcopy(pickle.loads(pickle.dumps(one))),  # noqa: S301
}


def make(sources: list[DataConfig], tokenizer: Any, settings: dict[str, Any]) -> PackedDataset:
    settings = {**settings}
    take = settings.pop("take", [0, 1])
    chosen = [sources[n] for n in ([0] if take == 1 else take)]
    if settings.pop("eval_data", False):
        settings["eval_data"] = sources[0].source.replace("a.txt", "c.txt")
        chosen = [sources[0]]
    return packed_dataset(data=chosen, tokenizer=str(tokenizer), block_size=48, **settings)


def rows(blocks: PackedDataset) -> list[dict[str, list[int]]]:
    return [{k: v.tolist() for k, v in blocks[n].items()} for n in range(len(blocks))]


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_has_every_block(sources, tiny_tokenizer, kind):
    blocks = make(sources, tiny_tokenizer, KINDS[kind])
    expected = rows(blocks)
    assert len(expected) > 2
    for name, copied in COPIES.items():
        other = copied(blocks)
        assert rows(other) == expected, name
        assert (other.plan.placed_tokens, repr(other)) == (blocks.plan.placed_tokens, repr(blocks))


@pytest.mark.parametrize("unit", ["token", "word"])
def test_a_copy_has_the_same_masks_in_every_epoch(sources, unit):
    settings = {"objective": "masked", "masking": unit, "seed": 5}
    blocks = make(sources, "builtin:base-masked", settings)
    for name, copied in COPIES.items():
        other = copied(blocks)
        for epoch in (0, 3):
            blocks.set_epoch(epoch)
            other.set_epoch(epoch)
            assert rows(other) == rows(blocks), name
        blocks.set_epoch(0)


@pytest.mark.parametrize("name", [None, *COPIES])
def test_workers_that_live_on_hear_of_the_epoch(sources, name):
    blocks = make(sources, "builtin:base-masked", {"objective": "masked"})
    blocks = COPIES[name](blocks) if name else blocks
    loader = DataLoader(
        blocks,
        batch_size=None,
        num_workers=1,
        persistent_workers=True,
        multiprocessing_context="fork",
    )
    seen = []
    for epoch in (0, 1):
        blocks.set_epoch(epoch)
        seen.append([row["labels"].tolist() for row in loader])
        assert seen[-1] == [row["labels"] for row in rows(blocks)]
    assert seen[0] != seen[1]


def test_workers_that_are_spawned_give_every_block(sources, tiny_tokenizer):
    blocks = make(sources, tiny_tokenizer, {})
    loader = DataLoader(blocks, batch_size=None, num_workers=1, multiprocessing_context="spawn")
    assert [{k: v.tolist() for k, v in row.items()} for row in loader] == rows(blocks)


def test_a_copy_whose_tokens_are_gone_says_so(sources, tiny_tokenizer):
    state = pickle.dumps(make(sources, tiny_tokenizer, {}))
    nextfill.prune_cache(max_size="0B")
    for folder in (cache_dir() / "stores").iterdir():
        (folder / "meta.json").unlink()
    with pytest.raises(DataError, match="is missing"):
        pickle.loads(state)  # noqa: S301


def test_a_store_is_copied_without_its_tokens(sources, tiny_tokenizer):
    blocks = make(sources, tiny_tokenizer, {})
    store = blocks._part.store
    whole = [tokens.tolist() for tokens in store.shard_tokens]  # opens the memory maps
    assert len(store.documents) == store.num_documents
    state = pickle.dumps(store)
    assert len(state) < sum(map(len, whole))
    for other in (pickle.loads(state), copy.deepcopy(store)):  # noqa: S301
        assert [tokens.tolist() for tokens in other.shard_tokens] == whole
        assert np.array_equal(other.documents, store.documents)


def test_a_collator_is_copied(sources, tiny_tokenizer):
    blocks = make(sources, tiny_tokenizer, {})
    collator = nextfill.Collator(None, isolation="mask", pad_to_multiple_of=8)
    expected = collator([blocks[0], blocks[1]])
    for copied in COPIES.values():
        batch = copied(collator)([blocks[0], blocks[1]])
        assert batch.keys() == expected.keys()
        for key, value in expected.items():
            same = torch.equal(batch[key], value) if torch.is_tensor(value) else batch[key] == value
            assert same, key


@pytest.mark.parametrize("named", [{}, {"tokenizer": "builtin:base-causal"}])
def test_tokens_of_a_model_that_nobody_named_are_told(named, caplog):
    packed_dataset(data=["one text", "another"] * 9, block_size=16, **named)
    assert ("the tokens are those of builtin:base-causal" in caplog.text) == (not named)


@pytest.mark.parametrize("given", ["gpt2", object()])
def test_a_collator_takes_the_model_and_nothing_else(given):
    kind = type(given).__name__
    with pytest.raises(ConfigError, match=rf"takes the model .*found a {kind}: give Collator"):
        nextfill.Collator(given)


SPLITS = {"train": ["one text"] * 3 + ["another"] * 9, "test": ["held out"] * 4}
WHERE = {"model": "builtin:base-causal", "block_size": 16}


@pytest.mark.parametrize("form", [dict, _data_sets])
def test_splits_are_named_as_what_divides_the_data(form):
    with pytest.raises(ConfigError, match=r"data: found splits \(train, test\)") as raised:
        packed_dataset(data=form(SPLITS), **WHERE)
    assert "eval_data" not in str(raised.value)
    assert len(packed_dataset(data=form(SPLITS), part="held-out", **WHERE)) > 0
    with pytest.raises(ConfigError, match="eval_data divides the data"):
        packed_dataset(data=["one"] * 9, eval_data=["two"] * 3, **WHERE)


@pytest.mark.parametrize("part", ["test", "held_out", "validation"])
def test_the_held_out_part_has_one_name(part):
    with pytest.raises(ConfigError, match="Give 'held-out'"):
        packed_dataset(data=SPLITS, part=part, **WHERE)
