"""Distillation as a command: a run, its records, its resume, and teachers that do not fit."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

import nextfill
from nextfill.cli.main import main
from nextfill.core.errors import ModelError, RunError
from tests.representative import often

SHAPE = {"n_embd": 48, "n_layer": 4, "n_head": 2, "n_positions": 128}


@pytest.fixture(scope="module")
def teacher(tiny_tokenizer, text_file, tmp_path_factory):
    """A run of a GPT-2 of 4 layers, wider than the tiny model, that has read the text."""
    out = tmp_path_factory.mktemp("teacher") / "run"
    nextfill.train(
        **{"model": {"name": "scratch:gpt2", "config": SHAPE}, "tokenizer": str(tiny_tokenizer)},
        **{"data": str(text_file), "max_steps": 60, "block_size": 64, "learning_rate": 3e-3},
        **{"precision": "fp32", "device": "cpu", "out": out},
        cache_dir=str(out.parent / "cache"),
    )
    return out


@pytest.fixture
def job(teacher, text_file):
    return {
        **{"teacher": str(teacher), "data": str(text_file), "test_size": 0.1, "device": "cpu"},
        **{"max_steps": 9, "block_size": 32, "learning_rate": 1e-3, "precision": "fp32"},
        **{"batch_size": 8, "micro_batch_size": 4, "dropout": 0.1, "eval_every": 3},
        **{"save_every": 3, "keep_checkpoints": 9, "schedule": "constant"},
    }


def steps_of(run):
    lines = (Path(run) / "events.jsonl").read_text("utf-8").splitlines()
    return [one for one in map(json.loads, lines) if one["event"] == "step"]


def weights(run):
    return load_file(Path(run) / "model" / "model.safetensors")


def test_a_run_is_recorded_and_its_loss_is_that_of_the_text(job, teacher, tmp_path):
    result = nextfill.train(out=tmp_path / "run", student_layers=2, **job)
    run = Path(result.run)
    settings = (run / "config.toml").read_text("utf-8")
    assert f'[distillation]\nteacher = "{teacher}"\nweight = 0.7\ntemperature = 2.0' in settings
    assert json.loads((run / "measured.json").read_bytes())["teacher"]["isolation"] == "positions"
    assert json.loads((run / "model" / "config.json").read_bytes())["n_layer"] == 2
    for step in steps_of(run):
        assert step["loss"] == step["nats"] / step["targets"]
        assert step["distillation_loss"] > 0
    assert steps_of(run)[-1]["distillation_loss"] < steps_of(run)[0]["distillation_loss"]
    assert result.teacher.name == str(teacher)
    assert result.teacher.evaluation.targets == result.after.targets
    assert result.teacher.evaluation.nats < result.before.nats
    assert f"distilled from {teacher}, perplexity " in repr(result)
    assert result.to_json()["teacher"]["perplexity"] == result.teacher.evaluation.perplexity
    assert nextfill.evaluate(run).nats == pytest.approx(result.after.nats, rel=1e-9)


def test_page_and_card_name_the_teacher(job, teacher, tmp_path):
    result = nextfill.train(out=tmp_path / "run", student_layers=2, **job)
    card = (Path(result.model) / "README.md").read_text("utf-8")
    shown = f"{result.teacher.evaluation.perplexity:.2f}"
    assert f"It was distilled from {teacher.name} (weight 0.7, temperature 2.0), whose" in card
    assert "It began with 2 of the layers of that model." in card
    assert "- distillation" in card
    assert str(teacher.parent) not in card
    page = (Path(result.run) / "report.html").read_text("utf-8")
    found = re.search(r'"held-out/teacher/perplexity" value="([^"]+)">([^<]+)<', page)
    assert float(found[1]) == pytest.approx(result.teacher.evaluation.perplexity, rel=1e-12)
    assert found[2] == shown
    assert "Distilled from" in page


@pytest.mark.parametrize("ema", often([None, 0.8], [0.8]))
def test_a_stopped_run_ends_as_if_it_had_not_been(job, ema, tmp_path):
    settings = {**job, "student_layers": 3, "ema_decay": ema}
    nextfill.train(out=tmp_path / "whole", **settings)
    shutil.copytree(tmp_path / "whole", tmp_path / "run")
    for step in (6, 9):
        shutil.rmtree(tmp_path / f"run/checkpoints/step-{step:08d}")
    shutil.rmtree(tmp_path / "run/model")
    nextfill.train(out=tmp_path / "run", resume=True)
    for name in ("events.jsonl", "model/model.safetensors", "model/config.json", "measured.json"):
        one, other = ((tmp_path / run / name).read_bytes() for run in ("whole", "run"))
        assert one == other, name


def test_a_run_does_not_go_on_with_another_teacher(job, teacher, tmp_path):
    copy = tmp_path / "teacher"
    shutil.copytree(teacher / "model", copy)
    nextfill.train(out=tmp_path / "run", student_layers=2, **{**job, "teacher": copy})
    model = AutoModelForCausalLM.from_pretrained(copy)
    with torch.no_grad():
        model.transformer.wpe.weight.add_(0.1)
    model.save_pretrained(copy)
    with pytest.raises(RunError, match="teacher/base/model"):
        nextfill.train(out=tmp_path / "run", resume=True)


def test_without_a_share_a_teacher_changes_no_bit(job, tiny_model, tmp_path):
    """Its dropout, order and masks are those of the run without one."""
    alone = {key: value for key, value in job.items() if key != "teacher"}
    one = nextfill.train(out=tmp_path / "one", model=str(tiny_model), distill_weight=0, **job)
    other = nextfill.train(out=tmp_path / "other", model=str(tiny_model), **alone)
    assert other.teacher is None
    assert "teacher" not in other.to_json()
    first, second = weights(one.run), weights(other.run)
    assert all(torch.equal(first[name], second[name]) for name in second)
    taught = nextfill.train(out=tmp_path / "taught", model=str(tiny_model), **job)
    assert any(not torch.equal(weights(taught.run)[name], second[name]) for name in second)


@pytest.mark.parametrize("micro", [1, 3])
def test_a_step_is_the_same_however_it_is_divided(job, micro, tmp_path):
    settings = {**job, "max_steps": 3, "dropout": 0.0, "student_layers": 2, "packing": "pad"}
    whole = nextfill.train(out=tmp_path / "whole", **{**settings, "micro_batch_size": None})
    parts = nextfill.train(out=tmp_path / "parts", **{**settings, "micro_batch_size": micro})
    for one, other in zip(steps_of(whole.run), steps_of(parts.run), strict=True):
        for key in ("loss", "distillation_loss", "grad_norm"):
            assert one[key] == pytest.approx(other[key], rel=1e-4), key


@pytest.mark.trial
def test_adapters_frozen_layers_and_bfloat16_learn_too(job, tiny_model, tmp_path):
    adapter = nextfill.train(out=tmp_path / "a", model=str(tiny_model), lora_rank=2, **job)
    assert (Path(adapter.model) / "adapter_config.json").is_file()
    merged = nextfill.train(
        out=tmp_path / "m", student_layers=2, lora_rank=2, lora_merge=True, **job
    )
    assert nextfill.evaluate(merged.run).nats == pytest.approx(merged.after.nats, rel=1e-4)
    frozen = nextfill.train(out=tmp_path / "f", student_layers=2, freeze=["layers:0"], **job)
    begun = load_file(Path(job["teacher"]) / "model" / "model.safetensors")
    name = "transformer.h.0.mlp.c_fc.weight"
    assert torch.equal(weights(frozen.run)[name], begun[name])
    low = nextfill.train(out=tmp_path / "b", student_layers=2, **{**job, "precision": "bf16"})
    assert low.after.nats < low.before.nats


def test_a_masked_student_learns_from_a_masked_teacher(tiny_masked, text_file, tmp_path, job):
    settings = {**job, "teacher": str(tiny_masked), "model": str(tiny_masked)}
    result = nextfill.train(out=tmp_path / "run", **settings)
    assert result.objective == "masked"
    assert steps_of(result.run)[-1]["distillation_loss"] > 0
    assert result.teacher.evaluation.nats == pytest.approx(result.before.nats, rel=1e-6)


def test_a_teacher_may_be_an_adapters_run(job, tiny_model, text_file, tmp_path):
    plain = {"data": str(text_file), "max_steps": 3, "block_size": 32, "device": "cpu"}
    adapted = nextfill.train(model=str(tiny_model), lora_rank=2, out=tmp_path / "a", **plain)
    settings = {**job, "teacher": adapted.run, "max_steps": 2}
    result = nextfill.train(out=tmp_path / "run", student_layers=1, **settings)
    assert result.teacher.evaluation.nats > 0
    record = json.loads((tmp_path / "run" / "checksums.json").read_bytes())
    assert any(name.startswith("teacher/adapter/") for name in record["base"])


def test_a_teacher_that_packs_nothing_makes_its_student_pad(
    job, tiny_tokenizer, tiny_model, text_file, tmp_path
):
    shape = {"hidden_size": 32, "n_layer": 2, "n_head": 2}  # ALiBi sees no restarted positions
    bloom = nextfill.train(
        model={"name": "scratch:bloom", "config": shape},
        **{"tokenizer": str(tiny_tokenizer), "data": str(text_file), "max_steps": 2},
        **{"out": tmp_path / "bloom", "device": "cpu"},
    )
    settings = {**job, "teacher": bloom.run, "model": str(tiny_model), "max_steps": 2}
    result = nextfill.train(out=tmp_path / "run", **settings)
    measured = json.loads((tmp_path / "run" / "measured.json").read_bytes())
    assert measured["isolation"] == measured["teacher"]["isolation"] == "pad"
    assert 'packing = "pad"' in (Path(result.run) / "config.toml").read_text("utf-8")


def test_a_student_of_some_layers_is_beside_no_base(job, tmp_path):
    """Its teacher is whole, and the scores before its first step are its own."""
    result = nextfill.train(out=tmp_path / "run", student_layers=2, **job)
    assert nextfill.evaluate(result.run).base is None


@pytest.fixture
def words(text_file, tiny_model):
    return ["train", "--data", text_file, "--model", tiny_model, "--max-steps", "2"]


def test_a_teacher_of_the_other_objective_is_refused(fails, words, tiny_masked):
    message = fails(*words, "--teacher", tiny_masked)
    assert f"--teacher: {tiny_masked} is a masked language model, not a causal one" in message
    assert "--objective" not in message


def test_a_teacher_of_another_vocabulary_is_refused(fails, words, tiny_model, tmp_path):
    folder = tmp_path / "other"
    shutil.copytree(tiny_model, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["<new>"])
    tokenizer.save_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    size = len(tokenizer)
    model.resize_token_embeddings(size)
    model.save_pretrained(folder)
    message = fails(*words, "--teacher", folder)
    assert f"has another vocabulary than its student {tiny_model}: token {size - 1} is" in message
    assert "'<new>' there and none here" in message
    assert "--student-layers" in message


def test_what_is_no_model_is_refused(fails, words, text_file, tmp_path):
    assert f"--teacher: {text_file} is a file, and no model" in fails(
        *words, "--teacher", text_file
    )
    assert "--teacher: There is no model folder" in fails(*words, "--teacher", tmp_path / "none")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--distill-weight", "0.5"], "--distill-weight is of a distillation: give --teacher"),
        (["--distill-weight", "1.5", "--teacher", "builtin:base-causal"], "less than or equal to"),
        (["--distill-temperature", "0", "--teacher", "builtin:base-causal"], "greater than 0"),
        (["--student-layers", "9"], "--student-layers is of a distillation"),
    ],
)
def test_settings_that_do_not_hold_are_refused(fails, words, flags, said):
    assert said in fails(*words, *flags)


def test_blocks_longer_than_a_teachers_positions_are_refused(fails, words, teacher):
    message = fails(*words, "--teacher", teacher, "--block-size", "200", "--student-layers", "2")
    assert "--block-size 200 is above the 128 positions" in message


def test_more_layers_than_a_model_has_are_refused(fails, words, teacher):
    message = fails(*words, "--teacher", teacher, "--student-layers", "9")
    assert "has 2 layers: give 1 to 2" in message


def test_keras_learns_from_the_text_alone(fails, words, teacher):
    message = fails(*words, "--teacher", teacher, "--backend", "keras")
    assert "--backend keras learns from the text alone: leave --teacher out." in message


def test_the_command_tells_the_teacher(words, teacher, tmp_path, capsys):
    flags = ["--teacher", teacher, "--distill-weight", "0.25", "--out", tmp_path / "run"]
    assert main([str(one) for one in [*words, *flags]]) == 0
    printed = capsys.readouterr()
    assert f"teacher {teacher}: " in printed.err
    assert "its predictions have 25% of the loss, at temperature 2" in printed.err
    assert f"distilled from {teacher}, perplexity" in " ".join(printed.out.split())


def test_python_calls_name_keywords(tiny_model, tiny_masked, text_file):
    with pytest.raises(ModelError, match=r"^teacher: "):
        nextfill.train(model=str(tiny_model), data=str(text_file), teacher=str(tiny_masked))
