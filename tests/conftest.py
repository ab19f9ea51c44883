"""What every test shares: a tiny tokenizer and model, a text, a cache of its own, no network."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import tomli_w
from numpy.typing import NDArray

os.environ.setdefault("KERAS_BACKEND", "torch")  # the Makefile runs tests/keras on others, too

# Nothing listens there, so that a test asks no network even on a machine that has one. Read when
# huggingface_hub is imported, therefore set before any fixture runs.
os.environ["HF_ENDPOINT"] = "http://127.0.0.1:9"

# What a shell says of the network, or a launcher of its ranks, is not what tests are about.
_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")
for _name in (*_OFFLINE, "HF_TOKEN", "WORLD_SIZE"):
    os.environ.pop(_name, None)

# Messages name our program by its name alone, as in an environment that is switched on.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"

# A machine that is busy, or slow, is no failure of a property.
hypothesis.settings.register_profile(
    "patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("patient")

# Where tests run side by side, a process of them has one core, and so have those that it starts.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"

# A shell starts what it puts in the background with Ctrl-C ignored, and `nohup` with SIGHUP, which
# processes hand on.
for _signal, _handler in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(_signal) is signal.SIG_IGN:
        signal.signal(_signal, _handler)

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


@pytest.fixture(scope="session")
def masked_tokenizer(text_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a byte-level tokenizer of 400 entries with a mask token."""
    import nextfill

    folder = tmp_path_factory.mktemp("masked") / "tokenizer"
    nextfill.train_tokenizer(
        data=text_file, vocab_size=400, out=folder, cache_dir=folder.parent / "cache"
    )
    return folder


@pytest.fixture(scope="session")
def tiny_masked(masked_tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a RoBERTa of 2 layers, width 32 and 128 positions, with that tokenizer."""
    import torch
    from transformers import AutoTokenizer, RobertaConfig, RobertaForMaskedLM

    tokenizer = AutoTokenizer.from_pretrained(masked_tokenizer)
    names = ("bos_token_id", "eos_token_id", "pad_token_id")
    shape = RobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=128 + tokenizer.pad_token_id + 1,
        **{name: getattr(tokenizer, name) for name in names},
    )
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    RobertaForMaskedLM(shape).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def test_data() -> Path:
    """The folder of large test data, named by NEXTFILL_TEST_DATA."""
    folder = os.environ.get("NEXTFILL_TEST_DATA")
    if not folder:
        pytest.skip("NEXTFILL_TEST_DATA does not name a folder of test data")
    return Path(folder)


@pytest.fixture(scope="session")
def make_run() -> Callable[..., Path]:
    """The function `write_run`, for tests of what reads a run's files."""
    return write_run


def write_run(
    folder: Path,
    *,
    steps: int = 60,
    eval_every: int = 20,
    documents: int = 30,
    sets: tuple[str, ...] = ("",),
    validation: bool = False,
    improvement: float = 0.8,
    text: str = "Once upon a time",
    kept: int | None = None,
    finished: bool = True,
) -> Path:
    """Write a run directory as `docs/runs.md` has it, without training.

    Args:
        folder: Where; made.
        steps: Optimizer steps taken.
        eval_every: Steps between evaluations, which begin at 0.
        documents: Documents of each evaluated set.
        sets: Names of the evaluated sets; an empty one is the held-out part.
        validation: Whether there are validation events, too.
        improvement: Nats per token by which evaluations fall from the first step to the last.
        text: Stands in the samples, the settings and the ledger.
        kept: The step whose weights were kept, if not the last.
        finished: Whether the model is saved.

    Returns:
        The folder.
    """
    rng = np.random.default_rng(0)
    (folder / "evaluations").mkdir(parents=True)
    sizes = rng.integers(20, 400, documents)
    hard = rng.normal(4.5, 0.5, documents)
    events = []
    for step in range(steps + 1):
        if step:
            events.append(_step(rng, step, steps))
        if step % eval_every == 0 or step == steps:
            for name in sets:
                nats = sizes * (hard + len(name) / 9 - improvement * step / max(1, steps))
                nats = nats + rng.normal(0, 2, documents)
                events.append(_evaluation(folder, step, name, nats, sizes))
            if validation:
                counts = {
                    "nats": 1200.0 - 300 * step / max(1, steps),
                    "targets": 300,
                    "perplexity": 2.0,
                }
                events.append({"event": "validation", "step": step, **counts})
            events.append(
                {"event": "sample", "step": step, "prompt": text, "text": f"{text} {step}"}
            )
    if finished:
        reason = "all steps taken" if kept is None else "early stopping"
        end = steps if kept is None else kept
        events.append({"event": "end", "step": steps, "kept": end, "reason": reason})
    timing = [
        {"step": step, "tokens": 4096 - step % 7, "elapsed_s": 1.5 + rng.random()}
        for step in range(1, steps + 1)
    ]
    for name, lines in (("events.jsonl", events), ("timing.jsonl", timing)):
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "config.toml").write_text(tomli_w.dumps(_config(text)), "utf-8")
    (folder / "ledger.json").write_text(json.dumps(_ledger(text)))
    measured = {"device": "cpu", "precision": "bf16", "threads": 2, "versions": {"torch": "2.13.0"}}
    (folder / "measured.json").write_text(json.dumps(measured))
    if finished:
        (folder / "model").mkdir()
        (folder / "model" / "config.json").write_text("{}")
    return folder


def _config(text: str) -> dict[str, object]:
    return {
        "seed": 0,
        "model": {"name": "builtin:base-causal"},
        "data": {"source": "notes.txt", "text_field": text},
        "training": {"epochs": 3.0, "learning_rate": 2e-5, "batch_size": 8},
    }


def _ledger(text: str) -> dict[str, object]:
    return {
        **{"records": 110, "documents": 103, "empty": 2, "with_text": 103},
        **{"skipped": {"null": 4, "no such field": 3}, "values": {"null": 5}, "text_field": text},
        **{"bytes": 50_000, "characters": 49_000, "words": 8000},
        **{"tokens": 12_000, "separators": 200, "trained": 10_000, "evaluated": 1900},
        **{"dropped": {"also held out": 250, "window tail": 50}, "padding": 77},
        **{"train_documents": 73, "held_out_documents": 20, "validation_documents": 7},
        **{"evaluation_sets": {"general": {"documents": 30, "tokens": 6605}}},
        **{"content_sha256": ["0f" * 32]},
    }


def _step(rng: np.random.Generator, step: int, steps: int) -> dict[str, object]:
    targets = int(rng.integers(3900, 4096))
    loss = 3.0 + 1.5 * float(np.exp(-5 * step / steps)) + 0.2 * float(rng.normal())
    return {
        **{"event": "step", "step": step, "blocks": 8 * step, "epoch": 3 * step / steps},
        **{"loss": loss, "nats": loss * targets, "targets": targets},
        **{"learning_rate": 2e-5 * (1 - step / steps), "grad_norm": 1 + float(rng.random())},
    }


def _evaluation(
    folder: Path, step: int, name: str, nats: NDArray[np.float64], sizes: NDArray[np.int64]
) -> dict[str, object]:
    columns = {
        "document": np.arange(len(sizes)),
        "nats": nats,
        "targets": sizes,
        "bytes": 4 * sizes + 1,
        "characters": 4 * sizes,
        "words": sizes // 2 + 1,
        "correct": sizes // 3,
    }
    middle = f".{name}" if name else ""
    np.savez(folder / "evaluations" / f"step-{step:08d}{middle}.npz", **columns)
    counts = {key: int(column.sum()) for key, column in columns.items() if key != "document"}
    counts |= {"nats": float(nats.sum()), "documents": len(sizes)}
    from nextfill.evaluation.bootstrap import mean_interval

    counts["accuracy"] = counts.pop("correct") / counts["targets"]
    mean, low, high = mean_interval(nats, sizes)
    ends = [float(np.exp(end)) if np.isfinite(end) else None for end in (low, high)]
    return {
        **{"event": "evaluation", "step": step, **({"set": name} if name else {}), **counts},
        **{"perplexity": float(np.exp(mean)), "interval": ends},
    }
