"""Evaluations by several ranks: the bytes of one process, and their ends."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.processes import Forks

pytestmark = pytest.mark.trial

MOST_S = 240
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


@pytest.fixture(scope="module")
def forks(tmp_path_factory):
    """Starts evaluations in processes that have PyTorch already."""
    forks = Forks(tmp_path_factory.mktemp("forks"))
    yield forks
    forks.end()


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def meeting(port: int, count: int) -> dict[str, str]:
    return {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}


@pytest.fixture(scope="module")
def run(tiny_model, text_file, tmp_path_factory) -> Path:
    """A run, which has a model that it was made from, and held-out documents."""
    folder = tmp_path_factory.mktemp("run") / "run"
    words = ["train", "--model", tiny_model, "--data", text_file, "--block-size", 32]
    words += ["--max-steps", 6, "--learning-rate", 1e-3, "--precision", "fp32", "--out", folder]
    subprocess.run(
        [sys.executable, "-m", "nextfill", *map(str, words), "--quiet"],
        env={**os.environ, **ENVIRONMENT},
        check=True,
    )
    return folder


CASES = {
    "causal": ["CAUSAL", "--data", "TEXT", "--out", "each.jsonl"],
    "strides": ["CAUSAL", "--data", "TEXT", "--stride", 7, "--no-start-token"],
    "half precision": ["CAUSAL", "--data", "TEXT", "--precision", "bf16"],
    "masked": ["MASKED", "--data", "TEXT", "--mask-rate", 0.02, "--out", "each.jsonl"],
    "pseudo": ["MASKED", "--data", "TEXT", "--pseudo", "--out", "each.jsonl"],
    "alone": ["MASKED", "--data", "TEXT", "--pseudo", "--pseudo-metric", "original"],
    "run beside its base": ["RUN", "--page", "page.html", "--show", 3, "--out", "each.jsonl"],
    "the base anew": ["RUN", "--data", "TEXT", "--page", "page.html", "--out", "each.jsonl"],
    "two models": ["RUN", "CAUSAL", "--data", "TEXT", "--show", 2, "--out", "each.jsonl"],
    "leaks": ["RUN", "--drop-leaks"],
    "one document": ["MASKED", "--data", "TEXT", "--split", "train[:1]", "--pseudo"],
    "one batch": ["CAUSAL", "--data", "TEXT", "--split", "train[:2]", "--eval-batch-size", 999],
    "one row a batch": ["CAUSAL", "--data", "TEXT", "--eval-batch-size", 1],
}


def found_by(forks, words, folder, environment, ranks):
    """What an evaluation prints, notes and writes."""
    folder.mkdir(parents=True)
    printed = forks.finish(*words, folder=folder, environment=environment, ranks=ranks)
    told = forks.errors.read_text("utf-8").splitlines()
    notes = [line for line in told if not re.match(r"[a-z ]+: +\d+%", line)]
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    return json.loads(printed), notes, files


@pytest.mark.parametrize("kind", CASES)
def test_ranks_evaluate_as_one_process(
    kind, forks, tiny_model, tiny_masked, run, text_file, free_port, tmp_path
):
    names = {"CAUSAL": tiny_model, "MASKED": tiny_masked, "RUN": run, "TEXT": text_file}
    words = ["evaluate", *(names.get(word, word) for word in CASES[kind]), "--block-size", 32]
    words = [*words, "--json"]
    one = found_by(forks, words, tmp_path / "1", {}, 1)
    for count in (2, 4):
        many = found_by(forks, words, tmp_path / str(count), meeting(free_port, count), count)
        assert many == one, count
    assert one[0].get("targets", 1) > 0


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "nextfill", "evaluate", *map(str, words)]


def begun(words, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        words,
        env={**os.environ, **ENVIRONMENT, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("launcher", ["torchrun", "--nproc"])
def test_a_launcher_prints_one_result(launcher, tiny_masked, text_file):
    words = [tiny_masked, "--data", text_file, "--pseudo", "--block-size", 32, "--json", "--quiet"]
    alone = begun(command(*words))
    whole = [*command(*words), "--nproc", "2"]
    if launcher == "torchrun":
        start = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
        whole = [sys.executable, *start, *command(*words)[1:]]
    ends = []
    for process in (alone, begun(whole)):
        printed, errors = process.communicate(timeout=MOST_S)
        assert process.returncode == 0, errors
        ends.append(json.loads(printed))
    assert ends[0] == ends[1]


def by_hand(port: int, of_rank: list[list[str]]) -> list[tuple[int, str, str]]:
    """Start ranks without a launcher, each with a command of its own; return how they ended."""
    processes = [
        begun(words, RANK=str(rank), **meeting(port, len(of_rank)))
        for rank, words in enumerate(of_rank)
    ]
    started = time.monotonic()
    ends = []
    for process in processes:
        printed, errors = process.communicate(timeout=120)
        ends.append((process.returncode, printed, errors))
    assert time.monotonic() - started < 60
    return ends


def assert_one_tells(ends, told: str) -> None:
    """All ranks end with status 2, and one of them alone says why."""
    assert [status for status, _, _ in ends] == [2] * len(ends)
    assert "".join(printed for _, printed, _ in ends) == ""
    [errors] = [errors for _, _, errors in ends if errors]
    assert re.search(told, errors), errors
    assert errors.count("nextfill: ") == 1
    assert "Traceback" not in errors


@pytest.fixture
def differing(tiny_model, tiny_masked, text_file, paragraphs, tmp_path):
    """For each kind of disagreement the words of the second of two ranks."""
    other = tmp_path / "other.txt"
    other.write_text("\n\n".join(paragraphs(60, seed=1)), "utf-8")
    empty = tmp_path / "empty.txt"
    empty.write_text("", "utf-8")
    return {
        "data": [tiny_model, "--data", other],
        "settings": [tiny_model, "--data", text_file, "--stride", 5],
        "no data": [tiny_model, "--data", tmp_path / "absent.txt"],
        "no text": [tiny_model, "--data", empty],
        "no model": [tmp_path / "absent", "--data", text_file],
        "another number": [tiny_model, tiny_model.parent, "--data", text_file],
    }


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("data", "rank 1 in data"),
        ("settings", "rank 1 in settings"),
        ("no data", "rank 1 of 2: --data"),
        ("no text", "rank 1 of 2: "),
        ("no model", "rank 1 of 2: "),
    ],
)
def test_ranks_that_see_other_things_are_refused(
    kind, told, differing, tiny_model, text_file, free_port, tmp_path
):
    out = tmp_path / "each.jsonl"
    first = command(tiny_model, "--data", text_file, "--out", out, "--quiet")
    second = command(*differing[kind], "--out", out, "--quiet")
    assert_one_tells(by_hand(free_port, [first, second]), told)
    assert not out.exists()


def test_ranks_with_another_model_under_one_name_are_refused(
    tiny_model, text_file, free_port, tmp_path
):
    from safetensors.torch import load_file, save_file

    for rank in (0, 1):
        shutil.copytree(tiny_model, tmp_path / str(rank) / "model")
    file = tmp_path / "1/model/model.safetensors"
    weights = load_file(file)
    next(iter(weights.values())).view(-1)[0] += 1e-6
    save_file(weights, file, {"format": "pt"})
    name = "/proc/self/cwd/model"  # one name, of a folder of each
    words = command(name, "--data", text_file, "--quiet")
    shell = 'cd "$0" && exec "$@"'
    whole = [["sh", "-c", shell, str(tmp_path / str(rank)), *words] for rank in (0, 1)]
    assert_one_tells(by_hand(free_port, whole), "rank 1 in model")


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("no data", "--data"),
        ("no text", "no token|no document|empty"),
        ("no model", "absent"),
        ("out", "is there already"),
    ],
)
def test_what_no_rank_can_evaluate_is_told_once(
    kind, told, differing, tiny_model, text_file, free_port, tmp_path
):
    out = tmp_path / "each.jsonl"
    out.write_text("kept\n")
    words = differing.get(kind, [tiny_model, "--data", text_file, "--out", out])
    assert_one_tells(by_hand(free_port, 2 * [command(*words, "--quiet")]), told)
    assert out.read_text() == "kept\n"


def ranks_of(launcher: int) -> list[int]:
    """The processes that a launcher has started."""
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    return [int(child) for child in children]


LONG = ["builtin:base-masked", "--data", "builtin:stdlib-docs", "--pseudo", "--json"]


def wait_for(line: str, process: subprocess.Popen[str]) -> str:
    """Read what a process tells until a line begins so."""
    assert process.stderr is not None
    read = ""
    while told := process.stderr.readline():
        read += told
        if told.startswith(line):
            return read
    raise AssertionError(read)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_rank_ends_all_and_says_so(rank, tmp_path):
    process = begun([*command(*LONG, "--out", tmp_path / "each.jsonl"), "--nproc", "2"])
    wait_for("evaluating: ", process)
    ranks = ranks_of(process.pid)
    os.kill(ranks[rank], signal.SIGKILL)
    started = time.monotonic()
    printed, errors = process.communicate(timeout=60)
    assert time.monotonic() - started < 60
    assert process.returncode in (1, 2)
    assert printed == ""
    assert errors.count("nextfill: ") == 1, errors
    assert f"Rank {rank} of 2 was ended by SIGKILL" in errors
    assert "Begin it again" in errors
    assert not [one for one in ranks if Path(f"/proc/{one}").exists()]


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_rank_without_a_launcher_is_found(rank, free_port):
    ranks = [
        begun(command(*LONG), RANK=str(number), **meeting(free_port, 2)) for number in range(2)
    ]
    wait_for("evaluating: ", ranks[0])
    ranks[rank].kill()
    started = time.monotonic()
    ends = [one.communicate(timeout=240) for one in ranks]
    assert ranks[1 - rank].returncode == 2
    assert time.monotonic() - started < 90
    assert "Another rank of this evaluation is gone" in ends[1 - rank][1] or (
        "has been silent" in ends[1 - rank][1]
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all(number, tmp_path):
    process = begun([*command(*LONG, "--out", tmp_path / "each.jsonl"), "--nproc", "2"])
    wait_for("evaluating: ", process)
    ranks = ranks_of(process.pid)
    process.send_signal(number)
    printed, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number, errors
    assert printed == ""
    assert errors.count("nextfill: ") == 1, errors
    assert "stopped" in errors
    assert "Traceback" not in errors
    assert not [one for one in ranks if Path(f"/proc/{one}").exists()]


SCRIPT = """
import json, os, sys
import nextfill

model, text = sys.argv[1:]
run = nextfill.train(model=model, data=text, max_steps=1, batch_size=2, block_size=32)
found = [nextfill.evaluate(run.run, show=1), nextfill.evaluate(model, run.run, data=text)]
with open(f"found-{os.environ['RANK']}.json", "w") as file:
    json.dump([one.to_json() for one in found], file)
"""


def test_a_script_evaluates_what_it_has_trained(tiny_model, text_file, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, "utf-8")
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    words = [sys.executable, *start, str(script), str(tiny_model), str(text_file)]
    process = subprocess.Popen(
        words,
        env={**os.environ, **ENVIRONMENT},
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    errors = process.communicate(timeout=MOST_S)[1]
    assert process.returncode == 0, errors
    one, other = (json.loads((tmp_path / f"found-{rank}.json").read_text()) for rank in (0, 1))
    assert one == other  # each process has the whole result
    assert one[0]["base"] is not None


def test_one_process_has_nothing_to_do_with_ranks(tiny_model, text_file):
    code = (
        "import sys, nextfill; nextfill.evaluate(*sys.argv[1:2], data=sys.argv[2]);"
        "print([name for name in sys.modules if 'training.distributed' in name])"
    )
    words = [sys.executable, "-c", code, str(tiny_model), str(text_file)]
    printed = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    told = ["nextfill.training.distributed", "nextfill.training.distributed.rank_environment"]
    assert printed.strip() == str(told)
