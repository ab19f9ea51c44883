"""Middles filled in between a prompt and a suffix: as plain transformers does from the same ids."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from tokenizers import AddedToken
from transformers import AutoModelForCausalLM, AutoTokenizer

import nextfill
from nextfill.cli.main import main
from nextfill.config import GenerateConfig, GenerationConfig, ModelConfig
from nextfill.core.errors import ConfigError, NextfillError
from nextfill.data.infilling_tokens import KNOWN
from nextfill.generation.generate import Job
from nextfill.generation.prompts import PromptText
from nextfill.generation.suffix import encode_infills, infilling_tokens_of
from nextfill.models.load import load_model

PREFIX, SUFFIX = "Leaf 7: the river", " old stones and cider, café no."
GREEDY = {"greedy": True, "precision": "fp32", "device": "cpu", "max_new_tokens": 12}


@pytest.fixture(scope="module")
def run(tiny_model, text_file, tmp_path_factory):
    """A run that was trained with infilling, long enough to end a middle now and then."""
    job = {"model": str(tiny_model), "data": str(text_file), "add_tokens": list(KNOWN[0][:3])}
    job |= {"fim_rate": 0.9, "max_steps": 60, "block_size": 64, "learning_rate": 1e-2}
    out = tmp_path_factory.mktemp("infilled") / "run"
    nextfill.train(out=out, device="cpu", precision="fp32", quiet=True, **job)
    return out


@pytest.fixture(scope="module")
def foreign(tiny_model, tmp_path_factory):
    """Folder of a model of another family: other names, a token at the end, nothing on record."""
    names = KNOWN[4]
    folder = tmp_path_factory.mktemp("foreign") / "model"
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.add_tokens([AddedToken(name, special=True) for name in names])
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    torch.manual_seed(1)
    model.resize_token_embeddings(len(tokenizer))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def by_hand(folder, names, order, start):
    """Return the middle that transformers' own generate gives after ids that are made here."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    prefix, suffix, middle = tokenizer.convert_tokens_to_ids(list(names[:3]))
    before, after = (tokenizer(t, add_special_tokens=False)["input_ids"] for t in (PREFIX, SUFFIX))
    if order == "psm":
        ids = [*start, prefix, *before, suffix, *after, middle]
    else:
        ids = [*start, prefix, suffix, *after, middle, *before]
    ends = [0, *tokenizer.convert_tokens_to_ids([name for name in names if name])]
    made = model.generate(
        torch.tensor([ids]), do_sample=False, max_new_tokens=12, pad_token_id=1, eos_token_id=ends
    )
    new = [one for one in made[0, len(ids) :].tolist() if one not in ends]
    return tokenizer.decode(new, skip_special_tokens=True)


@pytest.mark.parametrize("order", ["psm", "spm"])
def test_a_middle_is_that_of_plain_transformers(run, foreign, order):
    [own] = nextfill.generate(run, PREFIX, suffix=SUFFIX, suffix_order=order, **GREEDY)
    assert own["middle"] == by_hand(run / "model", KNOWN[0], order, [0])
    assert own["generated_text"] == PREFIX + own["middle"] + SUFFIX
    [other] = nextfill.generate(foreign, PREFIX, suffix=SUFFIX, suffix_order=order, **GREEDY)
    assert other["middle"] == by_hand(foreign, KNOWN[4], order, [])
    assert other["middle"] != own["middle"]


def test_the_two_orders_are_two_prompts(run):
    texts = {
        nextfill.generate(run, PREFIX, suffix=SUFFIX, suffix_order=order, **GREEDY)[0]["middle"]
        for order in ("psm", "spm")
    }
    assert len(texts) == 2
    assert "middle" not in nextfill.generate(run, PREFIX, **GREEDY)[0]


def test_a_middle_ends_at_its_end_token(run, foreign):
    """That of the text, or one of infilling, which no middle holds."""
    long = {**GREEDY, "greedy": False, "max_new_tokens": 60, "num_samples": 20, "seed": 3}
    made = nextfill.generate(run, PREFIX, suffix=SUFFIX, **long)
    tokenizer = AutoTokenizer.from_pretrained(run / "model")
    lengths = [len(tokenizer(one["middle"])["input_ids"]) for one in made]
    assert min(lengths) < 50
    assert not any(name in one["middle"] for one in made for name in KNOWN[0][:3])
    loaded = load_model(ModelConfig(name=str(foreign)), "causal")
    tokens = infilling_tokens_of(loaded)
    job = Job(loaded, GenerationConfig(), 0, "fp32")
    assert job.ends == {0}
    of_infilling = {tokens.prefix, tokens.suffix, tokens.middle, tokens.end}
    assert replace(job, infills=tokens).ends == {0, *of_infilling}
    assert None not in of_infilling


@pytest.mark.parametrize("order", ["psm", "spm"])
@pytest.mark.parametrize(("prompt", "suffix"), [("", SUFFIX), (PREFIX, ""), ("", "")])
def test_a_part_may_be_empty(run, capsys, prompt, suffix, order):
    [own] = nextfill.generate(run, prompt, suffix=suffix, suffix_order=order, **GREEDY)
    loaded = load_model(ModelConfig(name=str(run)), "causal")
    tokens, eos = infilling_tokens_of(loaded), loaded.tokenizer.eos_token_id
    before, after = (
        loaded.tokenizer(part, add_special_tokens=False)["input_ids"] for part in (prompt, suffix)
    )
    in_order = {
        "psm": [tokens.prefix, *before, tokens.suffix, *after, tokens.middle],
        "spm": [tokens.prefix, tokens.suffix, *after, tokens.middle, *before],
    }
    settings = GenerationConfig(suffix=suffix, suffix_order=order, max_new_tokens=12)
    [made] = encode_infills(loaded, [PromptText(prompt)], tokens, settings)
    assert list(made.ids) == [eos, *in_order[order]]
    assert own["generated_text"] == prompt + own["middle"] + suffix
    words = ["generate", str(run), prompt, "--suffix", suffix, "--suffix-order", order, "--greedy"]
    words += ["--max-new-tokens", "12", "--precision", "fp32", "--device", "cpu", "--quiet"]
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [own]


def test_a_character_of_several_tokens_may_begin_a_suffix_and_end_a_prompt(run):
    """Both ends stay as they are, to the byte; none is decoded from tokens."""
    for prompt, suffix in (("caf\u00e9 \U0001f98a", "\U0001f98a\u0301 x"), ("e", "\u0301")):
        [own] = nextfill.generate(run, prompt, suffix=suffix, **GREEDY)
        assert own["generated_text"] == prompt + own["middle"] + suffix


def test_several_prompts_have_one_suffix(run):
    prompts = [PREFIX, "Leaf 8: an open gate"]
    together = nextfill.generate(run, prompts, suffix=SUFFIX, **GREEDY)
    alone = [nextfill.generate(run, prompt, suffix=SUFFIX, **GREEDY) for prompt in prompts]
    assert together == alone


def test_the_command_prints_prompt_middle_and_suffix(run, capsys, tmp_path):
    [own] = nextfill.generate(run, PREFIX, suffix=SUFFIX, **GREEDY)
    words = ["generate", str(run), PREFIX, "--suffix", SUFFIX, "--greedy", "--max-new-tokens", "12"]
    words += ["--precision", "fp32", "--device", "cpu", "--quiet"]
    assert main(words) == 0
    assert capsys.readouterr().out == own["generated_text"] + "\n"
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [own]
    out = tmp_path / "texts.jsonl"
    assert main([*words, "--out", str(out)]) == 0
    line = {"record": 0, "sample": 0, "prompt": PREFIX, **own}
    assert json.loads(out.read_text("utf-8")) == line


def test_what_cannot_be_filled_in_is_told(fails, tiny_model, run):
    message = fails("generate", tiny_model, "A", "--suffix", "B")
    assert "has no tokens that mark a prefix, a suffix and a middle" in message
    assert "--fim-rate 0.5" in message
    message = fails("generate", run, "A", "--suffix-order", "spm")
    assert "--suffix-order says how --suffix is read" in message
    message = fails("generate", run, "A", "--suffix", "stone " * 200)
    assert "The prompt with its suffix has " in message
    assert "128 positions: give a prompt and a --suffix of at most 127 tokens" in message
    message = fails("generate", run, "A", "--suffix", "B", "--max-new-tokens", "125")
    assert "Give --max-new-tokens 1" in message
    assert "or a shorter prompt or --suffix" in message
    assert "suffix" not in fails("generate", run, "stone " * 200)
    with pytest.raises(NextfillError, match="The suffix holds"):
        nextfill.generate(run, "A", suffix="\ud800")
    with pytest.raises(ConfigError, match="suffix_order"):
        nextfill.generate(run, "A", suffix_order="spm")
    assert GenerateConfig().generation.suffix is None
