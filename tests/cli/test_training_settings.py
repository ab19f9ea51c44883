"""The settings of training that a person looks for, at the command line and from Python."""

from __future__ import annotations

import json

import pytest

import nextfill
from nextfill.cli.main import main
from nextfill.core import atomic_write
from nextfill.core.errors import ConfigError
from nextfill.runs.directory import RunDirectory


@pytest.fixture
def words(tiny_model, text_file, tmp_path):
    line = ["train", "--model", tiny_model, "--data", text_file, "--out", tmp_path / "run"]
    line += ["--block-size", 32, "--batch-size", 2, "--precision", "fp32", "--quiet"]
    return [*map(str, line), "--max-steps", "6", "--save-every", "1"]


def checkpoints(run):
    return sorted(path.name for path in (run / "checkpoints").iterdir())


def test_so_many_checkpoints_stay_and_the_best_weights_beside_them(words, tmp_path):
    run = tmp_path / "run"
    assert main([*words, "--keep-checkpoints", "3", "--keep", "best", "--eval-every", "1"]) == 0
    steps = [f"step-0000000{step}" for step in (4, 5, 6)]
    assert checkpoints(run) == ["best.safetensors", *steps]
    for step in steps[1:]:
        (run / "checkpoints" / step / "cursor.json").write_text("{}")
    assert main(["train", "--out", str(run), "--resume", "--quiet", "--keep-checkpoints", "1"]) == 0
    assert checkpoints(run) == ["best.safetensors", steps[-1]]
    assert "keep_checkpoints = 3" in (run / "config.toml").read_text("utf-8")


def test_a_kill_while_one_is_removed_costs_nothing(words, tmp_path, monkeypatch):
    run, whole = tmp_path / "run", tmp_path / "whole"
    at = words.index("--out") + 1
    assert main([*words[:at], str(whole), *words[at + 1 :]]) == 0

    def kill(path):
        raise KeyError(path.name)

    monkeypatch.setattr(atomic_write, "_remove", kill)
    with pytest.raises(KeyError):
        main([*words, "--keep-checkpoints", "1"])
    monkeypatch.undo()
    assert main(["train", "--out", str(run), "--resume", "--quiet"]) == 0
    assert checkpoints(run) == ["step-00000006"]
    for name in ("model/model.safetensors", "checkpoints/step-00000006/optimizer.safetensors"):
        assert (run / name).read_bytes() == (whole / name).read_bytes()


@pytest.mark.parametrize("kind", ["adamw-unfused", "sgd", "adafactor"])
def test_an_optimizer_lowers_the_loss_and_is_recorded(kind, words, tmp_path, capsys):
    run = tmp_path / "run"
    rate = {"adamw-unfused": "1e-3", "sgd": "0.1", "adafactor": "1e-2"}[kind]
    assert main([*words, "--optimizer", kind, "--learning-rate", rate, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["after"]["nats"] < result["before"]["nats"]
    assert f'optimizer = "{kind}"' in (run / "config.toml").read_text("utf-8")
    assert main(["train", "--out", str(run), "--resume", "--optimizer", "adamw", "--quiet"]) == 2
    assert f"--optimizer: the run has '{kind}', not 'adamw'" in capsys.readouterr().err


def test_batches_of_few_blocks_are_smaller(tiny_model, text_file, tmp_path, capsys):
    run = tmp_path / "run"
    words = ["train", "--model", str(tiny_model), "--data", str(text_file), "--block-size", "32"]
    words += ["--epochs", "1", "--precision", "fp32", "--least-steps", "5", "--json"]
    assert main([*words, "--batch-size", "64", "--micro-batch-size", "32", "--out", str(run)]) == 0
    shown = capsys.readouterr()
    result, said = json.loads(shown.out), shown.err
    settings = (run / "config.toml").read_text("utf-8")
    size = int(settings.partition("\nbatch_size = ")[2].partition("\n")[0])
    blocks = RunDirectory(run).read_events("step")[-1]["blocks"]
    assert size < 64
    assert blocks // (2 * size) < 5 <= result["steps"]
    assert f"\nmicro_batch_size = {max(1, size // 2)}\n" in settings
    assert f"batches of {size} block" in said
    other = tmp_path / "other"
    assert main(["train", str(run / "config.toml"), "--out", str(other), "--quiet", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert (again["steps"], again["after"]) == (result["steps"], result["after"])
    few = [*words, "--batch-size", str(size), "--micro-batch-size", str(max(1, size // 2))]
    assert main([*few, "--out", str(tmp_path / "few")]) == 0
    assert json.loads(capsys.readouterr().out)["after"] == result["after"]
    assert main(["train", "--out", str(run), "--resume", "--quiet"]) == 0


def test_a_number_that_an_optimizer_does_not_have_is_refused_where_it_is_typed(
    words, tmp_path, capsys
):
    assert main([*words, "--optimizer", "sgd", "--beta2", "0.9", "--epsilon", "1"]) == 2
    said = capsys.readouterr().err
    assert "--beta2 is a number of AdamW's, and --optimizer sgd has none such" in said
    assert "--epsilon is a number" in said
    assert not (tmp_path / "run").exists()
    assert main([*words, "--optimizer", "sgd", "--beta1", "0.5"]) == 0
    again = str(tmp_path / "again")
    assert main(["train", str(tmp_path / "run/config.toml"), "--out", again, "--quiet"]) == 0
    with pytest.raises(ConfigError, match="beta1 is a number of AdamW's"):
        nextfill.train(optimizer="adafactor", beta1=0.5)


def test_stages_of_a_recipe_follow_one_another(words, tmp_path, capsys):
    stage = '{{ end = {}, num_steps = 9, learning_rate = 1e-3, schedule = "constant" }}'
    recipe = tmp_path / "one.toml"
    recipe.write_text(f"[training]\nstages = [{stage.format(7)}]\n")
    assert main([words[0], str(recipe), *words[1:]]) == 2
    assert "training.stages end at 7 and the run at 6" in capsys.readouterr().err
    recipe.write_text(f"[training]\nstages = [{stage.format(4)}]\n")
    assert main([words[0], str(recipe), *words[1:]]) == 0
    [event] = RunDirectory(tmp_path / "run").read_events("stage")
    assert (event["step"], event["num_steps"], event["schedule"]) == (4, 6, "linear")


def test_a_live_model_goes_on_to_more_steps(tiny_model, text_file, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    weights = []
    for steps in ([4, 8], [8]):
        model = AutoModelForCausalLM.from_pretrained(tiny_model)
        out = tmp_path / str(steps)
        job = {"model": model, "tokenizer": tokenizer, "out": out}
        new = {"data": text_file, "block_size": 32, "schedule": "constant", "precision": "fp32"}
        for number, count in enumerate(steps):
            of_it = {"resume": True} if number else new
            nextfill.train(**job, **of_it, max_steps=count)
        weights.append(model.state_dict()["transformer.wte.weight"])
    assert weights[0].equal(weights[1])


def test_a_warm_up_longer_than_the_run_is_noted(words, capsys):
    line = [word for word in words if word != "--quiet"]
    assert main([*line, "--warmup-steps", "20", "--learning-rate", "4e-4"]) == 0
    note = "warm-up of 20 steps is not over in 6 steps: the learning rate ends at 0.0001, not at"
    assert note in capsys.readouterr().err


def test_a_warm_up_within_the_run_is_no_note(words, capsys):
    line = [word for word in words if word != "--quiet"]
    assert main([*line, "--warmup-steps", "5"]) == 0
    assert "warm-up" not in capsys.readouterr().err
