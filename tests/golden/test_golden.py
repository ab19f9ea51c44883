"""Whole jobs end as they did when they were recorded: bytes, figures, pages and texts.

They hold a change of the house that is to change nothing else. `python -m tests.golden.test_golden`
records anew, which is right only together with a line in CHANGELOG.md of what moved and why. Bytes
are compared on the kind of processor that they were recorded on, figures on any: another one adds
up in another order.
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.processes import Forks

HERE = Path(__file__).parent
RECORDED = HERE / "recorded.json"
RELATIVE = 1e-3

TEXT = "--split train[:150]"
SMALL = f"{TEXT} --test-size 15 --batch-size 4 --block-size 64 --max-steps 30"
SMALL += " --eval-every 15 --precision fp32"
MASKED = "--model builtin:base-masked --objective masked"
JOBS = {
    "causal": f"train {SMALL} --out causal",
    "masked": f"train {MASKED} {SMALL} --masking word --out masked",
    "adapter": f"train {SMALL} --lora-rank 4 --keep best --early-stopping 5 --out adapter",
    "evaluate": "evaluate builtin:base-causal --data sentences.txt --txt line",
    "evaluate-masked": "evaluate builtin:base-masked --data sentences.txt --txt line --pseudo",
    "generate": "generate builtin:base-causal The_function_returns --max-new-tokens 30 --top-k 50 "
    "--top-p 0.95 --seed 7 --num-samples 2 --precision fp32",
    "fill": "fill builtin:base-masked The_function_<|mask|>_a_new_array. --top-k 4",
    "prepare": "prepare --tokenizer builtin:base-causal --data sentences.txt --txt line "
    "--test-size 1",
}
QUICKSTARTS = {
    "quickstart-causal": "train --max-steps 30 --out quickstart-causal",
    "quickstart-masked": f"train {MASKED} --max-steps 30 --out quickstart-masked",
}
"""The jobs by name, each a command line; an underscore stands for a space within a word."""

CORPORA = ["torch-docs"]
"""Those that the jobs read."""

SENTENCES = "Returns a new array of zeros.\nThe shape of the output is that of the input.\n"
TIMED = ("checksums.json", "run.json", "timing.jsonl")
"""Files that hold what a clock said, or a checksum of that."""

SHOWN = ("report.html", "README.md")
"""Files that hold some of it among much else, which is compared without it."""
CLOCKED = re.compile(
    r'<data data-figure="(?:seconds|tokens_per_second)".*?</data>'
    r"|<figure(?:(?!</figure>).)*?curve/speed.*?</figure>"
    r"|[0-9][0-9,.]* tokens per second",
    re.DOTALL,
)


def processor() -> str:
    """What the last bits of a sum depend on: the processor's kind and the arithmetic's version."""
    import torch

    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        # Two of one name may differ in what they can, bfloat16 for one.
        can = re.findall(r"(?:model name|flags)\s*: (.*)", cpuinfo.read_text())[:2]
        name = f"{can[0]} {sha256(can[-1].encode())[:8]}" if can else name
    return f"{name}, {torch.backends.cpu.get_cpu_capability()}, torch {torch.__version__}"


def run(line: str, folder: Path, forks: Forks) -> dict[str, Any]:
    """Run a command in a folder of its own, and gather what it printed and left behind."""
    words = [word.replace("_", " ") for word in line.split()]
    environment = {"NEXTFILL_CACHE": str(folder / "cache")}
    (folder / "sentences.txt").write_text(SENTENCES, "utf-8")
    output = forks.finish(*words, "--json", "--quiet", folder=folder, environment=environment)
    printed = json.loads(output.replace(str(folder), "FOLDER"))
    if isinstance(printed, dict):
        printed.pop("tokens_per_second", None)
    found: dict[str, Any] = {"json": printed, "bytes": {}, "shown": {}}
    if "--out" in words:
        found |= files_of(folder / words[words.index("--out") + 1])
        found["bytes"] |= files_of(folder / "cache" / "stores")["bytes"]
    elif words[0] == "prepare":
        found["bytes"] = files_of(Path(printed["store"].replace("FOLDER", str(folder))))["bytes"]
    return found


def files_of(root: Path) -> dict[str, Any]:
    """Return the SHA-256 of every file below a folder, and the text of those with a clock in it."""
    files = {
        path.relative_to(root).as_posix(): path
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name not in TIMED
    }
    shown = {
        name: CLOCKED.sub("TIME", path.read_text("utf-8"))
        for name, path in files.items()
        if path.name in SHOWN
    }
    return {
        "bytes": {
            name: sha256(path.read_bytes())
            for name, path in files.items()
            if path.name not in SHOWN
        },
        "shown": {
            name: text.splitlines() if name.endswith(".md") else sha256(text.encode())
            for name, text in shown.items()
        },
    }


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def differences(before: Any, after: Any, at: str = "") -> list[str]:
    """Say where two JSON values differ by more than another order of adding up can explain."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [
            text
            for key in sorted({*before, *after})
            for text in differences(before.get(key), after.get(key), f"{at}.{key}")
        ]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = zip(before, after, strict=True)
        return [
            text
            for place, (one, other) in enumerate(pairs)
            for text in differences(one, other, f"{at}[{place}]")
        ]
    numbers = isinstance(before, float) and isinstance(after, float)
    if numbers and math.isclose(before, after, rel_tol=RELATIVE):
        return []
    return [] if before == after else [f"{at}: {before!r:.200} was recorded, {after!r:.200} found"]


def check(name: str, line: str, folder: Path, forks: Forks) -> None:
    """Run a job and hold it against its record."""
    record = json.loads(RECORDED.read_text("utf-8"))
    found, before = run(line, folder, forks), record["jobs"][name]
    if record["processor"] == processor():
        assert found["bytes"] == before["bytes"]
        assert found["json"] == before["json"]
        assert found["shown"] == before["shown"]
    else:
        assert sorted(found["bytes"]) == sorted(before["bytes"])
        assert differences(before["json"], found["json"]) == []


@pytest.fixture(scope="module")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    forks = Forks(tmp_path_factory.mktemp("forks"), CORPORA)
    yield forks
    forks.end()


@pytest.mark.parametrize("name", JOBS)
def test_a_job_ends_as_it_was_recorded(name: str, forks: Forks, tmp_path: Path) -> None:
    check(name, JOBS[name], tmp_path, forks)


@pytest.mark.trial
@pytest.mark.parametrize("name", QUICKSTARTS)
def test_a_quickstart_ends_as_it_was_recorded(name: str, forks: Forks, tmp_path: Path) -> None:
    if json.loads(RECORDED.read_text("utf-8"))["processor"] != processor():
        pytest.skip("the precision is the processor's own choice, and this is another one")
    check(name, QUICKSTARTS[name], tmp_path, forks)


def record(path: Path) -> None:
    """Run every job and write what it came to."""
    jobs = {}
    with tempfile.TemporaryDirectory() as printed:
        forks = Forks(Path(printed), CORPORA)
        for name, line in {**JOBS, **QUICKSTARTS}.items():
            with tempfile.TemporaryDirectory() as folder:
                jobs[name] = run(line, Path(folder), forks)
        forks.end()
    text = json.dumps({"processor": processor(), "jobs": jobs}, indent=1, ensure_ascii=False)
    path.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    record(Path(sys.argv[1]) if len(sys.argv) > 1 else RECORDED)
