"""Every file of the cache, damaged in every way: the right bytes again, or a message; never others.

Takes about ten minutes. Also what checking costs, on a store of a gigabyte.
"""

from __future__ import annotations

import collections
import json
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from nextfill.cli.main import main
from nextfill.data.document import Document, ReadCounts
from nextfill.data.records.files import SURE_NS
from nextfill.data.store.store_integrity import check_files, read_meta
from nextfill.data.store.token_store import TokenStore
from nextfill.data.store.writer import write_store

pytestmark = pytest.mark.trial

BITS = 20
ZEROS = 40_000
MOST_OPEN_S = 0.05
TOLD = ("meta.json", "tokens.bin", "documents.npy", "columns.parquet")
"""Files whose damage is told; what else is remembered is only worked out again."""

SHORT = ("--block-size", "64", "--batch-size", "4", "--eval-batch-size", "8")

Damage = Callable[[Path, Path], None]


def cut(file: Path, _: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


def emptied(file: Path, _: Path) -> None:
    file.write_bytes(b"")


def removed(file: Path, _: Path) -> None:
    file.unlink()


def zeros(file: Path, _: Path) -> None:
    file.write_bytes(bytes(ZEROS))


def longer(file: Path, _: Path) -> None:
    file.write_bytes(file.read_bytes() + b"\0")


def of_another(file: Path, other: Path) -> None:
    shutil.copyfile(other, file)


def bit(place: float, *, hidden: bool) -> Damage:
    """Flip one bit, and perhaps put the times back by which a change is seen."""

    def flip(file: Path, _: Path) -> None:
        before, content = file.stat(), bytearray(file.read_bytes())
        at = int(place * len(content) * 8)
        content[at // 8] ^= 1 << at % 8
        file.write_bytes(content)
        if hidden:
            os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))

    return flip


def damages() -> Iterator[tuple[str, Damage]]:
    for damage in (cut, emptied, removed, zeros, longer, of_another):
        yield damage.__name__, damage
    places = random.Random(0)
    for number in range(BITS):
        yield "bit", bit(places.random(), hidden=number % 2 == 1)


@pytest.fixture
def aged(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock by which every file was changed well before now."""
    really = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: really() + 10 * SURE_NS)


class Job:
    """Three commands on the same data, and what they give."""

    def __init__(self, folder: Path, model: Path, texts: list[str], topic: str) -> None:
        folder.mkdir()
        self.folder, self.cache = folder, folder / "cache"
        lines = ({"text": text, "topic": f"{topic}{n % 3}"} for n, text in enumerate(texts))
        data = folder / "data.jsonl"
        data.write_text("".join(json.dumps(line) + "\n" for line in lines))
        recipe = folder / "recipe.toml"
        recipe.write_text(
            f'[data]\nsource = "{data}"\nkeep_fields = ["topic"]\ntext_field = "text"\n'
        )
        self.model, self.data, self.recipe = str(model), str(data), str(recipe)
        self.common = ["--cache-dir", str(self.cache), "--quiet", "--json"]

    def prepare(self) -> list[str]:
        return ["prepare", "--data", self.data, "--tokenizer", self.model, *self.common]

    def train(self) -> list[str]:
        shutil.rmtree(self.folder / "again", ignore_errors=True)
        out = ["--out", str(self.folder / "again"), "--masking", "word", "--max-steps", "2"]
        return ["train", self.recipe, "--model", self.model, *out, *SHORT, *self.common]

    def evaluate(self) -> list[str]:
        return ["evaluate", str(self.folder / "run"), *self.common]

    def files(self) -> dict[str, list[Path]]:
        """Return the files of the cache, by what they are called in any store."""
        found: dict[str, list[Path]] = {}
        for file in sorted(self.cache.rglob("*")):
            if file.is_file() and ".tmp" not in str(file) and file.parent.name != "locks":
                in_store = "stores" in file.parts
                name = file.name.split("-")[0] if in_store and file.suffix == ".json" else file.name
                found.setdefault(name if in_store else file.parent.name, []).append(file)
        return found


def given(out: str, job: Job, command: str) -> object:
    """Return what a command gives, without what differs from run to run."""
    result = json.loads(out)
    if command == "prepare":
        return {key: value for key, value in result.items() if key != "reused"}
    if command == "evaluate":
        return result
    run = job.folder / "again"
    files = [*(run / "model").glob("*.safetensors"), run / "events.jsonl"]
    return {file.name: file.read_bytes() for file in files}


def stores_of(cache: Path) -> dict[str, bytes]:
    """Return the bytes of what is in the stores, in which nothing may differ."""
    return {
        str(file.relative_to(cache)): file.read_bytes()
        for file in (cache / "stores").rglob("*")
        if file.is_file() and ".tmp" not in str(file) and not file.name.startswith("verified")
    }


def test_no_damage_is_believed(
    aged: None,
    tiny_masked: Path,
    paragraphs,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    texts = paragraphs(60)
    job = Job(tmp_path / "job", tiny_masked, texts, "a")
    other = Job(tmp_path / "other", tiny_masked, [text[::-1] for text in texts], "b")
    for one in (job, other):
        assert main(one.train()) == 0
        shutil.move(one.folder / "again", one.folder / "run")
    expected = {}
    for command in ("prepare", "train", "evaluate"):
        for one in (other, job):
            capsys.readouterr()
            assert main(getattr(one, command)()) == 0
        expected[command] = given(capsys.readouterr().out, job, command)
    whole = stores_of(job.cache)
    others = other.files()

    counts: collections.Counter[str] = collections.Counter()
    problems: list[str] = []
    for number, (name, (kind, damage)) in enumerate(
        (name, one) for name in job.files() for one in damages()
    ):
        for at, file in enumerate(job.files()[name]):
            damage(file, others[name][at])
        said = ""
        # Training and evaluating read the same store, in which columns are kept.
        for command in ("prepare", "evaluate" if number % 2 else "train"):
            capsys.readouterr()
            status = main(getattr(job, command)())
            out, errors = capsys.readouterr()
            said += errors + caplog.text
            caplog.clear()
            if status == 0:
                what = "right" if given(out, job, command) == expected[command] else "other bytes"
            else:
                what = "refused" if status == 2 and "nextfill: " in errors else f"status {status}"
            if "Traceback" in errors:
                what = "a traceback"
            counts[f"commands: {what}"] += 1
            if what not in ("right", "refused"):
                problems.append(f"{name}, {kind}, {command}: {what}: {errors}")
        counts["damages"] += 1
        counts[f"damages of {name}"] += 1
        if name in TOLD:
            counts["damages told"] += "damaged" in said
            if "damaged" not in said:
                problems.append(f"{name}, {kind}: not told")
        for folder in (job.cache / "stores").glob("*.tmp-damaged-*"):
            shutil.rmtree(folder)
        found = stores_of(job.cache)
        if {key: found.get(key) for key in whole} != whole:
            problems.append(f"{name}, {kind}: the cache was not made whole again")
    print("\n" + "\n".join(f"{key}: {count}" for key, count in sorted(counts.items())))
    assert problems == []


class Numbers:
    """An encoder that turns a text, which is a number, into a million tokens."""

    dtype = np.dtype("<u2")
    fingerprint, engine = "numbers", "numbers"
    each = 1 << 20

    def encode(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        seeds = [np.random.Philox(int(text)) for text in texts]
        ids = [seed.random_raw(self.each // 4).view("<u2") for seed in seeds]
        return np.concatenate(ids), np.full(len(texts), self.each, np.int64)


def test_what_checking_costs_on_a_gigabyte(tmp_path: Path, aged: None) -> None:
    documents = (Document(str(n), n) for n in range(512))
    options = {"key": {}, "counts": ReadCounts(512, 512)}
    began_s = time.perf_counter()
    store = write_store(tmp_path / "s", documents, Numbers(), **options)  # type: ignore[arg-type]
    print(f"\nwritten in {time.perf_counter() - began_s:.1f} s")
    size = sum(file.stat().st_size for file in store.path.rglob("*"))
    TokenStore.open(store.path)

    def seconds(work: Callable[[], object]) -> float:
        times = []
        for _ in range(5):
            began_s = time.perf_counter()
            work()
            times.append(time.perf_counter() - began_s)
        return min(times)

    meta = read_meta(store.path)
    unchanged_s = seconds(lambda: TokenStore.open(store.path))
    from_memory_s = seconds(lambda: TokenStore.open(store.path, verify=True))
    from_disk_s = seconds(lambda: check_files(store.path, meta, verify=True, fresh=True))
    print(
        f"{size / 1e9:.2f} GB: opened unchanged in {1e3 * unchanged_s:.1f} ms; read whole from "
        f"memory in {from_memory_s:.2f} s ({size / from_memory_s / 1e9:.1f} GB/s), from the disk "
        f"in {from_disk_s:.2f} s ({size / from_disk_s / 1e9:.1f} GB/s)"
    )
    assert unchanged_s < MOST_OPEN_S
