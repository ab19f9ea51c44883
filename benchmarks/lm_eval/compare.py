"""Score documents with lm-evaluation-harness, for tests/numerics/lm_eval.json.

lm_eval is no dependency of ours. In an environment of its own, with the same torch and transformers
as ours:

    python -m venv /tmp/lm_eval && /tmp/lm_eval/bin/pip install 'lm_eval[hf]'
    /tmp/lm_eval/bin/python benchmarks/lm_eval/compare.py TEXTS.jsonl MODEL OUT.json

TEXTS.jsonl holds one text a line, as a JSON string; MODEL is a folder with a causal model and its
tokenizer. OUT.json gets the log-likelihood of each text as the harness's rolling windows have it,
and the figures that its task wikitext makes of them.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import platform
import re
from pathlib import Path
from typing import Any

PACKAGES = ("lm_eval", "torch", "transformers", "tokenizers")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("texts")
    parser.add_argument("model")
    parser.add_argument("out")
    given = parser.parse_args()

    from lm_eval.api.instance import Instance
    from lm_eval.api.metrics import bits_per_byte, weighted_perplexity
    from lm_eval.models.huggingface import HFLM

    texts = [json.loads(line) for line in Path(given.texts).read_text("utf-8").splitlines()]
    # The harness puts a start token before each text in any case; where the tokenizer's own call
    # does, too, there would be two, the second one scored.
    model: Any = HFLM(given.model, device="cpu", dtype="float32", batch_size=4, add_bos_token=False)
    requests = [
        Instance("loglikelihood_rolling", {}, (text,), number) for number, text in enumerate(texts)
    ]
    found = model.loglikelihood_rolling(requests, disable_tqdm=True)
    # The counts are those of the harness's tasks/wikitext/preprocess_wikitext.py.
    words = [len(re.split(r"\s+", text)) for text in texts]
    sizes = [len(text.encode("utf-8")) for text in texts]
    weights = Path(given.model, "model.safetensors").read_bytes()
    result = {
        "made_by": "benchmarks/lm_eval/compare.py",
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES}
        | {"python": platform.python_version()},
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "texts_sha256": hashlib.sha256("\0".join(texts).encode("utf-8")).hexdigest(),
        "max_length": model.max_length,
        "log_likelihoods": found,
        "words": words,
        "bytes": sizes,
        "word_perplexity": weighted_perplexity(list(zip(found, words, strict=True))),
        "byte_perplexity": weighted_perplexity(list(zip(found, sizes, strict=True))),
        "bits_per_byte": bits_per_byte(list(zip(found, sizes, strict=True))),
    }
    Path(given.out).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
