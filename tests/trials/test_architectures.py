"""Every type of model that transformers has for text, beside plain transformers.

Takes about four minutes; `python -m tests.trials.architecture_table` prints the same table alone.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedTokenizerFast

import nextfill
from nextfill.core.errors import NextfillError
from tests.architectures import save_words, tiny_model, types
from tests.trials.architecture_table import HEADER, examine

pytestmark = pytest.mark.trial

NEEDS_MORE = {
    "blt": "bytes, cut by another model",
    "dots3_note": "images; its text part is tried alone",
    "gemma3n": "images; its text part is tried alone",
    "gemma4_assistant": "the model that it drafts for",
    "gemma4_unified_assistant": "the model that it drafts for",
    "mimo_v2_flash": "a shape that nobody has made small yet",
    "musicgen": "transformers' own causal class fails on its configuration",
    "musicgen_melody": "transformers' own causal class fails on its configuration",
}
"""Types of which no tiny model can be made here, and what they want."""


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> object:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")  # a tiny MobileBERT has
@pytest.mark.filterwarnings("ignore:std\\(\\)")  # an embedding of no numbers
@pytest.mark.parametrize("objective", ["causal", "masked"])
def test_every_type_is_equal_to_plain_transformers_or_refused(
    objective: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [examine(objective, kind, tmp_path / kind) for kind in types(objective)]
    with capsys.disabled():
        print("", HEADER, *rows, sep="\n")
    wrong = [str(row) for row in rows if row.verdict == "wrong"]
    assert wrong == []
    assert {row.kind for row in rows if row.verdict == "not made"} <= set(NEEDS_MORE)
    assert sum(row.verdict == "equal" for row in rows) > 0.9 * len(rows) - len(NEEDS_MORE)


def test_no_type_foresees_random_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Text of 50 equally likely words: below a perplexity of 50 nobody can be but by seeing."""
    rng = random.Random(7)
    texts = [" ".join(f"w{rng.randrange(5, 55):02d}" for _ in range(30)) for _ in range(240)]
    file = tmp_path / "random.jsonl"
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    found: dict[str, float] = {}
    for kind in types("causal"):
        if kind in NEEDS_MORE:
            continue
        folder = tmp_path / kind
        tiny_model(kind, "causal").save_pretrained(folder)  # type: ignore[operator]
        save_words(folder)
        try:
            run = nextfill.train(
                model=str(folder),
                # As it is: transformers makes some types a byte tokenizer from a folder of words.
                tokenizer=PreTrainedTokenizerFast.from_pretrained(folder),
                objective="causal",
                data=file,
                out=tmp_path / f"run-{kind}",
                cache_dir=tmp_path / "cache",
                max_steps=60,
                batch_size=16,
                block_size=40,
                learning_rate=5e-3,
                precision="fp32",
                quiet=True,
            )
        except NextfillError as error:
            with capsys.disabled():
                print(f"{kind}: refused: {error}")
            continue
        found[kind] = run.after.perplexity
        with capsys.disabled():
            print(f"{kind}: {run.before.perplexity:.1f} -> {found[kind]:.2f}")
    assert {kind: value for kind, value in found.items() if not value > 45} == {}
    assert len(found) > 150
