"""Two gigabytes of text through a cache of 200 MB, killed and gone on with at five moments.

Takes about half an hour of one core, and 2.5 GB of disk. STREAM_BYTES names another size.
"""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from tests.processes import contents

pytestmark = [
    pytest.mark.trial,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]

BYTES = int(os.environ.get("STREAM_BYTES", "2000000000"))
FILES = 8
KILLS = 5
CACHE_LIMIT = 200_000_000 * BYTES // (2 * 10**9)
PORTION_SIZE = 16e-6 * BYTES / 2000  # millions of characters
STEM, WORDS, WORDS_OF_TEXT = 3, 20, 10
BLOCK_SIZE, BATCH_SIZE = 32, 2048
MOST_S = 3600.0


def stems() -> list[str]:
    chance = random.Random(23)
    letters = "abcdefghijklmnop"
    return chance.sample([a + b + c for a in letters for b in letters for c in letters], WORDS)


def write_text(folder: Path) -> int:
    """Write lines of JSON in several files, each text of ten words of a seeded list."""
    folder.mkdir()
    words = np.array([f"{stem * 4} ".encode() for stem in stems()])
    line = len('{"text": ""}\n') + words.itemsize * WORDS_OF_TEXT
    texts = BYTES // FILES // line
    for number in range(FILES):
        rng = np.random.default_rng(number)
        with (folder / f"part-{number}.jsonl").open("wb") as file:
            for first in range(0, texts, 1 << 17):
                count = min(1 << 17, texts - first)
                chosen = words[rng.integers(0, WORDS, (count, WORDS_OF_TEXT))]
                bodies = chosen.reshape(-1).view(np.uint8).reshape(count, -1)
                head, tail = (np.frombuffer(mark, np.uint8) for mark in (b'{"text": "', b'"}\n'))
                parts = [np.tile(head, (count, 1)), bodies, np.tile(tail, (count, 1))]
                file.write(np.concatenate(parts, axis=1).tobytes())
    return texts * FILES


def write_tokenizer(folder: Path) -> Path:
    """Write a tokenizer that has a token for each of the words, in few entries."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocab = {"<|end|>": 0}
    merges: list[tuple[str, str]] = []

    def merged(one: str, other: str) -> str:
        if one + other not in vocab:
            merges.append((one, other))
            vocab[one + other] = len(vocab)
        return one + other

    for letter in [*pre_tokenizers.ByteLevel.alphabet()]:
        vocab[letter] = len(vocab)
    for stem in stems():
        pair = merged(merged(stem[0], stem[1]), stem[2])
        pair = merged(pair, pair)
        merged("\u0120", merged(pair, pair))
    core = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    special = dict.fromkeys(("bos_token", "eos_token"), "<|end|>")
    fast = PreTrainedTokenizerFast(tokenizer_object=core, **special)
    fast.save_pretrained(folder)
    return folder


@dataclass
class Watched:
    """A command, with the memory that it held and the disk that its cache took while it ran."""

    cache: Path
    memory: list[tuple[int, int]] = field(default_factory=list)  # step, resident bytes
    peak_bytes: int = 0
    disk_bytes: int = 0

    def run(self, words: list[str], run: Path, kill_at: int | None) -> int:
        """Run a command to its end, or kill it once it has taken so many steps."""
        command = [sys.executable, "-m", "nextfill", "train", *words]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        errors = self.cache.with_name("errors.txt")
        with errors.open("w") as err:
            process = subprocess.Popen(
                command, env=environment, stdout=subprocess.DEVNULL, stderr=err
            )
        deadline = time.monotonic() + MOST_S
        while process.poll() is None:
            assert time.monotonic() < deadline, errors.read_text()
            time.sleep(0.25)
            self._measure(process.pid, step := last_step(run))
            if kill_at is not None and step >= kill_at:
                process.send_signal(signal.SIGKILL)
                process.wait()
        self.said = errors.read_text()
        return process.returncode

    def _measure(self, pid: int, step: int) -> None:
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except FileNotFoundError:
            return
        lines = dict(line.split(":", 1) for line in status.splitlines())
        if "VmRSS" in lines:
            self.memory.append((step, int(lines["VmRSS"].split()[0]) * 1024))
            self.peak_bytes = max(self.peak_bytes, int(lines["VmHWM"].split()[0]) * 1024)
        self.disk_bytes = max(self.disk_bytes, size_of(self.cache))


def size_of(folder: Path) -> int:
    size = 0
    for above, _, names in os.walk(folder):
        for name in names:
            try:
                size += Path(above, name).stat().st_size
            except FileNotFoundError:
                continue
    return size


def last_step(run: Path) -> int:
    try:
        with (run / "events.jsonl").open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - 4096))
            lines = file.read().splitlines()[1:]
    except FileNotFoundError:
        return 0
    steps = [
        json.loads(line)["step"] for line in lines if line.endswith(b"}") and b'"step"' in line
    ]
    return max(steps, default=0)


def test_a_stream_larger_than_its_cache_ends_as_if_it_had_not_been_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokenizer = write_tokenizer(tmp_path / "tokenizer")
    texts = write_text(tmp_path / "text")
    characters = WORDS_OF_TEXT * (4 * STEM + 1)
    texts_of_portion = PORTION_SIZE * 1e6 / characters
    blocks = texts_of_portion * (WORDS_OF_TEXT + 3) / BLOCK_SIZE  # a last space, begin and end
    # A little of the second pass, too.
    steps = int(1.03 * texts / texts_of_portion * math.ceil(blocks / BATCH_SIZE)) + 3
    run, cache = tmp_path / "run", tmp_path / "cache"
    settings = {
        "--model": "scratch:gpt2",
        "--tokenizer": tokenizer,
        "--data": tmp_path / "text",
        "--text-field": "text",
        "--block-size": BLOCK_SIZE,
        "--batch-size": BATCH_SIZE,
        "--packing": "concat",
        "--max-steps": steps,
        "--save-every": max(1, steps // 60),
        "--eval-every": steps,
        "--portion-size": PORTION_SIZE,
        "--cache-dir": cache,
        "--cache-limit": CACHE_LIMIT,
        "--learning-rate": 1e-3,
        "--precision": "fp32",
        "--device": "cpu",
        "--out": run,
    }
    words = [str(word) for pair in settings.items() for word in pair]
    words += ["--streaming", "--no-isolate"]
    for name, value in {"n_embd": 8, "n_layer": 1, "n_head": 1, "n_positions": BLOCK_SIZE}.items():
        words += ["--set", f"model.config.{name}={value}"]
    try:
        began = time.monotonic()
        uncut = Watched(cache)
        assert uncut.run(words, run, None) == 0, uncut.said
        took_s = time.monotonic() - began
        whole = contents(run)
        ledger = json.loads((run / "ledger.json").read_text())
        assert ledger["stream"]["read_to_its_end"], ledger["stream"]
        assert ledger["records"] == texts
        told = [line for line in uncut.said.splitlines() if "removed" in line]
        assert len(told) == 2, told
        shutil.rmtree(run)
        shutil.rmtree(cache)

        began = time.monotonic()
        cut = Watched(cache)
        chance = random.Random(5)
        resume = ["--out", str(run), "--resume", "--cache-dir", str(cache)]
        for number in range(KILLS):
            low, high = (steps * part // KILLS for part in (number, number + 1))
            at = chance.randrange(low + steps // 50 + 1, high)
            begun = (run / "config.toml").is_file()
            assert cut.run(resume if begun else words, run, at) == -signal.SIGKILL, cut.said
        assert cut.run(resume, run, None) == 0, cut.said
        cut_s = time.monotonic() - began
        found = contents(run)
        differing = [n for n in found.keys() | whole.keys() if found.get(n) != whole.get(n)]
    finally:
        for folder in (tmp_path / "text", cache):
            shutil.rmtree(folder, ignore_errors=True)
    with capsys.disabled():
        print(
            f"\n{BYTES / 1e6:,.0f} MB, {ledger['stream']['portions']} portions, {steps:,} steps, "
            f"cache of {CACHE_LIMIT / 1e6:.0f} MB:"
        )
        for name, one, seconds in (("uncut", uncut, took_s), (f"{KILLS} kills", cut, cut_s)):
            early, late = most_held(one, steps)
            medians = ", ".join(f"{held / 1e6:.0f}" for held in fifths(one, steps))
            print(
                f"{name}: {seconds:.0f} s, peak memory {one.peak_bytes / 1e6:.0f} MB, resident "
                f"at most {early / 1e6:.0f} MB in the first fifth of the steps and "
                f"{late / 1e6:.0f} MB after it, cache {one.disk_bytes / 1e6:.1f} MB at most; "
                f"the median of each fifth is {medians}"
            )
        print("\n".join(told))
    assert not differing
    for one in (uncut, cut):
        early, late = most_held(one, steps)
        assert late <= 1.1 * early
        assert one.disk_bytes <= CACHE_LIMIT


def most_held(watched: Watched, steps: int) -> tuple[int, int]:
    """Return the most memory in the first fifth of the steps, and in the rest."""
    early = max(held for step, held in watched.memory if step <= steps // 5)
    late = max(held for step, held in watched.memory if step > steps // 5)
    return early, late


def fifths(watched: Watched, steps: int) -> list[float]:
    """Return the median of the memory in each fifth of the steps, which tells growth from peaks."""
    parts: list[list[int]] = [[] for _ in range(5)]
    for step, held in watched.memory:
        parts[min(4, step * 5 // steps)].append(held)
    return [statistics.median(part) for part in parts if part]
