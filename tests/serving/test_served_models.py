"""Models of every kind, served: of unknown layouts, trained to fill in, with adapters, live."""

from __future__ import annotations

import httpx2
import pytest
import torch

import nextfill
from nextfill.data.infilling_tokens import KNOWN

SETTINGS = {"device": "cpu", "precision": "fp32"}
GREEDY = {**SETTINGS, "greedy": True, "max_new_tokens": 12}


def completed(server, **asked):
    body = {"prompt": "Leaf 7: the river", "max_tokens": 12, "temperature": 0, **asked}
    answer = httpx2.post(f"{server.url}/v1/completions", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    return [one["text"] for one in answer.json()["choices"]]


def of_generate(model, prompt="Leaf 7: the river", **settings):
    (one,) = nextfill.generate(model, prompt, **{**GREEDY, **settings})
    return one.get("middle", one["generated_text"].removeprefix(prompt))


@pytest.mark.parametrize("kind", [pytest.param("opt", marks=pytest.mark.trial), "mamba", "roberta"])
def test_a_model_of_another_layout_takes_turns(kind, tiny_tokenizer, serve, tmp_path):
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_tokenizer)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "vocab_size": len(tokenizer)}
    sizes |= {"num_attention_heads": 2, "max_position_embeddings": 128, "intermediate_size": 64}
    if kind == "opt":
        sizes |= {"ffn_dim": 64, "word_embed_proj_dim": 32}
    if kind == "roberta":
        sizes |= {"is_decoder": True}
    ids = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 1}
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **sizes, **ids)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / kind)
    tokenizer.save_pretrained(tmp_path / kind)
    server = serve(tmp_path / kind)
    prompts = ["Leaf 7: the river", "A gate", "seven quiet mills while autumn light"]
    together = completed(server, prompt=prompts, n=2)
    assert together[::2] == [of_generate(tmp_path / kind, prompt) for prompt in prompts]
    assert together[1::2] == together[::2]
    read = sum(len(tokenizer(prompt)["input_ids"]) for prompt in prompts)
    assert server.service.loaded_models()[0].loop.tokens_read == read


@pytest.mark.trial
def test_runs_are_served_by_their_names(tiny_model, text_file, serve, tmp_path):
    job = {"model": str(tiny_model), "data": str(text_file), "max_steps": 10, "block_size": 64}
    fills = {"add_tokens": list(KNOWN[0][:3]), "fim_rate": 0.9}
    adapter = nextfill.train(out=tmp_path / "own", quiet=True, lora_rank=4, **SETTINGS, **job).run
    filling = nextfill.train(out=tmp_path / "fim", quiet=True, **fills, **SETTINGS, **job).run
    server = serve(adapter, filling)
    assert server.service.names == {"own": (str(adapter),), "fim": (str(filling),)}
    for name in ("own", str(adapter), None):
        assert completed(server, model=name) == [of_generate(adapter)]
    (found,) = completed(server, model="fim", suffix=" old stones.")
    assert found == of_generate(filling, suffix=" old stones.")


def test_a_run_is_served_beside_what_it_began_from(tiny_model, text_file, serve, tmp_path):
    job = {"model": str(tiny_model), "data": str(text_file), "max_steps": 4, "block_size": 32}
    adapter = nextfill.train(out=tmp_path / "own", quiet=True, lora_rank=4, **SETTINGS, **job).run
    server = serve(adapter, before=True)
    listed = httpx2.get(f"{server.url}/v1/models").json()["data"]
    assert [(one["id"], one["before"]) for one in listed] == [
        ("own", "own:before"),
        ("own:before", None),
    ]
    assert completed(server, model="own:before") == [of_generate(tiny_model)]
    assert completed(server, model=str(adapter)) == [of_generate(adapter)]


def test_a_model_before_is_that_of_a_run(tiny_model, serve):
    with pytest.raises(nextfill.NextfillError, match="is no run that began from a model"):
        serve(tiny_model, before=True)


def test_a_live_model_and_eight_bits_are_served(tiny_model, serve):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    expected = of_generate(tiny_model)
    assert completed(serve(model, tokenizer=tokenizer)) == [expected]
    eight = serve(tiny_model, weights="int8")
    assert completed(eight) == [of_generate(tiny_model, weights="int8")]
    half = serve(tiny_model, precision="bf16")
    assert len(completed(half, n=3)) == 3
