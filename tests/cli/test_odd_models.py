"""Models that transformers cannot generate with as it would, and one that cannot at all."""

from __future__ import annotations

import json

import pytest
import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

import nextfill
from nextfill.cli.main import main

SHAPES = {
    "prophetnet": {
        "hidden_size": 32,
        "num_decoder_layers": 2,
        "decoder_ffn_dim": 64,
        "num_decoder_attention_heads": 2,
        "max_position_embeddings": 130,
        "is_decoder": True,
        "add_cross_attention": False,
    },
    "xmod": {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 130,
        "is_decoder": True,
        "languages": ["en_XX"],
        "default_language": "en_XX",
    },
}
LEAST = 9
"""Tokens below which the model that refuses short texts refuses them."""


@pytest.fixture(scope="module", params=SHAPES)
def odd(request, tiny_tokenizer, tmp_path_factory):
    """Folder of a tiny model of each type."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_tokenizer)
    special = {name: getattr(tokenizer, name) for name in ("pad_token_id", "eos_token_id")}
    torch.manual_seed(0)
    shape = AutoConfig.for_model(
        request.param, vocab_size=len(tokenizer), **special, **SHAPES[request.param]
    )
    folder = tmp_path_factory.mktemp(request.param)
    AutoModelForCausalLM.from_config(shape).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("words", [("the river", "an open gate of the"), ("the",)])
def test_it_generates(odd, words, capsys):
    few = ["--max-new-tokens", "4", "--greedy", "--json", "--quiet"]
    assert main(["generate", str(odd), *words, *few]) == 0
    assert all(one in capsys.readouterr().out for one in words[:1])


def test_a_precision_that_it_does_not_compute_in(odd, capsys):
    few = ["--max-new-tokens", "2", "--precision", "bf16", "--quiet"]
    refused = "xmod" in odd.name
    assert main(["generate", str(odd), "the", *few]) == (2 if refused else 0)
    assert ("--precision bf16" in capsys.readouterr().err) == refused


class GPT2LMHeadModel(transformers.GPT2LMHeadModel):
    """A GPT-2 that takes no short text alone, such as a prompt; rows of training are longer."""

    def forward(self, input_ids=None, use_cache=None, **keywords):
        if input_ids.shape[0] == 1 and input_ids.shape[1] < LEAST:
            raise RuntimeError("too short for this kernel")
        return super().forward(input_ids, use_cache=use_cache, **keywords)


@pytest.fixture
def refusing(tiny_model):
    model = GPT2LMHeadModel.from_pretrained(tiny_model)
    return {"model": model, "tokenizer": AutoTokenizer.from_pretrained(tiny_model)}


def test_a_sample_that_cannot_be_made_ends_no_run(refusing, text_file, tmp_path, capsys):
    run = tmp_path / "run"
    result = nextfill.train(
        **refusing, data=text_file, out=run, max_steps=2, eval_every=1, block_size=32, quiet=False
    )
    assert capsys.readouterr().err.count("There is no sample") == 1
    assert result.samples == []
    events = [json.loads(line) for line in (run / "events.jsonl").read_text("utf-8").splitlines()]
    missing = [event for event in events if event["event"] == "no sample"]
    assert [event["step"] for event in missing] == [0, 1, 2]
    assert "too short for this kernel" in missing[0]["why"]
    assert "Sample" not in (run / "model" / "README.md").read_text("utf-8")
    assert main(["report", str(run), "--no-open"]) == 0


def test_what_it_refuses_is_told_with_its_type(refusing):
    with pytest.raises(nextfill.NextfillError, match=r"GPT2LMHeadModel.*too short"):
        nextfill.generate(**refusing, prompt="the", max_new_tokens=2)


def test_an_error_of_the_caller_is_not_taken_for_the_models(tiny_model):
    def fail(piece):
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        nextfill.generate(str(tiny_model), "the", streamer=fail, max_new_tokens=4, seed=1)
