"""Trainings by several ranks: the batches, losses and figures of one process, and their ends."""

from __future__ import annotations

import signal
import subprocess

import pytest

from tests.processes import Forks, steps_taken
from tests.rank_runs import (
    COMMON,
    LITTLE,
    SAME,
    apart,
    assert_same_portions,
    assert_same_run,
    done,
    environment,
    nextfill,
    stream,
    trained,
    wait_for,
)

pytestmark = pytest.mark.trial


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
