"""Live models and tokenizers give the numbers that the same ones give from a folder."""

from __future__ import annotations

import json

import peft
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import nextfill

JOB = {"max_steps": 3, "batch_size": 2, "block_size": 32}


@pytest.fixture
def live(tiny_model):
    return {
        "model": AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32),
        "tokenizer": AutoTokenizer.from_pretrained(tiny_model),
    }


def test_a_live_model_is_trained_in_place(live, tiny_model, text_file, tmp_path):
    data = str(text_file)
    named = nextfill.train(model=str(tiny_model), data=data, out=tmp_path / "named", **JOB)
    handed = nextfill.train(**live, data=data, out=tmp_path / "handed", **JOB)
    assert (handed.before, handed.after) == (named.before, named.after)
    assert not live["model"].training

    saved = AutoModelForCausalLM.from_pretrained(handed.model, dtype=torch.float32)
    for name, weight in saved.state_dict().items():
        assert torch.equal(weight, live["model"].state_dict()[name])
    assert nextfill.evaluate(handed.run) == handed.after
    assert nextfill.evaluate(**live, data=data, test_size=0.1, block_size=32) == handed.after


def test_a_run_of_a_live_model_is_resumed_with_it(live, tiny_model, text_file, tmp_path):
    job = {**JOB, "data": str(text_file), "save_every": 2}
    whole = nextfill.train(**live, out=tmp_path / "whole", **job)
    (tmp_path / "whole" / "checkpoints" / "step-00000003").rename(tmp_path / "gone")
    fresh = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    again = {**live, "model": fresh}
    resumed = nextfill.train(**again, out=tmp_path / "whole", resume=True)
    assert resumed.after == whole.after
    with pytest.raises(nextfill.NextfillError, match="hand it over again"):
        nextfill.train(out=tmp_path / "whole", resume=True)


def test_a_live_adapter_is_trained_and_saved_alone(live, tiny_model, text_file, tmp_path):
    result = nextfill.train(**live, data=str(text_file), out=tmp_path / "a", lora_rank=2, **JOB)
    assert not (tmp_path / "a" / "model" / "model.safetensors").exists()
    assert nextfill.evaluate(result.run) == result.after  # its base is found by its path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tokenizer": None}, "needs its tokenizer"),
        ({"model": torch.nn.Linear(2, 2)}, "not a transformers model"),
        ({"dropout": 0.1}, "keeps its dropout"),
        ({"model": ["a", "b"]}, "model: found a list; expected a name, .*one by one"),
        ({"model": 7}, "model: found an int; expected a name, or a model"),
        ({"tokenizer": 7}, "tokenizer: found an int; expected a name, or a tokenizer"),
    ],
)
def test_what_will_not_do_is_told(live, text_file, change, message):
    with pytest.raises(nextfill.NextfillError, match=message):
        nextfill.train(**{**live, "data": str(text_file), **JOB, **change})


def test_weights_of_another_type_are_told(live, text_file):
    live["model"].to(torch.bfloat16)
    with pytest.raises(nextfill.NextfillError, match=r"weights in bfloat16.*model\.float"):
        nextfill.train(**live, data=str(text_file), **JOB)


def test_a_live_tokenizer_alone(live, tiny_model, text_file):
    by_name = nextfill.prepare(data=str(text_file), model=str(tiny_model))
    handed = nextfill.prepare(data=str(text_file), tokenizer=live["tokenizer"])
    assert handed.ledger == by_name.ledger


def test_a_live_model_of_the_other_objective_is_told_the_call(live):
    with pytest.raises(nextfill.NextfillError, match=r"nextfill\.generate\(model, 'a text"):
        nextfill.fill(text="a ___ b", **live)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # PEFT's own
def test_a_model_with_nothing_to_train_is_told(live, tiny_model, text_file, tmp_path):
    job = {"data": str(text_file), **JOB, "tokenizer": live["tokenizer"]}
    live["model"].requires_grad_(False)
    for more in ({}, {"train_only": ["norms"]}):
        with pytest.raises(nextfill.ConfigError, match=r"Call model\.requires_grad_\(True\)"):
            nextfill.train(model=live["model"], **job, **more)
    nextfill.train(model=live["model"], lora_rank=2, out=tmp_path / "a", **job)  # an adapter is new

    base = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    frozen = peft.PeftModel.from_pretrained(base, tmp_path / "a" / "model")
    with pytest.raises(nextfill.ConfigError, match="is_trainable=True"):
        nextfill.train(model=frozen, **job)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # PEFT's own
def test_an_adapter_without_a_tokenizer_has_that_of_its_base(live, tiny_model, text_file, tmp_path):
    settings = peft.LoraConfig(target_modules=["c_attn"], fan_in_fan_out=True)
    peft.get_peft_model(live["model"], settings).save_pretrained(tmp_path / "adapter")
    adapter, job = str(tmp_path / "adapter"), {"data": str(text_file), "block_size": 32}
    both = nextfill.evaluate(adapter, **job)
    assert both.base.evaluation.perplexity == both.perplexity  # PEFT begins with no change
    trained = nextfill.train(model=adapter, **{**job, **JOB}, out=tmp_path / "run")
    assert nextfill.evaluate(trained.run) == trained.after
    assert nextfill.prepare(model=adapter, **job).ledger
    assert nextfill.generate(adapter, "Once", max_new_tokens=2)


def test_adapters_in_a_circle_without_a_tokenizer_are_told(tmp_path):
    for name, other in (("a", "b"), ("b", "a")):
        (tmp_path / name).mkdir()
        settings = {"base_model_name_or_path": str(tmp_path / other)}
        (tmp_path / name / "adapter_config.json").write_text(json.dumps(settings))
    with pytest.raises(nextfill.ModelError, match="holds no tokenizer"):
        nextfill.generate(str(tmp_path / "a"), "Once")
