"""Words that get tokens of their own: trained, recorded, resumed, evaluated, used and refused."""

from __future__ import annotations

import json
import random
import re
import shutil
import tomllib
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import nextfill
from nextfill.cli.main import main
from nextfill.core.errors import ConfigError, RunError

JOB = {"max_steps": 4, "block_size": 32, "quiet": True, "device": "cpu", "precision": "fp32"}
JOB |= {"test_size": 0.2, "learning_rate": 1e-2}


@pytest.fixture(scope="module")
def leaves(tmp_path_factory, paragraphs):
    """A text with words that the tiny tokenizer splits; one stands in a few documents alone."""
    rng = random.Random(3)
    texts = [
        f"{one} The {rng.choice(('Zeppelin', 'Quebec'))} (Zeppelin) of Mozambique."
        for one in paragraphs(60, 9)
    ]
    path = tmp_path_factory.mktemp("leaves") / "leaves.txt"
    path.write_text("\n\n".join(texts), "utf-8")
    return path


@pytest.fixture
def job(tiny_model, leaves):
    return {"model": str(tiny_model), "data": str(leaves), **JOB}


def settings_of(result):
    return tomllib.loads((Path(result.run) / "config.toml").read_text("utf-8"))["new_tokens"]


def model_bytes(folder):
    return (Path(folder) / "model" / "model.safetensors").read_bytes()


def test_a_run_with_new_words_opens_in_plain_transformers(job, tiny_model, tmp_path):
    result = nextfill.train(out=tmp_path / "run", add_tokens=["Zeppelin", "the"], **job)
    new = result.new_words
    assert (new.words, new.already, new.tokens) == (("Zeppelin",), ("the",), 2)
    assert new.held_out_tokens < new.held_out_tokens_without
    tokenizer = AutoTokenizer.from_pretrained(result.model)
    model = AutoModelForCausalLM.from_pretrained(result.model).eval()
    assert model.config.vocab_size == len(tokenizer)
    text = "The Zeppelin (Zeppelin) of the Zeppelins"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == text
    base = AutoTokenizer.from_pretrained(tiny_model)
    assert len(ids) < len(base(text, add_special_tokens=False)["input_ids"])
    loaded = nextfill.load(result.run) if hasattr(nextfill, "load") else None
    assert loaded is None or loaded
    with torch.no_grad():
        nats = torch.nn.functional.cross_entropy(
            model(torch.tensor([ids])).logits[0, :-1], torch.tensor(ids[1:])
        )
    assert torch.isfinite(nats)
    start = AutoModelForCausalLM.from_pretrained(tiny_model)
    rows = model.get_input_embeddings().weight.detach()
    first = tokenizer.convert_tokens_to_ids("ĠZeppelin")
    pieces = base(" Zeppelin", add_special_tokens=False)["input_ids"]
    mean = start.get_input_embeddings().weight[pieces].mean(0)
    assert (rows[first] - mean).abs().max() > 1e-3  # it is trained


def test_the_model_without_the_words_is_scored_in_its_own_tokens(job, tmp_path, tiny_model):
    result = nextfill.train(out=tmp_path / "run", add_tokens=["Zeppelin"], **job)
    own = nextfill.train(out=tmp_path / "own", **job)
    without = result.new_words.without
    assert without.nats == pytest.approx(own.before.nats, rel=1e-9)
    assert (without.bytes, without.targets) == (own.before.bytes, own.before.targets)
    assert result.before.bytes == without.bytes
    evaluated = nextfill.evaluate(result.run)
    assert evaluated.nats == pytest.approx(result.after.nats, rel=1e-9)
    assert evaluated.base.evaluation.nats == pytest.approx(without.nats, rel=1e-9)
    assert evaluated.base.difference.nats_per_token is None
    assert evaluated.base.difference.bits_per_byte.value == pytest.approx(
        result.after.bits_per_byte - without.bits_per_byte, rel=1e-6
    )
    assert "bits per byte" in repr(evaluated)
    shown = repr(result)
    assert "2 new tokens for 1 word" in shown
    assert f"{without.bits_per_byte:.3f} without them" in shown
    for page in (Path(result.run) / "report.html", Path(result.model) / "README.md"):
        text = page.read_text("utf-8")
        assert "2 new tokens for 1 word" in text, page
        assert "perplexities of other tokens do not compare" in text, page
    plain = json.loads(json.dumps(result.to_json()))
    assert plain["new_words"]["without"]["bits_per_byte"] == without.bits_per_byte
    assert own.new_words is None
    assert own.to_json()["new_words"] is None


def test_words_of_the_data_are_those_of_the_training_part(job, tmp_path, leaves):
    held = tmp_path / "held.txt"
    held.write_text("\n\n".join(f"Leaf {n}: Xylophone Xylophone Xylophone" for n in range(4)))
    split = {**job, "eval_data": str(held)}
    del split["test_size"]
    result = nextfill.train(out=tmp_path / "run", add_tokens_from_data=2, **split)
    assert result.new_words.words == ("Zeppelin", "Mozambique")
    assert settings_of(result)["chosen"] == ["Zeppelin", "Mozambique"]
    assert settings_of(result)["from_data"] == 2
    with pytest.raises(ConfigError, match=r"the training data hold .* words that .* splits"):
        nextfill.train(out=tmp_path / "more", add_tokens_from_data=10_000, **split)


def test_words_of_held_out_documents_are_not_chosen(job, tmp_path):
    letters = [f"{one}{other}" for one in "bdfgk" for other in "aeiou"]
    words = [f"Zepp{one}{one}lin" for one in letters]
    source = tmp_path / "each.txt"
    source.write_text("\n\n".join(f"The {one} and a {one}." for one in words), "utf-8")
    settings = {**job, "data": str(source)}
    result = nextfill.train(out=tmp_path / "run", add_tokens_from_data=12, **settings)
    nextfill.evaluate(result.run, base=False, out=tmp_path / "documents.jsonl")
    held_out = [
        json.loads(one) for one in (tmp_path / "documents.jsonl").read_text("utf-8").splitlines()
    ]
    apart = {words[one["record"]] for one in held_out}
    assert len(apart) == 5
    assert len({*words} & {*result.new_words.words}) >= 8
    with pytest.raises(ConfigError) as told:
        nextfill.train(out=tmp_path / "all", add_tokens_from_data=1000, **settings)
    most = int(re.search(r"hold (\d+) words", str(told.value))[1])
    every = nextfill.train(out=tmp_path / "every", add_tokens_from_data=most, **settings)
    assert {*words} - {*every.new_words.words} == apart


def test_a_resumed_run_comes_to_the_same_bytes(job, tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("Quebec\n\nMozambique\n", "utf-8")
    settings = {**job, "add_tokens_file": str(words), "add_tokens_from_data": 1, "save_every": 2}
    whole = nextfill.train(out=tmp_path / "whole", **settings)
    nextfill.train(out=tmp_path / "run", **settings)
    words.unlink()  # the words are on record
    for late in ("checkpoints/step-00000004", "model"):
        shutil.rmtree(tmp_path / "run" / late)
    again = nextfill.train(out=tmp_path / "run", resume=True)
    assert again.after == whole.after
    assert again.new_words == whole.new_words
    assert again.new_words.words == ("Quebec", "Mozambique", "Zeppelin")
    assert model_bytes(tmp_path / "run") == model_bytes(tmp_path / "whole")
    for late in ("checkpoints", "model"):  # and from the first step
        shutil.rmtree(tmp_path / "run" / late)
    first = nextfill.train(out=tmp_path / "run", resume=True)
    assert first.new_words == whole.new_words
    assert model_bytes(tmp_path / "run") == model_bytes(tmp_path / "whole")


def test_a_resumed_run_whose_tokenizer_would_be_another_is_refused(job, tmp_path, tiny_model):
    own = tmp_path / "model"
    shutil.copytree(tiny_model, own)
    settings = {**job, "model": str(own), "add_tokens": ["Zeppelin"], "save_every": 2}
    nextfill.train(out=tmp_path / "run", **settings)
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "step-00000004")
    shutil.rmtree(tmp_path / "run" / "model")
    tree = json.loads((own / "tokenizer.json").read_text("utf-8"))
    tree["model"]["merges"].pop()
    (own / "tokenizer.json").write_text(json.dumps(tree), "utf-8")
    with pytest.raises(RunError, match="new tokens"):
        nextfill.train(out=tmp_path / "run", resume=True)


def test_a_run_trained_further_has_its_words_already(job, tmp_path):
    first = nextfill.train(out=tmp_path / "one", add_tokens_from_data=2, **job)
    recipe = Path(first.run) / "config.toml"
    further = nextfill.train(recipe, model=first.run, out=tmp_path / "two", quiet=True)
    assert further.new_words is None
    assert settings_of(further)["chosen"] == list(first.new_words.words)
    sizes = {
        AutoModelForCausalLM.from_pretrained(one.model).config.vocab_size
        for one in (first, further)
    }
    assert len(sizes) == 1
    other = nextfill.train(
        recipe, model=first.run, out=tmp_path / "three", add_tokens_from_data=1, quiet=True
    )
    assert len(other.new_words.words) == 1  # asked for anew
    assert not {*other.new_words.words} & {*first.new_words.words}


def test_its_model_is_generated_from_and_further_adapted(job, tmp_path, capsys):
    result = nextfill.train(out=tmp_path / "run", add_tokens=["Zeppelin"], **job)
    made = nextfill.generate(result.run, "The Zeppelin", max_new_tokens=4, greedy=True)
    assert repr(made)
    adapted = nextfill.train(out=tmp_path / "adapter", lora_rank=2, **{**job, "model": result.run})
    assert adapted.new_words is None
    assert nextfill.evaluate(adapted.run).nats == pytest.approx(adapted.after.nats, rel=1e-9)


def test_a_masked_model_gets_words_too(tiny_masked, leaves, tmp_path):
    settings = {**JOB, "model": str(tiny_masked), "data": str(leaves)}
    result = nextfill.train(out=tmp_path / "run", add_tokens=["Zeppelin"], **settings)
    assert result.new_words.tokens == 2
    assert "no figure compares" in repr(result)
    assert nextfill.evaluate(result.run).base is None
    filled = nextfill.fill(result.run, "The ___ of the river.", targets=["Zeppelin"])
    assert repr(filled)
    assert nextfill.evaluate(result.run, pseudo=True).base is not None


def test_stores_of_other_words_are_others(job, tmp_path):
    one, other = (
        nextfill.train(out=tmp_path / word, add_tokens=[word], **job)
        for word in ("Zeppelin", "Quebec")
    )
    assert one.before.targets != other.before.targets
    again = nextfill.train(out=tmp_path / "again", add_tokens=["Zeppelin"], **job)
    assert again.after == one.after


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--add-tokens", ""], "--add-tokens: '' is empty"),
        (["--add-tokens", "a b"], "holds a space"),
        (["--add-tokens", "a,b"], "holds a comma; expected one word: name each with a flag"),
        (["--add-tokens", "<|endoftext|>"], "is a special token"),
        (["--add-tokens-file", "none.txt"], "none.txt cannot be read: No such file"),
        (["--add-tokens-file", "empty.txt"], "empty.txt holds no word; expected one a line"),
        (["--add-tokens-file", "bytes.txt"], "bytes.txt is not in UTF-8"),
        (["--add-tokens-from-data", "0"], "--add-tokens-from-data"),
        (["--add-tokens-from-data", "5000"], "words that"),
        (["--add-tokens", "Zeppelin", "--lora-rank", "2"], "leave --lora-rank out"),
        (["--add-tokens", "Zeppelin", "--freeze", "embeddings"], "would not be trained"),
        (["--add-tokens", "Zeppelin", "--train-only", "layers:0"], "would not be trained"),
    ],
)
def test_what_cannot_be_done_is_refused(flags, told, fails, here, leaves, tiny_model):
    (here / "empty.txt").write_text("\n \n")
    (here / "bytes.txt").write_bytes(b"caf\xe9\n")
    message = fails("train", "--data", leaves, "--model", tiny_model, *flags)
    assert told in message


def test_a_python_call_is_told_in_python(job, tmp_path):
    with pytest.raises(ConfigError, match="add_tokens") as told:
        nextfill.train(out=tmp_path / "run", add_tokens=["a b"], **job)
    assert "--add-tokens" not in str(told.value)


def test_live_models_are_left_alone(job, tmp_path, tiny_model):
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    live = {**job, "model": model, "tokenizer": tokenizer}
    with pytest.raises(ConfigError, match="resize_token_embeddings"):
        nextfill.train(out=tmp_path / "run", add_tokens=["Zeppelin"], **live)
    assert len(tokenizer) == model.config.vocab_size


def test_an_adapter_gets_no_words(job, tmp_path):
    adapter = nextfill.train(out=tmp_path / "adapter", lora_rank=2, **job)
    with pytest.raises(ConfigError, match="is an adapter, which holds no embeddings"):
        nextfill.train(
            out=tmp_path / "run", add_tokens=["Zeppelin"], **{**job, "model": adapter.run}
        )


def test_the_command_says_what_the_words_gain(tiny_model, leaves, tmp_path, capsys):
    flags = ["--add-tokens", "Zeppelin", "--add-tokens", "the", "--add-tokens-from-data", "1"]
    flags += ["--max-steps", "1", "--block-size", "32", "--device", "cpu"]
    out = tmp_path / "run"
    status = main(
        ["train", "--data", str(leaves), "--model", str(tiny_model), *flags, "--out", str(out)]
    )
    printed = capsys.readouterr()
    assert status == 0
    assert "1 word is in the vocabulary" in printed.err
    assert "compare bits per byte, not perplexities" in printed.err
    assert "new tokens for 2 words: the held-out text is" in printed.out
