"""The texts of two corpora, and the blocks of them that all who race to a loss have in common."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np

CORPORA = ("wikitext-2", "eli5")
BLOCK, OTHER_BLOCKS = 128, 48


def texts_of(corpus: str, data: Path) -> Iterator[list[str]]:
    """Yield the texts to train on, to choose settings by, and to take the figures on."""
    if corpus == "wikitext-2":
        for part in ("train", "valid", "test"):
            text = (data / "wikitext2" / f"{part}.txt").read_text("utf-8")
            yield [line.strip() for line in text.split("\n") if line.strip()]
        return
    files = sorted((data / "eli5_category").glob("*.json.gz"))
    packed = (path.read_bytes() for path in files)
    questions = [one for each in packed for one in json.loads(gzip.decompress(each))]
    random.Random(0).shuffle(questions)
    others = len(questions) // 10
    for some in (questions[2 * others :], questions[:others], questions[others : 2 * others]):
        yield [text for one in some for text in one["answers"]["text"]]


def write_blocks(corpus: str, objective: str, data: Path, num_blocks: int, folder: Path) -> None:
    """Write the blocks of each part, and the texts of those that are trained on."""
    from transformers import AutoTokenizer

    import nextfill

    model = Path(nextfill.__file__).parent / "bundled" / f"base-{objective}"
    tokenizer = AutoTokenizer.from_pretrained(model)
    chosen, arrays = np.random.default_rng(0), {}
    for part, texts in zip(
        ("train", "validation", "held-out"), texts_of(corpus, data), strict=True
    ):
        wanted, ids, used = num_blocks if part == "train" else OTHER_BLOCKS, list[int](), 0
        for text in texts:
            ids += tokenizer(text, verbose=False)["input_ids"]
            used += 1
            if len(ids) >= wanted * BLOCK:
                break
        blocks = np.array(ids[: len(ids) // BLOCK * BLOCK], np.int64).reshape(-1, BLOCK)
        if part == "train":
            arrays[part] = blocks
            lines = (json.dumps({"text": text}) + "\n" for text in texts[:used])
            (folder / "train.jsonl").write_text("".join(lines), "utf-8")
            continue
        inputs, labels = blocks, np.full_like(blocks, -100)
        if objective == "causal":
            labels[:, :-1] = blocks[:, 1:]
        else:
            hidden = chosen.random(blocks.shape) < 0.15
            labels[hidden] = blocks[hidden]
            inputs = np.where(hidden, tokenizer.mask_token_id, blocks)
        arrays |= {f"{part}-inputs": inputs, f"{part}-labels": labels}
        (folder / f"{part}.jsonl").write_text(json.dumps({"text": " ".join(texts[:2])}) + "\n")
    np.savez(folder / "blocks.npz", **arrays)
