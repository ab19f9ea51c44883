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
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from loss_blocks import BLOCK, CORPORA, write_blocks
from loss_ratios import best, medians, ratio, reached
from loss_workers import GUIDE, OURS, TUNED, WORKERS
from measurement import folder_of_processor, record, run

PEERS = (TUNED, GUIDE)
OBJECTIVES = ("causal", "masked")
RATES, BATCHES = (2.5e-4, 5e-4, 1e-3, 2e-3, 4e-3), (4, 8)
SEARCH = "time-to-loss-search"


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
    search = f"{SEARCH}.json"
    record_of_search = folder_of_processor(given.out) / search if given.out else None
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
