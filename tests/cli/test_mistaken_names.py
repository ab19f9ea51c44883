"""Names in the wrong place: a run, a model, text or a folder is told as what it is."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

import nextfill
from nextfill.cli.main import main


@pytest.fixture(scope="module")
def things(tiny_model, tmp_path_factory):
    """A folder with a run, a model, a tokenizer, a text and a folder of texts."""
    folder = tmp_path_factory.mktemp("things")
    (folder / "texts").mkdir()
    text = "\n\n".join(f"Leaf {n} lies here." for n in range(20))
    for path in (folder / "leaves.txt", folder / "texts" / "a.txt"):
        path.write_text(text)
    shutil.copytree(tiny_model, folder / "trainer" / "checkpoint-2")
    (folder / "settings.yaml").write_text("base_model: gpt2")
    (folder / "own.toml").write_text("seed = 1")
    shutil.copytree(tiny_model, folder / "model")
    tokenizer = folder / "tokenizer"
    tokenizer.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tiny_model / name, tokenizer)
    small = {"max_steps": 1, "batch_size": 1, "block_size": 16, "model": str(tiny_model)}
    (folder / "deep" / "none").mkdir(parents=True)
    (folder / "deep" / "none" / "config.toml").write_text("")
    nextfill.train(data=folder / "leaves.txt", out=str(folder / "run"), **small)
    return folder


MISTAKES = [
    ("train run", "run is a run, and no recipe (.toml). To go on with it, type: nextfill train"),
    ("train run", "nextfill train run/config.toml --model run"),
    ("train model", "model is a model, and no recipe (.toml). To train it, type: --model model"),
    ("train run/model", "To train it, type: --model run/model"),
    ("train tokenizer", "type: --tokenizer tokenizer"),
    ("train leaves.txt", "To train on it, type: --data leaves.txt"),
    ("train settings.yaml", "recipes are TOML (.toml)"),
    ("train --config own.toml --data texts", "Type: nextfill train own.toml --data texts"),
    ("train own", "There is no recipe own, and there is own.toml. Type: nextfill train own.toml"),
    ("evaluate --model run --data texts", "Type: nextfill evaluate run --data texts"),
    ("evaluate --model run --model=model", "Type: nextfill evaluate run model"),
    ("generate --model run Once", "Type: nextfill generate run Once"),
    ("evaluate .", "It holds models and runs, the newest last: "),
    ("generate trainer Once", "It holds models, the newest last: trainer/checkpoint-2."),
    ("train trainer", "It holds models, the newest last: trainer/checkpoint-2."),
    ("train --model trainer --data texts", "It holds models, the newest last: "),
    ("report trainer", "It holds models, the newest last: trainer/checkpoint-2."),
    ("bundle trainer", "It holds models, the newest last: trainer/checkpoint-2."),
    ("train texts", "To train on it, type: --data texts"),
    ("train leavs.txt", "Did you mean 'leaves.txt'?"),
    ("train openai-community/gpt2", "given as --model openai-community/gpt2, and text as --data"),
    ("train builtin:base-causal", "type: --model builtin:base-causal"),
    ("train builtin:torch-docs", "type: --data builtin:torch-docs"),
    ("train eli5", "Did you mean 'eli5-causal' or 'eli5-masked'?"),
    ("train wikitext2", "Did you mean 'wikitext2-scratch'?"),
    ("train quickstrat", "Did you mean 'quickstart"),
    ("train --resume run", "nextfill train --out run --resume"),
    ("train --resume --out rnu", "Did you mean 'run'?"),
    ("train --resume --out deep/non", "Did you mean 'deep/none'?"),
    ("report rnu", "Did you mean 'run'?"),
    ("generate run/report.html Once", "Name its run: run"),
    ("generate run/model/model.safetensors Once", "Name its run: run"),
    ("evaluate run/events.jsonl", "Name its run: run"),
    ("bundle run/report.html", "Name its run: run"),
    ("train run/report.html", "report.html is a file of the run run, and no recipe"),
    ("look --data run", "no text to read. run serves where a model is asked for. Name your text"),
    ("train --data leaves.txt,texts/a.txt", "source = 'texts/a.txt'\nThen type: nextfill train "),
    ("look --data leaves.txt,texts", "joins 2 names, and takes one: a folder, or a pattern"),
    ("train --data leaves.txt;texts", "[[data]]\nsource = 'texts'"),
    ("train --data texts deep", "--data takes one name, and here are 2. For several sources"),
    ("train --data texts --data deep", "[[data]]\nsource = 'deep'"),
    ("train --data www.gutenberg.org/a.txt", "Type: --data https://www.gutenberg.org/a.txt"),
    ("train --data gutenberg.org/files/1/1.txt", "Type: --data https://gutenberg.org/files/1/1."),
    ("resume run", "Type: nextfill train --out run --resume"),
    ("compare run model", "Type: nextfill evaluate run model"),
    ("cache clear", "Type: nextfill cache prune"),
    ("cache ls", "Type: nextfill cache list"),
    ("chat run", "Type: nextfill generate run --interactive"),
    ("train --max-steps 1,000", "found '1,000'. Input should be a valid integer. Give 1000."),
    ("train --max-steps 1e1", "a valid integer. Give 10."),
    ("train --learning-rate 1,5", "a valid number. Give 1.5."),
    ("train --set training.max_steps=2k", "a valid integer. Give 2000."),
    ("generate run --max-new-tokens 1.000 Once", "Give 1000, or 1."),
    ("train --model leaves.txt", "is a file, and no model"),
    ("train --model texts", "If its files are your text, type: "),
    ("train --model tokenizer", "What is there is a tokenizer, for --tokenizer"),
    ("train --model model/model.safetensors", "Name the folder that it lies in"),
    ("train --model gpt-2", "Did you mean 'openai-community/gpt2'?"),
    ("train --model GPT2", "Did you mean 'openai-community/gpt2'?"),
    ("train --data run --model model", "is a run directory, and its files are no text"),
    ("train --data model --model model", "serves where a model is asked for"),
    ("evaluate model", "does not say which text to score. Name it, as in: nextfill evaluate model"),
    ("evaluate run/model", "Or evaluate its run: nextfill evaluate "),
    ("evaluate texts", "nextfill evaluate MODEL --data texts"),
    ("evaluate leaves.txt", "train --data leaves.txt"),
    ("generate texts Once", "texts is no model"),
    ("look leaves.txt", "If these are your data, type: --data leaves.txt"),
    ("prepare leaves.txt", "If these are your data, type: --data leaves.txt"),
    ("share me/leaves run", "The run comes first: nextfill share run USER/NAME"),
]


@pytest.mark.parametrize(("line", "words"), MISTAKES, ids=[f"{a} {b[:9]}" for a, b in MISTAKES])
def test_a_mistake_is_told_with_what_to_type(line, words, things, monkeypatch, capsys):
    monkeypatch.chdir(things)
    before = sorted(Path().rglob("*"))
    assert main(line.split()) == 2
    printed = capsys.readouterr()
    assert words in printed.err
    assert "Traceback" not in printed.err
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize(
    "line",
    [
        "generate base-Novel Once",
        "generate base-novel Once",
        "fill base-Novel a___",
        "evaluate base-Novel --data texts",
        "report base-Novel",
        "share base-Novel me/novel",
        "bundle base-Novel",
        "train --out base-Novel --resume",
    ],
)
def test_the_run_of_a_name_without_its_folder(line, things, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts").symlink_to(things / "texts")
    shutil.copytree(things / "run", tmp_path / "runs" / "base-Novel")
    assert main(line.split()) == 2
    assert "Did you mean runs/base-Novel?" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["generate", "fill"])
def test_a_text_before_the_model(verb, things, monkeypatch, capsys):
    monkeypatch.chdir(things)
    assert main([verb, "Once upon a ___", "run"]) == 2
    said = capsys.readouterr().err
    if verb == "generate":
        assert "it stands after the model: nextfill generate MODEL TEXT" in said
    else:
        assert shlex.split(said)[-3:] == ["fill", "run", "Once upon a ___"]


def test_from_python_they_are_told_likewise(things, monkeypatch):
    monkeypatch.chdir(things)
    with pytest.raises(nextfill.ConfigError, match=r"train\('run/config\.toml', model='run'\)"):
        nextfill.train("run")
    with pytest.raises(nextfill.ConfigError, match="type: data"):
        nextfill.train("leaves.txt")
    with pytest.raises(nextfill.NextfillError, match="is a file, and no model"):
        nextfill.evaluate("leaves.txt")


def test_login_without_a_terminal_says_what_a_script_does():
    with pytest.raises(nextfill.HubError, match=r"login\(token=...\).*HF_TOKEN"):
        nextfill.login()
    with pytest.raises(nextfill.HubError, match="found a value of type int") as caught:
        nextfill.login(81234567)
    assert "8123" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "typed"),
    [
        ("look --data {}", "--data"),
        ("look --data={}", "--data"),
        ("look {}", "--data"),
        ("train --data {} --max-steps 1", "--data"),
        ("train {}", "--data"),
        ("train --quiet --data leaves.txt --eval-data {}", "--eval-data"),
        ("evaluate run --data {}", "--data"),
    ],
)
def test_a_pattern_without_quotes_is_told_once(line, typed, things, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "My Novel").mkdir()
    names = [f"My Novel/{number}.txt" for number in range(5)]
    for name in (*names, "leaves.txt"):
        (tmp_path / name).write_text("Leaves lie here.")
    words = line.replace("run", str(things / "run")).split(" ")
    at = next(number for number, word in enumerate(words) if "{}" in word)
    words[at : at + 1] = [words[at].format(names[0]), *names[1:]]
    assert main(words) == 2
    told = capsys.readouterr().err
    assert f"{typed} takes one name, and here are 5: My Novel/0.txt, My Novel/1.txt and 3" in told
    assert f"Type: {typed} 'My Novel/*.txt', or name the folder: {typed} 'My Novel'" in told
    assert "too many" not in told
    assert told.count("one name") == 1


def test_a_recipe_and_models_after_the_data_are_no_pattern(things, monkeypatch, capsys):
    monkeypatch.chdir(things)
    assert main(["train", "--data", "leaves.txt", "run/config.toml", "--max-steps", "x"]) == 2
    assert main(["evaluate", "--data", "leaves.txt", "run", "model", "--stride", "x"]) == 2
    assert "one name" not in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["generate", "fill"])
def test_a_text_given_by_a_flag_stands_after_the_model(verb, things, monkeypatch, capsys):
    monkeypatch.chdir(things)
    flag = {"generate": "--prompt", "fill": "--text"}[verb]
    assert main([verb, "run", flag, "The vicar"]) == 2
    told = capsys.readouterr().err
    assert f"There is no flag {flag}. The text stands after the model: " in told
    assert f"{verb} run 'The vicar'" in told


@pytest.mark.parametrize(("dash", "noun"), [("\u2013", "an en dash"), ("\u2014", "an em dash")])
def test_a_dash_of_a_word_processor_is_named(dash, noun, things, monkeypatch, capsys):
    monkeypatch.chdir(things)
    for words in (["look", f"{dash}data", "texts"], ["train", f"{dash}-data=texts"]):
        assert main(words) == 2
        told = capsys.readouterr().err
        assert f"begins with {noun} ({dash})" in told
        assert "Type: --data" in told
        assert "too many" not in told


def test_a_text_that_begins_with_a_dash_is_a_text(things, monkeypatch, capsys):
    monkeypatch.chdir(things)
    assert main(["generate", "run", "\u2014 Bonjour", "--max-new-tokens", "1", "--quiet"]) == 0
    assert "\u2014 Bonjour" in capsys.readouterr().out


def test_a_near_name_with_spaces_is_told(things, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(things / "run", tmp_path / "runs" / "my five chapters")
    for line in ("generate", "bundle", "share"):
        more = {"generate": ["The vicar"], "share": ["me/x"]}.get(line, [])
        assert main([line, "runs/my five chapter", *more]) == 2
        assert "Did you mean 'runs/my five chapters'?" in capsys.readouterr().err


@pytest.fixture(scope="module")
def stopped(things, tmp_path_factory):
    """A run without a model/ yet, and a copy of its checkpoint elsewhere."""
    folder = tmp_path_factory.mktemp("stopped")
    shutil.copytree(things / "run", folder / "run")
    shutil.rmtree(folder / "run" / "model")
    shutil.copytree(folder / "run" / "checkpoints" / "step-00000001", folder / "copy")
    return folder


AT_CHECKPOINTS = [
    "evaluate {} --data leaves.txt",
    "evaluate {}",
    "evaluate model {} --data leaves.txt",
    "generate {} Once",
    "fill {} Once",
    "report {}",
    "bundle {}",
    "share {} me/leaves",
    "train {}",
    "train --data leaves.txt --out {}",
    "train --out {} --resume",
    "train --data leaves.txt --model {}",
    "prepare --data leaves.txt --model {}",
]


@pytest.mark.parametrize("line", AT_CHECKPOINTS)
@pytest.mark.parametrize("name", ["run/checkpoints/step-00000001", "run/checkpoints"])
def test_a_checkpoint_is_told_with_its_run(line, name, things, monkeypatch, capsys):
    monkeypatch.chdir(things)
    before = sorted(Path().rglob("*"))
    assert main(line.format(name).split()) == 2
    printed = capsys.readouterr().err
    assert re.search(
        r"of the run \S*run, and no run or model\. Name the run, .*: \S*run\n", printed
    )
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("run/checkpoints/step-00000001", "finish it with: nextfill train --out run --resume"),
        ("copy", "name the run that it was copied from"),
    ],
)
def test_a_checkpoint_without_a_model_above_it(name, words, stopped, monkeypatch, capsys):
    monkeypatch.chdir(stopped)
    assert main(["generate", name, "Once"]) == 2
    assert words in capsys.readouterr().err


def test_a_checkpoint_that_is_the_current_folder(things, monkeypatch):
    run = things / "run"
    monkeypatch.chdir(run / "checkpoints" / "step-00000001")
    for name in (".", "../step-00000001", ".."):
        with pytest.raises(nextfill.RunError, match=f"Name the run, whose model is there: {run}"):
            nextfill.evaluate(name)
