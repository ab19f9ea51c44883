"""Trainings by several ranks: the batches, losses and figures of one process, and their ends."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from nextfill.runs.directory import RunDirectory
from tests.processes import Forks, steps_taken

pytestmark = pytest.mark.trial

MOST_S = 240
COMMON = ["--block-size", 32, "--batch-size", 8, "--micro-batch-size", 2, "--dropout", 0.1]
COMMON += ["--precision", "fp32"]
SAME = [*COMMON, "--max-steps", 9, "--eval-every", 3, "--save-every", 3]
LONG = [*COMMON, "--max-steps", 5000, "--eval-every", 5000, "--save-every", 3]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


def nextfill(*words: object) -> list[str]:
    return [sys.executable, "-m", "nextfill", "train", *map(str, words), "--quiet"]


def torchrun(count: int, restarts: int, *words: object) -> list[str]:
    """The command of torchrun's own, with its restarts."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    command = [*launcher, f"--max-restarts={restarts}", "--monitor-interval=0.2", "-m"]
    return [sys.executable, *command, "nextfill", "train", *map(str, words), "--quiet"]


def begun(*words: object) -> subprocess.Popen[str]:
    """A training by two ranks under way, with three restarts."""
    return subprocess.Popen(
        torchrun(2, 3, *words),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def done(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=environment(), capture_output=True, text=True, timeout=MOST_S, check=False
    )


def trained(*words: object) -> None:
    ended = done(nextfill(*words))
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""


def weights(run: Path) -> dict:
    [path] = sorted((run / "model").glob("*.safetensors"))
    return load_file(path)


def apart(one: Path, other: Path) -> float:
    """The largest difference of a weight."""
    ours, theirs = weights(one), weights(other)
    assert ours.keys() == theirs.keys()
    return max(float((ours[name] - theirs[name]).abs().max()) for name in ours)


def assert_same_run(one: Path, other: Path, weight: float = 1e-5) -> None:
    """The same steps and evaluations, within the promised differences."""
    steps, others = (RunDirectory(run).read_events("step") for run in (one, other))
    assert [step["step"] for step in steps] == [step["step"] for step in others]
    for ours, theirs in zip(steps, others, strict=True):
        assert ours["targets"] == theirs["targets"]
        assert ours["learning_rate"] == theirs["learning_rate"]
        assert ours["loss"] == pytest.approx(theirs["loss"], abs=1e-5)
        assert ours["grad_norm"] == pytest.approx(theirs["grad_norm"], abs=1e-5)
    for kind in ("evaluation", "validation"):
        for ours, theirs in zip(
            *(RunDirectory(run).read_events(kind) for run in (one, other)), strict=True
        ):
            assert ours["targets"] == theirs["targets"]
            assert ours["nats"] == pytest.approx(theirs["nats"], rel=1e-6)
    assert apart(one, other) < weight


CASES = {
    "causal": [],
    "masked": [],
    "lora": ["--lora-rank", 4, "--lora-dropout", 0.1],
    "average": ["--ema-decay", 0.9, "--keep", "best", "--gradient-checkpointing"],
}


@pytest.mark.parametrize("kind", CASES)
@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_ranks_take_the_steps_of_one_process(
    kind, parallel, tiny_model, tiny_masked, text_file, tmp_path
):
    if parallel == "fsdp" and kind == "average":
        pytest.skip("an average is kept of a whole model, which is refused")
    model = tiny_masked if kind == "masked" else tiny_model
    words = ["--model", model, "--data", text_file, *SAME, *CASES[kind]]
    trained(*words, "--out", tmp_path / "one")
    for ranks in (2, 4):
        many = tmp_path / f"of-{ranks}"
        trained(*words, "--out", many, "--nproc", ranks, "--parallel", parallel)
        assert_same_run(many, tmp_path / "one")


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_a_run_moves_between_numbers_of_ranks(parallel, tiny_model, text_file, tmp_path):
    words = ["--model", tiny_model, "--data", text_file, *COMMON, "--schedule", "constant"]
    words += ["--eval-every", 3, "--save-every", 3]
    trained(*words, "--out", tmp_path / "one", "--max-steps", 12)
    moved = tmp_path / "moved"
    trained(*words, "--out", moved, "--max-steps", 3)
    for steps, ranks in ((6, 4), (9, 2), (12, 1)):
        more = ["--out", moved, "--resume", "--max-steps", steps]
        trained(*more, *(["--nproc", ranks, "--parallel", parallel] if ranks > 1 else []))
    assert_same_run(moved, tmp_path / "one")


def test_two_ranks_repeat_themselves_byte_for_byte(tiny_model, text_file, tmp_path):
    words = ["--model", tiny_model, "--data", text_file, *SAME, "--nproc", 2]
    for name in ("a", "b"):
        trained(*words, "--out", tmp_path / name)
    assert apart(tmp_path / "a", tmp_path / "b") == 0
    lines = [(tmp_path / name / "events.jsonl").read_text() for name in ("a", "b")]
    assert lines[0] == lines[1]


OTHER = {
    "distillation": ["--student-layers", 1, "--teacher", "MODEL"],
    "router": ["--model", "scratch:mixtral", "--tokenizer", "MODEL"],
    "new tokens": ["--add-tokens", "Leaf"],
    "parameters": ["--train-only", "layers:1", "--layer-rate-decay", 0.9],
    "eva": ["--lora-rank", 2, "--lora-init", "eva"],
    "pissa": ["--lora-rank", 2, "--lora-init", "pissa"],
    "nf4": ["--lora-rank", 2, "--lora-quantization", "nf4"],
    "last digits": ["--normalize-by", "tokens", "--optimizer", "sgd", "--packing", "pad"],
    "adafactor": ["--optimizer", "adafactor"],
    "unfused": ["--optimizer", "adamw-unfused", "--gradient-checkpointing"],
    "early": ["--early-stopping", 1, "--keep", "best", "--learning-rate", 0.1],
}
SMALL = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
SMALL |= {"num_attention_heads": 2, "num_key_value_heads": 1, "num_local_experts": 4}
SMALL |= {"output_router_logits": "true", "max_position_embeddings": 64}
IN_SHARES = {"distillation", "parameters", "eva", "pissa", "last digits", "unfused", "early"}


@pytest.fixture(scope="module")
def forks(tmp_path_factory):
    """Starts trainings in processes that have PyTorch already."""
    forks = Forks(tmp_path_factory.mktemp("forks"))
    yield forks
    forks.end()


@pytest.mark.parametrize("kind", OTHER)
def test_other_settings_too(kind, forks, tiny_model, text_file, free_port, tmp_path):
    words = [str(tiny_model) if word == "MODEL" else word for word in OTHER[kind]]
    if "--model" not in words:
        words += ["--model", tiny_model]
    if kind == "router":
        words += [
            part for name in SMALL for part in ("--set", f"model.config.{name}={SMALL[name]}")
        ]
    words = ["train", *words, "--data", text_file, *SAME, "--quiet"]
    forks.finish(*words, "--out", tmp_path / "one")
    for number, parallel in enumerate(["ddp", *(["fsdp"] if kind in IN_SHARES else [])]):
        told = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
        told["MASTER_PORT"] = str(free_port + number)
        out = tmp_path / parallel
        forks.finish(*words, "--out", out, "--parallel", parallel, environment=told, ranks=2)
        # AdamW makes a step of the rounding errors of a gradient that is nothing, as of the biases
        # of keys: at such a rate it is seen.
        assert_same_run(out, tmp_path / "one", 0.1 if kind == "early" else 1e-5)


def ranks_of(launcher: int) -> list[int]:
    """The processes of the ranks that a launcher started, in the order of their numbers."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            fields = path.joinpath("stat").read_text().rpartition(")")[2].split()
            words = path.joinpath("environ").read_bytes().split(b"\0")
        except OSError:
            continue
        told = dict(word.partition(b"=")[::2] for word in words)
        if int(fields[1]) == launcher and b"RANK" in told:
            found[int(told[b"RANK"])] = int(path.name)
    return [found[rank] for rank in sorted(found)]


def wait_for(there, process: subprocess.Popen[str], look_s: float = 0.01) -> None:
    deadline = time.monotonic() + MOST_S
    while not there():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(look_s)


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
@pytest.mark.parametrize("seed", range(10))
def test_a_killed_rank_is_started_again(seed, parallel, tiny_model, text_file, tmp_path):
    chance = random.Random(seed)
    words = ["--model", tiny_model, "--data", text_file, *COMMON, "--save-every", 2]
    words += ["--max-steps", 40, "--eval-every", 20]
    words += ["--parallel", parallel]
    trained(*words, "--out", tmp_path / "whole", "--nproc", 2)
    out = tmp_path / "killed"
    process = begun(*words, "--out", out)
    step = chance.randint(3, 36)
    wait_for((out / f"checkpoints/step-{step // 2 * 2:08d}").exists, process)
    time.sleep(chance.random() * 0.2)
    if process.poll() is None and (ranks := ranks_of(process.pid)):
        os.kill(ranks[chance.randrange(2)], signal.SIGKILL)
    _, errors = process.communicate(timeout=MOST_S)
    assert process.returncode == 0, errors
    assert apart(out, tmp_path / "whole") < 1e-6


@pytest.mark.parametrize("seed", range(6))
def test_a_rank_killed_in_the_middle_of_a_save_is_started_again(
    seed, tiny_model, text_file, tmp_path
):
    chance = random.Random(seed)
    words = ["--model", tiny_model, "--data", text_file, *COMMON, "--save-every", 1]
    words += ["--max-steps", 30, "--eval-every", 30, "--parallel", "fsdp"]
    trained(*words, "--out", tmp_path / "whole", "--nproc", 2)
    out = tmp_path / "killed"
    process = begun(*words, "--out", out)
    step = chance.randint(1, 24)
    wait_for((out / f"checkpoints/step-{step:08d}").exists, process)
    # Of a share itself, half written, in three of the cases.
    hidden = "checkpoints/.step-*.tmp" + ("/.share-*" if seed % 2 else "")
    wait_for(lambda: [*out.glob(hidden)], process, look_s=0)
    os.kill(ranks_of(process.pid)[chance.randrange(2)], signal.SIGKILL)
    _, errors = process.communicate(timeout=MOST_S)
    assert process.returncode == 0, errors
    assert apart(out, tmp_path / "whole") == 0
    assert not [*out.rglob(".*.tmp")]


def stream(folder: Path, paragraphs) -> list[object]:
    """The words of a training on seven portions of text, that comes twice."""
    path = folder / "texts.jsonl"
    texts = paragraphs(150)
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), "utf-8")
    words = ["--data", path, "--streaming", "--portion-size", 0.004, *COMMON, "--max-steps", 60]
    return [*words, "--eval-every", 30, "--save-every", 2]


def assert_same_portions(one: Path, other: Path) -> None:
    ours, theirs = (RunDirectory(run).read_events("portion") for run in (one, other))
    assert ours == theirs
    assert max(event["pass"] for event in ours) > 1
    assert (one / "ledger.json").read_bytes() == (other / "ledger.json").read_bytes()


LITTLE = ["--cache-limit", "15KB"]
"""Room for the first portion and some two more of `stream`."""


@pytest.mark.parametrize(
    ("kind", "parallel", "limit"),
    [("causal", "ddp", LITTLE), ("masked", "fsdp", []), ("masked", "ddp", LITTLE)],
)
def test_a_stream_moves_between_numbers_of_ranks(
    kind, parallel, limit, tiny_model, tiny_masked, paragraphs, tmp_path, monkeypatch
):
    model = tiny_masked if kind == "masked" else tiny_model
    words = ["--model", model, *stream(tmp_path, paragraphs)]
    monkeypatch.setenv("NEXTFILL_CACHE", str(tmp_path / "first"))
    trained(*words, "--out", tmp_path / "one")
    monkeypatch.setenv("NEXTFILL_CACHE", str(tmp_path / "second"))
    moved = tmp_path / "moved"
    for step, count in ((7, 1), (20, 2), (41, 4)):
        many = ["--nproc", count, "--parallel", parallel] if count > 1 else []
        begins = words if count == 1 else ["--resume"]
        process = subprocess.Popen(
            nextfill(*begins, "--out", moved, *many, *limit),
            env=environment(),
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_for(lambda step=step: steps_taken(moved) >= step, process, look_s=0.001)
        process.send_signal(signal.SIGINT if count == 2 else signal.SIGKILL)
        process.communicate(timeout=60)
    ended = done(nextfill("--out", moved, "--resume", *limit))
    assert ended.returncode == 0, ended.stderr
    assert_same_run(moved, tmp_path / "one")
    assert_same_portions(moved, tmp_path / "one")
    stores = len([*(tmp_path / "second/stores").iterdir()])
    assert stores < 7 if limit else stores >= 7


@pytest.mark.parametrize("seed", range(4))
def test_a_rank_of_a_stream_that_is_killed_is_started_again(
    seed, tiny_model, paragraphs, tmp_path, monkeypatch
):
    chance = random.Random(seed)
    limit = LITTLE if seed % 2 else []
    words = ["--model", tiny_model, *stream(tmp_path, paragraphs)]
    words += ["--parallel", "fsdp" if seed > 1 else "ddp"]
    trained(*words, "--out", tmp_path / "whole", "--nproc", 2)
    monkeypatch.setenv("NEXTFILL_CACHE", str(tmp_path / "other"))
    out = tmp_path / "killed"
    process = begun(*words, "--out", out, *limit)
    step = chance.randint(3, 56)
    wait_for(lambda: steps_taken(out) >= step, process, look_s=0.001)
    os.kill(ranks_of(process.pid)[chance.randrange(2)], signal.SIGKILL)
    _, errors = process.communicate(timeout=MOST_S)
    assert process.returncode == 0, errors
    assert apart(out, tmp_path / "whole") == 0
    assert_same_portions(out, tmp_path / "whole")


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_rank_ends_all_and_says_so(rank, tiny_model, text_file, tmp_path):
    words = ["--model", tiny_model, "--data", text_file, *LONG]
    out = tmp_path / "run"
    process = subprocess.Popen(
        nextfill(*words, "--out", out, "--nproc", 2),
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for((out / "checkpoints/step-00000003").exists, process)
    ranks = ranks_of(process.pid)
    os.kill(ranks[rank], signal.SIGKILL)
    started = time.monotonic()
    _, errors = process.communicate(timeout=60)
    assert time.monotonic() - started < 60
    assert process.returncode in (1, 2)
    assert errors.count("nextfill: ") == 1, errors
    assert f"Rank {rank} of 2 was ended by SIGKILL" in errors
    assert f"--out {out} --resume --nproc 2" in errors
    assert not [one for one in ranks if Path(f"/proc/{one}").exists()]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_ends_all(number, tiny_model, text_file, tmp_path):
    words = ["--model", tiny_model, "--data", text_file, *LONG]
    out = tmp_path / "run"
    process = subprocess.Popen(
        nextfill(*words, "--out", out, "--nproc", 2),
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for((out / "checkpoints/step-00000003").exists, process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number, errors
    steps = int(re.search(r"stopped; (\d+) steps are saved", errors)[1])
    assert (out / f"checkpoints/step-{steps:08d}").is_dir()
    assert "Traceback" not in errors


def started_by_hand(port: int, of_rank: list[list[str]]) -> list[tuple[int, str]]:
    """Start ranks without a launcher, each with a command of its own; return how they ended."""
    processes = [
        subprocess.Popen(
            command,
            env={
                **environment(),
                "RANK": str(rank),
                "WORLD_SIZE": str(len(of_rank)),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
            },
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank, command in enumerate(of_rank)
    ]
    return [
        (process.returncode, errors)
        for process in processes
        for errors in [process.communicate(timeout=120)[1]]
    ]


def test_ranks_that_see_different_data_are_refused(
    tiny_model, text_file, paragraphs, free_port, tmp_path
):
    other = tmp_path / "other.txt"
    other.write_text("\n\n".join(paragraphs(60, seed=1)))
    commands = [
        nextfill("--model", tiny_model, "--data", data, *SAME, "--out", tmp_path / "run")
        for data in (text_file, other)
    ]
    ends = started_by_hand(free_port, commands)
    assert [status for status, _ in ends] == [2, 2]
    told = [errors for _, errors in ends if errors]
    assert len(told) == 1
    assert re.search("rank 1 in .*data", told[0])
    assert not (tmp_path / "run").exists()


def test_an_error_of_one_rank_alone_ends_all(tiny_model, text_file, free_port, tmp_path):
    commands = [
        nextfill("--model", tiny_model, "--data", data, *SAME, "--out", tmp_path / "run")
        for data in (text_file, tmp_path / "absent.txt")
    ]
    ends = started_by_hand(free_port, commands)
    assert [status for status, _ in ends] == [2, 2]
    told = [errors for _, errors in ends if errors]
    assert len(told) == 1
    assert "rank 1 of 2: --data" in told[0]
    assert not (tmp_path / "run").exists()


def test_a_port_in_use_is_told(tiny_model, text_file, free_port, tmp_path):
    import socket

    with socket.socket() as holder:
        holder.bind(("127.0.0.1", free_port))
        holder.listen()
        words = ["--model", tiny_model, "--data", text_file, *SAME, "--out", tmp_path / "run"]
        started = time.monotonic()
        [(status, errors), (_, others)] = started_by_hand(free_port, 2 * [nextfill(*words)])
        assert time.monotonic() - started < 100
    assert status == 2
    assert f"127.0.0.1:{free_port}" in errors
    assert "may be in use" in errors
    assert "Traceback" not in errors + others


@pytest.fixture
def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_what_torchrun_starts_prints_one_result(tiny_model, text_file, tmp_path):
    words = ["--model", tiny_model, "--data", text_file, *SAME, "--out", tmp_path / "run", "--json"]
    ended = done(torchrun(2, 0, *words))
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["steps"] == 9
