"""What every test shares: a tiny tokenizer and model, a text, a cache of its own, no network."""

from __future__ import annotations

import gc
import itertools
import os
import random
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

import hypothesis
import pytest

from tests.properties import THOROUGH, number_of_examples
from tests.written_run import write_run

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
    "patient",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    max_examples=number_of_examples(100),
    derandomize=not THOROUGH,
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

# Of folders with the same name pytest looks for the highest number, among thousands of them.
_NUMBERS = itertools.count()

# A process that has PyTorch and transformers holds a million objects, none of which goes away.
gc.set_threshold(20_000, 20, 20)


SAMPLE_TOKENS = 8
"""New tokens of a sample of a run; the 60 of a user are half the time of a tiny training."""


class _ShortSamples(MetaPathFinder):
    """Shortens samples where their module is imported, which needs PyTorch, as few tests do."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path) if fullname == _SAMPLES else None
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def shortened(module: ModuleType) -> None:
                execute(module)
                module.SAMPLE_NEW_TOKENS = SAMPLE_TOKENS  # type: ignore[attr-defined]

            spec.loader.exec_module = shortened  # type: ignore[method-assign]
        return spec


_SAMPLES = "nextfill.training.samples"


def pytest_configure(config: pytest.Config) -> None:
    """Shorten samples but in trials, which are as a user's runs."""
    if config.getoption("markexpr") != "trial":
        sys.meta_path.insert(0, _ShortSamples())


def pytest_collection_finish() -> None:
    """Look for garbage in what tests make alone."""
    gc.freeze()


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


@pytest.fixture
def tmp_path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the test's own, named after it; pytest's looks through all others first."""
    name = re.sub(r"\W", "_", request.node.name)[:30]
    return tmp_path_factory.mktemp(f"{name}-{next(_NUMBERS)}", numbered=False)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path_factory.mktemp(f"cache-{next(_NUMBERS)}", numbered=False)
    monkeypatch.setenv("NEXTFILL_CACHE", str(folder))


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


@pytest.fixture
def no_call_is_left() -> Iterator[None]:
    """Wait for the calls in the background that a test has begun, which end by themselves."""
    yield
    deadline = time.monotonic() + 10
    while any(one.name == "nextfill-background" for one in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
