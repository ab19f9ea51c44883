"""Type checkers know every setting: thirty right calls pass, thirty wrong ones are refused.

mypy always; pyright where it is installed (pip install 'pyright[nodejs]').
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import nextfill

pytestmark = pytest.mark.trial
SOURCES = Path(nextfill.__file__).parents[1]
BEGIN = "from pathlib import Path\n\nimport nextfill\n\n"
RIGHT = """
nextfill.train()
nextfill.train("quickstart", max_steps=2)
nextfill.train(Path("recipe.toml"), out=Path("runs/a"))
nextfill.train(out="runs/a", resume=True, quiet=True)
nextfill.train(data="notes.txt", txt="line", epochs=3)
nextfill.train(data=Path("notes"), epochs=0.5, test_size=200)
nextfill.train(data=["one", "two"], eval_data=["three"])
nextfill.train(data=[{"text": "one"}], keep_fields=["author"])
nextfill.train(data=nextfill.DataConfig(source="a.jsonl", text_field="body"))
nextfill.train(model="distilbert/distilgpt2", lora_rank=8, lora_alpha=16)
nextfill.train(objective="masked", masking="span", mask_rate=0.2)
nextfill.train(schedule="wsd", warmup_steps=0.1, learning_rate=1)
nextfill.train(share={"repo": "me/x"}, training={"epochs": 2})
nextfill.train(packing="pad", isolate=False, dropout=None)
print(nextfill.train().before.perplexity - 1)
print(nextfill.train(quiet=False).after.perplexity - 1)
print(nextfill.evaluate("runs/a").perplexity - 1)
print(nextfill.evaluate("runs/a", base=False, stride=64).bits_per_byte)
nextfill.evaluate("runs/a", "distilbert/distilgpt2", data="new.txt")
nextfill.evaluate(["runs/a", "runs/b"]).differences
nextfill.generate("runs/a", "Dear diary,", top_k=50)[0]["generated_text"].upper()
nextfill.generate("runs/a", ["one", "two"], greedy=True, stop=["end"])[0][0]["middle"].upper()
nextfill.generate("runs/a", prompts="prompts.jsonl", num_samples=3)[0][1]["generated_text"].upper()
nextfill.generate("runs/a", "once", streamer=print)
nextfill.fill("runs/a", "a <mask>.", targets=["day"], top_k=3)
nextfill.prepare(data="notes.txt", block_size=128, verify=True)
nextfill.share("runs/a", "me/x", private=True, license="mit")
nextfill.report("runs/a")
nextfill.train_tokenizer(data="notes.txt", vocab_size=4096, kind="bpe")
nextfill.list_cache(cache_dir="cache")
"""
WRONG = """
nextfill.train(lerning_rate=1)
nextfill.train(num_train_epochs=3)
nextfill.train(epochs="three")
nextfill.train(max_steps=2.5)
nextfill.train(packing="tight")
nextfill.train(schedule="linaer")
nextfill.train(objective="mlm")
nextfill.train(device="gpu")
nextfill.train(precision="fp16")
nextfill.train(data=3)
nextfill.train(data=[1, 2])
nextfill.train(quiet="yes")
nextfill.train(keep_fields=3)
nextfill.train(lora_rank="8")
nextfill.train(top_k=50)
nextfill.train("quickstart", "quickstart-masked")
nextfill.train().perplexity
nextfill.evaluate()
nextfill.evaluate(["runs/a", "runs/b"]).perplexity
nextfill.evaluate("runs/a", stride="64")
nextfill.evaluate("runs/a", 3)
nextfill.generate()
nextfill.generate("runs/a", top_k=0.5)
nextfill.generate("runs/a", "once")[0][0]["generated_text"]
nextfill.generate("runs/a", "once", streamer="print")
nextfill.fill("runs/a", "a <mask>", top_p=1)
nextfill.share("runs/a")
nextfill.share("runs/a", "me/x", token="secret")
nextfill.prepare("notes.txt")
nextfill.train_tokenizer(kind="unigram")
"""


def calls(text: str) -> list[str]:
    return text.strip().splitlines()


def refused(output: str, pattern: str) -> set[int]:
    """Return the calls, by their number, that a checker said something of."""
    begin = BEGIN.count("\n")
    return {int(found) - begin for found in re.findall(pattern, output)}


@pytest.fixture(params=["mypy", "pyright"])
def check(request, tmp_path):
    """Give a function that returns which of the calls a type checker refuses."""
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed")

    def run(text: str) -> set[int]:
        file = tmp_path / "user.py"
        file.write_text(BEGIN + text.lstrip(), "utf-8")
        config = {"include": ["user.py"], "extraPaths": [str(SOURCES)], "pythonVersion": "3.11"}
        (tmp_path / "pyrightconfig.json").write_text(json.dumps(config), "utf-8")
        if request.param == "mypy":
            words = ["--strict", "--follow-imports=silent", "--cache-dir", "cache", "user.py"]
        else:
            words = ["--pythonpath", sys.executable, "-p", str(tmp_path)]
        done = subprocess.run(
            [sys.executable, "-m", request.param, *words],
            cwd=tmp_path,
            env={**os.environ, "MYPYPATH": str(SOURCES)},
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert "1 source file" in done.stdout or " errors, " in done.stdout, done.stderr
        return refused(done.stdout, r"user\.py:(\d+):.* error")

    return run


def test_right_calls_pass_and_wrong_ones_are_refused(check):
    assert len(calls(RIGHT)) == len(calls(WRONG)) == 30
    assert check(RIGHT) == set()
    passed = {*range(1, 31)} - check(WRONG)
    assert not passed, [calls(WRONG)[number - 1] for number in passed]
