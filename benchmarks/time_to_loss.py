"""Seconds until Nextfill has the best held-out loss that transformers' Trainer comes to.

    python benchmarks/time_to_loss.py --data FOLDER [--quick] [--out FOLDER]
    python benchmarks/time_to_loss.py --data FOLDER --search [--out FOLDER]

FOLDER holds ``wikitext2/{train,valid,test}.txt`` and ``eli5_category/*.json.gz``. The bundled base
models learn blocks of 128 tokens of each, which are the same for all, from the same weights, and
each run shuffles them by its own rules. The peers are Trainer as the public guide has it (float32,
batches of 8, rate 2e-5, 3 epochs), and Trainer in bfloat16 with the rate and the batch of a search.
Ours are the settings of `nextfill train` for these models, but for the rate and the batch of a
search over as many trials. ``--search`` takes those trials, scored on a validation part, never on
the held-out part that the figures are of; its record in the folder of ``--out`` is read by the runs
that follow, which else take CHOSEN and say so.

All are scored by one function on the same blocks, in float32, with the masks of the masked
objective drawn once. The clocks stand still for that, and tick for all else from the first step to
the last, checkpoints of ours among it; Trainer saves none. The figure is a peer's seconds to the
best score of its run by ours to the first score that is no higher; "from start" adds what comes
before the first step: imports, and with ours the preparation of the text, of which Trainer gets
blocks that are ready. A loss that ours never comes to has the ratio null. With other work on the
machine, give OMP_NUM_THREADS=1 and read the seconds of processors.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from measurement import record, run
from numpy.typing import NDArray

OURS, TUNED, GUIDE = "nextfill", "trainer bf16, tuned", "trainer fp32, the guide"
PEERS = (TUNED, GUIDE)
CORPORA, OBJECTIVES = ("wikitext-2", "eli5"), ("causal", "masked")
BLOCK, OTHER_BLOCKS = 128, 48
RATES, BATCHES = (2.5e-4, 5e-4, 1e-3, 2e-3, 4e-3), (4, 8)
MARKS = 12
"""Scores of a run, and those of its first steps."""


SEARCH = "time-to-loss-search"
FIGURES = ("seconds", "processor_s")


class Chosen(NamedTuple):
    """The rate and the batch of a run."""

    rate: float
    batch: int


CHOSEN = {
    OURS: Chosen(2e-3, 8),
    TUNED: Chosen(2e-3, 8),
    GUIDE: Chosen(2e-5, 8),
}
"""What is taken where no search has been: of 2e-3 and 4e-3 with batches of 4 and 8 the best on the
validation part of WikiText-2, causal, of ours and of Trainer; and the guide's own."""


class Clock:
    """Seconds of a run's steps, on the clock and of processors, and the scores between them."""

    def __init__(self, blocks: Path, part: str) -> None:
        saved = np.load(blocks)
        self._inputs, self._labels = saved[f"{part}-inputs"], saved[f"{part}-labels"]
        self._marks, self._step, self._spent = set[int](), 0, np.zeros(2)
        self._before = np.zeros(2)
        self.scores: list[dict[str, float]] = []

    def begin(self, num_steps: int) -> None:
        """Note the beginning of the first step, and choose those after which to score."""
        every = max(1, round(num_steps / MARKS))
        self._marks = {1, 2, 4, 8, 16, num_steps, *range(every, num_steps, every)}
        self._before = np.array([_age(), time.process_time()])
        self._since = _now()

    def tick(self, model: Any) -> None:
        """Note the end of a step, and score the model where that is due."""
        self._step += 1
        if self._step not in self._marks:
            return
        self._spent += _now() - self._since
        loss = score(model, self._inputs, self._labels)
        spent = dict(zip(FIGURES, self._spent.tolist(), strict=True))
        self.scores.append({"step": self._step, "loss": loss, **spent})
        self._since = _now()

    def figures(self) -> dict[str, Any]:
        """Return the scores, and the seconds before the first step."""
        before = dict(zip(FIGURES, self._before.tolist(), strict=True))
        return {"scores": self.scores, "before": before}


def _now() -> NDArray[np.float64]:
    return np.array([time.perf_counter(), time.process_time()])


def _age() -> float:
    """Return the seconds since this process began."""
    stat = Path("/proc/self/stat").read_text("utf-8").rpartition(")")[2].split()
    up = float(Path("/proc/uptime").read_text("utf-8").split()[0])
    return up - int(stat[19]) / os.sysconf("SC_CLK_TCK")


def score(model: Any, inputs: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """Return the mean of the nats of blocks' targets, in float32.

    Args:
        model: One of transformers.
        inputs: Ids, ``[N, T]``.
        labels: The ids that a position's logits are scored by, ``[N, T]``, -100 for none.
    """
    import torch

    was_training, nats = model.training, 0.0
    model.eval()
    with torch.no_grad(), torch.autocast("cpu", enabled=False):
        for start in range(0, len(inputs), 16):
            ids, answers = (torch.from_numpy(x[start : start + 16]) for x in (inputs, labels))
            logits = model(input_ids=ids).logits.flatten(0, 1)
            nats += float(
                torch.nn.functional.cross_entropy(logits, answers.flatten(), reduction="sum")
            )
    model.train(was_training)
    return nats / int((labels != -100).sum())


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


def train(given: argparse.Namespace) -> dict[str, Any]:
    """Train with Nextfill, on the blocks that the others have."""
    import nextfill
    from nextfill.core.progress import Silent
    from nextfill.training import loop

    folder, rows, models = Path(given.folder), set[bytes](), list[Any]()
    blocks = np.load(folder / "blocks.npz")["train"]
    clock, own = Clock(folder / "blocks.npz", given.part), loop.batch_of

    def batch_of(setup: Any, *args: Any) -> Any:
        batch = own(setup, *args)
        models[:] = [setup.loaded.model]
        shown = np.where(batch.labels < 0, batch.input_ids, batch.labels)
        seen = batch.input_ids if given.objective == "causal" else shown
        rows.update(one.tobytes() for one in seen.astype(np.int64))
        return batch

    class Watch(Silent):
        def on_start(self, step: int, num_steps: int) -> None:
            clock.begin(num_steps)

        def on_step(self, event: Mapping[str, Any], timing: Mapping[str, Any]) -> None:
            clock.tick(models[0])

    loop.batch_of = batch_of
    try:
        nextfill.train(
            model=f"builtin:base-{given.objective}",
            data=str(folder / "train.jsonl"),
            eval_data=str(folder / f"{given.part}.jsonl"),
            out=tempfile.mkdtemp(dir=folder),
            block_size=BLOCK,
            packing="concat",
            window_rows=10**9,
            isolate=False,
            end_of_document=False,
            seed=given.seed,
            batch_size=given.batch_size,
            learning_rate=given.rate,
            observer=Watch(),
        )
    finally:
        loop.batch_of = own
    if not rows <= {one.tobytes() for one in blocks}:
        raise RuntimeError("the blocks that Nextfill trained on are not those of the others")
    return clock.figures()


def trainer(given: argparse.Namespace) -> dict[str, Any]:
    """Train with Trainer."""
    from transformers import (
        AutoModelForCausalLM,
        AutoModelForMaskedLM,
        AutoTokenizer,
        DataCollatorForLanguageModeling,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    import nextfill

    folder = Path(given.folder)
    blocks = np.load(folder / "blocks.npz")["train"]
    clock = Clock(folder / "blocks.npz", given.part)
    base = Path(nextfill.__file__).parent / "bundled" / f"base-{given.objective}"
    is_causal = given.objective == "causal"
    kind = AutoModelForCausalLM if is_causal else AutoModelForMaskedLM

    class Watch(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, *others: Any, **kwargs: Any) -> None:
            clock.begin(state.max_steps)

        def on_step_end(self, *args: Any, model: Any, **kwargs: Any) -> None:
            clock.tick(model)

    tokenizer = AutoTokenizer.from_pretrained(base)
    Trainer(
        kind.from_pretrained(base, dtype="float32"),
        TrainingArguments(
            str(folder / "trainer"),
            seed=given.seed,
            num_train_epochs=3,
            per_device_train_batch_size=given.batch_size,
            learning_rate=given.rate,
            weight_decay=0.01,
            bf16=given.worker == TUNED,
            use_cpu=True,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
        ),
        train_dataset=[{"input_ids": one.tolist()} for one in blocks],
        data_collator=DataCollatorForLanguageModeling(
            tokenizer, mlm=not is_causal, mlm_probability=0.15
        ),
        callbacks=[Watch()],
    ).train()
    return clock.figures()


WORKERS = {OURS: train, TUNED: trainer, GUIDE: trainer}


class Runs:
    """The figures of runs, of which a file keeps those that were made, if one is named."""

    def __init__(self, path: Path | None, blocks: int) -> None:
        self._path, self._blocks = path, blocks
        lines = path.read_text("utf-8").splitlines() if path is not None and path.exists() else []
        self._made = {json.dumps(one["run"]): one["figures"] for one in map(json.loads, lines)}

    def __call__(
        self, name: str, words: Mapping[str, Any], trials: Sequence[Chosen], folder: Path
    ) -> list[Any]:
        """Return the figures of trials, those that are not there yet measured."""
        keys = [[name, folder.name, self._blocks, words, one._asdict()] for one in trials]
        for key, trial in zip(keys, trials, strict=True):
            if json.dumps(key) in self._made:
                continue
            self._made[json.dumps(key)] = figures = measured(name, words, [trial], folder)[0]
            if self._path is not None:
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"run": key, "figures": figures}) + "\n")
        return [self._made[json.dumps(key)] for key in keys]


def measured(name: str, words: Mapping[str, Any], trials: Sequence[Chosen], folder: Path) -> Any:
    """Take trials in a process of their own and return the figures of each."""
    line = [sys.executable, "-W", "ignore", __file__, "--worker", name, "--folder", str(folder)]
    for key, value in words.items():
        line += [f"--{key}", str(value)]
    line += ["--trials", json.dumps(trials)]
    run(line, {"HF_HUB_OFFLINE": "1", "NEXTFILL_CACHE": str(folder / "cache")})
    figures = json.loads((folder / "figures.json").read_text("utf-8"))
    for trial, one in zip(trials, figures, strict=True):
        told = [name, folder.name, *words.values(), *trial, best(one)]
        print(", ".join(map(str, told)), file=sys.stderr, flush=True)
    return figures


def best(figures: Mapping[str, Any]) -> dict[str, float]:
    """Return the best score of a run."""
    found: dict[str, float] = min(figures["scores"], key=lambda one: one["loss"])
    return found


def reached(figures: Mapping[str, Any], loss: float) -> dict[str, float] | None:
    """Return the first score of a run that is no higher than a loss, None where there is none."""
    return next((one for one in figures["scores"] if one["loss"] <= loss), None)


def ratio(peer: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, float] | None:
    """Return a peer's seconds to its best score by ours to that, None if ours never gets there."""
    goal = best(peer)
    there = reached(ours, goal["loss"])
    if there is None:
        return None
    plain = {figure: goal[figure] / there[figure] for figure in FIGURES}
    whole = {
        f"{figure} from start": (goal[figure] + peer["before"][figure])
        / (there[figure] + ours["before"][figure])
        for figure in FIGURES
    }
    return {**plain, **whole}


def medians(ratios: Sequence[Mapping[str, float] | None]) -> dict[str, float] | None:
    """Return the medians of the ratios of several seeds, a loss never come to being the worst."""
    names = next((list(one) for one in ratios if one is not None), [])
    worst = dict.fromkeys(names, 0.0)
    found = {name: statistics.median((one or worst)[name] for one in ratios) for name in names}
    return found if any(found.values()) else None


def compare(
    objective: str, seeds: int, chosen: Mapping[str, Chosen], folder: Path, runs: Runs
) -> dict[str, Any]:
    """Measure the runs in turn, seed by seed, on the held-out part."""
    rounds = []
    for seed in range(seeds):
        words = {"objective": objective, "part": "held-out", "seed": seed}
        rounds.append({n: runs(n, words, [chosen[n]], folder)[0] for n in WORKERS})
    return {
        "settings": {name: one._asdict() for name, one in chosen.items()},
        "rounds": rounds,
        **{
            f"{peer} / {OURS}": medians([ratio(one[peer], one[OURS]) for one in rounds])
            for peer in PEERS
        },
    }


def search(objective: str, folder: Path, runs: Runs) -> dict[str, Any]:
    """Take as many trials of ours as of Trainer's, and choose.

    Of Trainer's the one of the best score; of ours that which comes to this score first, or near.
    """
    trials = [Chosen(rate, batch) for batch in BATCHES for rate in RATES]
    words = {"objective": objective, "part": "validation", "seed": 0}
    of_peer, of_ours = (runs(name, words, trials, folder) for name in (TUNED, OURS))
    goal = min(best(one)["loss"] for one in of_peer)

    def order(one: Mapping[str, Any]) -> tuple[float, float]:
        there = reached(one, goal)
        return (1.0, best(one)["loss"]) if there is None else (0.0, there["processor_s"])

    at = {
        TUNED: min(range(len(trials)), key=lambda i: best(of_peer[i])["loss"]),
        OURS: min(range(len(trials)), key=lambda i: order(of_ours[i])),
    }
    return {
        "chosen": {name: trials[i]._asdict() for name, i in at.items()},
        "trials": [
            {**trial._asdict(), TUNED: best(theirs), OURS: best(ours), "there": reached(ours, goal)}
            for trial, theirs, ours in zip(trials, of_peer, of_ours, strict=True)
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, help="a folder of WikiText-2 and ELI5-Category")
    parser.add_argument("--corpora", nargs="+", choices=CORPORA, default=CORPORA)
    parser.add_argument("--objectives", nargs="+", choices=OBJECTIVES, default=OBJECTIVES)
    parser.add_argument("--blocks", type=int, default=512)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="WikiText-2, 96 blocks, one seed")
    parser.add_argument("--search", action="store_true", help="choose rates and batches")
    parser.add_argument("--out", type=Path)
    parser.add_argument(
        "--runs", type=Path, help="a file of the figures of runs: those in it are not made again"
    )
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    for name in ("folder", "objective", "part", "trials"):
        parser.add_argument(f"--{name}", help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        figures = []
        for rate, batch in json.loads(given.trials):
            given.rate, given.batch_size = rate, batch
            figures.append(WORKERS[given.worker](given))
        (Path(given.folder) / "figures.json").write_text(json.dumps(figures), "utf-8")
        return
    if given.data is None:
        parser.error("--data is missing: a folder with wikitext2/ and eli5_category/")
    if given.quick:
        given.corpora, given.blocks, given.seeds = CORPORA[:1], 96, 1
    record_of_search = given.out / f"{SEARCH}.json" if given.out else None
    runs, found = Runs(given.runs, given.blocks), {}
    if record_of_search is not None and record_of_search.is_file():
        found = json.loads(record_of_search.read_text("utf-8"))
    results: dict[str, Any] = {"blocks": given.blocks, "block_size": BLOCK, "seeds": given.seeds}
    for corpus in given.corpora:
        for objective in given.objectives:
            name = f"{corpus}, {objective}"
            with tempfile.TemporaryDirectory() as temporary:
                folder = Path(temporary) / name.replace(", ", "-")
                folder.mkdir()
                write_blocks(corpus, objective, given.data, given.blocks, folder)
                if given.search:
                    results[name] = search(objective, folder, runs)
                    continue
                of_search = found.get(name, {}).get("chosen", {})
                chosen = CHOSEN | {key: Chosen(**one) for key, one in of_search.items()}
                compared = compare(objective, given.seeds, chosen, folder, runs)
                results[name] = {"searched": bool(of_search), **compared}
    name = "time-to-loss-quick" if given.quick else "time-to-loss"
    record(SEARCH if given.search else name, results, given.out)


if __name__ == "__main__":
    main()
