"""The commands on a tiny model: what they promise to print, to write, and to repeat."""

from __future__ import annotations

import contextlib
import io
import json
import math
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

import nextfill
from nextfill.cli.main import main

EVALUATION = (
    "nats targets documents words bytes characters perplexity word_perplexity byte_perplexity "
    "bits_per_byte standard_error interval groups"
)
LEDGER = (
    "records documents empty skipped bytes characters words tokens separators trained evaluated "
    "dropped padding"
)
TRAIN = "run model objective steps tokens_per_second before after ledger samples"
COUNTS = ("targets", "documents", "words", "bytes", "characters")
PROMPT = "the river carries"


def command(*words: object) -> SimpleNamespace:
    """Run a command that must succeed, and return what it printed."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([str(word) for word in words])
    assert status == 0, err.getvalue()
    return SimpleNamespace(out=out.getvalue(), err=err.getvalue())


def one_json(*words: object) -> object:
    """Run a command with --json, which prints one line and nothing that JSON does not know."""
    out = command(*words, "--json").out
    assert out.count("\n") == 1

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(out, parse_constant=refuse)


@pytest.fixture(scope="module")
def settings(tiny_model, text_file, tmp_path_factory):
    return {
        "model": str(tiny_model),
        "data": str(text_file),
        "block_size": 64,
        "batch_size": 4,
        "learning_rate": 1e-2,
        "epochs": 2,
        "seed": 3,
        "precision": "fp32",
        "device": "cpu",
        "cache_dir": str(tmp_path_factory.mktemp("cache")),
    }


@pytest.fixture(scope="module")
def flags(settings):
    return [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]


@pytest.fixture(scope="module")
def trained(flags, tmp_path_factory):
    """What `train --json` printed; its run directory is there."""
    out = tmp_path_factory.mktemp("runs") / "run"
    return one_json("train", *flags, "--out", out)


@pytest.fixture(scope="module")
def run(trained):
    return Path(trained["run"])


# train


def test_train_prints_what_is_promised(trained, flags):
    assert trained.keys() >= set(TRAIN.split())
    for part in ("before", "after"):
        assert trained[part].keys() >= set(EVALUATION.split())
    assert trained["ledger"].keys() >= set(LEDGER.split())
    assert trained["objective"] == "causal"
    assert trained["tokens_per_second"] > 0
    assert Path(trained["model"]) == Path(trained["run"]) / "model"
    assert {"step", "prompt", "text"} <= trained["samples"][0].keys()
    assert trained["samples"][-1]["step"] == trained["steps"]


def test_others_may_read_the_model_as_they_may_any_new_file(run, tmp_path):
    (tmp_path / "new").touch()
    modes = {path.stat().st_mode for path in (run / "model").iterdir()}
    assert modes == {(tmp_path / "new").stat().st_mode}


def test_the_card_tells_what_was_learnt_and_not_what_there_was(run, trained):
    steps = [json.loads(line) for line in (run / "events.jsonl").read_text("utf-8").splitlines()]
    targets = sum(event["targets"] for event in steps if event["event"] == "step")
    card = (run / "model" / "README.md").read_text("utf-8")
    assert f"in {trained['steps']:,} steps over {targets:,} tokens" in card


def test_training_helps_and_the_figures_follow_from_the_counts(trained):
    before, after = trained["before"], trained["after"]
    assert after["perplexity"] < 0.8 * before["perplexity"]
    for found in (before, after):
        nats = found["nats"]
        assert found["perplexity"] == pytest.approx(math.exp(nats / found["targets"]), rel=1e-12)
        bits = nats / math.log(2) / found["bytes"]
        assert found["bits_per_byte"] == pytest.approx(bits, rel=1e-12)
        assert found["interval"][0] < found["perplexity"] < found["interval"][1]
    assert [before[name] for name in COUNTS] == [after[name] for name in COUNTS]


def test_the_ledger_adds_up(trained):
    ledger = trained["ledger"]
    made = ledger["tokens"] + ledger["separators"]
    assert made == ledger["trained"] + ledger["evaluated"] + sum(ledger["dropped"].values())
    assert ledger["documents"] == 60


def test_the_run_directory_holds_what_is_promised(trained, run):
    for name in ("config.toml", "ledger.json", "events.jsonl", "timing.jsonl"):
        assert (run / name).is_file()
    assert any((run / "checkpoints").iterdir())
    assert json.loads((run / "ledger.json").read_text("utf-8")) == trained["ledger"]
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {
        path.name for path in (run / "model").iterdir()
    }
    assert not list((run / "model").glob("*.bin"))
    events = [json.loads(line) for line in (run / "events.jsonl").read_text("utf-8").splitlines()]
    assert [e["step"] for e in events if e["event"] == "step"] == [
        step + 1 for step in range(trained["steps"])
    ]
    assert not [path for path in run.rglob("*") if path.name.endswith(".tmp")]


def test_the_model_is_a_plain_one(run, tiny_model):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from nextfill.config import ModelConfig
    from nextfill.models.load import load_model

    plain = AutoModelForCausalLM.from_pretrained(run / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(run / "model")
    ours = load_model(ModelConfig(name=str(run)))
    ids = tokenizer(PROMPT, return_tensors="pt").input_ids
    with torch.no_grad():
        assert torch.equal(plain(ids).logits, ours.model(ids).logits)
        untrained = AutoModelForCausalLM.from_pretrained(tiny_model).eval()
        assert not torch.equal(plain(ids).logits, untrained(ids).logits)
    assert tokenizer.get_vocab() == AutoTokenizer.from_pretrained(tiny_model).get_vocab()


def test_python_and_the_command_give_the_same_numbers(trained, settings, tmp_path):
    result = nextfill.train(**settings, out=tmp_path / "run")
    again = json.loads(json.dumps(result.to_json()))
    for part in ("before", "after", "ledger", "samples", "steps"):
        assert again[part] == trained[part]
    assert result.after.perplexity == trained["after"]["perplexity"]


def test_a_run_repeats_from_its_own_recipe(trained, run, tmp_path):
    again = one_json("train", run / "config.toml", "--out", tmp_path / "again")
    assert again["after"] == trained["after"]
    events = [(folder / "events.jsonl").read_bytes() for folder in (run, tmp_path / "again")]
    assert events[0] == events[1]


def test_resume_after_the_end_gives_the_same_result_again(trained, run):
    before = (run / "events.jsonl").read_bytes()
    assert one_json("train", "--resume", "--out", run) == trained
    assert (run / "events.jsonl").read_bytes() == before


def test_for_a_person_train_prints_before_and_after(flags, tmp_path):
    words = [one for one in flags if not one.startswith("--epochs")]
    words += ["--max-steps", "1", "--out", tmp_path / "run"]
    printed = command("train", *words)
    for part in ("perplexity", "before", "after", "bits per byte", "interval", "Sample"):
        assert part in printed.out
    assert f"nextfill generate {tmp_path / 'run'}" in " ".join(printed.out.split())
    assert "held-out perplexity" in printed.err
    assert command("train", *words[:-1], tmp_path / "quiet", "--quiet").err == ""


# prepare


def test_prepare_counts_the_same_as_train(trained, settings):
    words = ["--model", settings["model"], "--data", settings["data"], "--seed", settings["seed"]]
    words += ["--block-size", 64, "--cache-dir", settings["cache_dir"]]
    found = one_json("prepare", *words)
    assert found.keys() >= {"store", "blocks", "block_size", "ledger"}
    assert Path(found["store"]).is_dir()
    assert found["block_size"] == 64
    assert found["ledger"] == trained["ledger"]
    assert found["reused"]
    out = command("prepare", *words).out
    assert "Ledger" in out
    assert f"{found['blocks']:,} blocks of 64 tokens" in out


# evaluate


def test_evaluating_a_run_gives_its_after(trained, run, settings):
    found = one_json("evaluate", run, "--cache-dir", settings["cache_dir"])
    assert found.keys() >= set(EVALUATION.split())
    assert [found[name] for name in COUNTS] == [trained["after"][name] for name in COUNTS]
    assert found["nats"] == pytest.approx(trained["after"]["nats"], rel=1e-6)
    assert found["perplexity"] == pytest.approx(trained["after"]["perplexity"], rel=1e-6)


def test_the_batch_size_of_an_evaluation_changes_nothing(trained, run, settings):
    words = ["--cache-dir", settings["cache_dir"], "--eval-batch-size", 1]
    found = one_json("evaluate", run, *words)
    assert [found[name] for name in COUNTS] == [trained["after"][name] for name in COUNTS]
    assert found["nats"] == pytest.approx(trained["after"]["nats"], rel=1e-6)


def test_other_data_are_scored_whole_and_their_held_out_part_where_it_is_asked_for(run, tmp_path):
    text = tmp_path / "few.txt"
    text.write_text("\n\n".join(f"leaf {n} by the river" for n in range(10)), encoding="utf-8")
    assert one_json("evaluate", run, "--data", text)["documents"] == 10
    assert one_json("evaluate", run, "--data", text, "--test-size", 3)["documents"] == 3
    assert nextfill.evaluate(run, data=text, eval_data=text, eval_split="train[:4]").documents == 4


def test_evaluating_on_what_a_run_was_trained_on_is_told(run, settings, tmp_path):
    cache = ["--cache-dir", settings["cache_dir"]]
    err = command("evaluate", run, "--data", settings["data"], *cache).err
    assert f"scoring {run} on all of {settings['data']}" in err
    assert "was trained on most of these documents" in err
    assert "on the documents that it held out of" in command("evaluate", run, *cache).err
    text = tmp_path / "new.txt"
    text.write_text("\n\n".join(f"leaf {n} by the river" for n in range(10)), encoding="utf-8")
    assert "trained on" not in command("evaluate", run, "--data", text, *cache).err


def test_a_run_is_trained_further_as_it_was_trained(run, trained, text_file, tmp_path):
    words = ["--model", run, "--data", text_file, "--max-steps", 1, "--out", tmp_path / "further"]
    further = one_json("train", *words, "--quiet")
    config = tomllib.loads((tmp_path / "further" / "config.toml").read_text("utf-8"))
    assert config["training"]["learning_rate"] == 1e-2
    assert config["blocks"]["block_size"] == 64
    assert (config["seed"], config["model"]["name"]) == (0, str(run))
    assert further["before"]["perplexity"] < trained["before"]["perplexity"]


def test_for_a_person_evaluate_names_what_each_figure_is_over(run, trained):
    out = command("evaluate", run, "--quiet").out
    for part in ("perplexity", "95% interval", "word perplexity", "bits per byte"):
        assert part in out
    assert f"{trained['after']['targets']:,} tokens" in out


# generate; more in test_generate.py


def test_a_run_serves_wherever_a_model_does(run):
    words = [PROMPT, "--greedy", "--max-new-tokens", 12, "--precision", "fp32"]
    found = one_json("generate", run, *words)
    assert found == one_json("generate", run / "model", *words)
    assert found[0]["generated_text"].startswith(PROMPT)


@pytest.mark.parametrize("module", ["nextfill", "nextfill.cli.main"])
def test_either_module_is_the_command(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, "--version"], capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, f"nextfill {nextfill.__version__}\n".encode())
    done = subprocess.run([sys.executable, "-m", module, "trian"], capture_output=True, check=False)
    assert done.returncode == 2
