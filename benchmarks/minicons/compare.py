"""Score sentences with minicons, for tests/numerics/minicons.json.

minicons is no dependency of ours. In an environment of its own, with the same torch and
transformers as ours:

    python -m venv /tmp/minicons && /tmp/minicons/bin/pip install minicons
    /tmp/minicons/bin/python benchmarks/minicons/compare.py SENTENCES.txt OUT.json NAME=MODEL ...

SENTENCES.txt holds one sentence a line, MODEL is a folder with a masked model and its tokenizer.
OUT.json gets, for each model and metric and sentence, the log-probability of each token.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
from pathlib import Path
from typing import Any

METRICS = {"original": "original", "within-word": "within_word_l2r"}
PACKAGES = ("minicons", "torch", "transformers", "tokenizers")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("sentences")
    parser.add_argument("out")
    parser.add_argument("models", nargs="+")
    given = parser.parse_args()
    sentences = Path(given.sentences).read_text(encoding="utf-8").splitlines()
    models = dict(entry.split("=", 1) for entry in given.models)
    result = {
        "made_by": "benchmarks/minicons/compare.py",
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES}
        | {"python": platform.python_version()},
        "sentences": sentences,
        "log_probabilities": {
            name: {metric: scores(folder, sentences, metric) for metric in METRICS}
            for name, folder in models.items()
        },
    }
    lines = json.dumps(result, ensure_ascii=False).replace("], [", "],\n[")
    Path(given.out).write_text(lines + "\n", encoding="utf-8")


def scores(folder: str, sentences: list[str], metric: str) -> list[list[float]]:
    """Return the log-probability of each token of each sentence, rounded to 1e-6."""
    import torch
    from minicons.scorer import MaskedLMScorer

    torch.set_num_threads(1)
    scorer: Any = MaskedLMScorer(folder, "cpu")
    found = []
    for sentence in sentences:
        # Encoded here, because minicons calls what transformers 5 has no longer.
        encoded = scorer.tokenizer([sentence])
        rows = list(scorer.prepare_text(encoded, PLL_metric=METRICS[metric]))
        found.append([round(score, 6) for score in scorer.compute_stats(rows)[0]])
    return found


if __name__ == "__main__":
    main()
