"""The preparation of the public guide as it stands: load, flatten, tokenize, cut into blocks.

    python benchmarks/guide_preparation.py DATA.jsonl TOKENIZER OUT.npy

Source: https://huggingface.co/docs/transformers/tasks/language_modeling, with 2 processes. The ids
of the blocks go into a file, to be compared.
"""

from __future__ import annotations

import sys
import tempfile
from itertools import chain
from pathlib import Path
from typing import Any

BLOCK_SIZE = 128
PROCESSES = 2


def main(data: str, name: str, out: str) -> None:
    from datasets import load_dataset
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(name)
    with tempfile.TemporaryDirectory() as cache:
        rows = load_dataset("json", data_files=data, split="train", cache_dir=cache).flatten()

        def tokenize(examples: dict[str, Any]) -> Any:
            return tokenizer([" ".join(texts) for texts in examples["answers.text"]])

        tokenized = rows.map(
            tokenize, batched=True, num_proc=PROCESSES, remove_columns=rows.column_names
        )

        def group_texts(examples: dict[str, Any]) -> dict[str, Any]:
            joined = {key: list(chain(*examples[key])) for key in examples}
            total = len(joined["input_ids"]) // BLOCK_SIZE * BLOCK_SIZE
            blocks = {
                key: [ids[at : at + BLOCK_SIZE] for at in range(0, total, BLOCK_SIZE)]
                for key, ids in joined.items()
            }
            return {**blocks, "labels": blocks["input_ids"].copy()}

        blocks = tokenized.map(group_texts, batched=True, num_proc=PROCESSES)
        if out:
            import numpy as np

            ids = tokenized.with_format("numpy")["input_ids"]
            np.save(Path(out), np.concatenate(list(ids)).astype(np.uint32))
        print(len(blocks))


if __name__ == "__main__":
    main(*sys.argv[1:4])
