"""What every test shares: a tiny tokenizer and model, a text, a cache of its own, no network."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

# Nothing listens there, so that a test asks no network even on a machine that has one. Read when
# huggingface_hub is imported, therefore set before any fixture runs.
os.environ["HF_ENDPOINT"] = "http://127.0.0.1:9"

END = "<|endoftext|>"
PAD = "<|pad|>"
POSITIONS = 128
WORDS = """
the river carries old stones past seven quiet mills while autumn light falls on wet slate
roofs and somebody counts barrels of cider near an open gate where geese argue about rain
"""


def paragraphs(count: int, seed: int = 0) -> list[str]:
    """Return so many different texts of 8 to 40 words, some with letters beyond ASCII."""
    rng = random.Random(seed)
    made = []
    for number in range(count):
        words = [rng.choice(WORDS.split()) for _ in range(rng.randint(8, 40))]
        made.append(f"Leaf {number}: {' '.join(words)}, café no. {rng.randint(0, 999)}.")
    return made


@pytest.fixture(scope="session", name="paragraphs")
def _paragraphs() -> Callable[..., list[str]]:
    """The function `paragraphs`, for tests that need texts of their own."""
    return paragraphs


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXTFILL_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def tiny_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a byte-level BPE tokenizer of about 400 entries that begins and ends with END."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=[END, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(paragraphs(50), trainer)
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token=END, eos_token=END, pad_token=PAD
    )
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Path) -> Path:
    """Folder of a GPT-2 of 2 layers, width 32 and 128 positions, with the tiny tokenizer."""
    import torch
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

    tokenizer = AutoTokenizer.from_pretrained(tiny_tokenizer)
    shape = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=POSITIONS,
        n_embd=32,
        n_layer=2,
        n_head=2,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    GPT2LMHeadModel(shape).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def text_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A .txt file of 60 paragraphs."""
    path = tmp_path_factory.mktemp("text") / "leaves.txt"
    path.write_text("\n\n".join(paragraphs(60)) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def test_data() -> Path:
    """The folder of large test data, named by NEXTFILL_TEST_DATA."""
    folder = os.environ.get("NEXTFILL_TEST_DATA")
    if not folder:
        pytest.skip("NEXTFILL_TEST_DATA does not name a folder of test data")
    return Path(folder)
