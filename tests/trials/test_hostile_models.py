"""Model folders that were tampered with end in words, or change nothing; nothing in them runs.

300 folders, each a small real model with one thing changed, through the commands. Each ends within
10 seconds and 2 GB, with status 2 and no traceback, or with status 0 and the very figures of the
model that it was, or with a note that weights are left over. Run it with ``-s`` for the outcomes.
"""

from __future__ import annotations

import json
import os
import random
import select
import shutil
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nextfill.config import LoraConfig, ModelConfig
from nextfill.models.adapters.lora import add_adapter, name_base, save_adapter
from nextfill.models.load import load_model
from tests.trials.hostile_folders import CASES, MARKERS, Case, plant, program

pytestmark = pytest.mark.trial

FOLDERS = int(os.environ.get("NEXTFILL_TEST_FOLDERS", "300"))
PATIENCE_S = 10.0
HANGS_S = 30.0
MEMORY = 2 * 2**30
FIGURES = {"nats", "targets", "perplexity", "generated_text", "score", "token_str", "sequence"}
MASKED = ("roberta", "bert")


class Worker:
    """A process that runs commands, and another in its place where one does not end."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, folder: Path, words: list[str]) -> dict[str, Any]:
        if self._process is None:
            script = Path(__file__).with_name("hostile_worker.py")
            self._process = subprocess.Popen(
                [sys.executable, str(script)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=self._environment,
            )
            self.run(folder, ["--version"])
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps([str(folder), words]).encode() + b"\n")
        process.stdin.flush()
        patience = HANGS_S if words != ["--version"] else 20 * HANGS_S
        ready, _, _ = select.select([process.stdout], [], [], patience)
        line = process.stdout.readline() if ready else b""
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        self.close()
        what = "killed" if ready else "hangs"
        return {"status": what, "out": "", "err": "", "seconds": patience, "cpu": 0, "peak": 0}

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
        self._process = None


@pytest.fixture(scope="module")
def models(
    tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Path, text_file: Path
) -> dict[str, Path]:
    """Small models of several types that are as they should be."""
    import torch
    from tokenizers import Tokenizer, pre_tokenizers, processors
    from tokenizers.models import WordPiece
    from transformers import (
        AutoConfig,
        AutoModelForCausalLM,
        AutoModelForMaskedLM,
        AutoTokenizer,
        PreTrainedTokenizerFast,
    )

    root = tmp_path_factory.mktemp("models")
    byte_level = AutoTokenizer.from_pretrained(tiny_tokenizer)
    byte_level.add_special_tokens({"mask_token": "<mask>"})
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = sorted(set("".join(c if c.isalnum() else " " for c in text_file.read_text()).split()))
    letters = sorted({c for word in words for c in word})
    entries = [*special, *letters, *(f"##{c}" for c in letters), *words[:300]]
    core = Tokenizer(
        WordPiece({e: n for n, e in enumerate(dict.fromkeys(entries))}, unk_token=special[1])
    )
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    named = dict(
        zip(
            ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), special, strict=True
        )
    )
    word_piece = PreTrainedTokenizerFast(tokenizer_object=core, **named)
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    shapes: dict[str, tuple[str, dict[str, Any]]] = {
        "gpt2": ("gpt2", {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 128}),
        "sharded": ("gpt2", {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 128}),
        "llama": ("llama", {**size, "intermediate_size": 64, "max_position_embeddings": 128}),
        "roberta": ("roberta", {**size, "intermediate_size": 64, "max_position_embeddings": 130}),
        "bert": ("bert", {**size, "intermediate_size": 64, "max_position_embeddings": 128}),
    }
    for name, (kind, sizes) in shapes.items():
        tokenizer = word_piece if name == "bert" else byte_level
        ids = {
            key: getattr(tokenizer, key) for key in ("bos_token_id", "eos_token_id", "pad_token_id")
        }
        shape = AutoConfig.for_model(kind, vocab_size=len(tokenizer), **ids, **sizes)
        make = AutoModelForMaskedLM if name in MASKED else AutoModelForCausalLM
        torch.manual_seed(0)
        model = make.from_config(shape)
        model.save_pretrained(root / name, max_shard_size="40KB" if name == "sharded" else "5GB")
        tokenizer.save_pretrained(root / name)
    loaded = load_model(ModelConfig(name=str(root / "gpt2")))
    adapted = add_adapter(loaded, LoraConfig(rank=4, targets="c_attn"), seed=0)
    name_base(adapted, str(root / "gpt2"), None)
    save_adapter(adapted, root / "lora")
    byte_level.save_pretrained(root / "lora")
    return {name: root / name for name in (*shapes, "lora")}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder on Python's path of modules that an adapter or a kernel's loader may import."""
    folder = tmp_path_factory.mktemp("planted")
    (folder / "hostile_core.py").write_text(program("import"))
    (folder / "modeling_hostile.py").write_text(program("module on the path"))
    kernels = folder / "kernels"
    kernels.mkdir()
    lines = program("kernel").splitlines()[:2]
    body = "def get_kernel(*words, **named):\n    " + "\n    ".join(lines)
    (kernels / "__init__.py").write_text(f"__version__ = '99.0'\n{body}\n")
    facts = folder / "kernels-99.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: kernels\nVersion: 99.0\n")
    return folder


@pytest.fixture
def worker(planted: Path, tmp_path: Path) -> Iterator[Worker]:
    """A process that runs commands, among planted modules."""
    markers = tmp_path / "markers"
    markers.mkdir()
    sources = os.environ.get("PYTHONPATH", "")
    environment = {
        **os.environ,
        **{"PYTHONPATH": f"{planted}{os.pathsep}{sources}", MARKERS: str(markers)},
        **{"NEXTFILL_CACHE": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1", "COLUMNS": "80"},
    }
    opened = Worker(environment)
    yield opened
    opened.close()


def command(name: str, number: int, folder: Path, text: Path) -> list[str]:
    """Return what is run on a folder; models take turns at what they are for."""
    model, data = str(folder), ["--data", str(text), "--block-size", "32"]
    masked = name in MASKED
    few = ["--cache-dir", str(folder.parent.parent / "cache"), "--json"]
    ways = [
        ["fill", model, "the [MASK] is" if name == "bert" else "the <mask> is", "--json"]
        if masked
        else ["generate", model, "the", "--greedy", "--max-new-tokens", "4", "--json"],
        ["evaluate", model, *data, *few],
        ["evaluate", model, str(folder.parent / "twin"), *data, *few],
        [
            "train",
            "--model",
            model,
            *data,
            "--max-steps",
            "1",
            "--out",
            str(folder.parent / "run"),
            *few,
        ],
    ]
    return ways[(0, 1, 0, 2, 0, 3)[number % 6]]


def figures(printed: str) -> list[Any]:
    """Return the figures in what a command printed, wherever they stand."""

    def find(value: Any, key: str = "") -> Iterator[Any]:
        if isinstance(value, dict):
            for name, inner in value.items():
                yield from find(inner, name)
        elif isinstance(value, list):
            for inner in value:
                yield from find(inner, key)
        elif key in FIGURES:
            yield value

    return [round(one, 4) if isinstance(one, float) else one for one in find(json.loads(printed))]


def chosen(count: int) -> list[tuple[int, Case, str]]:
    """Return what is done to which model: every case as often as any other, the models in turn."""
    rng = random.Random(7)
    turns: Counter[str] = Counter()
    found = []
    for number in range(count):
        case = CASES[number % len(CASES)]
        name = case.models[(turns[case.kind] + rng.randrange(2)) % len(case.models)]
        turns[case.kind] += 1
        found.append((number, case, name))
    return found


def fault(case: Case, answer: dict[str, Any], expected: list[Any]) -> str | None:
    """Say what is wrong with an outcome, if anything is."""
    if answer["seconds"] > PATIENCE_S and answer["cpu"] > PATIENCE_S / 2:
        return f"took {answer['seconds']:.0f} s"
    if answer["peak"] > MEMORY:
        return f"took {answer['peak'] / 2**30:.1f} GB"
    if "Traceback" in answer["err"] or "panicked" in answer["err"]:
        return "a traceback"
    if answer["status"] == 2:
        words = answer["err"].strip().splitlines()[-1:] != [""] and "nextfill: " in answer["err"]
        if case.harmless:
            return "refused, though harmless"
        return None if words and len(answer["err"]) < 5000 else "no words"
    if answer["status"] != 0:
        return f"status {answer['status']}"
    if figures(answer["out"]) != expected and "have no place in the model" not in answer["err"]:
        return "other figures, without a word"
    return None


def test_every_folder_ends_in_words_or_changes_nothing(
    models: dict[str, Path],
    text_file: Path,
    worker: Worker,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    markers = tmp_path / "markers"
    text = tmp_path / "text.txt"
    text.write_text("\n\n".join(text_file.read_text().split("\n\n")[:20]) + "\n")
    outcomes: Counter[str] = Counter()
    faults: dict[str, list[str]] = defaultdict(list)
    longest, most = 0.0, 0
    known: dict[tuple[str, str], list[Any]] = {}

    def place(name: str, number: int, change: Callable[[Path], None]) -> Path:
        folder = tmp_path / f"case-{number}" / "model"
        shutil.copytree(models[name], folder)
        (folder.parent / "twin").symlink_to(models[name])
        (folder.parent / "twin-base").symlink_to(models["gpt2"])
        change(folder)
        return folder

    def expected(name: str, number: int) -> list[Any]:
        folder = tmp_path / f"case-{10_000 + number}" / "model"
        words = command(name, number, folder, text)
        key = (name, " ".join(words[:1]) + str(len(words)))
        if key not in known:
            place(name, 10_000 + number, plant)
            answer = worker.run(folder.parent, words)
            assert answer["status"] == 0, (name, words, answer["err"])
            known[key] = figures(answer["out"])
            assert known[key]
        return known[key]

    began = time.monotonic()
    for number, case, name in chosen(FOLDERS):
        right = expected(name, number)

        def change(folder: Path, case: Case = case, number: int = number) -> None:
            plant(folder)
            case.change(folder, random.Random(number))

        folder = place(name, number, change)
        answer = worker.run(folder.parent, command(name, number, folder, text))
        longest, most = max(longest, answer["seconds"]), max(most, answer["peak"])
        outcomes[f"status {answer['status']}"] += 1
        if found := fault(case, answer, right):
            last = " ".join(answer["err"].split())[-600:]
            faults[found].append(f"{number} {name} {case.kind}: {last}")
        if run := sorted(path.name for path in markers.iterdir()):
            faults["code was run"].append(f"{number} {name} {case.kind}: {run}")
            for path in markers.iterdir():
                path.unlink()
        shutil.rmtree(folder.parent)
    with capsys.disabled():
        print(f"\n{FOLDERS} hostile folders in {time.monotonic() - began:.0f} s: {dict(outcomes)}")
        print(f"longest {longest:.1f} s, most memory {most / 2**30:.2f} GB")
        for kind, which in faults.items():
            print(f"{len(which)} x {kind}")
            for one in which:
                print(f"    {one}")
    assert not faults
