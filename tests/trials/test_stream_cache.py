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
from collections.abc import Iterator
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
    seconds: float = 0.0

    def run(self, words: list[str], run: Path, kill_at: int | None) -> int:
        """Run a command to its end, or kill it once it has taken so many steps."""
        command = [sys.executable, "-m", "nextfill", "train", *words]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        errors = self.cache.with_name("errors.txt")
        with errors.open("w") as err:
            process = subprocess.Popen(
                command, env=environment, stdout=subprocess.DEVNULL, stderr=err
            )
        began = time.monotonic()
        while process.poll() is None:
            assert time.monotonic() < began + MOST_S, errors.read_text()
            time.sleep(0.25)
            self._measure(process.pid, step := last_step(run))
            if kill_at is not None and step >= kill_at:
                process.send_signal(signal.SIGKILL)
                process.wait()
        self.said = errors.read_text()
        self.seconds += time.monotonic() - began
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


@dataclass(frozen=True)
class Job:
    """A training on a stream.

    Args:
        folder: The place of its text, its cache and its run.
        texts: The texts of the stream.
        steps: The steps of the run: all of the stream, and a little of a second pass.
    """

    folder: Path
    texts: int
    steps: int

    @property
    def run(self) -> Path:
        return self.folder / "run"

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    @property
    def words(self) -> list[str]:
        settings = {
            "--model": "scratch:gpt2",
            "--tokenizer": self.folder / "tokenizer",
            "--data": self.folder / "text",
            "--text-field": "text",
            "--block-size": BLOCK_SIZE,
            "--batch-size": BATCH_SIZE,
            "--packing": "concat",
            "--max-steps": self.steps,
            "--save-every": max(1, self.steps // 60),
            "--eval-every": self.steps,
            "--portion-size": PORTION_SIZE,
            "--cache-dir": self.cache,
            "--cache-limit": CACHE_LIMIT,
            "--learning-rate": 1e-3,
            "--precision": "fp32",
            "--device": "cpu",
            "--out": self.run,
        }
        words = [str(word) for pair in settings.items() for word in pair]
        sizes = {"n_embd": 8, "n_layer": 1, "n_head": 1, "n_positions": BLOCK_SIZE}
        for name, value in sizes.items():
            words += ["--set", f"model.config.{name}={value}"]
        return [*words, "--streaming", "--no-isolate"]

    def uncut(self) -> Watched:
        """Train without an end."""
        watched = Watched(self.cache)
        assert watched.run(self.words, self.run, None) == 0, watched.said
        return watched

    def killed(self) -> Watched:
        """Train, killed at moments all over the steps, and gone on with."""
        watched, chance = Watched(self.cache), random.Random(5)
        resume = ["--out", str(self.run), "--resume", "--cache-dir", str(self.cache)]
        for number in range(KILLS):
            low, high = (self.steps * part // KILLS for part in (number, number + 1))
            at = chance.randrange(low + self.steps // 50 + 1, high)
            words = resume if (self.run / "config.toml").is_file() else self.words
            assert watched.run(words, self.run, at) == -signal.SIGKILL, watched.said
        assert watched.run(resume, self.run, None) == 0, watched.said
        return watched


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    write_tokenizer(tmp_path / "tokenizer")
    texts = write_text(tmp_path / "text")
    characters = WORDS_OF_TEXT * (4 * STEM + 1)
    texts_of_portion = PORTION_SIZE * 1e6 / characters
    blocks = texts_of_portion * (WORDS_OF_TEXT + 3) / BLOCK_SIZE  # a last space, begin and end
    steps = int(1.03 * texts / texts_of_portion * math.ceil(blocks / BATCH_SIZE)) + 3
    yield (job := Job(tmp_path, texts, steps))
    for folder in (tmp_path / "text", job.cache):
        shutil.rmtree(folder, ignore_errors=True)


def test_a_stream_larger_than_its_cache_ends_as_if_it_had_not_been_killed(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    uncut = job.uncut()
    whole = contents(job.run)
    ledger = json.loads((job.run / "ledger.json").read_text())
    removals = [line for line in uncut.said.splitlines() if "removed" in line]
    shutil.rmtree(job.run)
    shutil.rmtree(job.cache)
    cut = job.killed()
    found = contents(job.run)
    with capsys.disabled():
        print(
            f"\n{BYTES / 1e6:,.0f} MB, {ledger['stream']['portions']} portions, "
            f"{job.steps:,} steps, cache of {CACHE_LIMIT / 1e6:.0f} MB:"
        )
        print("uncut:", described(uncut, job.steps))
        print(f"{KILLS} kills:", described(cut, job.steps))
        print("\n".join(removals))
    assert ledger["stream"]["read_to_its_end"], ledger["stream"]
    assert ledger["records"] == job.texts
    assert len(removals) == 2, removals
    assert not [n for n in found.keys() | whole.keys() if found.get(n) != whole.get(n)]
    for one in (uncut, cut):
        early, late = most_held(one, job.steps)
        assert late <= 1.1 * early
        assert one.disk_bytes <= CACHE_LIMIT


def described(watched: Watched, steps: int) -> str:
    """Return the time, the memory and the disk of a command in words."""
    early, late = most_held(watched, steps)
    medians = ", ".join(f"{held / 1e6:.0f}" for held in fifths(watched, steps))
    return (
        f"{watched.seconds:.0f} s, peak memory {watched.peak_bytes / 1e6:.0f} MB, resident at "
        f"most {early / 1e6:.0f} MB in the first fifth of the steps and {late / 1e6:.0f} MB after "
        f"it, cache {watched.disk_bytes / 1e6:.1f} MB at most; the median of each fifth is "
        f"{medians}"
    )


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
