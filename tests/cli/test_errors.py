"""What the user can mend ends with a message that says how, status 2, and nothing overwritten."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import nextfill
from nextfill.cli.main import COMMANDS, main

SMALL = ["n_embd=32", "n_layer=2", "n_head=2", "n_positions=128"]
LONG_ENOUGH = ["--block-size", "64"]

pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture
def scratch(tiny_tokenizer):
    """Flags of a small model with random weights."""
    sets = [word for item in SMALL for word in ("--set", f"model.config.{item}")]
    return ["--model", "scratch:gpt2", "--tokenizer", str(tiny_tokenizer), *sets, *LONG_ENOUGH]


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny_model, text_file):
    """A finished run."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    words = ["train", "--model", tiny_model, "--data", text_file, "--out", folder, "--quiet"]
    words += ["--max-steps", 1, *LONG_ENOUGH, "--cache-dir", folder.parent / "cache", "--json"]
    assert main([str(word) for word in words]) == 0
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def jsonl(path: Path, rows: list[object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


# The command line itself.


def test_data_in_the_place_of_a_recipe(fails, here):
    (here / "notes.txt").write_text("A note.")
    assert "is no recipe (.toml). To train on it, type: --data notes.txt" in fails(
        "train", "notes.txt"
    )
    assert "To train on it, type: --data ." in fails("train", ".")


def test_a_run_that_is_mistyped_is_named_before_the_network(fails, here, run):
    (here / "runs").symlink_to(run.parent)
    message = fails("generate", "runs/rum", "A")
    assert message.startswith("nextfill: There is no folder runs/rum here. Did you mean 'runs/run'")


def test_a_set_that_evaluate_would_not_score(fails, run, text_file):
    message = fails("evaluate", run, "--set", f"evaluation.general={text_file}")
    assert "evaluation.general: evaluate scores one set" in message


def test_a_temperature_of_nothing(fails, run):
    assert "For the likeliest token each time: --greedy" in fails(
        "generate", run, "A", "--temperature", "0"
    )


def test_a_model_that_is_mistyped_is_no_tokenizer(fails):
    assert "There is no model folder ./modle" in fails("prepare", "--model", "./modle")
    assert "There is no tokenizer folder ./tok" in fails("prepare", "--tokenizer", "./tok")


def test_an_unknown_command(fails):
    message = fails("trian")
    assert "There is no command 'trian'. Did you mean 'train'" in message
    assert all(name in message for name in COMMANDS)
    assert "There is no flag --model before a command" in fails("--model", "x")


def test_every_mistake_of_flags_recipe_and_values_at_once(fails, here):
    recipe = here / "job.toml"
    recipe.write_text("[training]\nlearnig_rate = 1\n[blocks]\nblock_size = 1\n", encoding="utf-8")
    message = fails("train", recipe, "--batch-siez", "4", "--epochs", "many", "--set", "x")
    for part in (
        "5 settings cannot be used",
        "There is no flag --batch-siez. Did you mean '--batch-size'",
        "--set x: expected section.key=value",
        "job.toml: training.learnig_rate: there is no such setting. Did you mean 'learning_rate'?",
        "job.toml: blocks.block_size: found 1. Input should be greater than or equal to 2",
        "--epochs: found 'many'. Input should be a valid number",
    ):
        assert part in message


def test_no_such_recipe_is_reported_with_the_rest(fails):
    message = fails("train", "eli5-casual", "--batch-siez", "4")
    assert "There is no recipe eli5-casual. Did you mean 'eli5-causal'" in message
    assert "There is no flag --batch-siez" in message


def test_a_recipe_that_is_not_toml(fails, here):
    path = here / "bad.toml"
    path.write_text("[training\nepochs = 3", encoding="utf-8")
    message = fails("train", path)
    assert "bad.toml is not valid TOML" in message
    assert "line 1" in message


# Data.


def test_a_missing_file(fails, scratch, text_file):
    message = fails("train", *scratch, "--data", text_file.with_name("leavs.txt"))
    assert f"there is no such file. Did you mean '{text_file}'?" in message


def test_an_empty_file(fails, scratch, tmp_path):
    (tmp_path / "empty.txt").touch()
    assert "is empty (0 bytes)" in fails("train", *scratch, "--data", tmp_path / "empty.txt")


def test_a_field_that_is_not_there(fails, scratch, tmp_path):
    data = jsonl(tmp_path / "qa.jsonl", [{"answers": {"text": f"answer {n}"}} for n in range(9)])
    message = fails("train", *scratch, "--data", data, "--text-field", "answer.text")
    assert "qa.jsonl" in message
    assert "Did you mean 'answers.text'?" in message


def test_null_texts_only(fails, scratch, tmp_path):
    data = jsonl(tmp_path / "null.jsonl", [{"text": None}] * 9)
    message = fails("train", *scratch, "--data", data, "--text-field", "text")
    assert "holds no text" in message
    assert "of 9 records" in message
    assert "--text-field" in message


def test_no_document_left_after_the_split(fails, scratch, tmp_path):
    data = tmp_path / "one.txt"
    data.write_text("A single paragraph.\n", encoding="utf-8")
    message = fails("train", *scratch, "--data", data)
    assert "--eval-data" in message or "--test-size" in message


def test_a_hub_id_without_a_network(fails, scratch, tiny_tokenizer):
    message = fails("train", *scratch, "--data", "nobody/no-such-data")
    assert "There is no file or folder 'nobody/no-such-data' here. As a data set" in message
    assert "is not in the cache" in message
    message = fails("generate", "nobody/no-such-model", "A")
    assert "the Hub cannot be reached" in message
    assert "no folder nobody/no-such-model here" in message
    assert "builtin:base-causal or builtin:base-masked, which need no network" in message


def test_eli5_is_gone(fails, scratch):
    message = fails("train", *scratch, "--data", "eli5")
    assert "--data dany0407/eli5_category --text-field answers.text" in message


def test_evaluation_data_and_a_test_size(fails, scratch, text_file):
    both = ["--eval-data", text_file, "--test-size", "0.2"]
    message = fails("train", *scratch, "--data", text_file, *both)
    assert "Give --eval-data or --test-size, not both" in message


# The run directory.


def test_an_output_folder_in_use(fails, scratch, text_file, tmp_path, run):
    used = tmp_path / "used"
    used.mkdir()
    (used / "letter.txt").write_text("mine", encoding="utf-8")
    data = ["--data", text_file, "--out"]
    assert "is not empty: give a new or empty folder" in fails("train", *scratch, *data, used)
    assert contents(used) == {"letter.txt": b"mine"}
    message = fails("train", *scratch, *data, used / "letter.txt")
    assert "is a file: give a folder" in message
    before = contents(run)
    message = fails("train", *scratch, *data, run)
    assert "already holds a run" in message
    assert "--resume" in message
    assert contents(run) == before


def test_resume_without_a_run(fails, tmp_path):
    assert "holds no run" in fails("train", "--resume", "--out", tmp_path / "nothing")
    message = fails("train", "--resume")
    assert "nextfill train --out RUN --resume" in message


def test_resume_with_a_recipe(fails, run):
    message = fails("train", "quickstart", "--resume", "--out", run)
    assert f"nextfill train --out {run} --resume" in message


@pytest.mark.parametrize(
    ("words", "telling"),
    [
        (["--batch-size", "4"], "--batch-size: the run has 8, not 4."),
        (["--set", "model=other"], "--set model: the run has '"),
        (["--set", "model.config.n_layer=3"], "--set model.config.n_layer: the run has None, not"),
        (["--set", "training={batch_size = 9}"], "--set training.batch_size: the run has "),
    ],
)
def test_resume_with_a_changed_setting(fails, run, words, telling):
    before = contents(run)
    message = fails("train", "--resume", "--out", run, *words, "--seed", "0")
    assert telling in message
    assert "A resumed run keeps its settings" in message
    assert "--seed" not in message  # the same as recorded
    assert contents(run) == before


# The model.


@pytest.fixture
def broken(tiny_model, tmp_path):
    """A copy of the tiny model, to be spoilt."""
    return Path(shutil.copytree(tiny_model, tmp_path / "broken"))


def spoil(folder: Path, change, metadata=None) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata or {"format": "pt"})


def test_missing_weights(fails, broken):
    spoil(broken, lambda weights: weights.pop("transformer.h.1.mlp.c_fc.weight"))
    message = fails("generate", broken, "A")
    assert "lacks weights that a GPT2LMHeadModel needs" in message
    assert "1 missing (transformer.h.1.mlp.c_fc.weight)" in message


def test_mismatched_weights(fails, broken):
    import torch

    spoil(broken, lambda weights: weights.update({"transformer.ln_f.weight": torch.ones(7)}))
    assert "1 of another shape (transformer.ln_f.weight)" in fails("generate", broken, "A")


def test_pickled_weights_are_not_read(fails, broken):
    import torch

    (broken / "model.safetensors").unlink()
    torch.save({}, broken / "pytorch_model.bin")
    message = fails("generate", broken, "A")
    assert "found pytorch_model.bin" in message
    assert "Pickled weights can run code" in message
    assert "save_pretrained" in message


def test_weights_saved_by_tensorflow(fails, broken):
    spoil(broken, lambda weights: None, {"format": "tf"})
    assert "saved by TensorFlow" in fails("generate", broken, "A")


def test_damaged_weights(fails, broken):
    raw = (broken / "model.safetensors").read_bytes()
    (broken / "model.safetensors").write_bytes(raw[:1000])
    assert "model.safetensors is damaged" in fails("generate", broken, "A")


def test_a_vocabulary_larger_than_the_embedding(fails, broken, tiny_tokenizer):
    import torch

    config = json.loads((broken / "config.json").read_text(encoding="utf-8"))
    (broken / "config.json").write_text(json.dumps(config | {"vocab_size": 300}), encoding="utf-8")
    spoil(broken, lambda w: w.update({"transformer.wte.weight": torch.ones(300, 32)}))
    message = fails("generate", broken, "A")
    assert "the embedding of" in message
    assert "has 300 rows" in message
    assert "--tokenizer" in message


def test_a_folder_without_a_tokenizer(fails, broken):
    for path in broken.glob("tokenizer*"):
        path.unlink()
    message = fails("generate", broken, "A")
    assert "holds no tokenizer" in message
    assert "give one with --tokenizer" in message


def test_a_missing_folder_names_the_nearest(fails, broken):
    message = fails("generate", broken.with_name("brokn"), "A")
    assert f"Did you mean '{broken}'?" in message


def test_a_run_without_a_model(fails, run, tmp_path):
    unfinished = Path(shutil.copytree(run, tmp_path / "unfinished"))
    shutil.rmtree(unfinished / "model")
    message = fails("generate", unfinished, "A")
    assert "has no model/ yet" in message
    assert f"nextfill train --out {unfinished} --resume" in message


def test_a_block_size_above_the_models_positions(fails, tiny_model, text_file):
    words = ["--model", tiny_model, "--data", text_file, "--block-size", "129"]
    assert "--block-size 129 is above the 128 positions" in fails("train", *words)


def test_an_unknown_bundled_model(fails):
    message = fails("generate", "builtin:base-casual", "A")
    assert "There is no bundled model 'base-casual'" in message
    if (Path(sys.modules["nextfill"].__file__).parent / "bundled" / "base-causal").is_dir():
        assert "Did you mean 'base-causal'?" in message


def test_scratch_without_a_tokenizer(fails, text_file):
    message = fails("train", "--model", "scratch:gpt2", "--data", text_file)
    assert "has no tokenizer of its own: give one with --tokenizer" in message


def _with(words, shape):
    """Return a command line with another value of a field of the model's config."""
    name = shape.partition("=")[0]
    return [f"model.config.{shape}" if f".{name}=" in str(word) else word for word in words]


def test_a_field_of_another_type_in_the_shape(fails, scratch, text_file):
    found = fails("train", *_with(scratch, "n_layer=two"), "--data", text_file)
    assert "does not make a gpt2" in found
    assert "n_layer" in found


def test_an_unknown_scratch_type(fails, tiny_tokenizer, text_file):
    words = ["--tokenizer", tiny_tokenizer, "--data", text_file]
    message = fails("train", "--model", "scratch:gtp2", *words)
    assert "there is no causal or masked model type 'gtp2'. Did you mean" in message
    assert "'gpt2'" in message


def test_a_bad_override_of_the_models_config(fails, scratch, text_file):
    words = [*scratch, "--data", text_file]
    message = fails("train", *words, "--set", "model.config.n_layr=3")
    assert "a gpt2 config has no such field. Did you mean 'n_layer'?" in message
    message = fails("train", *_with(words, "n_head=5"))
    assert "[model.config] does not make a gpt2" in message


def test_overrides_of_a_trained_model(fails, tiny_model, text_file):
    words = ["--model", tiny_model, "--data", text_file, "--set", "model.config.n_layer=3"]
    assert "a trained one keeps its shape" in fails("train", *words)


def test_a_device_that_is_not_there(fails, tiny_model, text_file):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    message = fails("evaluate", tiny_model, "--data", text_file, "--device", "cuda")
    assert "--device cuda: this machine has none. There is: " in message
    assert "cpu" in message


def test_a_prompt_too_long(fails, tiny_model):
    message = fails("generate", tiny_model, "stones " * 40, "--max-new-tokens", "100", "--json")
    assert "exceeds the model's 128 positions" in message
    assert "Give --max-new-tokens" in message


def test_one_text_many_times(fails, tiny_model):
    message = fails("generate", tiny_model, "A", "--greedy", "--num-samples", "2")
    assert "leave out --num-samples" in message


def test_evaluating_data_that_are_not_there(fails, tiny_model):
    words = ["--data", "nothing.txt", "--json", *LONG_ENOUGH]
    message = fails("evaluate", tiny_model, *words)
    assert "there is no such file" in message


# The same through a process of its own.


@pytest.mark.parametrize(
    ("words", "telling"),
    [
        (["train", "--data", "nothing.jsonl", "--model", "scratch:gpt2"], "--tokenizer"),
        (["train", "quikstart"], "Did you mean 'quickstart'?"),
        (["generate"], "generate wants MODEL"),
    ],
)
def test_a_process_ends_with_status_2_and_one_message(words, telling, here):
    done = subprocess.run(
        [sys.executable, "-m", "nextfill", *words],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONWARNINGS": "default"},
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("nextfill: ")
    assert telling in done.stderr
    assert "Traceback" not in done.stderr
    assert list(here.iterdir()) == []


def test_a_recipe_of_the_hub_names_both_things_that_are_out_of_reach(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(nextfill.UnreachableModelError) as caught:
        nextfill.train("eli5-causal", out=tmp_path / "run")
    message = str(caught.value)
    assert "There is no folder distilbert/distilgpt2 here" in message
    assert "The text, dany0407/eli5_category, is on the Hub, too" in message
    (tmp_path / "notes.txt").write_text("a text\n\nand more\n", encoding="utf-8")
    with pytest.raises(nextfill.UnreachableModelError) as caught:
        nextfill.train("eli5-causal", data="notes.txt", out=tmp_path / "run")
    assert "on the Hub, too" not in str(caught.value)


def test_a_back_end_of_keras_without_keras_is_told(capsys, tmp_path, tiny_model):
    (tmp_path / "notes.txt").write_text("a text\n\n" * 9 + "and more\n", encoding="utf-8")
    words = ["--data", str(tmp_path / "notes.txt"), "--max-steps", "1", "--block-size", "8"]
    out = ["--out", str(tmp_path / "run")]
    main(["train", "--model", str(tiny_model), *words, *out, "--keras-backend", "jax"])
    assert "--keras-backend jax changes nothing without --backend keras" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["train", "look", "prepare"])
@pytest.mark.parametrize("kind", ["pipe", "file"])
def test_piped_text_is_not_passed_over_for_the_built_in_one(
    verb, kind, here, fails, tmp_path, monkeypatch
):
    reading, writing = os.pipe()
    os.write(writing, b"Once upon a time.\n")
    if kind == "file":
        (tmp_path / "text.txt").write_text("Once upon a time.\n")
        os.close(reading)
        reading = os.open(tmp_path / "text.txt", os.O_RDONLY)
    os.close(writing)
    with os.fdopen(reading) as own:
        monkeypatch.setattr(sys, "stdin", own)
        assert "To read what is piped in, type: --data -" in fails(verb)
        assert own.read() == "Once upon a time.\n"
