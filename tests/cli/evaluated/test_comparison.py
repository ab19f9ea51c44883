"""Models side by side, as one types them."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest

import nextfill
from nextfill.core.checksums import record_files
from tests.cli.evaluated.asking import command, found


def test_two_models_on_the_same_documents(tiny_model, run, data, tmp_path):
    words = ["--data", data, "--text-field", "text", "--block-size", "64"]
    out = tmp_path / "scores.jsonl"
    both = found("evaluate", tiny_model, run, *words, "--out", out)
    names = [str(tiny_model), str(run)]
    assert list(both["evaluations"]) == names
    for name in names:
        alone = found("evaluate", name, *words, "--no-base")
        figures = both["evaluations"][name]
        for key in ("nats", "targets", "perplexity", "bits_per_byte", "interval", "accuracy"):
            assert figures[key] == alone[key], key
    (difference,) = both["differences"]
    assert both["same_tokens"]
    assert difference["winner"] == str(run)
    assert difference["bits_per_byte"]["high"] < 0
    first, second = (both["evaluations"][name] for name in names)
    change = math.log(second["perplexity"] / first["perplexity"])
    assert difference["nats_per_token"]["value"] == pytest.approx(change, rel=1e-9)
    percent = 100 * (second["perplexity"] / first["perplexity"] - 1)
    assert difference["perplexity_percent"]["value"] == pytest.approx(percent, rel=1e-9)
    bits = second["bits_per_byte"] - first["bits_per_byte"]
    assert difference["bits_per_byte"]["value"] == pytest.approx(bits, rel=1e-9)
    lines = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert len(lines) == difference["documents"] == 60
    for name in names:
        total = math.fsum(line["nats"][name] for line in lines)
        assert total == pytest.approx(both["evaluations"][name]["nats"], rel=1e-12)
    better = sum(line["nats"][names[1]] < line["nats"][names[0]] for line in lines)
    assert better == difference["better"]


def test_the_table_says_who_wins(tiny_model, run, data):
    words = ["--data", data, "--text-field", "text", "--block-size", "64", "--quiet"]
    status, out, _ = command("evaluate", tiny_model, run, *words)
    assert status == 0
    assert "perplexity" in out
    assert "better" in out
    assert "95% interval" in out
    turned = command("evaluate", run, tiny_model, *words)[1]
    assert "worse" in turned


def test_a_model_beside_itself_differs_by_chance_at_most(tiny_model, run, data, tmp_path):

    copy = tmp_path / "copy"
    shutil.copytree(tiny_model, copy)
    words = ["--data", data, "--text-field", "text"]
    both = found("evaluate", tiny_model, copy, *words)
    (difference,) = both["differences"]
    assert difference["winner"] is None
    assert difference["bits_per_byte"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert "unclear" in command("evaluate", tiny_model, copy, *words, "--quiet")[1]


def test_other_tokenizers_are_compared_by_bits_per_byte_alone(run, other_tokens, data):
    words = ["--data", data, "--text-field", "text", "--block-size", "64"]
    both = found("evaluate", run, other_tokens, *words)
    (difference,) = both["differences"]
    assert not both["same_tokens"]
    assert difference["nats_per_token"] is None
    assert difference["perplexity_percent"] is None
    first, second = both["evaluations"].values()
    assert first["targets"] != second["targets"]
    assert first["bytes"] == second["bytes"]
    bits = second["bits_per_byte"] - first["bits_per_byte"]
    assert difference["bits_per_byte"]["value"] == pytest.approx(bits, rel=1e-9)
    status, out, _ = command("evaluate", run, other_tokens, *words, "--quiet")
    assert status == 0
    table, below = out.split("over 60 documents")
    assert "bits per byte" in table
    assert "perplexity" not in table
    assert "cannot be compared" in " ".join(below.split())


def test_what_cannot_be_compared(fails, tiny_model, tiny_masked, run, data):
    words = ["--data", data, "--text-field", "text"]
    assert "is causal and" in fails("evaluate", tiny_model, tiny_masked, *words)
    assert "named twice" in fails("evaluate", tiny_model, tiny_model, *words)
    assert "no folder" in fails("evaluate", tiny_model, "nothing/here", *words)
    minicons = Path(__file__).parents[2] / "numerics" / "minicons"
    assert "--pseudo" in fails("evaluate", minicons / "roberta", minicons / "bert", *words)


def test_masked_models_of_two_tokenizers_by_pseudo_bits(data):
    minicons = Path(__file__).parents[2] / "numerics" / "minicons"
    words = ["--data", data, "--text-field", "text", "--split", "train[:4]", "--pseudo"]
    both = found("evaluate", minicons / "roberta", minicons / "bert", *words)
    first, second = both["evaluations"].values()
    (difference,) = both["differences"]
    bits = second["pseudo_bits_per_byte"] - first["pseudo_bits_per_byte"]
    assert difference["bits_per_byte"]["value"] == pytest.approx(bits, rel=1e-9)


def test_the_base_stands_beside_a_run(tiny_model, run, data):
    own = found("evaluate", run)
    assert own["base"]["name"] == str(tiny_model)
    result = nextfill.runs.reader.train_result(run)
    assert own["perplexity"] == pytest.approx(result.after.perplexity, rel=1e-6)
    assert own["base"]["perplexity"] == pytest.approx(result.before.perplexity, rel=1e-12)
    change = own["base"]["difference"]
    assert change["winner"] == str(run)
    assert change["documents"] == own["documents"]
    # On other documents it is measured, not looked up.
    words = ["--data", data, "--text-field", "text", "--split", "train[:20]"]
    there = found("evaluate", run, *words)
    alone = found("evaluate", tiny_model, *words, "--block-size", "64")
    assert there["base"]["nats"] == alone["nats"]
    assert found("evaluate", run, *words, "--no-base")["base"] is None
    assert found("evaluate", tiny_model, *words)["base"] is None


def test_a_base_that_is_gone_is_told_and_no_more(tiny_model, run, data, tmp_path):

    moved = tmp_path / "run"
    shutil.copytree(run, moved)
    config = (moved / "config.toml").read_text("utf-8")
    (moved / "config.toml").write_text(config.replace(str(tiny_model), "/gone/model"), "utf-8")
    record_files(moved, ["config.toml"])
    words = ["--data", data, "--text-field", "text", "--json"]
    status, out, err = command("evaluate", moved, *words)
    assert status == 0, err
    assert json.loads(out)["base"] is None
    assert "--no-base" in " ".join(err.split())


def test_what_is_measured_by_other_tokens_is_no_base(fails, run, tiny_model, other_tokens, data):
    """The run's figures before training are of its own tokenizer."""
    tokenizer = Path(other_tokens) / "model"
    told = found("evaluate", run, "--tokenizer", tokenizer)
    assert told["base"] is None or told["base"]["difference"]["nats_per_token"] is None
    told = fails("evaluate", run, tiny_model, "--tokenizer", tokenizer)
    assert "--tokenizer is one model's" in told


def test_all_see_the_same_windows(tiny_model, data, tmp_path):
    small = nextfill.train(
        model={
            "name": "scratch:gpt2",
            "tokenizer": str(tiny_model),
            "config": {"n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 32},
        },
        data=[f"A text of some words, no. {n}." for n in range(20)],
        out=tmp_path / "small",
        device="cpu",
        max_steps=1,
        block_size=16,
    )
    words = ["--data", data, "--text-field", "text"]
    both = found("evaluate", tiny_model, small.model, *words)
    assert both["settings"]["block_size"] == 32
    alone = found("evaluate", tiny_model, *words, "--block-size", "32")
    assert both["evaluations"][str(tiny_model)]["nats"] == alone["nats"]
    assert alone["settings"] == {
        **{"data": str(data), "block_size": 32},
        **{"stride": None, "start_token": True},
    }
    assert "in windows of 32 tokens" in command("evaluate", tiny_model, small.model, *words)[1]


def test_a_model_without_finite_weights_is_named(fails, tiny_model, data, tmp_path):

    from safetensors.torch import load_file, save_file

    broken = tmp_path / "broken"
    shutil.copytree(tiny_model, broken)
    weights = load_file(broken / "model.safetensors")
    weights["transformer.wte.weight"] = weights["transformer.wte.weight"] * float("nan")
    save_file(weights, broken / "model.safetensors", {"format": "pt"})
    for models in ((broken,), (tiny_model, broken), (broken, tiny_model)):
        told = fails("evaluate", *models, "--data", data, "--text-field", "text")
        assert "broken are damaged" in told
        assert "transformer.wte.weight are infinite or no numbers (NaN)" in told


@pytest.mark.parametrize(
    "words",
    [
        ("--packing", "concat"),
        ("--no-end-of-document",),
        ("--no-isolate",),
        ("--window-rows", "3"),
        ("--validation-size", "0.1"),
    ],
)
def test_settings_of_training_are_refused(fails, tiny_model, data, words):
    told = fails("evaluate", tiny_model, "--data", data, "--text-field", "text", *words)
    assert f"{words[0].replace('--no-', '--')} is for training" in told
