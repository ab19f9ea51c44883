"""Masked models by the same commands as causal ones."""

from __future__ import annotations

import json

import numpy as np
import pytest

import nextfill
from nextfill.cli.main import main
from nextfill.data.packing.block_reader import NO_TARGET
from tests.cli.figures import figures

pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture
def job(tiny_masked, text_file):
    """Flags of a short run."""
    return ["--model", str(tiny_masked), "--data", str(text_file), "--max-steps", "4"]


def read(capsys, *words):
    capsys.readouterr()
    assert main([str(word) for word in words]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_run_and_its_evaluation(job, tmp_path, capsys):
    out = tmp_path / "run"
    found = read(capsys, "train", *job, "--out", out, "--json", "--quiet")
    assert found["objective"] == found["before"]["objective"] == "masked"
    config = (out / "config.toml").read_text("utf-8")
    assert 'objective = "masked"' in config
    assert found["after"]["perplexity"] < found["before"]["perplexity"]
    for figure in ("bits_per_byte", "word_perplexity", "byte_perplexity"):
        assert found["after"][figure] is None
    ledger = found["ledger"]
    dropped = sum(ledger["dropped"].values())
    placed = ledger["trained"] + ledger["evaluated"] + dropped
    assert ledger["tokens"] + ledger["separators"] == placed
    steps = [json.loads(line) for line in (out / "events.jsonl").read_text("utf-8").splitlines()]
    sample = next(event for event in steps if event["event"] == "sample")
    assert "___" in sample["prompt"]
    assert sample["text"].count("[") >= sample["prompt"].count("___") > 0
    assert figures(read(capsys, "evaluate", out, "--json", "--quiet")) == figures(found["after"])
    # Another seed of training, and the same blanks.
    again = read(capsys, "evaluate", out, "--seed", "0", "--eval-batch-size", "3", "--json")
    assert again["targets"] == found["after"]["targets"]
    assert again["nats"] == pytest.approx(found["after"]["nats"], rel=1e-6)
    report = (out / "report.html").read_text("utf-8")
    assert "masked tokens" in report
    assert "Bits per byte" not in report
    card = (out / "model" / "README.md").read_text("utf-8")
    assert "fill-mask" in card
    assert "bits per byte" not in card.lower()
    assert "nextfill fill" in card


def test_for_a_person_it_shows_what_it_filled_in(job, tmp_path, capsys):
    assert main(["train", *job, "--out", str(tmp_path / "run")]) == 0
    shown = capsys.readouterr()
    assert "masked tokens" in shown.out
    assert "its blanks filled in" in shown.out
    assert f"nextfill fill {tmp_path / 'run'}" in shown.out.replace("\n", "")
    assert "15% of the tokens masked" in shown.err


@pytest.mark.parametrize("unit", ["word", "span"])
def test_words_and_spans(job, tmp_path, capsys, unit):
    words = ["--masking", unit, "--mask-rate-start", "0.3", "--out", tmp_path / unit]
    found = read(capsys, "train", *job, *words, "--json", "--quiet")
    assert found["after"]["targets"] > 0
    assert read(capsys, "evaluate", tmp_path / unit, "--json")["nats"] == found["after"]["nats"]


def test_a_training_hides_more_than_its_evaluations(job, tmp_path, capsys):
    targets, scored = {}, {}
    for end in (None, 0.15, 0.6):
        out = tmp_path / str(end)
        words = [] if end is None else ["--mask-rate-end", end]
        read(
            capsys,
            "train",
            *job,
            *words,
            "--mask-rate-start",
            0.3,
            "--out",
            out,
            "--quiet",
            "--json",
        )
        events = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]
        targets[end] = [one["targets"] for one in events if one["event"] == "step"]
        scored[end] = read(capsys, "evaluate", out, "--json")["targets"]
    assert targets[None] == targets[0.15]
    assert targets[0.6][0] == targets[0.15][0]
    assert targets[0.6][-1] > 2 * targets[0.15][-1]
    assert len({*scored.values()}) == 1


def test_an_adapter_of_a_masked_model(job, tmp_path, capsys):
    out = tmp_path / "lora"
    words = ["--lora-rank", "2", "--gradient-checkpointing", "--out", out]
    found = read(capsys, "train", *job, *words, "--json", "--quiet")
    assert (out / "model" / "adapter_config.json").is_file()
    assert figures(read(capsys, "evaluate", out, "--json")) == figures(found["after"])


def test_the_objective_of_a_scratch_model(masked_tokenizer, text_file, tmp_path, capsys):
    small = ["hidden_size=16", "intermediate_size=16", "num_hidden_layers=1"]
    sets = [f"--set=model.config.{one}" for one in [*small, "num_attention_heads=2"]]
    words = ["--tokenizer", masked_tokenizer, "--data", text_file, "--max-steps", 1, *sets]
    for flags, objective in (([], "masked"), (["--objective", "causal"], "causal")):
        out = tmp_path / objective
        model = ["--model", "scratch:bert", *flags, "--out", out]
        found = read(capsys, "train", *model, *words, "--json", "--quiet")
        assert found["objective"] == objective
    shape = json.loads((tmp_path / "causal" / "model" / "config.json").read_text("utf-8"))
    assert shape["is_decoder"]


def test_what_is_refused(fails, tiny_masked, tiny_model, tiny_tokenizer, text_file):
    job = ["train", "--data", text_file, "--max-steps", 1]
    masked = [*job, "--model", tiny_masked]
    for rate in ("0", "1", "1.5", "-0.1"):
        assert "--mask-rate" in fails(*masked, "--mask-rate", rate)
    assert "random" in fails(*masked, "--mask-share", "0.8", "--random-share", "0.3")
    assert "nextfill fill" in fails(*masked, "--objective", "causal")
    assert "nextfill generate" in fails(*job, "--model", tiny_model, "--objective", "masked")
    assert "mask token" in fails(*masked, "--tokenizer", tiny_tokenizer)
    assert "--stride" in fails(*masked, "--stride", "16")
    assert "blank" in fails(*masked, "--sample-prompt", "nothing is left out here")
    assert "nextfill fill" in fails("generate", tiny_masked, "once")
    assert "--masking" in fails(*masked, "--masking", "words")


def test_refused_before_a_run_is_begun(
    fails, masked_tokenizer, tiny_masked, tiny_model, text_file, tmp_path
):
    job = ["train", "--data", text_file, "--max-steps", 1]
    assert "causal" in fails(*job, "--model", tiny_model, "--mask-rate", "0.3")
    spans = ["--model", tiny_masked, "--masking", "span", "--mask-rate-start", "0.7"]
    assert "--mask-rate-start: found 0.7" in fails(*job, *spans)
    ending = ["--model", tiny_masked, "--masking", "span", "--mask-rate-end", "0.8"]
    assert "--mask-rate-end: found 0.8" in fails(*job, *ending)
    for flag in ("--mask-rate-start", "--mask-rate-end"):
        assert f"{flag} is for training" in fails(
            "evaluate", tiny_masked, "--data", text_file, flag, "0.2"
        )
    short = tmp_path / "short.txt"
    short.write_text("one\n\ntwo\n\nthree\n\nfour\n", encoding="utf-8")
    few = ["--data", short, "--test-size", "1", "--mask-rate", "0.01"]
    assert "no token to score" in fails("train", "--model", tiny_masked, "--max-steps", 1, *few)
    for rate in (0.3, 0.15):  # the usual one, too
        with pytest.raises(nextfill.NextfillError, match=r"mask_rate: masks .*objective"):
            nextfill.packed_dataset(data=text_file, tokenizer=masked_tokenizer, mask_rate=rate)
    with pytest.raises(nextfill.NextfillError, match="mask_rate_start"):
        nextfill.packed_dataset(
            data=text_file, tokenizer=masked_tokenizer, objective="masked", mask_rate_start=0.3
        )
    with pytest.raises(nextfill.NextfillError, match="expected a text"):
        nextfill.fill(tiny_masked, 5)


def test_a_model_of_few_positions_is_shown_short_texts(
    masked_tokenizer, text_file, tmp_path, capsys
):
    small = ["hidden_size=16", "intermediate_size=16", "num_hidden_layers=1"]
    sets = [f"--set=model.config.{one}" for one in [*small, "num_attention_heads=2"]]
    job = ["--tokenizer", masked_tokenizer, "--data", text_file, "--max-steps", 1, *sets]
    tiny = ["--set=model.config.max_position_embeddings=16", "--out", tmp_path / "run"]
    found = read(capsys, "train", "--model", "scratch:bert", *job, *tiny, "--json", "--quiet")
    assert "___" in found["samples"][0]["prompt"]


def test_masks_for_trainer_are_those_of_the_settings(masked_tokenizer, text_file):
    keywords = {"data": text_file, "tokenizer": masked_tokenizer, "block_size": 64}
    dataset = nextfill.packed_dataset(**keywords, objective="masked", mask_rate=0.4)
    labels = np.concatenate([row["labels"].numpy() for row in dataset])
    assert 0.33 < (labels != NO_TARGET).mean() < 0.4
    assert dataset.num_targets == (labels != NO_TARGET).sum()
